package anchor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qifeng/anchor"
	"qifeng/anchor/anchortest"
	"qifeng/proof"
)

type event struct {
	anchor.Event
	at time.Time
}

// life is a chain, its witnesses, and one run of the service after the other.
type life struct {
	t       testing.TB
	dir     string
	chain   *anchortest.Chain
	outside []*outside
	every   time.Duration
	source  anchor.Source // the chain, unless a test says otherwise
	log     slog.Handler

	*anchor.Service
	mu     sync.Mutex // guards events
	events []event
	cancel context.CancelFunc
	done   chan struct{}
}

func newLife(t testing.TB, names ...string) *life {
	t.Helper()
	l := &life{t: t, dir: filepath.Join(t.TempDir(), "anchor"), chain: anchortest.NewChain(t, "anchors"), every: time.Minute,
		log: slog.DiscardHandler}
	l.source = l.chain
	for _, name := range names {
		l.outside = append(l.outside, newOutside(t, name))
	}
	return l
}

func (l *life) config() anchor.Config {
	cfg := anchor.Config{Dir: l.dir, Policy: l.chain.Policy, Source: l.source, Roots: &proof.AnchorRoots{Chain: l.chain.Policy.Chain},
		Logger: slog.New(l.log), Observe: func(e anchor.Event) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.events = append(l.events, event{e, time.Now()})
		}}
	for _, o := range l.outside {
		cfg.Roots.Witnesses = append(cfg.Roots.Witnesses, o.witness(l.t))
		cfg.Anchors = append(cfg.Anchors, anchor.Named{Name: o.name, Every: l.every, Timeout: 10 * time.Second, Anchor: o})
	}
	return cfg
}

// open opens the service; nothing runs.
func (l *life) open() error {
	s, err := anchor.Open(l.config())
	l.Service = s
	return err
}

// start opens and runs it.
func (l *life) start() {
	l.t.Helper()
	if err := l.open(); err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel, l.done = cancel, make(chan struct{})
	go func() {
		defer close(l.done)
		l.Run(ctx)
	}()
}

func (l *life) stop() {
	l.t.Helper()
	l.cancel()
	<-l.done
	if err := l.Close(); err != nil {
		l.t.Errorf("Close: %v", err)
	}
	time.Sleep(2 * time.Second) // in the bubble: goleveldb's last goroutine ends after one
}

// newest is the size of the newest receipt of an anchor.
func (l *life) newest(name string) uint64 {
	l.t.Helper()
	return l.of(name).Size
}

func (l *life) of(name string) anchor.Status {
	l.t.Helper()
	for _, st := range l.Status() {
		if st.Name == name {
			return st
		}
	}
	l.t.Fatalf("no status of %s", name)
	return anchor.Status{}
}

// receipts returns all of an anchor's, by asking for one after the other as a
// reader of proofs does; each must verify, and none may be missing in between.
func (l *life) receipts(name string) (sizes []uint64) {
	l.t.Helper()
	cfg := l.config()
	for size := uint64(1); ; {
		all, err := l.Covering(size)
		if err != nil {
			l.t.Fatalf("Covering(%d): %v", size, err)
		}
		found := false
		for _, r := range all {
			if r.Name != name {
				continue
			}
			found = true
			rep, err := proof.VerifyAnchor(&proof.Anchor{Kind: r.Kind, Name: r.Name, Checkpoint: r.Note, Receipt: r.Data}, cfg.Policy, cfg.Roots)
			if err != nil {
				l.t.Fatalf("the stored receipt of %s for size %d does not verify: %v", name, r.Size, err)
			}
			if rep.Size != r.Size || !rep.Time.Equal(r.Time) {
				l.t.Fatalf("the stored receipt of %s for size %d says size %d, time %v, want %v", name, r.Size, rep.Size, r.Time, rep.Time)
			}
			if r.Size < size || len(sizes) > 0 && r.Size <= sizes[len(sizes)-1] {
				l.t.Fatalf("Covering(%d) of %s is of size %d", size, name, r.Size)
			}
			sizes, size = append(sizes, r.Size), r.Size+1
		}
		if !found {
			return sizes
		}
	}
}

// honest wants that no witness saw what an honest node never does.
func (l *life) honest() {
	l.t.Helper()
	for _, o := range l.outside {
		o.set(func(o *outside) {
			for _, wrong := range o.wrong {
				l.t.Errorf("%s saw: %s", o.name, wrong)
			}
		})
	}
	for _, st := range l.Status() {
		if st.Alarm != nil {
			l.t.Errorf("%s raised an alarm: %s", st.Name, st.Alarm.Text)
		}
	}
}

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: %s, want %s", what, g, w)
	}
}

func TestCadence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, "one")
		l.start()
		defer l.stop()
		synctest.Wait()
		equal(t, "the first is anchored at once", l.receipts("one"), []uint64{1})

		for range 10 {
			l.chain.Grow(1)
			time.Sleep(3 * time.Second)
		}
		equal(t, "within the cadence", l.receipts("one"), []uint64{1})
		time.Sleep(31 * time.Second)
		equal(t, "what came meanwhile is one checkpoint", l.receipts("one"), []uint64{1, 11})

		time.Sleep(time.Hour)
		equal(t, "nothing new, nothing done", l.outside[0].puts, []uint64{1, 11})
		l.chain.Grow(1)
		synctest.Wait()
		equal(t, "after a quiet hour it is anchored at once", l.receipts("one"), []uint64{1, 11, 12})
		l.honest()
	})
}

// A receipt that is gone is named, and not passed over for a later one; other
// anchors' are served beside the error.
func TestLostReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, "one", "two")
		l.start()
		defer l.stop()
		for range 3 {
			time.Sleep(l.every)
			synctest.Wait()
			l.chain.Grow(2)
		}
		time.Sleep(l.every)
		synctest.Wait()
		equal(t, "receipts", l.receipts("one"), []uint64{1, 3, 5, 7})
		if err := anchor.Lose(l.Service, "one", 5); err != nil {
			t.Fatal(err)
		}
		all, err := l.Covering(4)
		var damaged *anchor.DamagedError
		if !errors.As(err, &damaged) || damaged.What != "the receipt of one for size 5" {
			t.Errorf("Covering(4): %v", err)
		}
		if len(all) != 1 || all[0].Name != "two" || all[0].Size != 5 {
			t.Errorf("Covering(4): %+v", all)
		}
		if all, err := l.Covering(6); err != nil || len(all) != 2 {
			t.Errorf("Covering(6): %+v, %v", all, err)
		}
	})
}
