package anchor_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qifeng/anchor"
	"qifeng/proof/merkle"
)

// errorLog keeps what is logged at a level and above.
type errorLog struct {
	slog.Handler
	level slog.Level
	mu    sync.Mutex
	said  []string
}

func (e *errorLog) Enabled(context.Context, slog.Level) bool { return true }
func (e *errorLog) WithAttrs([]slog.Attr) slog.Handler       { return e }
func (e *errorLog) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= e.level {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.said = append(e.said, r.Message)
	}
	return nil
}

// A contradiction stops one anchor, durably, until an operator has looked.
func TestConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, "lying", "well")
		errs := &errorLog{Handler: slog.DiscardHandler, level: slog.LevelError}
		l.log = errs
		o := l.outside[0]
		l.start()
		synctest.Wait()
		honest := o.root
		o.set(func(o *outside) { o.root, o.note = merkle.LeafHash([]byte("other")), []byte("what the witness says") })
		l.chain.Grow(3)
		time.Sleep(2 * l.every)
		puts := len(o.puts)
		for range 5 {
			l.chain.Grow(1)
			time.Sleep(2 * l.every)
			synctest.Wait()
		}
		check := func() {
			t.Helper()
			equal(t, "calls after the alarm", len(o.puts), puts)
			st := l.of("lying")
			a := st.Alarm
			if a == nil || a.Name != "lying" || a.Size != 4 || !bytes.Equal(a.Ours, l.chain.At(t, 4).Note) ||
				string(a.Theirs) != "what the witness says" || a.Text == "" || a.At.IsZero() || !st.NextTry.IsZero() || st.Pending != 0 {
				t.Errorf("status: %+v", st)
			}
			equal(t, "error log", errs.said, []string{"an anchor contradicts this ledger; it is stopped until an operator has looked"})
			equal(t, "events", len(l.failures("lying", anchor.Alarmed)), 1)
		}
		check()
		equal(t, "the other", l.newest("well"), 9)
		l.stop()
		l.start()
		time.Sleep(time.Hour)
		synctest.Wait()
		check()

		if err := l.Resume("well"); !errors.Is(err, anchor.ErrNoAlarm) {
			t.Errorf("Resume without an alarm: %v", err)
		}
		if err := l.Resume("nobody"); !errors.Is(err, anchor.ErrNoAlarm) {
			t.Errorf("Resume of no anchor: %v", err)
		}
		// The witness still lies: a second alarm, beside the first.
		if err := l.Resume("lying"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if st := l.of("lying"); st.Alarm == nil || st.Alarm.Size != 9 {
			t.Errorf("status: %+v", st)
		}
		equal(t, "alarms kept", anchor.Alarms(l.Service, "lying"), 2)
		o.set(func(o *outside) { o.root = honest })
		if err := l.Resume("lying"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		equal(t, "receipts", l.receipts("lying"), []uint64{1, 9})
		if st := l.of("lying"); st.Alarm != nil || st.LastError != "" {
			t.Errorf("status: %+v", st)
		}
		l.stop()
	})
}

// Two states of this ledger itself are an alarm too, and no witness is asked.
func TestOwnFork(t *testing.T) {
	for _, test := range []struct {
		name    string
		pending bool // the witness has not answered for the first state
		grow    int  // of the fork, beyond the size of the first
	}{
		{"same size", false, 0}, {"larger", false, 3},
		{"same size, pending", true, 0}, {"larger, pending", true, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t, "one")
				o := l.outside[0]
				o.set(func(o *outside) { o.down = test.pending })
				l.chain.Grow(4)
				l.start()
				synctest.Wait()
				l.stop()
				o.set(func(o *outside) { o.down = false })
				first := l.chain.At(t, 5).Note
				fork := l.chain.Fork(t, 2)
				if test.grow > 0 {
					fork.Grow(test.grow)
				}
				puts := len(o.puts)
				l.source = fork
				l.start()
				time.Sleep(2 * l.every)
				synctest.Wait()
				a := l.of("one").Alarm
				if a == nil || a.Size != fork.Size() || !bytes.Equal(a.Ours, fork.At(t, fork.Size()).Note) || !bytes.HasPrefix(a.Theirs, first) {
					t.Errorf("alarm: %+v", a)
				}
				equal(t, "calls", len(o.puts), puts)
				l.stop()
			})
		})
	}
}
