package chain

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

func wireSample(member string) wireSeal {
	s := wireSeal{size: 7, root: merkle.LeafHash([]byte(member)), seal: checkpoint.Seal{Member: member, Time: 1_800_000_000}}
	s.seal.Log[0], s.seal.Ed25519[1], s.seal.SM2[63] = 1, 2, 3
	return s
}

func wireSamples() map[string]message {
	var many, have = []wireSeal{}, []string{}
	for i := range checkpoint.MaxMembers {
		many = append(many, wireSample(fmt.Sprintf("member-%02d-%s", i, strings.Repeat("x", checkpoint.MaxMemberID-10))))
		have = append(have, many[i].seal.Member)
	}
	return map[string]message{
		"live":             {kind: msgLive, seals: []wireSeal{wireSample("court-a")}},
		"want":             {kind: msgWant, size: 9, have: []string{"court-a", "vendor-a"}},
		"want all":         {kind: msgWant, size: checkpoint.MaxSize},
		"want little":      {kind: msgWant, size: 1, have: have},
		"answer":           {kind: msgAnswer, seals: []wireSeal{wireSample("court-a")}},
		"the longest ever": {kind: msgAnswer, seals: many},
		"clock":            {kind: msgClock, time: 1_800_000_000},
	}
}

func TestWireRoundTrip(t *testing.T) {
	for name, m := range wireSamples() {
		raw := encodeMessage(m)
		if len(raw) > maxSealMessage {
			t.Errorf("%s takes %d bytes", name, len(raw))
		}
		got, err := decodeMessage(raw)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
		for cut := range len(raw) {
			if _, err := decodeMessage(raw[:cut]); err == nil {
				t.Errorf("%s cut to %d of %d bytes decodes", name, cut, len(raw))
			}
		}
		if _, err := decodeMessage(append(bytes.Clone(raw), 0)); err == nil {
			t.Errorf("%s with a trailing byte decodes", name)
		}
	}
}

func TestWireRefuses(t *testing.T) {
	two := []wireSeal{wireSample("court-a"), wireSample("vendor-a")}
	change := func(m message, change func(*message)) message {
		m.seals = append([]wireSeal(nil), m.seals...)
		change(&m)
		return m
	}
	answer := message{kind: msgAnswer, seals: two}
	many := message{kind: msgWant, size: 1}
	for i := range checkpoint.MaxMembers + 1 {
		many.have = append(many.have, fmt.Sprintf("member-%02d", i))
	}
	for name, raw := range map[string][]byte{
		"nothing":           {},
		"unknown kind":      {0x05, 0},
		"a clock at 0":      encodeMessage(message{kind: msgClock}),
		"kind 0":            {0},
		"too long":          make([]byte, maxSealMessage+1),
		"size 0":            encodeMessage(message{kind: msgWant}),
		"size too large":    encodeMessage(message{kind: msgWant, size: checkpoint.MaxSize + 1}),
		"unsorted members":  encodeMessage(message{kind: msgWant, size: 1, have: []string{"vendor-a", "court-a"}}),
		"a member twice":    encodeMessage(message{kind: msgWant, size: 1, have: []string{"court-a", "court-a"}}),
		"31 members":        encodeMessage(many),
		"no member id":      encodeMessage(message{kind: msgWant, size: 1, have: []string{"Court"}}),
		"an empty id":       encodeMessage(message{kind: msgWant, size: 1, have: []string{""}}),
		"an answer of none": encodeMessage(message{kind: msgAnswer}),
		"seals unsorted":    encodeMessage(change(answer, func(m *message) { m.seals[0], m.seals[1] = m.seals[1], m.seals[0] })),
		"seals of one":      encodeMessage(change(answer, func(m *message) { m.seals[1] = m.seals[0] })),
		"two sizes":         encodeMessage(change(answer, func(m *message) { m.seals[1].size++ })),
		"time 0":            encodeMessage(change(answer, func(m *message) { m.seals[1].seal.Time = 0 })),
		"time below 0":      encodeMessage(change(answer, func(m *message) { m.seals[1].seal.Time = -1 })),
		"a long id":         encodeMessage(message{kind: msgWant, size: 1, have: []string{strings.Repeat("x", checkpoint.MaxMemberID+1)}}),
	} {
		if m, err := decodeMessage(raw); err == nil {
			t.Errorf("%s decodes as %+v", name, m)
		}
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, m := range wireSamples() {
		f.Add(encodeMessage(m))
	}
	f.Add([]byte{msgAnswer, 255})
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := decodeMessage(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(encodeMessage(m), raw) {
			t.Fatalf("%x decodes, and encodes as %x", raw, encodeMessage(m))
		}
	})
}

func FuzzDecodeGuard(f *testing.F) {
	f.Add(encodeGuard(guardOrigin, guardRecord{size: 7, root: someRoot(7), time: 1_800_000_000}))
	f.Add(encodeGuard(guardOrigin, guardRecord{root: merkle.EmptyRoot()}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := decodeGuard(raw, guardOrigin)
		if err != nil {
			return
		}
		if again, err := decodeGuard(encodeGuard(guardOrigin, r), guardOrigin); err != nil || again != r {
			t.Fatalf("%+v reads back as %+v, %v", r, again, err)
		}
	})
}
