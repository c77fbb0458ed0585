package proof

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"qifeng/evidence"
	"qifeng/evidence/canon"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/merkle"
)

// outsider is a witness with its private key.
type outsider struct {
	NamedWitness
	key gm.Signer
}

func newOutsider(t testing.TB, name string) *outsider {
	k := newKey(t, gm.Ed25519)
	return &outsider{NamedWitness{name, checkpoint.Witness{Name: name + ".example/w1", Key: k.Public()}}, k}
}

// later appends entries to the ledger, seals it at c.now plus after, and returns
// an anchor from the file's checkpoint to it, without a receipt.
func (c *consortium) later(f *File, entries int, after time.Duration, sealers []string) Anchor {
	for i := range entries {
		c.entries = append(c.entries, fmt.Appendf(nil, "still later entry %d", i))
	}
	ledger := make([]merkle.Digest, len(c.entries))
	for i, e := range c.entries {
		ledger[i] = merkle.LeafHash(e)
	}
	from := must(noteState(f.Checkpoint))
	cp := checkpoint.Checkpoint{Origin: from.Origin, Size: uint64(len(ledger)), Root: merkle.Root(ledger)}
	var seals []checkpoint.Seal
	for _, id := range sealers {
		seals = append(seals, must(checkpoint.Sign(cp, id, c.now.Add(after).Unix(), c.seal[id])))
	}
	return Anchor{Checkpoint: must(checkpoint.Note(cp, seals, &c.policy.Epochs[0])),
		Path: must(merkle.ConsistencyAt(from.Size, cp.Size, merkle.NewTree(ledger)))}
}

// witnessed adds the line of a witness at c.now plus after.
func (c *consortium) witnessed(a Anchor, o *outsider, after time.Duration) Anchor {
	body := must(noteState(a.Checkpoint)).Body()
	line := must(o.Witness.Cosign(o.key, c.now.Add(after).Unix(), body))
	a.Kind, a.Name, a.Checkpoint = AnchorWitness, o.Name, must(checkpoint.AddLines(a.Checkpoint, line))
	return a
}

func (c *consortium) roots(outsiders ...*outsider) *AnchorRoots {
	r := &AnchorRoots{Chain: c.policy.Chain}
	for _, o := range outsiders {
		r.Witnesses = append(r.Witnesses, o.NamedWitness)
	}
	if err := r.Validate(); err != nil {
		panic(err)
	}
	return r
}

// one is the proof of one record.
func (c *consortium) one(later int) *File {
	return c.proof(later, all, c.submission(evidence.ContractFinal, contentOf("x").Digest))[0]
}

func wantAnchors(t *testing.T, what string, r *Report, result Result, step Outcome, each ...Outcome) {
	t.Helper()
	var got []Outcome
	for _, a := range r.Anchors {
		got = append(got, a.Outcome)
	}
	if s, _ := r.Step(StepAnchors); r.Result != result || s.Outcome != step || !slices.Equal(got, each) {
		t.Errorf("%s: %s, step %s, anchors %v, want %s, %s, %v\n%s", what, r.Result, s.Outcome, got, result, step, each, r.Text(English))
	}
	if len(r.Steps) != 17 {
		t.Errorf("%s: %d steps", what, len(r.Steps))
	}
	if err := canon.IsCanonical(r.JSON()); err != nil {
		t.Errorf("%s: report: %v", what, err)
	}
	if strings.Contains(r.Text(Chinese)+r.Text(English), "%!") {
		t.Errorf("%s: a text is not filled:\n%s%s", what, r.Text(Chinese), r.Text(English))
	}
}

