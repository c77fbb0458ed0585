package anchor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qifeng/anchor"
	"qifeng/anchor/anchortest"
	"qifeng/proof/merkle"
)

// claims is a source that says what it is told to.
type claims struct {
	*anchortest.Chain
	mu   sync.Mutex // guards what follows
	note []byte
	size uint64
	err  error
}

func (c *claims) say(note []byte, size uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note, c.size, c.err = note, size, err
}

func (c *claims) Checkpoint() ([]byte, uint64, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.note == nil && c.err == nil {
		return c.Chain.Checkpoint()
	}
	return c.note, c.size, c.err == nil, c.err
}

// failures are the times of what went wrong with an anchor.
func (l *life) failures(name string, what anchor.What) (at []time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Name == name && e.What == what {
			at = append(at, e.at)
		}
	}
	return at
}

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, "one")
		o := l.outside[0]
		log := &errorLog{Handler: slog.DiscardHandler, level: slog.LevelInfo}
		l.log = log
		o.set(func(o *outside) { o.down = true })
		l.start()
		defer l.stop()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		at := l.failures("one", anchor.Failed)
		base := time.Second
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < base/2 || gap > base {
				t.Errorf("attempt %d after %v, want %v to %v", i+1, gap, base/2, base)
			}
			base = min(2*base, l.every)
		}
		if len(at) < 14 || len(at) > 26 {
			t.Errorf("%d attempts in ten minutes", len(at))
		}
		st := l.of("one")
		if st.Attempts != len(at) || !strings.Contains(st.LastError, "refused") || st.Pending != 1 || st.Size != 0 ||
			st.NextTry.Before(time.Now()) || st.NextTry.Sub(time.Now()) > l.every {
			t.Errorf("status: %+v", st)
		}

		l.chain.Grow(20)
		o.set(func(o *outside) { o.down = false })
		time.Sleep(l.every)
		synctest.Wait()
		equal(t, "one cadence after it is back", l.receipts("one"), []uint64{21})
		failed := "an anchor failed; it is tried again"
		if n := len(log.said); n < 2 || n > 3 || log.said[0] != failed || log.said[n-1] != "an anchor works again" {
			t.Errorf("the log of eleven minutes: %q", log.said)
		}
		if st := l.of("one"); st.Attempts != 0 || st.LastError != "" || st.Pending != 0 {
			t.Errorf("status: %+v", st)
		}
		l.honest()
	})
}

func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, "one")
		l.outside[0].set(func(o *outside) { o.refuse = fmt.Errorf("putting: %w: no such writer", anchor.ErrRefused) })
		l.start()
		defer l.stop()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := len(l.failures("one", anchor.Failed)); n < 10 || n > 21 {
			t.Errorf("%d attempts in ten cadences, want one to two a cadence", n)
		}
	})
}

func TestHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, "polite", "deaf", "well")
		l.outside[0].hang(false)
		l.outside[1].hang(true)
		l.start()
		defer l.stop()
		synctest.Wait()
		equal(t, "the others go on", l.receipts("well"), []uint64{1})

		time.Sleep(10*time.Second + anchor.Grace/2)
		synctest.Wait()
		if st := l.of("polite"); st.Hanging || !strings.Contains(st.LastError, context.DeadlineExceeded.Error()) {
			t.Errorf("after its deadline: %+v", st)
		}
		time.Sleep(anchor.Grace)
		synctest.Wait()
		st := l.of("deaf")
		if !st.Hanging || !strings.Contains(st.LastError, "has not returned") || !st.NextTry.IsZero() {
			t.Errorf("well after its deadline: %+v", st)
		}
		for range 10 {
			l.chain.Grow(1)
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		equal(t, "reports of a call that hangs", len(l.failures("deaf", anchor.Hung)), 1)
		equal(t, "attempts while it hangs", l.of("deaf").Attempts, 1)
		equal(t, "receipts of the others", len(l.receipts("well")), 11)

		// What comes back late is taken, and the newest follows at once.
		l.outside[0].goOn()
		l.outside[1].goOn()
		time.Sleep(l.every)
		synctest.Wait()
		equal(t, "polite", l.receipts("polite"), []uint64{11})
		equal(t, "deaf", l.receipts("deaf"), []uint64{1, 11})
		if st := l.of("deaf"); st.Hanging || st.LastError != "" {
			t.Errorf("after its return: %+v", st)
		}
		l.honest()
	})
}

