package checkpoint

import (
	"crypto/ed25519"
	"errors"
	"math"
	"testing"

	"qifeng/internal/gm"
)

func TestSignAndVerifySeal(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(7)
	for _, at := range []int64{1, 1_790_000_000, math.MaxInt64} {
		s := c.seal(t, cp, "court-a", at)
		m, _ := c.epoch().Member("court-a")
		if err := m.VerifySeal(cp, s); err != nil {
			t.Errorf("time %d: %v", at, err)
		}
	}
}

// TestSignedText checks the Ed25519 lines against texts written out here.
func TestSignedText(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(7)
	s := c.seal(t, cp, "court-a", 1234)
	m, _ := c.epoch().Member("court-a")
	body := string(cp.Body())
	if !ed25519.Verify(m.Log.Bytes(), []byte(body), s.Log[:]) {
		t.Error("the log line is not over the body")
	}
	if !ed25519.Verify(m.SealEd25519.Bytes(), []byte("cosignature/v1\ntime 1234\n"+body), s.Ed25519[:]) {
		t.Error("the Ed25519 cosignature is not over cosignature/v1, time, body")
	}
	text := []byte("qifeng-sm2-cosignature/v1\ntime 1234\n" + body)
	if err := gm.VerifyBoth(m.SealSM2, text, s.SM2[:]); err != nil {
		t.Errorf("the SM2 cosignature: %v", err)
	}
}

func TestSignRefuses(t *testing.T) {
	c := fourMembers(t)
	good, keys := c.checkpoint(7), c.keys["court-a"]
	with := func(f func(*Checkpoint)) Checkpoint { cp := good; f(&cp); return cp }
	for _, tt := range []struct {
		name   string
		cp     Checkpoint
		member string
		at     int64
		keys   SealKeys
	}{
		{"time 0", good, "court-a", 0, keys},
		{"negative time", good, "court-a", -1, keys},
		{"bad member id", good, "Court", 1, keys},
		{"empty ledger", with(func(c *Checkpoint) { c.Size = 0 }), "court-a", 1, keys},
		{"size above the bound", with(func(c *Checkpoint) { c.Size = MaxSize + 1 }), "court-a", 1, keys},
		{"other origin", with(func(c *Checkpoint) { c.Origin = "example.com/log" }), "court-a", 1, keys},
		{"origin with a line end", with(func(c *Checkpoint) { c.Origin += "\n" }), "court-a", 1, keys},
		{"no SM3 root", with(func(c *Checkpoint) { c.Root.SM3 = [32]byte{} }), "court-a", 1, keys},
		{"no SHA-256 root", with(func(c *Checkpoint) { c.Root.SHA256 = [32]byte{} }), "court-a", 1, keys},
		{"no keys", good, "court-a", 1, SealKeys{}},
		{"no log key", good, "court-a", 1, SealKeys{Ed25519: keys.Ed25519, SM2: keys.SM2}},
		{"SM2 for Ed25519", good, "court-a", 1, SealKeys{Log: keys.Log, Ed25519: keys.SM2, SM2: keys.SM2}},
		{"Ed25519 for SM2", good, "court-a", 1, SealKeys{Log: keys.Log, Ed25519: keys.Ed25519, SM2: keys.Ed25519}},
		{"a signer that fails", good, "court-a", 1, SealKeys{Log: keys.Log, Ed25519: keys.Ed25519, SM2: badSigner{keys.SM2, nil, errors.New("device gone")}}},
		{"a short signature", good, "court-a", 1, SealKeys{Log: keys.Log, Ed25519: keys.Ed25519, SM2: badSigner{keys.SM2, make([]byte, 63), nil}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if s, err := Sign(tt.cp, tt.member, tt.at, tt.keys); err == nil || s != (Seal{}) {
				t.Errorf("Sign = %v, %v", s, err)
			}
		})
	}
}

type badSigner struct {
	gm.Signer
	sig []byte
	err error
}

func (b badSigner) Sign([]byte) ([]byte, error) { return b.sig, b.err }

func TestVerifySealRefuses(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(7)
	court, _ := c.epoch().Member("court-a")
	good := c.seal(t, cp, "court-a", 1000)
	other := c.seal(t, cp, "notary-a", 1000)
	later := c.seal(t, cp, "court-a", 1001)
	with := func(f func(*Seal)) Seal { s := good; f(&s); return s }
	for _, tt := range []struct {
		name string
		cp   Checkpoint
		seal Seal
	}{
		{"another member's seal", cp, other},
		{"another member's seal renamed", cp, func() Seal { s := other; s.Member = "court-a"; return s }()},
		{"other size", func() Checkpoint { c := cp; c.Size++; return c }(), good},
		{"empty ledger", func() Checkpoint { c := cp; c.Size = 0; return c }(), good},
		{"other SM3 root", func() Checkpoint { c := cp; c.Root.SM3[31] ^= 1; return c }(), good},
		{"other SHA-256 root", func() Checkpoint { c := cp; c.Root.SHA256[0] ^= 1; return c }(), good},
		{"other origin", func() Checkpoint { c := cp; c.Origin = "qifeng/demo-00000000"; return c }(), good},
		{"other time", cp, with(func(s *Seal) { s.Time++ })},
		{"time 0", cp, with(func(s *Seal) { s.Time = 0 })},
		{"no log line", cp, with(func(s *Seal) { s.Log = [64]byte{} })},
		{"no Ed25519 cosignature", cp, with(func(s *Seal) { s.Ed25519 = [64]byte{} })},
		{"no SM2 cosignature", cp, with(func(s *Seal) { s.SM2 = [64]byte{} })},
		{"log and cosignature swapped", cp, with(func(s *Seal) { s.Log, s.Ed25519 = s.Ed25519, s.Log })},
		{"Ed25519 of another time", cp, with(func(s *Seal) { s.Ed25519 = later.Ed25519 })},
		{"SM2 of another time", cp, with(func(s *Seal) { s.SM2 = later.SM2 })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := court.VerifySeal(tt.cp, tt.seal); err == nil {
				t.Error("it verifies")
			}
		})
	}
	// Each bit of each signature counts.
	for i := range 64 {
		for _, s := range []Seal{
			with(func(s *Seal) { s.Log[i] ^= 1 << (i % 8) }),
			with(func(s *Seal) { s.Ed25519[i] ^= 1 << (i % 8) }),
			with(func(s *Seal) { s.SM2[i] ^= 1 << (i % 8) }),
		} {
			if err := court.VerifySeal(cp, s); !errors.Is(err, ErrSeal) || !errors.Is(err, gm.ErrSignature) {
				t.Errorf("flipped byte %d: %v", i, err)
			}
		}
	}
	if err := (Member{ID: "court-a"}).VerifySeal(cp, good); err == nil {
		t.Error("a member without keys verifies a seal")
	}
}
