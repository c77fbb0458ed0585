package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

func TestPolicyGolden(t *testing.T) {
	p := goldenPolicy(t)
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "policy.txt", b)
	got, err := ParsePolicy(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, p) {
		t.Errorf("read back: %+v", got)
	}
}

func TestPolicyComments(t *testing.T) {
	b := readTestdata(t, "policy.txt")
	want, err := ParsePolicy(b)
	if err != nil {
		t.Fatal(err)
	}
	// A comment and a blank line before and after every line.
	noisy := "# held by the court\n\n" + strings.ReplaceAll(string(b), "\n", "\n\n#\n# note #\n")
	got, err := ParsePolicy([]byte(noisy))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("with comments: %v", err)
	}
}

// stripComments is the identity that parsing and writing must be.
func stripComments(b []byte) []byte {
	var out []byte
	for line := range bytes.Lines(b) {
		if line[0] != '\n' && line[0] != '#' {
			out = append(out, line...)
		}
	}
	return out
}

// checkMutant: a changed policy text is refused, or is a policy that differs
// and is written as the changed text.
func checkMutant(t *testing.T, what string, original *Policy, text []byte) {
	t.Helper()
	p, err := ParsePolicy(text)
	if err != nil {
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v is of no kind", what, err)
		}
		return
	}
	if reflect.DeepEqual(p, original) {
		t.Errorf("%s: the same policy", what)
	}
	again, err := p.Marshal()
	if err != nil || !bytes.Equal(again, stripComments(text)) {
		t.Errorf("%s: written again it differs (%v)", what, err)
	}
}

func TestPolicyFlips(t *testing.T) {
	text := readTestdata(t, "policy.txt")
	p, err := ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		for _, mask := range []byte{1, 2 << (i % 7)} {
			b := slices.Clone(text)
			b[i] ^= mask
			checkMutant(t, fmt.Sprintf("byte %d mask %#x", i, mask), p, b)
		}
		checkMutant(t, fmt.Sprintf("without byte %d", i), p, slices.Delete(slices.Clone(text), i, i+1))
		if i%7 == 0 {
			checkMutant(t, fmt.Sprintf("cut at %d", i), p, text[:i])
		}
	}
}

func TestPolicyLines(t *testing.T) {
	text := readTestdata(t, "policy.txt")
	p, err := ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(strings.Lines(string(text)))
	join := func(l []string) []byte { return []byte(strings.Join(l, "")) }
	for i := range lines {
		checkMutant(t, fmt.Sprintf("without line %d", i+1), p, join(slices.Delete(slices.Clone(lines), i, i+1)))
		checkMutant(t, fmt.Sprintf("line %d twice", i+1), p, join(slices.Insert(slices.Clone(lines), i, lines[i])))
		for j := range i {
			if lines[i] != lines[j] { // the epochs repeat most lines
				l := slices.Clone(lines)
				l[i], l[j] = l[j], l[i]
				checkMutant(t, fmt.Sprintf("lines %d and %d swapped", j+1, i+1), p, join(l))
			}
		}
	}
}