// TestWitnessAnchors: at every distance between the proof's checkpoint and the
// anchor's, the anchor verifies, in a file and from a companion.
func TestWitnessAnchors(t *testing.T) {
	for entries := range 6 {
		c := newConsortium(t)
		o := newOutsider(t, "wit-a")
		f := c.one(entries % 3)
		a := c.witnessed(c.later(f, entries, 10*time.Second, all), o, 11*time.Second)
		what := fmt.Sprintf("%d entries later", entries)
		opt := Options{Second: true, Roots: c.roots(o), RootsDigest: merkle.Sum([]byte("roots"))}

		opt.Anchors = []Anchor{a}
		beside := Verify(f, c.policy, contentOf("x"), opt)
		wantAnchors(t, what+", beside", beside, Proved, StepProved, StepProved)
		if left, err := f.AddAnchors(opt.Anchors); err != nil || len(left) != 0 {
			t.Fatalf("%s: %d left, %v", what, len(left), err)
		}
		f = must(Parse(must(f.Marshal())))
		inside := Verify(f, c.policy, contentOf("x"), opt) // the one beside is passed over
		if !bytes.Equal(beside.JSON(), inside.JSON()) {
			t.Errorf("%s: beside the file the anchor says\n%s\ninside\n%s", what, beside.JSON(), inside.JSON())
		}
		if got := inside.Anchors[0]; !got.Time.Equal(c.now.Add(11*time.Second)) || got.Size != uint64(len(c.entries)) {
			t.Errorf("%s: time %s, size %d", what, got.Time, got.Size)
		}
		for _, want := range []string{"SHA-256 half only", "wit-a.example/w1"} {
			if !strings.Contains(inside.Text(English), want) {
				t.Errorf("%s: the report does not say %q:\n%s", what, want, inside.Text(English))
			}
		}
		opt.Anchors, opt.Roots = nil, nil
		wantAnchors(t, what+", no roots", Verify(f, c.policy, contentOf("x"), opt), Proved, StepNotPresent, StepNotPresent)
	}
}

// TestTamperedAnchors: what is false in an anchor makes the proof false; what the
// court did not pin, or its policy does not vouch for, says nothing.
func TestTamperedAnchors(t *testing.T) {
	c, other := newConsortium(t), newConsortium(t)
	o, stranger := newOutsider(t, "wit-a"), newOutsider(t, "wit-b")
	f := c.one(2) // size 5
	bare := c.later(f, 3, 10*time.Second, all)
	few := c.witnessed(c.later(f, 0, 10*time.Second, all[:2]), o, time.Second)
	good := c.witnessed(bare, o, 11*time.Second)
	foreign := other.witnessed(other.later(other.one(2), 3, 0, all), o, 0)
	forked := newConsortium(t)
	*forked = *c
	forked.entries = slices.Clone(c.entries)
	forked.entries[2] = []byte("another batch")
	fork := forked.witnessed(forked.later(f, 1, 10*time.Second, all), o, 11*time.Second)
	imposter := &outsider{NamedWitness{"wit-a", o.Witness}, newKey(t, gm.Ed25519)}
	imposter.Witness.Key = imposter.key.Public()
	member := &outsider{NamedWitness{"wit-a", checkpoint.Witness{Name: "x", Key: c.seal["court-a"].Log.Public()}}, c.seal["court-a"].Log}

	change := func(edit func(*Anchor)) Anchor {
		a := good
		a.Checkpoint, a.Path = bytes.Clone(a.Checkpoint), slices.Clone(a.Path)
		edit(&a)
		return a
	}
	lastLine := func(note []byte) int { return bytes.LastIndexByte(note[:len(note)-1], '\n') + 1 }
	for _, tt := range []struct {
		name  string
		a     Anchor
		roots *AnchorRoots
		want  Outcome
	}{
		{"good", good, c.roots(o), StepProved},
		{"not known", good, c.roots(stranger), StepNotPresent},
		{"no roots", good, nil, StepNotPresent},
		{"roots of another chain", good, other.roots(o), StepNotPresent},
		{"quorum not met", few, c.roots(o), StepNotPresent},
		{"key of a member", c.witnessed(bare, member, 0), c.roots(member), StepNotPresent},
		{"no line of the witness", change(func(a *Anchor) { a.Checkpoint = bare.Checkpoint }), c.roots(o), StepFailed},
		{"line of another key", c.witnessed(bare, imposter, 0), c.roots(o), StepFailed},
		{"signature of the witness", change(func(a *Anchor) { flip64(a.Checkpoint, len(a.Checkpoint)-10) }), c.roots(o), StepFailed},
		{"a seal", change(func(a *Anchor) { flip64(a.Checkpoint, lastLine(bare.Checkpoint)+60) }), c.roots(o), StepFailed},
		{"another chain", foreign, c.roots(o), StepFailed},
		{"another history", fork, c.roots(o), StepFailed},
		{"path, SM3 half", change(func(a *Anchor) { a.Path[0].SM3[3] ^= 1 }), c.roots(o), StepFailed},
		{"path, SHA-256 half", change(func(a *Anchor) { a.Path[len(a.Path)-1].SHA256[3] ^= 1 }), c.roots(o), StepFailed},
		{"path too long", change(func(a *Anchor) { a.Path = append(a.Path, a.Path[0]) }), c.roots(o), StepFailed},
		{"no path", change(func(a *Anchor) { a.Path = nil }), c.roots(o), StepFailed},
		{"earlier checkpoint", earlier(c, o), c.roots(o), StepFailed},
		{"not a note", change(func(a *Anchor) { a.Checkpoint = []byte("nothing") }), c.roots(o), StepFailed},
		{"a receipt", change(func(a *Anchor) { a.Receipt = []byte{1} }), c.roots(o), StepFailed},
	} {
		result := Proved
		if tt.want == StepFailed {
			result = False
		}
		r := Verify(f, c.policy, contentOf("x"), Options{Second: true, Roots: tt.roots, Anchors: []Anchor{tt.a}})
		wantAnchors(t, tt.name, r, result, tt.want, tt.want)
		if tt.want == StepFailed && r.Anchors[0].Detail.ZH == r.Anchors[0].Detail.EN && tt.name != "a receipt" {
			t.Errorf("%s: not explained in Chinese: %s", tt.name, r.Anchors[0].Detail.ZH)
		}
		if strings.Contains(tt.name, "path") || tt.name == "another history" || tt.name == "earlier checkpoint" {
			continue // which VerifyAnchor does not look at
		}
		alone, err := VerifyAnchor(&tt.a, c.policy, tt.roots)
		if (err == nil) != (tt.want == StepProved) || (alone == nil) != (err != nil) || err != nil && !errors.Is(err, ErrAnchor) {
			t.Errorf("%s, by itself: %+v, %v", tt.name, alone, err)
		}
	}
	// One that fails is enough, whatever the others say.
	r := Verify(f, c.policy, nil, Options{Roots: c.roots(o, stranger), Anchors: []Anchor{good, c.witnessed(c.later(newer(c, f), 0, 0, all), stranger, 0)}})
	wantAnchors(t, "one of two", r, False, StepFailed, StepProved, StepFailed)
}

