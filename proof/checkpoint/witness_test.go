package checkpoint

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"filippo.io/torchwood"
	modnote "golang.org/x/mod/sumdb/note"

	"qifeng/internal/gm"
)

// fixedWitness is a witness with its key, which is nobody else's.
func fixedWitness(t testing.TB, name string) (Witness, *gm.PrivateKey) {
	t.Helper()
	key := fixedKey(t, gm.Ed25519, "witness "+name)
	return Witness{Name: name, Key: key.Public()}, key
}

func (c consortium) witnessed(t testing.TB, cp Checkpoint, w Witness, key gm.Signer, at int64) []byte {
	t.Helper()
	line, err := w.Cosign(key, at, cp.Body())
	if err != nil {
		t.Fatal(err)
	}
	note, err := AddLines(c.note(t, cp, "arb-a", "court-a", "notary-a", "vendor-a"), line)
	if err != nil {
		t.Fatal(err)
	}
	return note
}

func TestParseWitness(t *testing.T) {
	for _, name := range []string{"witness.example/w1", "w", "见证人", strings.Repeat("x", 255)} {
		w, _ := fixedWitness(t, name)
		got, err := ParseWitness(w.String())
		if err != nil || got != w {
			t.Errorf("%s is read as %+v, %v", w, got, err)
		}
		stock, err := torchwood.NewCosignatureVerifier(w.String())
		if err != nil || stock.Name() != w.Name || stock.String() != w.String() {
			t.Errorf("torchwood reads %s otherwise: %v", w, err)
		}
	}
}

func TestParseWitnessRefuses(t *testing.T) {
	w, _ := fixedWitness(t, "witness.example/w1")
	ok := w.String()
	name, rest, _ := strings.Cut(ok, "+")
	id, b64, _ := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.DecodeString(b64)
	if err != nil {
		t.Fatal(err)
	}
	small := append([]byte{4, 1}, bytes.Repeat([]byte{0}, 31)...)
	for _, tt := range []struct{ name, vkey string }{
		{"empty", ""},
		{"no key", name + "+" + id},
		{"no name", "+" + id + "+" + b64},
		{"a space in the name", strings.Replace(ok, "example", "exam ple", 1)},
		{"a control character in the name", strings.Replace(ok, "example", "exam\x01ple", 1)},
		{"a name that is not UTF-8", strings.Replace(ok, "example", "exam\xffple", 1)},
		{"another name", "x" + ok},
		{"a name too long", strings.Repeat("x", 256) + ok},
		{"a key id in capitals", name + "+" + strings.ToUpper(id) + "+" + b64},
		{"another key id", name + "+00000000+" + b64},
		{"a short key id", name + "+" + id[1:] + "+" + b64},
		{"the type of a log", vkey(name, typeLog, w.Key)},
		{"no type", vkeyRaw(name, raw[1:])},
		{"a key too short", vkeyRaw(name, raw[:32])},
		{"a key too long", vkeyRaw(name, append(slices.Clone(raw), 0))},
		{"a key of small order", vkeyRaw(name, small)},
		{"padding", ok + "="},
		{"base64 of URLs", name + "+" + id + "+" + base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 33))},
		{"a line end", ok + "\n"},
		{"a line end inside", ok[:len(ok)-4] + "\n" + ok[len(ok)-4:]},
		{"a space after", ok + " "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := ParseWitness(tt.vkey); !errors.Is(err, ErrMalformed) {
				t.Errorf("%q is read as %+v, %v", tt.vkey, got, err)
			}
		})
	}
	// 33 bytes need neither padding nor unused bits in base64: every character
	// counts.
	for i := range len(ok) {
		for _, c := range []byte("A+z") {
			if ok[i] == c {
				continue
			}
			if got, err := ParseWitness(ok[:i] + string(c) + ok[i+1:]); err == nil {
				t.Errorf("with %q at %d it is read as %+v", c, i, got)
			}
		}
	}
}

func vkeyRaw(name string, raw []byte) string {
	h := sha256.Sum256([]byte(name + "\n" + string(raw)))
	return fmt.Sprintf("%s+%x+%s", name, h[:4], base64.StdEncoding.EncodeToString(raw))
}