func TestParsePolicyTable(t *testing.T) {
	text := string(readTestdata(t, "policy.txt"))
	replace := func(old, new string) string {
		s := strings.Replace(text, old, new, 1)
		if s == text {
			t.Fatalf("%q is not in the policy", old)
		}
		return s
	}
	court, _ := fixedMember(t, "court-a", Court)
	for _, tt := range []struct {
		name, text, want string
		kind             error
	}{
		{"empty", "", "not ended", ErrMalformed},
		{"only comments", "# nothing\n\n", "qifeng-policy/v1", ErrMalformed},
		{"not ended", strings.TrimSuffix(text, "\n"), "not ended", ErrMalformed},
		{"CRLF", strings.ReplaceAll(text, "\n", "\r\n"), "0x0d", ErrMalformed},
		{"tab", replace("chain ", "chain\t"), "0x09", ErrMalformed},
		{"BOM", "\xef\xbb\xbf" + text, "0xef", ErrMalformed},
		{"Chinese in a comment", "# 法院\n" + text, "0xe6", ErrMalformed},
		{"other version", replace("policy/v1", "policy/v2"), "line 1: ", ErrMalformed},
		{"indented", replace("chain ", " chain "), "line 2: ", ErrMalformed},
		{"indented comment", " # x\n" + text, "line 1: ", ErrMalformed},
		{"trailing space", replace("quorum 3 of 4\n", "quorum 3 of 4 \n"), "line 5: ", ErrMalformed},
		{"two spaces", replace("quorum 3 of 4\n", "quorum 3  of 4\n"), "line 5: ", ErrMalformed},
		{"comment after a line", replace("quorum 3 of 4\n", "quorum 3 of 4 # x\n"), "line 5: ", ErrMalformed},
		{"other word", replace("quorum 3 of 4\n", "quorum 3 at 4\n"), "<k> of <n>", ErrMalformed},
		{"leading zero", replace("quorum 3 of 4\n", "quorum 03 of 4\n"), "plain decimal", ErrMalformed},
		{"31 members", replace("quorum 3 of 4\n", "quorum 3 of 31\n"), "at most 30", ErrMalformed},
		{"fewer told", replace("quorum 3 of 4\n", "quorum 3 of 3\n"), "more than the 3", ErrMalformed},
		{"more told", replace("quorum 3 of 4\n", "quorum 3 of 5\n"), "tells 5", ErrMalformed},
		{"unknown role", replace("member court-a court", "member court-a judge"), "role", ErrMalformed},
		{"unknown line", text + "valid-until 2030\n", "misplaced", ErrMalformed},
		{"pin before members", replace("member arb-a", "pin 1 00 00\nmember arb-a"), "", ErrMalformed},
		{"upper-case hash", replace("pin 1 ", "pin 1 A"), "64 lower-case", ErrMalformed},
		{"upper-case key", replace("log ed25519:", "log ED25519:"), "log key", ErrMalformed},
		{"SM2 key at an Ed25519 place", replace("log "+court.Log.String(), "log "+court.SealSM2.String()), "want ed25519", ErrPolicy},
		{"too long", text + strings.Repeat("#\n", MaxPolicy/2), "at most 262144", ErrMalformed},
		{"no epoch", text[:strings.Index(text, "epoch")], "0 epochs", ErrPolicy},
		{"first epoch not at 1", replace("epoch 1\n", "epoch 2\n"), "begins at size 2", ErrPolicy},
		{"epochs that do not rise", replace("epoch 100\n", "epoch 1\n"), "firsts must rise", ErrPolicy},
		{"second epoch at 0", replace("epoch 100\n", "epoch 0\n"), "firsts must rise", ErrPolicy},
		{"pin beyond its epoch", replace("epoch 100\n", "epoch 99\n"), "pin of size 99", ErrPolicy},
		{"pins that do not rise", replace("pin 99 ", "pin 1 "), "pin of size 1", ErrPolicy},
		{"pin of size 0", replace("pin 1 ", "pin 0 "), "pin of size 0", ErrPolicy},
		{"half of the members", replace("quorum 3 of 4\n", "quorum 2 of 4\n"), "more than 2/3", ErrPolicy},
		{"no neutral role", replace("neutral-roles 2\n", "neutral-roles 0\n"), "vendors alone", ErrPolicy},
		{"required role that is not there", replace("require notary 2\n", "require notary 3\n"), "3 of role notary", ErrPolicy},
		{"bad member id", replace("member court-a ", "member court_a "), "member id", ErrMalformed},
		{"chain of another genesis", replace("chain demo-", "chain demo-00000000\n# "), "not named after its genesis", ErrPolicy},
		{"empty genesis half", replace(fmt.Sprintf("%x", fixedGenesis.SHA256), strings.Repeat("0", 64)), "empty half", ErrPolicy},
		{"one key for two members", strings.ReplaceAll(text, mustMember(t, "arb-a", Arbitration).Intake.String(), court.Intake.String()), "intake key of court-a", ErrPolicy},
		{"log key as seal key", strings.ReplaceAll(text, court.SealEd25519.String(), court.Log.String()), "log key of court-a", ErrPolicy},
		{"intake key as admin key", strings.ReplaceAll(text, court.Admin.String(), court.Intake.String()), "admin key of court-a", ErrPolicy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParsePolicy([]byte(tt.text))
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %v with %q", err, tt.kind, tt.want)
			}
		})
	}
}