// newer is a proof of the same consortium with a larger checkpoint.
func newer(c *consortium, f *File) *File {
	g := *f
	g.Checkpoint = c.later(f, 2, 0, all).Checkpoint
	return &g
}

// earlier is an anchor of a checkpoint before the proof's.
func earlier(c *consortium, o *outsider) Anchor {
	whole := c.entries
	defer func() { c.entries = whole }()
	c.entries = c.entries[:2]
	f := c.later(&File{Checkpoint: must(checkpoint.Note(stateOf(c), []checkpoint.Seal{must(checkpoint.Sign(stateOf(c), all[0], 1, c.seal[all[0]]))}, &c.policy.Epochs[0]))}, 0, 0, all)
	return c.witnessed(f, o, 0)
}

func stateOf(c *consortium) checkpoint.Checkpoint {
	ledger := make([]merkle.Digest, len(c.entries))
	for i, e := range c.entries {
		ledger[i] = merkle.LeafHash(e)
	}
	return checkpoint.Checkpoint{Origin: checkpoint.Origin(c.policy.Chain), Size: uint64(len(ledger)), Root: merkle.Root(ledger)}
}

// flip64 puts another base64 digit at a place.
func flip64(b []byte, at int) {
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
}

// TestAnchorsOfUnprovable: a receipt file, a false checkpoint and a policy of
// another chain leave nothing to judge an anchor by.
func TestAnchorsOfUnprovable(t *testing.T) {
	c := newConsortium(t)
	o := newOutsider(t, "wit-a")
	f := c.one(1)
	a := c.witnessed(c.later(f, 1, 0, all), o, 0)
	opt := Options{Roots: c.roots(o), Anchors: []Anchor{a}}
	receipt := *f
	receipt.Batch, receipt.Key, receipt.Checkpoint = nil, nil, nil
	wantAnchors(t, "receipt", Verify(&receipt, c.policy, nil, opt), NotProved, StepNotPresent)
	broken := *f
	broken.Checkpoint = bytes.Replace(f.Checkpoint, []byte("\nsm3 "), []byte("\nsm4 "), 1)
	wantAnchors(t, "false checkpoint", Verify(&broken, c.policy, nil, opt), False, StepNotPresent, StepNotPresent)
	wantAnchors(t, "another chain", Verify(f, newConsortium(t).policy, nil, opt), NotProved, StepNotPresent)
	if _, err := receipt.AddAnchors(opt.Anchors); !errors.Is(err, ErrNotSealed) {
		t.Errorf("anchors added to a receipt: %v", err)
	}
	receipt.Anchors = opt.Anchors
	if _, err := receipt.Marshal(); err == nil {
		t.Error("a receipt with anchors was written")
	}
}

