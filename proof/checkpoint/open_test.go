package checkpoint

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

func TestNoteAndOpen(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(7)
	ids := []string{"arb-a", "court-a", "notary-a", "vendor-a"}
	for set := 1; set < 16; set++ {
		var members []string
		for i, id := range ids {
			if set>>i&1 == 1 {
				members = append(members, id)
			}
		}
		slices.Reverse(members) // Note sorts
		for _, second := range []bool{false, true} {
			s, err := Open(c.note(t, cp, members...), c.policy, Options{Second: second})
			if err != nil {
				t.Fatalf("%v: %v", members, err)
			}
			if s.Checkpoint != cp || s.Epoch != c.epoch() || len(s.Seals) != len(members) || len(s.Outcomes) != 4 {
				t.Errorf("%v: %+v", members, s)
			}
			if s.Met != (len(members) >= 3) || s.Members != len(members) {
				t.Errorf("%v: %+v", members, s.Verdict)
			}
			if s.Met && s.SealedTime != 1002 {
				t.Errorf("%v: sealed time %d, want 1002, the third seal's", members, s.SealedTime)
			}
			for i, o := range s.Outcomes {
				want := Outcome{Member: ids[i], Role: c.epoch().Members[i].Role, Reason: "no seal"}
				if at := slices.Index(members, ids[i]); at >= 0 {
					want.State, want.Counted, want.Time, want.Log, want.Reason = SealCounted, true, 1000+int64(at), true, ""
				}
				if o != want {
					t.Errorf("%v: outcome %+v, want %+v", members, o, want)
				}
			}
		}
	}
}

// TestNoteForm: the order of the lines, and that nothing depends on the order
// of the seals given.
func TestNoteForm(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(7)
	a, b := c.seal(t, cp, "arb-a", 5), c.seal(t, cp, "court-a", 6)
	note, err := Note(cp, []Seal{b, a}, c.epoch())
	if err != nil {
		t.Fatal(err)
	}
	again, err := Note(cp, []Seal{a, b}, c.epoch())
	if err != nil || !bytes.Equal(note, again) {
		t.Error("the note depends on the order of the seals")
	}
	rest, ok := strings.CutPrefix(string(note), string(cp.Body())+"\n")
	if !ok {
		t.Fatalf("the note does not begin with its body:\n%s", note)
	}
	var got []string
	for line := range strings.Lines(rest) {
		f := strings.Fields(line)
		raw, err := base64.StdEncoding.DecodeString(f[2])
		if err != nil || f[0] != "—" {
			t.Fatalf("line %q", line)
		}
		got = append(got, fmt.Sprintf("%s %d", f[1], len(raw)))
	}
	o := Origin(c.policy.Chain)
	want := []string{o + " 68", o + " 68", "arb-a 76", "arb-a 76", "court-a 76", "court-a 76"}
	if !slices.Equal(got, want) {
		t.Errorf("lines %v, want %v", got, want)
	}
}

func TestNoteRefuses(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(7)
	s := c.seal(t, cp, "court-a", 5)
	with := func(f func(*Seal)) []Seal { s := s; f(&s); return []Seal{s} }
	for _, tt := range []struct {
		name  string
		cp    Checkpoint
		seals []Seal
		e     *Epoch
	}{
		{"no seals", cp, nil, c.epoch()},
		{"no epoch", cp, []Seal{s}, nil},
		{"a stranger", cp, with(func(s *Seal) { s.Member = "court-b" }), c.epoch()},
		{"two of one member", cp, []Seal{s, s}, c.epoch()},
		{"time 0", cp, with(func(s *Seal) { s.Time = 0 }), c.epoch()},
		{"empty ledger", Checkpoint{Origin: cp.Origin, Root: cp.Root}, []Seal{s}, c.epoch()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if n, err := Note(tt.cp, tt.seals, tt.e); err == nil {
				t.Errorf("it writes\n%s", n)
			}
		})
	}
}

// noteLines takes a note apart into its body and its lines, for tests that
// put them together otherwise.
func noteLines(t testing.TB, note []byte) (body string, lines []string) {
	t.Helper()
	body, rest, ok := strings.Cut(string(note), "\n\n")
	if !ok {
		t.Fatal("no blank line")
	}
	return body + "\n", slices.Collect(strings.Lines(rest))
}

