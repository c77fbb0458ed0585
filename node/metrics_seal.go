package node

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"qifeng/archive"
	"qifeng/proof/merkle"
)

// sealLedger is what the watch asks the chain.
type sealLedger interface {
	Batch(node string, seq uint64) (index uint64, ok bool, err error)
	SealedHead() (size uint64, root merkle.Digest)
	Changed() <-chan struct{}
}

// sealWatch measures how long records wait until they are sealed: it is told of
// each own batch on the chain, and looks at every change of the chain which of
// them a sealed size covers.
type sealWatch struct {
	took prometheus.Observer
	wake chan struct{} // capacity 1

	mu      sync.Mutex // guards what follows
	waiting []unsealed // by seq, rising
	records uint64     // of those
}

// unsealed is a batch that is on the chain, and not known to be sealed.
type unsealed struct {
	seq, records uint64
	first        time.Time // received_at of its first record
}

func newSealWatch(took prometheus.Observer) *sealWatch {
	return &sealWatch{took: took, wake: make(chan struct{}, 1)}
}

// add takes a batch up. Beyond the bound, which a quorum that is unmet for days
// reaches, batches are not measured.
func (w *sealWatch) add(b archive.BatchCommitted) {
	w.mu.Lock()
	if len(w.waiting) < maxUnsealed {
		w.waiting = append(w.waiting, unsealed{b.Seq, b.Records, b.First})
		w.records += b.Records
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// unsealed is how many batches and records of this process wait for a quorum.
func (w *sealWatch) unsealed() (batches int, records uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting), w.records
}

// run looks until ctx ends.
func (w *sealWatch) run(ctx context.Context, l sealLedger, self string) {
	for {
		changed := l.Changed() // before looking, so that nothing is missed
		w.look(l, self)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-w.wake:
		}
	}
}

// look measures what is sealed now. Batches stand in the ledger in the order of
// their numbers, so the first one that is not sealed ends it.
func (w *sealWatch) look(l sealLedger, self string) {
	size, _ := l.SealedHead()
	for {
		w.mu.Lock()
		if len(w.waiting) == 0 {
			w.mu.Unlock()
			return
		}
		b := w.waiting[0]
		w.mu.Unlock()
		index, ok, err := l.Batch(self, b.seq)
		if err != nil || !ok || index >= size {
			return
		}
		w.took.Observe(max(time.Since(b.first).Seconds(), 0))
		w.mu.Lock()
		w.waiting = w.waiting[1:]
		w.records -= b.records
		w.mu.Unlock()
	}
}