func TestWitnessed(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(7)
	w, key := fixedWitness(t, "witness.example/w1")
	other, otherKey := fixedWitness(t, "witness.example/w2")
	note := c.witnessed(t, cp, w, key, 1234567890)
	if at, err := Witnessed(note, w); err != nil || at != 1234567890 {
		t.Errorf("at %d, %v", at, err)
	}
	if _, err := Witnessed(note, other); !errors.Is(err, ErrNotSealed) {
		t.Errorf("a witness that is not there: %v", err)
	}
	// The seals stay what they were, and torchwood agrees on the witness.
	if s := mustOpen(t, note, c.policy); !s.Met || len(s.Seals) != 4 {
		t.Errorf("with the witness's line: %+v", s.Verdict)
	}
	stock, err := torchwood.NewCosignatureVerifier(w.String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := modnote.Open(note, modnote.VerifierList(stock))
	if err != nil || len(n.Sigs) != 1 || n.Text != string(cp.Body()) {
		t.Fatalf("torchwood: %v", err)
	}
	if at, err := torchwood.CosignatureTimestamp(n.Sigs[0]); err != nil || at != 1234567890 {
		t.Errorf("torchwood reads the time as %d, %v", at, err)
	}
	// A second witness beside it, and what torchwood signs is read.
	signer, err := torchwood.NewCosignatureSigner(other.Name, stdSigner{otherKey})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := modnote.Sign(&modnote.Note{Text: string(cp.Body())}, signer)
	if err != nil {
		t.Fatal(err)
	}
	_, lines := noteLines(t, signed)
	both, err := AddLines(note, []byte(lines[0]))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []Witness{w, other} {
		if at, err := Witnessed(both, w); err != nil || at < 1234567890 {
			t.Errorf("%s beside another: at %d, %v", w.Name, at, err)
		}
	}
}

// stdSigner is a key of ours for libraries that want crypto.Signer.
type stdSigner struct{ key gm.Signer }

func (s stdSigner) Public() crypto.PublicKey { return ed25519.PublicKey(s.key.Public().Bytes()) }

func (s stdSigner) Sign(_ io.Reader, msg []byte, _ crypto.SignerOpts) ([]byte, error) {
	return s.key.Sign(msg)
}

func TestWitnessedRefuses(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(7)
	w, key := fixedWitness(t, "witness.example/w1")
	_, otherKey := fixedWitness(t, "witness.example/w2")
	note := c.witnessed(t, cp, w, key, 1000)
	body, lines := noteLines(t, note)
	line := lines[len(lines)-1]
	members := lines[:len(lines)-1]
	with := func(more ...string) []byte { return joinLines(body, append(slices.Clone(members), more...)...) }
	otherBody := strings.Replace(body, "\n7\n", "\n8\n", 1)
	at := func(b string) func([]byte) []byte {
		return func(raw []byte) []byte { copy(raw[4:], b); return raw }
	}
	forged, err := otherKey.Sign(signedText(cosignatureV1, 1000, []byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		note []byte
		want error
	}{
		{"no line", with(), ErrNotSealed},
		{"twice", with(line, line), ErrMalformed},
		{"of another body", joinLines(otherBody, lines...), ErrTampered},
		{"another time", with(mutateLine(t, line, at("\x00\x00\x00\x00\x00\x00\x03\xe9"))), ErrTampered},
		{"time 0", with(mutateLine(t, line, at("\x00\x00\x00\x00\x00\x00\x00\x00"))), ErrTampered},
		{"time 2^63", with(mutateLine(t, line, at("\x80\x00\x00\x00\x00\x00\x00\x00"))), ErrTampered},
		{"a byte too short", with(mutateLine(t, line, func(raw []byte) []byte { return raw[:75] })), ErrTampered},
		{"a byte too long", with(mutateLine(t, line, func(raw []byte) []byte { return append(raw, 0) })), ErrTampered},
		{"no time", with(mutateLine(t, line, func(raw []byte) []byte { return append(raw[:4:4], raw[12:]...) })), ErrTampered},
		{"by another key", with(mutateLine(t, line, func(raw []byte) []byte { return append(raw[:12:12], forged...) })), ErrTampered},
		{"under another name", with(strings.Replace(line, "w1", "w2", 1)), ErrNotSealed},
		{"a body that is not ours", joinLines(body+"more\n", lines...), ErrMalformed},
		{"no note", []byte("note"), ErrMalformed},
		{"a line that is none", with("no line\n", line), ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if at, err := Witnessed(tt.note, w); !errors.Is(err, tt.want) || at != 0 {
				t.Errorf("at %d, %v; want %v", at, err, tt.want)
			}
		})
	}
	if _, err := Witnessed(note, Witness{Name: w.Name}); !errors.Is(err, ErrPolicy) {
		t.Errorf("a witness without a key: %v", err)
	}
	// The line number is that of the note.
	var lineErr *LineError
	_, err = Witnessed(joinLines(otherBody, lines...), w)
	if !errors.As(err, &lineErr) || lineErr.Line != 5+len(lines) || lineErr.Member != w.Name || lineErr.Key != KeyWitness {
		t.Errorf("the false line is named %+v", lineErr)
	}
}

// TestWitnessedBits: every bit of the body and of the witness's line counts.
func TestWitnessedBits(t *testing.T) {
	c := fourMembers(t)
	w, key := fixedWitness(t, "witness.example/w1")
	note := c.witnessed(t, c.checkpoint(7), w, key, 1000)
	body, lines := noteLines(t, note)
	start := len(note) - len(lines[len(lines)-1])
	for i := range note {
		if i > len(body) && i < start {
			continue // lines of others: Open's matter
		}
		for bit := range 8 {
			flipped := slices.Clone(note)
			flipped[i] ^= 1 << bit
			if at, err := Witnessed(flipped, w); err == nil {
				t.Errorf("byte %d bit %d: witnessed at %d", i, bit, at)
			}
		}
	}
}

func TestCosignRefuses(t *testing.T) {
	w, key := fixedWitness(t, "w")
	_, other := fixedWitness(t, "v")
	body := []byte("log.example\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
	sm2 := fixedKey(t, gm.SM2, "witness")
	for _, tt := range []struct {
		name string
		w    Witness
		key  gm.Signer
		t    int64
	}{
		{"no key", w, nil, 1},
		{"another key", w, other, 1},
		{"an SM2 key", Witness{"w", sm2.Public()}, sm2, 1},
		{"no public key", Witness{Name: "w"}, key, 1},
		{"no name", Witness{Key: w.Key}, key, 1},
		{"time 0", w, key, 0},
		{"before 1970", w, key, -1},
		{"a signer that gives 63 bytes", w, shortSigner{key}, 1},
	} {
		if line, err := tt.w.Cosign(tt.key, tt.t, body); err == nil {
			t.Errorf("%s: it signs %q", tt.name, line)
		}
	}
	if _, err := w.Cosign(key, math.MaxInt64, body); err != nil {
		t.Errorf("the last time of all: %v", err)
	}
}

type shortSigner struct{ gm.Signer }

func (s shortSigner) Sign(msg []byte) ([]byte, error) {
	sig, err := s.Signer.Sign(msg)
	return sig[:63], err
}

func TestCheckOutside(t *testing.T) {
	c := fourMembers(t)
	w, _ := fixedWitness(t, "w")
	if err := w.CheckOutside(c.policy); err != nil {
		t.Errorf("a stranger: %v", err)
	}
	for _, m := range c.epoch().Members {
		for _, k := range m.keys() {
			if err := (Witness{"w", k.key}).CheckOutside(c.policy); !errors.Is(err, ErrPolicy) {
				t.Errorf("the %s key of %s: %v", k.kind, m.ID, err)
			}
		}
	}
}

func TestAddLines(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(7)
	note := c.note(t, cp, "arb-a", "court-a", "notary-a", "vendor-a")
	line := func(name string) string {
		w, key := fixedWitness(t, name)
		l, err := w.Cosign(key, 1, cp.Body())
		if err != nil {
			t.Fatal(err)
		}
		return string(l)
	}
	before := slices.Clone(note)
	got, err := AddLines(note[:len(note):cap(note)], []byte(line("a")+line("b")))
	if err != nil || string(got) != string(before)+line("a")+line("b") || !bytes.Equal(note, before) {
		t.Errorf("two lines: %v\n%s", err, got)
	}
	var many, bytesOver strings.Builder
	for i := range MaxLines - 12 {
		many.WriteString(line(fmt.Sprint("w", i)))
	}
	if _, err := AddLines(note, []byte(many.String())); err != nil {
		t.Errorf("as many lines as fit: %v", err)
	}
	bytesOver.WriteString("— big " + base64.StdEncoding.EncodeToString(make([]byte, 49000)) + "\n")
	_, lines := noteLines(t, note)
	for _, tt := range []struct{ name, note, lines string }{
		{"nothing", string(note), ""},
		{"an unended line", string(note), strings.TrimSuffix(line("a"), "\n")},
		{"a blank line", string(note), "\n"},
		{"another blank line", string(note), line("a") + "\n" + line("b")},
		{"text", string(note), "text\n"},
		{"one key twice", string(note), line("a") + line("a")},
		{"a key that is there", string(note), lines[0]},
		{"one line too many", string(note), many.String() + line("a")},
		{"too many bytes", string(note), bytesOver.String()},
		{"no note", "note\n", line("a")},
		{"a note without a line", string(cp.Body()) + "\n", line("a")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := AddLines([]byte(tt.note), []byte(tt.lines)); !errors.Is(err, ErrMalformed) || got != nil {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

func TestWitnessNote(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(7)
	got, err := WitnessNote(c.note(t, cp, "arb-a", "notary-a", "vendor-a"), c.policy)
	if err != nil {
		t.Fatal(err)
	}
	body, lines := noteLines(t, got)
	if body != string(cp.Body()) || len(lines) != 2 {
		t.Fatalf("the note for a witness:\n%s", got)
	}
	keys := c.policy.WitnessLogKeys(c.epoch())
	if len(keys) != 3 {
		t.Fatalf("keys %q", keys)
	}
	// Each line verifies by the key of a neutral member, and not by the vendor's.
	for i, m := range c.epoch().Members {
		v, err := modnote.NewVerifier(vkey(cp.Origin, typeLog, m.Log))
		if err != nil {
			t.Fatal(err)
		}
		_, err = modnote.Open(got, modnote.VerifierList(v))
		if want := m.ID == "arb-a" || m.ID == "notary-a"; (err == nil) != want {
			t.Errorf("the line of %s: %v", m.ID, err)
		}
		if m.Role.Neutral() {
			if origin, key, err := ParseLogKey(keys[i]); err != nil || origin != cp.Origin || key != m.Log {
				t.Errorf("the key of %s is read as %s %v, %v", m.ID, origin, key, err)
			}
		} else if slices.Contains(keys, vkey(cp.Origin, typeLog, m.Log)) {
			t.Errorf("the key of %s, a vendor, is registered", m.ID)
		}
	}
	if _, _, err := ParseLogKey(vkey("w", typeCosignature, c.epoch().Members[0].Log)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a witness key as log key: %v", err)
	}
	if _, err := WitnessNote(c.note(t, cp, "arb-a", "court-a"), c.policy); !errors.Is(err, ErrNotSealed) {
		t.Errorf("two seals of three: %v", err)
	}
	full := c.note(t, cp, "arb-a", "notary-a", "vendor-a")
	body, lines = noteLines(t, full)
	if _, err := WitnessNote(joinLines(body, lines[2:]...), c.policy); !errors.Is(err, ErrNotSealed) {
		t.Errorf("only the vendor's log line: %v", err)
	}
	false1 := mutateLine(t, lines[0], func(raw []byte) []byte { raw[20] ^= 1; return raw })
	if _, err := WitnessNote(joinLines(body, append([]string{false1}, lines[1:]...)...), c.policy); !errors.Is(err, ErrTampered) {
		t.Errorf("a false line: %v", err)
	}
}

// TestWitnessNoteLines: a large consortium sends no more lines than C2SP promises.
func TestWitnessNoteLines(t *testing.T) {
	var members, ids []string
	for i := range 20 {
		ids = append(ids, fmt.Sprintf("court-%02d", i))
		members = append(members, ids[i]+" court")
	}
	c := newConsortium(t, Quorum{Members: 14, NeutralRoles: 1}, members...)
	got, err := WitnessNote(c.note(t, c.checkpoint(7), ids...), c.policy)
	if err != nil {
		t.Fatal(err)
	}
	if _, lines := noteLines(t, got); len(lines) != stockLines {
		t.Errorf("%d lines", len(lines))
	}
}

// TestQuorumNote: nothing can be left out of what it leaves.
func TestQuorumNote(t *testing.T) {
	var members, ids []string
	for i := range 30 {
		ids = append(ids, fmt.Sprintf("m-%02d", i))
		members = append(members, ids[i]+[]string{" vendor", " court", " notary"}[i%3])
	}
	c := newConsortium(t, Quorum{Members: 21, NeutralRoles: 2, Require: []Require{{Role: Notary, Count: 9}}}, members...)
	full := c.note(t, c.checkpoint(7), ids...)
	got, err := QuorumNote(full, c.policy)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(got, c.policy, Options{Second: true})
	if err != nil || !s.Met || len(s.Seals) != 21 || s.NeutralRoles < 2 {
		t.Fatalf("what is left: %d seals, %+v, %v", len(s.Seals), s.Verdict, err)
	}
	if _, lines := noteLines(t, got); len(lines) != 42 || !bytes.HasPrefix(full, s.Body()) {
		t.Errorf("%d lines", len(lines))
	}
	if again, err := QuorumNote(got, c.policy); err != nil || !bytes.Equal(again, got) {
		t.Errorf("again: %v", err)
	}
	if _, err := QuorumNote(c.note(t, c.checkpoint(7), ids[:20]...), c.policy); !errors.Is(err, ErrNotSealed) {
		t.Errorf("not sealed: %v", err)
	}
	body, lines := noteLines(t, full)
	lines[40] = mutateLine(t, lines[40], func(raw []byte) []byte { raw[20] ^= 1; return raw })
	if _, err := QuorumNote(joinLines(body, lines...), c.policy); !errors.Is(err, ErrTampered) {
		t.Errorf("a false line: %v", err)
	}
}

func FuzzParseWitness(f *testing.F) {
	w, _ := fixedWitness(f, "witness.example/w1")
	f.Add(w.String())
	f.Add("见证人+00000000+BA==")
	f.Fuzz(func(t *testing.T, s string) {
		w, err := ParseWitness(s)
		if err != nil {
			return
		}
		if w.String() != s {
			t.Errorf("%q is written as %q", s, w)
		}
		if _, err := torchwood.NewCosignatureVerifier(s); err != nil {
			t.Errorf("torchwood refuses %q: %v", s, err)
		}
	})
}

// FuzzWitnessed: what is witnessed here is witnessed for torchwood too, and
// adding lines leaves the rest alone.
func FuzzWitnessed(f *testing.F) {
	c := fourMembers(f)
	cp := c.checkpoint(7)
	w, key := fixedWitness(f, "witness.example/w1")
	line, err := w.Cosign(key, 1000, cp.Body())
	if err != nil {
		f.Fatal(err)
	}
	stock, err := torchwood.NewCosignatureVerifier(w.String())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.note(f, cp, "arb-a", "court-a"), line)
	f.Add(c.witnessed(f, cp, w, key, 1000), line)
	f.Fuzz(func(t *testing.T, note, lines []byte) {
		_, before := Witnessed(note, w)
		added, err := AddLines(note, lines)
		if err != nil {
			added = note
		} else if !bytes.Equal(added, append(slices.Clone(note), lines...)) {
			t.Fatalf("added otherwise: %q", added)
		}
		at, after := Witnessed(added, w)
		if before == nil && after != nil {
			t.Errorf("added lines took the witness away: %v", after)
		}
		if after != nil {
			return
		}
		n, err := modnote.Open(added, modnote.VerifierList(stock))
		if err != nil {
			t.Fatalf("witnessed here, not for torchwood: %v", err)
		}
		if got, err := torchwood.CosignatureTimestamp(n.Sigs[0]); err != nil || got != at {
			t.Errorf("time %d, torchwood has %d, %v", at, got, err)
		}
	})
}