func joinLines(body string, lines ...string) []byte {
	return []byte(body + "\n" + strings.Join(lines, ""))
}

// mutateLine applies f to key id ‖ signature of a line.
func mutateLine(t testing.TB, line string, f func(raw []byte) []byte) string {
	t.Helper()
	i := strings.LastIndexByte(line, ' ') + 1
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line[i:]))
	if err != nil {
		t.Fatal(err)
	}
	return line[:i] + base64.StdEncoding.EncodeToString(f(raw)) + "\n"
}

// Places of the lines in a note of four members.
const (
	lineLogArb = iota
	lineLogCourt
	lineLogNotary
	lineLogVendor
	lineArbEd
	lineArbSM2
	lineCourtEd
	lineCourtSM2
	lineNotaryEd
	lineNotarySM2
	lineVendorEd
	lineVendorSM2
)

func TestOpenTable(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(7)
	body, lines := noteLines(t, c.note(t, cp, "arb-a", "court-a", "notary-a", "vendor-a"))
	_, later := noteLines(t, c.note(t, cp, "vendor-a", "notary-a", "court-a", "arb-a")) // other times
	otherBody, _ := noteLines(t, c.note(t, c.checkpoint(8), "arb-a"))

	edit := func(f func(l []string) []string) []byte { return joinLines(body, f(slices.Clone(lines))...) }
	drop := func(at ...int) []byte {
		return edit(func(l []string) []string {
			for _, i := range at {
				l[i] = ""
			}
			return l
		})
	}
	set := func(at int, line string) []byte {
		return edit(func(l []string) []string { l[at] = line; return l })
	}
	mutate := func(at int, f func(raw []byte) []byte) []byte { return set(at, mutateLine(t, lines[at], f)) }
	flip := func(i int) func([]byte) []byte { return func(raw []byte) []byte { raw[i] ^= 1; return raw } }
	setTime := func(b byte) func([]byte) []byte {
		return func(raw []byte) []byte { copy(raw[4:12], bytes.Repeat([]byte{b}, 8)); return raw }
	}
	unknown := "— example.com/witness " + base64.StdEncoding.EncodeToString([]byte("12345")) + "\n"

	for _, tt := range []struct {
		name    string
		note    []byte
		err     error // nil: it opens
		members int   // that count
		text    string
	}{
		{"all four", joinLines(body, lines...), nil, 4, ""},
		{"reversed lines", edit(func(l []string) []string { slices.Reverse(l); return l }), nil, 4, ""},
		{"no log lines", joinLines(body, lines[4:]...), nil, 4, ""},
		{"only log lines", joinLines(body, lines[:4]...), nil, 0, "court-a (court): no seal"},
		{"without one SM2 line", drop(lineCourtSM2, lineVendorEd, lineVendorSM2), nil, 2, "court-a (court): the SM2 cosignature is missing"},
		{"without one Ed25519 line", drop(lineCourtEd, lineVendorEd, lineVendorSM2), nil, 2, "court-a (court): the Ed25519 cosignature is missing"},
		{"times apart", edit(func(l []string) []string {
			l[lineCourtEd], l[lineVendorEd], l[lineVendorSM2] = later[lineCourtEd], "", ""
			return l
		}), nil, 2, "court-a (court): the two cosignatures carry different times"},
		{"one incomplete, the rest enough", drop(lineCourtSM2), nil, 3, ""},
		{"unknown key", edit(func(l []string) []string { return append(l, unknown, unknown) }), nil, 4, ""},
		{"unknown key id of a known name", edit(func(l []string) []string { return append(l, mutateLine(t, l[lineCourtEd], flip(0))) }), nil, 4, ""},
		{"key id of another member", edit(func(l []string) []string { return append(l, strings.Replace(l[lineCourtEd], "court-a", "notary-a", 1)) }), nil, 4, ""},
		{"only unknown keys", joinLines(body, unknown), nil, 0, "3 of 4 members needed, 0 counted"},
		{"100 lines", edit(func(l []string) []string { return append(l, slices.Repeat([]string{unknown}, 88)...) }), nil, 4, ""},

		{"101 lines", edit(func(l []string) []string { return append(l, slices.Repeat([]string{unknown}, 89)...) }), ErrMalformed, 0, "more than 100"},
		{"false log line", mutate(lineLogCourt, flip(20)), ErrTampered, 0, "note line 7: the log line of court-a"},
		{"false Ed25519 line", mutate(lineCourtEd, flip(20)), ErrTampered, 0, "note line 12: the seal-ed25519 line of court-a"},
		{"false SM2 line", mutate(lineVendorSM2, flip(75)), ErrTampered, 0, "note line 17: the seal-sm2 line of vendor-a"},
		{"other time, Ed25519", mutate(lineCourtEd, flip(11)), ErrTampered, 0, "seal-ed25519"},
		{"other time, SM2", mutate(lineCourtSM2, flip(11)), ErrTampered, 0, "seal-sm2"},
		{"time 0, Ed25519", mutate(lineCourtEd, setTime(0)), ErrTampered, 0, "time 0"},
		{"time 0, SM2", mutate(lineCourtSM2, setTime(0)), ErrTampered, 0, "time 0"},
		{"time above 2^63-1", mutate(lineCourtSM2, setTime(0xff)), ErrTampered, 0, "above 2^63-1"},
		{"short signature", mutate(lineCourtSM2, func(raw []byte) []byte { return raw[:75] }), ErrTampered, 0, "71 bytes"},
		{"long signature", mutate(lineCourtEd, func(raw []byte) []byte { return append(raw, 0) }), ErrTampered, 0, "73 bytes"},
		{"short log signature", mutate(lineLogArb, func(raw []byte) []byte { return raw[:67] }), ErrTampered, 0, "63 bytes"},
		{"SM2 signature of zeros", mutate(lineCourtSM2, func(raw []byte) []byte { clear(raw[12:]); return raw }), ErrTampered, 0, "out of range"},
		{"SM2 signature under the Ed25519 key id", set(lineCourtEd, mutateLine(t, lines[lineCourtSM2], func(raw []byte) []byte {
			return mutateID(t, raw, lines[lineCourtEd])
		})), ErrTampered, 0, "seal-ed25519"},
		{"seals of another checkpoint", joinLines(otherBody, lines...), ErrTampered, 0, "log line of arb-a"},
		{"one line twice", edit(func(l []string) []string { return append(l, l[lineCourtEd]) }), ErrMalformed, 0, "second line"},
		{"one SM2 line twice", edit(func(l []string) []string { return append(l, l[lineCourtSM2]) }), ErrMalformed, 0, "second line"},
		{"one log line twice", edit(func(l []string) []string { return append(l, l[lineLogCourt]) }), ErrMalformed, 0, "second line"},
		{"one key, two times", edit(func(l []string) []string { return append(l, later[lineCourtEd]) }), ErrMalformed, 0, "second line"},
		{"no lines", joinLines(body), ErrMalformed, 0, ""},
		{"body only", []byte(body), ErrMalformed, 0, "no blank line"},
		{"empty", nil, ErrMalformed, 0, ""},
		{"last line not ended", bytes.TrimSuffix(joinLines(body, lines...), []byte("\n")), ErrMalformed, 0, "not ended"},
		{"blank line at the end", joinLines(body, append(slices.Clone(lines), "\n")...), ErrMalformed, 0, ""},
		{"blank line between", edit(func(l []string) []string { l[3] += "\n"; return l }), ErrMalformed, 0, ""},
		{"hyphen for em dash", set(0, strings.Replace(lines[0], "—", "-", 1)), ErrMalformed, 0, "em dash"},
		{"two spaces", set(0, strings.Replace(lines[0], "— ", "—  ", 1)), ErrMalformed, 0, ""},
		{"no signature", set(0, "— court-a\n"), ErrMalformed, 0, ""},
		{"empty signature", set(0, "— court-a \n"), ErrMalformed, 0, ""},
		{"key id alone", set(0, "— x.example AAAAAA==\n"), ErrMalformed, 0, "4 bytes"},
		{"third field", set(0, strings.TrimSpace(lines[0])+" x\n"), ErrMalformed, 0, ""},
		{"plus in a name", set(0, strings.Replace(unknown, "example.com", "a+b", 1)), ErrMalformed, 0, "key name"},
		{"no-break space in a name", set(0, strings.Replace(unknown, "example.com", "a\u00a0b", 1)), ErrMalformed, 0, "key name"},
		{"control character in a name", set(0, strings.Replace(unknown, "example.com", "a\x01b", 1)), ErrMalformed, 0, "key name"},
		{"name that is no UTF-8", set(0, strings.Replace(unknown, "example.com", "a\xffb", 1)), ErrMalformed, 0, "key name"},
		{"CRLF", bytes.ReplaceAll(joinLines(body, lines...), []byte("\n"), []byte("\r\n")), ErrMalformed, 0, ""},
		{"CR inside base64", set(0, strings.Replace(lines[0], "A", "\rA", 1)), ErrMalformed, 0, ""},
		{"unused base64 bits", set(0, "— x.example AAAAAAB=\n"), ErrMalformed, 0, "base64"},
		{"too long", joinLines(body, append(slices.Clone(lines), "— x.example "+strings.Repeat("AAAA", MaxNote/4)+"\n")...), ErrMalformed, 0, "at most 65536"},
		{"other chain", bytes.Replace(joinLines(body, lines...), []byte("qifeng/demo-"), []byte("qifeng/else-"), 1), ErrChain, 0, "qifeng/else-"},
		{"size 0", bytes.Replace(joinLines(body, lines...), []byte("\n7\n"), []byte("\n0\n"), 1), ErrEpoch, 0, "size 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Open(tt.note, c.policy, Options{})
			if tt.err != nil {
				if !errors.Is(err, tt.err) || s != nil || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("%v, want %v with %q", err, tt.err, tt.text)
				}
				var line *LineError
				if errors.As(err, &line) != (tt.err == ErrTampered) {
					t.Errorf("%v is a LineError, or should be", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s.Members != tt.members || len(s.Seals) != tt.members || s.Met != (tt.members >= 3) {
				t.Errorf("%+v", s.Verdict)
			}
			if !strings.Contains(s.Missing, tt.text) {
				t.Errorf("Missing = %q, want %q", s.Missing, tt.text)
			}
		})
	}
}

// mutateID puts the key id of another line before a signature.
func mutateID(t testing.TB, raw []byte, from string) []byte {
	mutateLine(t, from, func(other []byte) []byte { copy(raw, other[:4]); return other })
	return raw
}

func TestOpenWithoutPolicy(t *testing.T) {
	c := fourMembers(t)
	note := c.note(t, c.checkpoint(7), "arb-a", "court-a", "notary-a")
	if _, err := Open(note, nil, Options{}); !errors.Is(err, ErrChain) {
		t.Errorf("no policy: %v", err)
	}
	// A policy that nobody validated: its epoch is checked all the same.
	bad := *c.policy
	bad.Epochs = slices.Clone(bad.Epochs)
	bad.Epochs[0].Quorum = Quorum{Members: 1, NeutralRoles: 0}
	if s := mustOpen(t, note, &bad); s.Met {
		t.Error("a quorum of 1 of 4 is met")
	}
	many := bad
	many.Epochs = []Epoch{{First: 1, Members: make([]Member, MaxMembers+1)}}
	if _, err := Open(note, &many, Options{}); !errors.Is(err, ErrPolicy) {
		t.Errorf("31 members: %v", err)
	}
	bad.Epochs[0].Members = slices.Clone(bad.Epochs[0].Members)
	bad.Epochs[0].Members[0].SealSM2 = bad.Epochs[0].Members[1].SealSM2
	if _, err := Open(note, &bad, Options{}); !errors.Is(err, ErrPolicy) {
		t.Errorf("one key for two members: %v", err)
	}
}

// TestOpenByEpoch: a note is judged by the epoch of its size; the keys of a
// member that came later are unknown before.
func TestOpenByEpoch(t *testing.T) {
	c := fourMembers(t)
	c.policy = goldenPolicy(t)
	_, c.keys["notary-b"] = fixedMember(t, "notary-b", Notary)
	second := &c.policy.Epochs[1]
	for _, tt := range []struct {
		size    uint64
		epoch   uint64
		members int
		met     bool
	}{{98, 1, 4, true}, {100, 100, 5, true}, {MaxSize, 100, 5, true}} {
		cp := c.checkpoint(tt.size)
		var seals []Seal
		for i, m := range second.Members {
			seals = append(seals, c.seal(t, cp, m.ID, 1000+int64(i)))
		}
		note, err := Note(cp, seals, second)
		if err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, note, c.policy)
		if s.Epoch.First != tt.epoch || s.Members != tt.members || s.Met != tt.met {
			t.Errorf("size %d: epoch %d, %+v", tt.size, s.Epoch.First, s.Verdict)
		}
	}
	// Three members sealed: enough in the first epoch, not in the second.
	note := c.note(t, c.checkpoint(100), "arb-a", "court-a", "notary-a")
	if s := mustOpen(t, note, c.policy); s.Met || !strings.Contains(s.Missing, "2 of role notary needed, 1 counted") {
		t.Errorf("%+v", s.Verdict)
	}
}

