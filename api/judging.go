package api

import (
	"context"

	lru "github.com/hashicorp/golang-lru/v2"

	"qifeng/proof"
	"qifeng/proof/checkpoint"
)

// judging verifies receipts for a door that is open to everybody: one request at a
// time, so that strangers have one processor at most, and each receipt once, as
// long as it is kept.
type judging struct {
	turn chan struct{}
	good *lru.Cache[receiptKey, struct{}]
	from func(*proof.Anchor, *checkpoint.Policy, *proof.AnchorRoots) (*proof.AnchorReport, error) // proof.VerifyAnchor but in tests
}

// receiptKey is all that a result depends on.
type receiptKey struct {
	kind                proof.AnchorKind
	name, note, receipt string
	policy              *checkpoint.Policy
	roots               *proof.AnchorRoots
}

func newJudging() *judging {
	good, err := lru.New[receiptKey, struct{}](keptReceipts)
	if err != nil {
		panic(err) // the size is a constant above zero
	}
	return &judging{turn: make(chan struct{}, 1), good: good, from: proof.VerifyAnchor}
}

// enter waits for the turn, or until the caller has gone.
func (j *judging) enter(ctx context.Context) (release func(), err error) {
	select {
	case j.turn <- struct{}{}:
		return func() { <-j.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// verify is proof.VerifyAnchor.
func (j *judging) verify(a *proof.Anchor, p *checkpoint.Policy, roots *proof.AnchorRoots) error {
	k := receiptKey{a.Kind, a.Name, string(a.Checkpoint), string(a.Receipt), p, roots}
	if _, ok := j.good.Get(k); ok {
		return nil
	}
	_, err := j.from(a, p, roots)
	if err == nil {
		j.good.Add(k, struct{}{})
	}
	return err
}
