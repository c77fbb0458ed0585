package api

import (
	"context"
	"errors"
	"testing"

	"qifeng/proof"
	"qifeng/proof/checkpoint"
)

// TestReceiptsAreJudgedOnce: what was good is remembered by all that it depends
// on; what was not is judged again.
func TestReceiptsAreJudgedOnce(t *testing.T) {
	j := newJudging()
	asked := 0
	var answer error
	j.from = func(*proof.Anchor, *checkpoint.Policy, *proof.AnchorRoots) (*proof.AnchorReport, error) {
		asked++
		return &proof.AnchorReport{Size: 7}, answer
	}
	p, roots := &checkpoint.Policy{}, &proof.AnchorRoots{}
	base := proof.Anchor{Kind: proof.AnchorRFC3161, Name: "tsa", Checkpoint: []byte("note"), Receipt: []byte("receipt")}
	for range 3 {
		if err := j.verify(&base, p, roots); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	// The verification of a whole proof asks for the same.
	r, err := j.within(p, roots)(&base, func() (proof.AnchorReport, error) { return proof.AnchorReport{}, errors.New("asked again") })
	if err != nil || r.Size != 7 {
		t.Errorf("within a proof: %+v, %v", r, err)
	}
	for name, change := range map[string]func(*proof.Anchor){
		"kind":    func(a *proof.Anchor) { a.Kind = proof.AnchorFabric },
		"name":    func(a *proof.Anchor) { a.Name = "tsb" },
		"note":    func(a *proof.Anchor) { a.Checkpoint = []byte("nota") },
		"receipt": func(a *proof.Anchor) { a.Receipt = []byte("receipu") },
	} {
		other := base
		change(&other)
		answer = errors.New("bad")
		before := asked
		if j.verify(&other, p, roots) == nil || j.verify(&other, p, roots) == nil || asked != before+2 {
			t.Errorf("another %s was taken for the one before, or a bad one remembered", name)
		}
	}
	if j.verify(&base, &checkpoint.Policy{}, roots) == nil || j.verify(&base, p, &proof.AnchorRoots{}) == nil {
		t.Error("another policy or other roots were taken for the one before")
	}
}

// TestJudgingIsOneAtATime: who has gone does not wait.
func TestJudgingIsOneAtATime(t *testing.T) {
	j := newJudging()
	release, err := j.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := j.enter(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	release()
	if release, err = j.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	release()
}
