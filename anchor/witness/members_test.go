package witness

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"qifeng/anchor"
	"qifeng/anchor/anchortest"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	lite "qifeng/test/witness"
)

// behind is the view of a member that is some entries behind the first.
type behind struct {
	*anchortest.Chain
	t   testing.TB
	lag uint64

	mu  sync.Mutex // guards off
	off bool       // it has caught up
}

func (b *behind) Checkpoint() (note []byte, size uint64, ok bool, err error) {
	b.mu.Lock()
	lag := b.lag
	if b.off {
		lag = 0
	}
	b.mu.Unlock()
	cp := b.At(b.t, max(1, b.Size()-min(lag, b.Size()-1)))
	return cp.Note, cp.Size, true, nil
}

func (b *behind) catchUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.off = true
}

// TestMembersShareAWitness: four members have one log cosigned by one litewitness,
// each behind the others by some entries, while it is killed and comes back. They
// contradict nobody, and all have the end within one cadence or two.
func TestMembersShareAWitness(t *testing.T) {
	c := anchortest.NewChain(t, "demo")
	w := lite.Start(t, "witness.example/lite", c.Policy.WitnessLogKeys(&c.Policy.Epochs[0])...)
	roots := &proof.AnchorRoots{Chain: c.Policy.Chain, Witnesses: []proof.NamedWitness{{Name: "witness-a", Witness: w.Key}}}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	const members, every = 4, time.Second
	var services []*anchor.Service
	var views []*behind
	for i := range members {
		a, err := New(Config{URL: w.URL, Witness: w.Key, Policy: c.Policy})
		if err != nil {
			t.Fatal(err)
		}
		view := &behind{Chain: c, t: t, lag: uint64(3 * i)}
		s, err := anchor.Open(anchor.Config{Dir: filepath.Join(t.TempDir(), fmt.Sprint(i)), Policy: c.Policy, Roots: roots, Source: view,
			Anchors: []anchor.Named{{Name: "witness-a", Every: every, Timeout: 10 * time.Second, Anchor: a}}})
		if err != nil {
			t.Fatal(err)
		}
		services, views = append(services, s), append(views, view)
		running.Go(func() {
			s.Run(ctx)
			if err := s.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
		})
	}
	grow := func(d time.Duration) {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
			c.Grow(1)
		}
	}
	grow(2 * every)
	w.Stop()
	grow(every)
	w.Run(t)
	grow(2 * every)
	for _, v := range views {
		v.catchUp()
	}
	end := c.Grow(1)
	deadline := time.Now().Add(20 * every) // a loaded machine; it is two cadences on a free one
	for i, s := range services {
		for {
			st := s.Status()[0]
			if st.Alarm != nil {
				t.Fatalf("member %d: %s\n%s", i, st.Alarm.Text, st.Alarm.Theirs)
			}
			if st.Size == end {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("member %d has %d of %d: %s", i, st.Size, end, st.LastError)
			}
			time.Sleep(20 * time.Millisecond) // a poll with a deadline
		}
		// What each has is what a court takes.
		for size := uint64(1); size <= end; {
			stored, err := s.Covering(size)
			if err != nil || len(stored) != 1 {
				t.Fatalf("member %d: nothing covers %d: %v", i, size, err)
			}
			if _, err := checkpoint.Witnessed(stored[0].Note, w.Key); err != nil {
				t.Errorf("member %d size %d: %v", i, stored[0].Size, err)
			}
			size = stored[0].Size + 1
		}
	}
	if size, root := w.State(t, checkpoint.Origin(c.Policy.Chain)); size != end || root != c.At(t, end).Root.SHA256 {
		t.Errorf("the witness holds size %d of %d", size, end)
	}
}