func TestAddAnchors(t *testing.T) {
	c := newConsortium(t)
	f := c.one(2)
	before := must(f.Compact())
	sizes := func(list []Anchor) (out []string) {
		for _, a := range list {
			out = append(out, string(a.Kind)+"/"+a.Name)
		}
		return out
	}
	var given []Anchor
	for i := range 4 {
		a := c.later(f, 1, 0, all)
		a.Kind, a.Name, a.Receipt = AnchorFabric, fmt.Sprintf("fab-%c", 'a'+i), bytes.Repeat([]byte{byte(i)}, 12000)
		given = append(given, a)
	}
	given = append(given, c.witnessed(given[0], newOutsider(t, "wit-a"), 0))
	given[4].Receipt = nil
	stamp := given[1]
	stamp.Kind, stamp.Name, stamp.Receipt = AnchorRFC3161, "tsa-a", bytes.Repeat([]byte{7}, 4000)
	given = append(given, stamp, stamp)
	given[6].Receipt = []byte("a second of one name")

	left, err := f.AddAnchors(given)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := sizes(f.Anchors), []string{"fabric/fab-a", "fabric/fab-b", "rfc3161/tsa-a", "witness/wit-a"}; !slices.Equal(got, want) {
		t.Errorf("the file has %v, want %v", got, want)
	}
	if got, want := sizes(left), []string{"fabric/fab-c", "fabric/fab-d"}; !slices.Equal(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
	raw := must(f.Marshal())
	if len(raw) > MaxFileBytes || len(f.Anchors[2].Receipt) != 4000 {
		t.Errorf("%d bytes, a receipt of %d", len(raw), len(f.Anchors[2].Receipt))
	}
	again := must(Parse(raw))
	if !slices.EqualFunc(again.Anchors, f.Anchors, func(a, b Anchor) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
		t.Error("the anchors are read otherwise than they were written")
	}
	if left, err := again.AddAnchors(given); err != nil || len(left) != 2 || !bytes.Equal(must(again.Marshal()), raw) {
		t.Errorf("added again: %d left, %v, or the file has changed", len(left), err)
	}
	again.Anchors = nil
	if !bytes.Equal(must(again.Compact()), before) {
		t.Error("something else in the file has changed")
	}

	wrong := given[4]
	wrong.Name, wrong.Path = "wit-b", wrong.Path[1:]
	foreign := newConsortium(t)
	for name, a := range map[string]Anchor{
		"path":    wrong,
		"chain":   foreign.witnessed(foreign.later(foreign.one(2), 1, 0, all), newOutsider(t, "wit-c"), 0),
		"kind":    {Kind: "other", Name: "x-a", Checkpoint: stamp.Checkpoint, Path: stamp.Path, Receipt: stamp.Receipt},
		"name":    {Kind: AnchorRFC3161, Name: "X", Checkpoint: stamp.Checkpoint, Path: stamp.Path, Receipt: stamp.Receipt},
		"receipt": {Kind: AnchorRFC3161, Name: "tsa-b", Checkpoint: stamp.Checkpoint, Path: stamp.Path},
		"large":   {Kind: AnchorRFC3161, Name: "tsa-b", Checkpoint: stamp.Checkpoint, Path: stamp.Path, Receipt: make([]byte, maxToken+1)},
		"note":    {Kind: AnchorRFC3161, Name: "tsa-b", Checkpoint: []byte("x"), Receipt: stamp.Receipt},
	} {
		was := len(f.Anchors)
		if _, err := f.AddAnchors([]Anchor{given[4], a}); err == nil || len(f.Anchors) != was {
			t.Errorf("%s: added, %d anchors, %v", name, len(f.Anchors), err)
		}
	}
	many := c.one(0)
	var eleven []Anchor
	for i := range 11 {
		eleven = append(eleven, c.witnessed(Anchor{Checkpoint: many.Checkpoint}, newOutsider(t, fmt.Sprintf("wit-%c", 'z'-i)), 0))
	}
	if left, err := many.AddAnchors(eleven); err != nil || len(left) != 3 || len(many.Anchors) != MaxAnchors || many.Anchors[0].Name != "wit-p" {
		t.Errorf("of eleven %d are left, %d in the file, %v", len(left), len(many.Anchors), err)
	}
}

func TestAnchorRefusals(t *testing.T) {
	c := newConsortium(t)
	f := c.one(1)
	a, b := c.witnessed(c.later(f, 1, 0, all), newOutsider(t, "wit-a"), 0), c.witnessed(c.later(f, 1, 0, all), newOutsider(t, "wit-b"), 0)
	stamp := c.later(f, 0, 0, all)
	stamp.Kind, stamp.Name, stamp.Receipt = AnchorRFC3161, "tsa-a", []byte("four")
	if _, err := f.AddAnchors([]Anchor{a, b, stamp}); err != nil {
		t.Fatal(err)
	}
	raw := string(must(f.Compact()))
	file := AnchorFile{Chain: f.Chain, From: 4, Anchors: f.Anchors}
	beside := string(must(canon.Canonicalize(must(file.Marshal()), MaxAnchorFileBytes)))
	again := must(ParseAnchorFile([]byte(beside)))
	if !bytes.Equal(must(again.Marshal()), must(file.Marshal())) || len(again.Anchors) != 3 {
		t.Error("the companion is read otherwise than it was written")
	}
	if list, err := again.For(f); err != nil || len(list) != 3 {
		t.Errorf("the companion's anchors: %d, %v", len(list), err)
	}
	for name, edit := range map[string]func(*AnchorFile){
		"another size":  func(f *AnchorFile) { f.From = 5 },
		"another chain": func(f *AnchorFile) { f.Chain = "other-00000000" },
	} {
		g := *again
		edit(&g)
		if _, err := g.For(f); err == nil {
			t.Errorf("%s: the companion was taken", name)
		}
	}
	receipt := base64.StdEncoding.EncodeToString([]byte("four"))
	for name, tt := range map[string]struct{ old, new, field string }{
		"order":           {`"name":"wit-a"`, `"name":"wit-c"`, "anchors"},
		"twice":           {`"name":"wit-a"`, `"name":"wit-b"`, "anchors"},
		"kind":            {`"kind":"witness"`, `"kind":"friend"`, "kind"},
		"name":            {`"name":"wit-a"`, `"name":"Wit-a"`, "name"},
		"no name":         {`"name":"wit-a"`, `"name":""`, "name"},
		"long name":       {`"name":"wit-a"`, `"name":"` + strings.Repeat("a", 33) + `"`, "name"},
		"witness receipt": {`"kind":"rfc3161"`, `"kind":"witness"`, "anchors"},
		"no receipt":      {`,"receipt":"` + receipt + `"`, ``, "anchors"},
		"empty receipt":   {receipt, ``, "receipt"},
		"base64":          {receipt, receipt[:len(receipt)-2], "receipt"},
		"base64 bits":     {receipt, "Zm91ch==", "receipt"},
		"base64 alphabet": {receipt, "Zm9-cg==", "receipt"},
		"unknown field":   {`"kind":"witness"`, `"kind":"witness","more":1`, "anchors"},
		"null":            {`"kind":"witness"`, `"kind":null`, "kind"},
		"number":          {`"anchors":[`, `"anchors":[1,`, "anchors"},
		"token too large": {receipt, base64.StdEncoding.EncodeToString(make([]byte, maxToken+1)), "receipt"},
	} {
		for what, text := range map[string]string{"in the file": raw, "beside it": beside} {
			if !strings.Contains(text, tt.old) {
				t.Fatalf("%s: nothing to replace", name)
			}
			bad := []byte(strings.Replace(text, tt.old, tt.new, 1))
			_, err := Parse(bad)
			if what == "beside it" {
				_, err = ParseAnchorFile(bad)
			}
			if err == nil || !strings.Contains(err.Error(), tt.field) {
				t.Errorf("%s, %s: %v, want an error that names %q", name, what, err, tt.field)
			}
		}
	}
	for name, edit := range map[string]func(*File){
		"nine":      func(f *File) { f.Anchors = slices.Repeat(f.Anchors, 3) },
		"order":     func(f *File) { slices.Reverse(f.Anchors) },
		"long path": func(f *File) { f.Anchors[0].Path = make([]merkle.Digest, maxConsistency+1) },
		"long note": func(f *File) { f.Anchors[0].Checkpoint = make([]byte, maxNote+1) },
	} {
		g := *f
		g.Anchors = slices.Clone(f.Anchors)
		edit(&g)
		if _, err := g.Marshal(); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	for _, bad := range []string{"", "{}", strings.Replace(beside, `"from":4`, `"from":0`, 1), strings.Replace(beside, `"v":1`, `"v":2`, 1),
		strings.Replace(beside, "qifeng-anchors", "qifeng-proof", 1), beside + strings.Repeat(" ", MaxAnchorFileBytes)} {
		if _, err := ParseAnchorFile([]byte(bad)); err == nil {
			t.Errorf("taken for a companion: %.80s", bad)
		}
	}
}

func TestAnchorRoots(t *testing.T) {
	c := newConsortium(t)
	a, b := newOutsider(t, "wit-a"), newOutsider(t, "wit-b")
	r := c.roots(a, b)
	raw := must(r.Marshal())
	again := must(ParseAnchorRoots(raw))
	if !bytes.Equal(must(again.Marshal()), raw) || !slices.Equal(again.Witnesses, r.Witnesses) || again.Chain != r.Chain {
		t.Error("the roots are read otherwise than they were written")
	}
	for name, bad := range map[string]*AnchorRoots{
		"order":        {Chain: r.Chain, Witnesses: []NamedWitness{b.NamedWitness, a.NamedWitness}},
		"twice":        {Chain: r.Chain, Witnesses: []NamedWitness{a.NamedWitness, a.NamedWitness}},
		"chain":        {Chain: "nothing", Witnesses: r.Witnesses},
		"name":         {Chain: r.Chain, Witnesses: []NamedWitness{{"W", a.Witness}}},
		"no key":       {Chain: r.Chain, Witnesses: []NamedWitness{{"wit-a", checkpoint.Witness{Name: "x"}}}},
		"sm2 key":      {Chain: r.Chain, Witnesses: []NamedWitness{{"wit-a", checkpoint.Witness{Name: "x", Key: c.user.Public()}}}},
		"empty fabric": {Chain: r.Chain, Fabric: []fabric.Channel{{Name: "fab-a"}}},
	} {
		if bad.Validate() == nil {
			t.Errorf("%s: valid", name)
		}
		if _, err := bad.Marshal(); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	text := string(must(canon.Canonicalize(raw, MaxAnchorRootsBytes)))
	for name, bad := range map[string]string{
		"empty":         "",
		"unknown field": strings.Replace(text, `"v":1`, `"v":1,"w":1`, 1),
		"version":       strings.Replace(text, `"v":1`, `"v":2`, 1),
		"key":           strings.Replace(text, ".example/w1+", ".example/w2+", 1),
		"certificate":   strings.Replace(text, `"rfc3161":[]`, `"rfc3161":[{"name":"tsa-a","roots":["AAAA"]}]`, 1),
		"no root":       strings.Replace(text, `"rfc3161":[]`, `"rfc3161":[{"name":"tsa-a","roots":[]}]`, 1),
		"too long":      text + strings.Repeat(" ", MaxAnchorRootsBytes),
	} {
		if _, err := ParseAnchorRoots([]byte(bad)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
