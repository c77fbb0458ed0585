package api

import (
	"context"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"qifeng/proof"
	"qifeng/proof/checkpoint"
)

// judging verifies receipts, each once, as long as it is kept: all proofs from one
// checkpoint to the next anchored one carry the same. For the door that is open to
// everybody it does so for one request at a time, so that strangers have one
// processor at most.
type judging struct {
	turn chan struct{}
	good *lru.Cache[receiptKey, proof.AnchorReport]
	from func(*proof.Anchor, *checkpoint.Policy, *proof.AnchorRoots) (*proof.AnchorReport, error) // proof.VerifyAnchor but in tests

	mu   sync.Mutex           // guards told
	told map[string]time.Time // when a bad receipt was logged last, by names that the roots know
}

// due says whether a bad receipt is to be told of now: whoever asks for anchors
// finds it, and must not fill the log.
func (j *judging) due(name string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if at, ok := j.told[name]; ok && time.Since(at) < tellAgain {
		return false
	}
	j.told[name] = time.Now()
	return true
}

// receiptKey is all that a result depends on.
type receiptKey struct {
	kind                proof.AnchorKind
	name, note, receipt string
	policy              *checkpoint.Policy
	roots               *proof.AnchorRoots
}

func newJudging() *judging {
	good, err := lru.New[receiptKey, proof.AnchorReport](keptReceipts)
	if err != nil {
		panic(err) // the size is a constant above zero
	}
	return &judging{turn: make(chan struct{}, 1), good: good, from: proof.VerifyAnchor, told: make(map[string]time.Time)}
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
	_, err := j.known(a, p, roots, func() (proof.AnchorReport, error) {
		r, err := j.from(a, p, roots)
		if err != nil {
			return proof.AnchorReport{}, err
		}
		return *r, nil
	})
	return err
}

// known is what verify returns, or what it returned before.
func (j *judging) known(a *proof.Anchor, p *checkpoint.Policy, roots *proof.AnchorRoots, verify func() (proof.AnchorReport, error)) (proof.AnchorReport, error) {
	k := receiptKey{a.Kind, a.Name, string(a.Checkpoint), string(a.Receipt), p, roots}
	if r, ok := j.good.Get(k); ok {
		return r, nil
	}
	r, err := verify()
	if err == nil {
		j.good.Add(k, r)
	}
	return r, err
}

// within is [judging.known] for the verification of whole proofs.
func (j *judging) within(p *checkpoint.Policy, roots *proof.AnchorRoots) func(*proof.Anchor, func() (proof.AnchorReport, error)) (proof.AnchorReport, error) {
	return func(a *proof.Anchor, verify func() (proof.AnchorReport, error)) (proof.AnchorReport, error) {
		return j.known(a, p, roots, verify)
	}
}
