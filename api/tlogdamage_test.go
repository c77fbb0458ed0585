package api_test

import (
	"bytes"
	"errors"
	"testing"

	"qifeng/api"
	"qifeng/api/apitest"
	"qifeng/proof/merkle"
)

// spoiled is a chain whose store lies.
type spoiled struct {
	api.Chain
	node  func(level uint8, index uint64, d merkle.Digest) (merkle.Digest, error)
	entry func(index uint64, b []byte) []byte
	note  func([]byte) []byte
}

func (s *spoiled) Node(level uint8, index uint64) (merkle.Digest, error) {
	d, err := s.Chain.Node(level, index)
	if s.node == nil || err != nil {
		return d, err
	}
	return s.node(level, index, d)
}

func (s *spoiled) Entry(index uint64) ([]byte, error) {
	b, err := s.Chain.Entry(index)
	if s.entry != nil {
		b = s.entry(index, b)
	}
	return b, err
}

func (s *spoiled) Checkpoint() ([]byte, uint64, bool, error) {
	note, size, ok, err := s.Chain.Checkpoint()
	if s.note != nil {
		note = s.note(note)
	}
	return note, size, ok, err
}

func (s *spoiled) Covering(index uint64) ([]byte, uint64, bool, error) {
	note, size, ok, err := s.Chain.Covering(index)
	if s.note != nil && ok {
		note = s.note(note)
	}
	return note, size, ok, err
}

// TestDamageIsNotServed: a damaged store is the node's own alarm and never an
// answer that would accuse the members.
func TestDamageIsNotServed(t *testing.T) {
	s := &spoiled{}
	n := apitest.NewNode(t, apitest.Options{Chain: func(c api.Chain) api.Chain { s.Chain = c; return s }})
	n.Ledger.Grow(t, 300)
	n.Ledger.Seal()
	flip := func(d merkle.Digest) merkle.Digest { d.SM3[0] ^= 1; return d }
	at := func(wantLevel uint8, wantIndex uint64) func(uint8, uint64, merkle.Digest) (merkle.Digest, error) {
		return func(level uint8, index uint64, d merkle.Digest) (merkle.Digest, error) {
			if level == wantLevel && index == wantIndex {
				d = flip(d)
			}
			return d, nil
		}
	}
	for _, tt := range []struct {
		name  string
		spoil func()
		path  string
		code  string
	}{
		{"a leaf", func() { s.node = at(0, 17) }, "/tlog/tile/0/000", "tampered"},
		{"a leaf of a partial tile", func() { s.node = at(0, 290) }, "/tlog/sm3/tile/0/001.p/44", "tampered"},
		{"the last leaf of an odd tile", func() { s.node = at(0, 298) }, "/tlog/tile/entries/001.p/43", "tampered"},
		{"the node above", func() { s.node = at(8, 0) }, "/tlog/tile/0/000", "tampered"},
		{"an entry", func() { s.entry = func(i uint64, b []byte) []byte { return append([]byte("x"), b...) } }, "/tlog/tile/entries/000.p/1", "tampered"},
		{"a seal", func() {
			s.note = func(b []byte) []byte { return bytes.Replace(b, []byte("— court-a "), []byte("— court-a A"), 1) }
		}, "/tlog/checkpoint", "tampered"},
		{"a path", func() { s.node = at(0, 2) }, "/v1/consistency?from=3&to=300", "tampered"},
		{"another root", func() { s.node = at(8, 0) }, "/v1/consistency?from=256&to=300", "tampered"},
		{"an unreadable node", func() {
			s.node = func(uint8, uint64, merkle.Digest) (merkle.Digest, error) { return merkle.Digest{}, errors.New("disk") }
		}, "/tlog/tile/0/000", "internal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			*s = spoiled{Chain: s.Chain}
			get(t, n, tt.path)
			tt.spoil()
			resp, body := call(t, n, "GET", tt.path, nil)
			if p := problemOf(t, resp, body); p.Status != 500 || p.Code != tt.code || p.Detail != "" {
				t.Errorf("%s: %s", tt.path, body)
			}
			if resp.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s may be kept: %v", tt.path, resp.Header)
			}
		})
	}
}