// The node has five seconds, however many of its anchors hang.
func TestStopWhileHanging(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		for _, after := range []time.Duration{time.Second, 12 * time.Second, time.Minute} { // within the deadline, the grace, and beyond
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t, "one", "two", "three", "four", "five", "six", "seven", "eight")
				stuck := make(chan struct{})
				for _, o := range l.outside {
					o.hang(deaf)
					if deaf {
						o.set(func(o *outside) { o.stuck = stuck })
					}
				}
				l.start()
				time.Sleep(after)
				began := time.Now()
				l.cancel()
				<-l.done
				if err := l.Close(); (err != nil) != deaf {
					t.Errorf("deaf=%v: %v", deaf, err)
				}
				if took := time.Since(began); took > 4600*time.Millisecond {
					t.Errorf("deaf=%v, %v after the start: it took %v", deaf, after, took)
				}
				close(stuck)
				for _, o := range l.outside {
					o.goOn()
				}
				time.Sleep(2 * time.Second)
				l.start()
				synctest.Wait()
				equal(t, "the next life", l.receipts("one"), []uint64{1})
				l.stop()
				l.honest()
			})
		}
	}
}

// An authority charges by the token: one that is of no use is not followed by
// another sooner than a good one would be.
func TestWastedReceipts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, "one")
		o := l.outside[0]
		o.set(func(o *outside) { o.spoil = func(r *anchor.Receipt) { r.Note[len(r.Note)-5] ^= 1 } })
		l.start()
		defer l.stop()
		time.Sleep(10*l.every + time.Second)
		synctest.Wait()
		if n := len(o.puts); n < 10 || n > 11 {
			t.Errorf("%d receipts asked for in ten cadences", n)
		}
		if st := l.of("one"); !strings.Contains(st.LastError, "cannot be used") {
			t.Errorf("status: %+v", st)
		}
		o.set(func(o *outside) { o.spoil = nil })
		time.Sleep(l.every)
		synctest.Wait()
		equal(t, "afterwards", l.receipts("one"), []uint64{1})
	})
}

// A receipt that cannot be written for some minutes is kept, not asked for again.
func TestUnwritableReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, "one")
		failing := true
		defer anchor.SetPoint(func(string) error { return nil })
		anchor.SetPoint(func(name string) error {
			if failing && name == anchor.PointVerified {
				return errors.New("no space left on device")
			}
			return nil
		})
		l.start()
		defer l.stop()
		time.Sleep(5 * l.every)
		synctest.Wait()
		if st := l.of("one"); !strings.Contains(st.LastError, "no space left") || st.Size != 0 || st.Pending != 1 {
			t.Errorf("status: %+v", st)
		}
		failing = false
		time.Sleep(l.every)
		synctest.Wait()
		equal(t, "when there is room again", l.receipts("one"), []uint64{1})
		equal(t, "receipts asked for", l.outside[0].puts, []uint64{1})
		l.chain.Grow(1)
		time.Sleep(l.every)
		synctest.Wait()
		equal(t, "and the next", l.receipts("one"), []uint64{1, 2})
		l.honest()
	})
}

func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, "one")
		o := l.outside[0]
		o.set(func(o *outside) { o.panicked = true })
		l.start()
		defer l.stop()
		synctest.Wait()
		if st := l.of("one"); !strings.Contains(st.LastError, "panicked") {
			t.Errorf("status: %+v", st)
		}
		o.set(func(o *outside) { o.panicked = false })
		time.Sleep(l.every)
		synctest.Wait()
		equal(t, "after it", l.receipts("one"), []uint64{1})
	})
}