func mustMember(t testing.TB, id string, role Role) Member {
	m, _ := fixedMember(t, id, role)
	return m
}

// TestPolicyKeyAcrossEpochs: a member keeps its keys from epoch to epoch and
// may replace them; a key never moves to another member or another use.
func TestPolicyKeyAcrossEpochs(t *testing.T) {
	fresh := mustMember(t, "court-z", Court)
	arb := mustMember(t, "arb-a", Arbitration)
	for _, tt := range []struct {
		name   string
		change func(court *Member)
		ok     bool
	}{
		{"kept", func(*Member) {}, true},
		{"replaced", func(m *Member) { m.SealSM2, m.Log = fresh.SealSM2, fresh.Log }, true},
		{"another's retired key", func(m *Member) { m.SealSM2 = arb.SealSM2 }, false},
		{"own key for another use", func(m *Member) { m.Intake, m.Admin = fresh.Intake, m.Intake }, false},
		{"swapped uses", func(m *Member) { m.SealEd25519, m.Log = m.Log, m.SealEd25519 }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := fourMembers(t).policy
			e := p.Epochs[0]
			e.First = 50
			e.Members = slices.Clone(e.Members)
			e.Members[0] = mustMember(t, "arb-b", Arbitration) // arb-a has left
			tt.change(&e.Members[1])
			p.Epochs = append(p.Epochs, e)
			if err := p.Validate(); (err == nil) != tt.ok {
				t.Errorf("Validate = %v", err)
			}
		})
	}
}

func TestPolicyValidateStruct(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(p *Policy)
	}{
		{"unsorted members", func(p *Policy) {
			m := slices.Clone(p.Epochs[0].Members)
			m[0], m[1] = m[1], m[0]
			p.Epochs[0].Members = m
		}},
		{"zero key", func(p *Policy) { p.Epochs[0].Members[2].Admin = gm.PublicKey{} }},
		{"wrong algorithm", func(p *Policy) { p.Epochs[0].Members[2].Admin = fixedKey(t, gm.Ed25519, "x").Public() }},
		{"size above the bound", func(p *Policy) { p.Epochs[1].First = MaxSize + 1 }},
		{"pin above the bound", func(p *Policy) { p.Epochs[1].Pins = []Pin{{MaxSize + 1, merkle.Sum(nil)}} }},
		{"pin without a root", func(p *Policy) { p.Epochs[1].Pins = []Pin{{200, merkle.Digest{}}} }},
		{"too many pins", func(p *Policy) {
			for i := range MaxPins + 1 {
				p.Epochs[1].Pins = append(p.Epochs[1].Pins, Pin{uint64(200 + i), merkle.Sum(nil)})
			}
		}},
		{"too many epochs", func(p *Policy) {
			for len(p.Epochs) <= MaxEpochs {
				e := p.Epochs[1]
				e.First += uint64(len(p.Epochs))
				p.Epochs = append(p.Epochs, e)
			}
		}},
		{"zero policy", func(p *Policy) { *p = Policy{} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := goldenPolicy(t)
			tt.change(p)
			if err := p.Validate(); err == nil {
				t.Error("it is valid")
			}
			if b, err := p.Marshal(); err == nil {
				t.Errorf("it writes %d bytes", len(b))
			}
		})
	}
}

// TestKeyIDCollision: two log keys with one key id, found by search, cannot
// stand in one epoch: each one's line would be taken for a false line of the
// other. In two epochs they may.
func TestKeyIDCollision(t *testing.T) {
	p := fourMembers(t).policy
	one := fixedKey(t, gm.Ed25519, "collision 36255").Public()
	two := fixedKey(t, gm.Ed25519, "collision 63474").Public()
	origin := Origin(p.Chain)
	if one == two || keyID(origin, typeLog, one) != keyID(origin, typeLog, two) {
		t.Fatal("the two keys do not collide: search anew")
	}
	p.Epochs[0].Members[0].Log = one
	later := p.Epochs[0]
	later.First, later.Members = 50, slices.Clone(later.Members)
	later.Members[0].Log = two
	p.Epochs = append(p.Epochs, later)
	if err := p.Validate(); err != nil {
		t.Errorf("in two epochs: %v", err)
	}
	p.Epochs = p.Epochs[:1]
	p.Epochs[0].Members[2].Log = two
	if err := p.Validate(); !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), "has the key id of") {
		t.Errorf("in one epoch: %v", err)
	}
}

