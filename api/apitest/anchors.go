package apitest

import (
	"bytes"
	"slices"
	"sync"
	"testing"
	"time"

	"qifeng/api/wire"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
)

// AnchorName is the one anchor of a [TestNode]: a C2SP witness with a real key.
const AnchorName = "witness-a"

// Anchors are the receipts of that witness, which cosigns when it is told to.
type Anchors struct {
	Roots   *proof.AnchorRoots
	File    []byte // of the roots
	ledger  *Ledger
	witness checkpoint.Witness
	key     *gm.PrivateKey
	now     func() time.Time

	mu      sync.Mutex // guards what follows
	stored  []proof.Anchor
	sizes   []uint64
	at      []time.Time
	alarm   string
	fail    error
	changed chan struct{}
}

// NewAnchors makes the witness and its roots. It has cosigned nothing.
func NewAnchors(tb testing.TB, l *Ledger, now func() time.Time) *Anchors {
	tb.Helper()
	key := newKey(tb, gm.Ed25519)
	a := &Anchors{ledger: l, key: key, now: now, changed: make(chan struct{}),
		witness: checkpoint.Witness{Name: "witness.example", Key: key.Public()}}
	a.Roots = &proof.AnchorRoots{Chain: l.ChainID(), Witnesses: []proof.NamedWitness{{Name: AnchorName, Witness: a.witness}}}
	var err error
	a.File, err = a.Roots.Marshal()
	must(tb, err)
	return a
}

// Anchor has the newest sealed checkpoint cosigned, and stores the receipt.
func (a *Anchors) Anchor(tb testing.TB) {
	tb.Helper()
	note, size, ok, err := a.ledger.Checkpoint()
	must(tb, err)
	if !ok {
		tb.Fatal("nothing is sealed that could be anchored")
	}
	body := note[:bytes.LastIndex(note, []byte("\n\n"))+1]
	line, err := a.witness.Cosign(a.key, a.now().Unix(), body)
	must(tb, err)
	with, err := checkpoint.AddLines(note, line)
	must(tb, err)
	a.Store(proof.Anchor{Kind: proof.AnchorWitness, Name: AnchorName, Checkpoint: with}, size)
}

// Store keeps a receipt as it is, right or wrong.
func (a *Anchors) Store(r proof.Anchor, size uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stored, a.sizes, a.at = append(a.stored, r), append(a.sizes, size), append(a.at, a.now())
	close(a.changed)
	a.changed = make(chan struct{})
}

// SetAlarm raises an alarm, or ends it.
func (a *Anchors) SetAlarm(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alarm = text
}

// Fail makes every look-up fail, nil none.
func (a *Anchors) Fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail = err
}

// Head is the largest size that is anchored.
func (a *Anchors) Head() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.sizes) == 0 {
		return 0
	}
	return slices.Max(a.sizes)
}

// Covering gives of each name the first receipt over a size.
func (a *Anchors) Covering(size uint64) ([]proof.Anchor, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []proof.Anchor
	for i, r := range a.stored {
		if a.sizes[i] >= size && !slices.ContainsFunc(out, func(o proof.Anchor) bool { return o.Name == r.Name }) {
			out = append(out, r)
		}
	}
	return out, a.fail
}

// Status tells of the one anchor.
func (a *Anchors) Status() []wire.AnchorStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	st := wire.AnchorStatus{Name: AnchorName, Kind: string(proof.AnchorWitness), Alarm: a.alarm}
	if n := len(a.sizes); n > 0 {
		st.Size, st.StoredAt = a.sizes[n-1], a.at[n-1].UTC().Format("2006-01-02T15:04:05.000Z")
		st.Stated = a.at[n-1].UTC().Truncate(time.Second).Format("2006-01-02T15:04:05.000Z")
	}
	return []wire.AnchorStatus{st}
}

// Changed is closed at the next receipt.
func (a *Anchors) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}