// What is not sealed, not of this chain or not what it is called is not put.
func TestNotSealed(t *testing.T) {
	foreign := anchortest.NewChain(t, "foreign")
	for _, test := range []struct {
		name string
		note func(*life) []byte
		says string
	}{
		{"two of four", func(l *life) []byte { return l.chain.Sealed(t, 2, "arb-a", "court-a") }, "not sealed"},
		{"of another chain", func(l *life) []byte { foreign.Grow(1); return foreign.At(t, 2).Note }, "another chain"},
		{"of another size", func(l *life) []byte { return l.chain.At(t, 1).Note }, "given as one of size 2"},
		{"with a false line", func(l *life) []byte {
			note := l.chain.At(t, 2).Note
			note[len(note)-20] ^= 1
			return note
		}, "false"},
		{"no note", func(l *life) []byte { return []byte("x") }, "malformed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t, "one")
				l.chain.Grow(1)
				src := &claims{Chain: l.chain}
				src.say(test.note(l), 2, nil)
				l.source = src
				l.start()
				defer l.stop()
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				equal(t, "calls", len(l.outside[0].puts), 0)
				if st := l.of("one"); !strings.Contains(st.LastError, test.says) || st.Pending != 0 || st.Alarm != nil {
					t.Errorf("status: %+v", st)
				}
				src.say(nil, 0, nil)
				time.Sleep(l.every)
				synctest.Wait()
				equal(t, "once it is sealed", l.receipts("one"), []uint64{2})
			})
		})
	}
}

// A source that fell back is not followed, and a statement that the witness may
// have is put to its end, byte for byte.
func TestSmaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, "one")
		o := l.outside[0]
		src := &claims{Chain: l.chain}
		l.source = src
		l.chain.Grow(4)
		l.start()
		synctest.Wait()
		equal(t, "receipts", l.receipts("one"), []uint64{5})

		src.say(l.chain.At(t, 3).Note, 3, nil)
		time.Sleep(10 * time.Minute)
		equal(t, "calls", o.puts, []uint64{5})

		src.say(nil, 0, nil)
		o.set(func(o *outside) { o.cut = true })
		l.chain.Grow(2)
		synctest.Wait()
		o.set(func(o *outside) { o.down = true })
		time.Sleep(l.every)
		synctest.Wait()
		equal(t, "pending", l.of("one").Pending, 7)
		l.stop()

		src.say(l.chain.At(t, 6).Note, 6, nil)
		l.start()
		time.Sleep(l.every)
		o.set(func(o *outside) { o.down = false })
		time.Sleep(l.every)
		synctest.Wait()
		equal(t, "receipts", l.receipts("one"), []uint64{5, 7})

		// The same state with more seals is put as it was first said.
		l.chain.Grow(1)
		first := l.chain.Sealed(t, 8, "arb-a", "court-a", "notary-a")
		src.say(first, 8, nil)
		o.set(func(o *outside) { o.down = true })
		time.Sleep(2 * l.every)
		src.say(nil, 0, nil)
		o.set(func(o *outside) { o.down = false })
		time.Sleep(l.every)
		synctest.Wait()
		all, err := l.Covering(8)
		if err != nil || len(all) != 1 || !bytes.HasPrefix(all[0].Note, first) {
			t.Errorf("Covering(8): %v, %v: not the pending note", all, err)
		}
		l.stop()
		l.honest()
	})
}

// A source that fails is asked again.
func TestSourceFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, "one")
		src := &claims{Chain: l.chain}
		src.say(nil, 0, errors.New("the disk is gone"))
		l.source = src
		l.start()
		defer l.stop()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if st := l.of("one"); !strings.Contains(st.LastError, "the disk is gone") || st.NextTry.IsZero() {
			t.Errorf("status: %+v", st)
		}
		src.say(nil, 0, nil)
		time.Sleep(l.every)
		synctest.Wait()
		equal(t, "receipts", l.receipts("one"), []uint64{1})
	})
}