// TestPolicyTextBounds: the counts are bounded while reading, before anything
// is validated.
func TestPolicyTextBounds(t *testing.T) {
	text := string(readTestdata(t, "policy.txt"))
	first, second, _ := strings.Cut(text, "epoch 100\n")
	var epochs strings.Builder
	for i := range MaxEpochs + 1 {
		fmt.Fprintf(&epochs, "epoch %d\nquorum 1 of 0\nneutral-roles 1\n", i+1)
	}
	head := text[:strings.Index(text, "epoch 1\n")]
	pin := text[strings.Index(text, "pin 1 "):]
	pin = pin[:strings.Index(pin, "\n")+1]
	for _, tt := range []struct{ name, text, want string }{
		{"epochs", head + epochs.String(), "more than 128 epochs"},
		{"require lines", strings.Replace(text, "require court 1\n", strings.Repeat("require court 1\n", 4), 1), "more than 4 require lines"},
		{"pins", first + strings.Repeat(pin, MaxPins) + "epoch 100\n" + second, "more than 260 pins"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ParsePolicy([]byte(tt.text)); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
	// What could not be read back is not written.
	p := newConsortium(t, DefaultQuorum(MaxMembers), manyMembers(MaxMembers)...).policy
	for i := range 14 {
		e := p.Epochs[0]
		e.First = uint64(i + 2)
		p.Epochs = append(p.Epochs, e)
	}
	if b, err := p.Marshal(); !errors.Is(err, ErrPolicy) {
		t.Errorf("%d bytes are written, %v", len(b), err)
	}
}

func TestEpochOf(t *testing.T) {
	p := goldenPolicy(t)
	for size, want := range map[uint64]uint64{1: 1, 2: 1, 99: 1, 100: 100, 101: 100, MaxSize: 100} {
		if e, err := p.EpochOf(size); err != nil || e.First != want {
			t.Errorf("EpochOf(%d) = %v, %v", size, e, err)
		}
	}
	if _, err := p.EpochOf(0); !errors.Is(err, ErrEpoch) {
		t.Errorf("EpochOf(0): %v", err)
	}
	if _, err := new(Policy).EpochOf(1); !errors.Is(err, ErrEpoch) {
		t.Errorf("no epochs: %v", err)
	}
	if _, ok := p.Epochs[0].Member("notary-b"); ok {
		t.Error("notary-b is a member before it came")
	}
	if m, ok := p.Epochs[1].Member("notary-b"); !ok || m.Role != Notary {
		t.Error("notary-b is not a member")
	}
}

// TestLargestPolicy: thirty members, all with their keys, fit.
func TestLargestPolicy(t *testing.T) {
	c := newConsortium(t, DefaultQuorum(MaxMembers), manyMembers(MaxMembers)...)
	b, err := c.policy.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if p, err := ParsePolicy(b); err != nil || !reflect.DeepEqual(p, c.policy) {
		t.Errorf("read back: %v", err)
	}
	cp := c.checkpoint(MaxSize)
	var ids []string
	for _, m := range c.epoch().Members {
		ids = append(ids, m.ID)
	}
	note := c.note(t, cp, ids...)
	s := mustOpen(t, note, c.policy)
	if !s.Met || s.Members != MaxMembers || s.SealedTime != 1020 {
		t.Errorf("%+v", s.Verdict)
	}
	t.Logf("30 members: policy %d bytes, note %d bytes", len(b), len(note))
}

// manyMembers names n members of all roles, sorted.
func manyMembers(n int) []string {
	var out []string
	for i := range n {
		r := roles[i%len(roles)]
		out = append(out, fmt.Sprintf("m%02d-%s %s", i, r, r))
	}
	return out
}