func TestOpenPin(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(99)
	note := c.note(t, cp, "arb-a", "court-a", "notary-a")
	for _, tt := range []struct {
		name string
		pin  Pin
		ok   bool
	}{
		{"the same root", Pin{99, cp.Root}, true},
		{"another size", Pin{98, merkle.Sum(nil)}, true},
		{"another root", Pin{99, merkle.Sum(nil)}, false},
		{"another SM3 half", Pin{99, merkle.Digest{SM3: merkle.Sum(nil).SM3, SHA256: cp.Root.SHA256}}, false},
		{"another SHA-256 half", Pin{99, merkle.Digest{SM3: cp.Root.SM3, SHA256: merkle.Sum(nil).SHA256}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := *c.policy
			p.Epochs = slices.Clone(p.Epochs)
			p.Epochs[0].Pins = []Pin{tt.pin}
			s, err := Open(note, &p, Options{})
			if tt.ok {
				if err != nil || !s.Met {
					t.Errorf("%v", err)
				}
				return
			}
			var pin *PinError
			if !errors.As(err, &pin) || !errors.Is(err, ErrTampered) || pin.Pin != tt.pin || !pin.Sealed.Met || pin.Sealed.Checkpoint != cp {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestDisagreement: that two libraries differ is its own error, and not a word
// about the note. No signature is known to make them differ, so the error is
// made here.
func TestDisagreement(t *testing.T) {
	c := fourMembers(t)
	cause := fmt.Errorf("%w: made up", gm.ErrDisagree)
	err := lineFailure(c.epoch(), lineKey{member: 1, kind: KeySealSM2}, sigLine{number: 9}, cause)
	if !errors.Is(err, gm.ErrDisagree) || errors.Is(err, ErrTampered) || errors.Is(err, ErrMalformed) {
		t.Errorf("%v", err)
	}
	// A signature that both refuse is tampering with the second library too.
	body, lines := noteLines(t, c.note(t, c.checkpoint(7), "court-a"))
	bad := mutateLine(t, lines[2], func(raw []byte) []byte { raw[40] ^= 4; return raw })
	if _, err := Open(joinLines(body, lines[0], lines[1], bad), c.policy, Options{Second: true}); !errors.Is(err, ErrTampered) || errors.Is(err, gm.ErrDisagree) {
		t.Errorf("%v", err)
	}
}

// TestOpenFlips flips a bit of every byte of a note. Either the note fails, or
// what is stated is exactly what the note without the flipped line states:
// nothing changes if the line is of an unknown key, and the member loses just
// this line if it was of a known one.
func TestOpenFlips(t *testing.T) {
	c := fourMembers(t)
	body, lines := noteLines(t, c.note(t, c.checkpoint(7), "arb-a", "court-a", "notary-a"))
	unknownFrom := len(lines)
	lines = append(lines, "— witness.example/w1 "+base64.StdEncoding.EncodeToString([]byte("unknown signature"))+"\n",
		"— court-a "+base64.StdEncoding.EncodeToString([]byte("unknown key of a known name"))+"\n")
	note := joinLines(body, lines...)
	original := mustOpen(t, note, c.policy)

	// without[i] is what the note states when line i is not there.
	without := make([]*Sealed, len(lines))
	owner := make([]int, len(note)) // line of each byte, -1 for the body and its blank line
	offset := copy(owner, slices.Repeat([]int{-1}, len(body)+1))
	for i := range lines {
		rest := slices.Delete(slices.Clone(lines), i, i+1)
		without[i] = mustOpen(t, joinLines(body, rest...), c.policy)
		offset += copy(owner[offset:], slices.Repeat([]int{i}, len(lines[i])))
		if i >= unknownFrom && !reflect.DeepEqual(without[i], original) {
			t.Fatalf("an unknown line states something: %s", lines[i])
		}
	}
	opened, failed := 0, 0
	for i := range note {
		for _, mask := range []byte{1, 2 << (i % 7)} {
			b := slices.Clone(note)
			b[i] ^= mask
			s, err := Open(b, c.policy, Options{})
			if err != nil {
				failed++
				if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTampered) && !errors.Is(err, ErrChain) && !errors.Is(err, ErrEpoch) {
					t.Errorf("byte %d: %v", i, err)
				}
				var line *LineError
				if l := owner[i]; errors.As(err, &line) && l >= 0 && line.Line != l+6 {
					t.Errorf("byte %d of line %d: %v", i, l+6, err)
				}
				continue
			}
			opened++
			if owner[i] < 0 {
				t.Errorf("byte %d of the body flipped, and the note opens", i)
			} else if !reflect.DeepEqual(s, without[owner[i]]) {
				t.Errorf("byte %d of line %d flipped: %+v, want %+v", i, owner[i]+6, s, without[owner[i]])
			}
		}
	}
	if opened < 100 || failed < 1000 {
		t.Errorf("%d opened, %d failed: the flips do not cover both", opened, failed)
	}
}

// TestOpenLatestTime: 2^63-1 is the last time that C2SP allows.
func TestOpenLatestTime(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(1)
	note, err := Note(cp, []Seal{c.seal(t, cp, "arb-a", math.MaxInt64), c.seal(t, cp, "court-a", 1), c.seal(t, cp, "notary-a", 2)}, c.epoch())
	if err != nil {
		t.Fatal(err)
	}
	if s := mustOpen(t, note, c.policy); !s.Met || s.SealedTime != math.MaxInt64 {
		t.Errorf("%+v", s.Verdict)
	}
}

// TestGoldenNote opens the note of testdata, made once, and compares all that
// is not random in it.
func TestGoldenNote(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(42)
	fresh := c.note(t, cp, "notary-a", "court-a", "arb-a")
	if *update {
		golden(t, "note.txt", fresh)
	}
	note := readTestdata(t, "note.txt")
	s, err := Open(note, c.policy, Options{Second: true})
	if err != nil {
		t.Fatal(err)
	}
	if s.Checkpoint != cp || !s.Met || s.SealedTime != 1002 || s.Members != 3 || s.NeutralRoles != 3 {
		t.Errorf("%+v", s)
	}
	again, err := Note(cp, s.Seals, c.epoch())
	if err != nil || !bytes.Equal(again, note) {
		t.Errorf("written again it differs: %v\n%s", err, again)
	}
	// Ed25519 is deterministic; of an SM2 line the key id and the time are.
	freshBody, freshLines := noteLines(t, fresh)
	body, lines := noteLines(t, note)
	if body != freshBody || len(lines) != 9 {
		t.Fatalf("%d lines, body:\n%s", len(lines), body)
	}
	for i, l := range lines {
		if i > 3 && i%2 == 0 { // SM2
			l, freshLines[i] = l[:len(l)-89], freshLines[i][:len(freshLines[i])-89]
		}
		if l != freshLines[i] {
			t.Errorf("line %d: %q, today %q", i, l, freshLines[i])
		}
	}
}