// A receipt that a court would not take is not stored.
func TestReceiptRefused(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(*anchor.Receipt)
		says  string
	}{
		{"a bit", func(r *anchor.Receipt) { r.Note[len(r.Note)-9] ^= 1 }, "does not verify"},
		{"no line", func(r *anchor.Receipt) { r.Note = r.Note[:bytes.LastIndex(r.Note, []byte("— "))] }, "does not verify"},
		{"another note", func(r *anchor.Receipt) { r.Note = append([]byte("x"), r.Note...) }, "another note"},
		{"data", func(r *anchor.Receipt) { r.Data = []byte("x") }, "does not verify"},
		{"long", func(r *anchor.Receipt) { r.Note = append(r.Note, make([]byte, 64<<10)...) }, "at most"},
		{"nothing", func(r *anchor.Receipt) { *r = anchor.Receipt{} }, "another note"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t, "one")
				o := l.outside[0]
				o.set(func(o *outside) { o.spoil = test.spoil })
				l.start()
				defer l.stop()
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				equal(t, "stored", l.receipts("one"), []uint64{})
				if st := l.of("one"); !strings.Contains(st.LastError, test.says) || st.Alarm != nil || st.Attempts < 2 {
					t.Errorf("status: %+v", st)
				}
				o.set(func(o *outside) { o.spoil = nil })
				time.Sleep(l.every)
				synctest.Wait()
				equal(t, "stored", l.receipts("one"), []uint64{1})
			})
		})
	}
}

// An anchor that is not configured any more is still read.
func TestRetired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, "old", "kept")
		old := l.outside[0]
		l.start()
		synctest.Wait()
		root := old.root
		old.set(func(o *outside) { o.root = merkle.LeafHash([]byte("other")) })
		l.chain.Grow(1)
		time.Sleep(2 * l.every)
		l.stop()
		old.set(func(o *outside) { o.root = root })

		l.outside = l.outside[1:]
		l.start()
		synctest.Wait()
		all, err := l.Covering(1)
		if err != nil || len(all) != 2 || all[0].Name != "kept" || all[1].Name != "old" {
			t.Fatalf("Covering(1): %v, %v", all, err)
		}
		st := l.of("old")
		if !st.Retired || st.Size != 1 || st.Kind != "witness" || st.Alarm == nil || st.StoredAt.IsZero() {
			t.Errorf("status: %+v", st)
		}
		if err := l.Resume("old"); err != nil {
			t.Fatal(err)
		}
		if st := l.of("old"); st.Alarm != nil {
			t.Errorf("status: %+v", st)
		}
		l.stop()

		l.outside = append(l.outside, old)
		l.start()
		time.Sleep(l.every)
		synctest.Wait()
		equal(t, "configured again", l.receipts("old"), []uint64{1, 2})
		l.stop()
	})
}

// Statuses are asked for, and proofs read, while everything happens.
func TestConcurrentUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, "one", "two", "three")
		l.every = time.Second
		l.start()
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for size := range uint64(200) {
					stored, err := l.Covering(size)
					if err != nil {
						t.Error(err)
					}
					if !slices.IsSortedFunc(stored, func(a, b anchor.Stored) int { return strings.Compare(a.Name, b.Name) }) {
						t.Error("not sorted")
					}
					l.Status()
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		for i := range 20 {
			l.chain.Grow(1)
			l.outside[i%3].set(func(o *outside) { o.cut = true })
			time.Sleep(time.Second)
		}
		all.Wait()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		for _, o := range l.outside {
			equal(t, o.name, l.newest(o.name), 21)
		}
		l.stop()
		l.honest()
	})
}
