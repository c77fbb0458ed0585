package anchor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qifeng/anchor"
	"qifeng/proof/merkle"
)

// errCrash is what a dead process would never see.
var errCrash = errors.New("fault: the process has died")

// errStep is a step that failed.
var errStep = errors.New("fault: the step failed")

// fault happens at one place, when it is passed for the nth time.
type fault struct {
	at   string
	nth  int
	kill bool

	mu     sync.Mutex // guards what follows
	passed int
	done   bool
	dead   bool
	life   *life
	left   string // what a kill -9 leaves: the folder as it was written at that moment
}

func (f *fault) point(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return errCrash
	}
	if f.done || name != f.at {
		return nil
	}
	if f.passed++; f.passed < f.nth {
		return nil
	}
	f.done = true
	if !f.kill {
		return errStep
	}
	f.dead = true
	if err := os.CopyFS(f.left, os.DirFS(f.life.dir)); err != nil {
		panic(err)
	}
	if f.life.cancel != nil {
		f.life.cancel() // nothing more is sent by the dead one
	}
	return errCrash
}

func (f *fault) died() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

// inherit makes the next life begin with what the dead one left.
func (f *fault) inherit() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		f.dead, f.life.dir = false, f.left
	}
}

// told are the sizes that somebody was told to be anchored.
func (l *life) told() (sizes []uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.What == anchor.Succeeded {
			sizes = append(sizes, e.Size)
		}
	}
	return sizes
}

// TestFaults ends the process, or lets the step fail, at each place and each time
// that it is passed, in a story with receipts, a conflict and an operator. A
// place before a write is a step that failed and was not kept, one after it a
// step that failed and was kept.
func TestFaults(t *testing.T) {
	t.Cleanup(func() { anchor.SetPoint(func(string) error { return nil }) })
	hit := map[string]int{}
	for _, at := range anchor.Points {
		for _, kill := range []bool{true, false} {
			for nth := 1; ; nth++ {
				name := fmt.Sprintf("%s/%d/kill=%v", at, nth, kill)
				reached := false
				if !t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { reached = story(t, &fault{at: at, nth: nth, kill: kill}) })
				}) || !reached {
					break
				}
				hit[at]++
			}
		}
	}
	for _, at := range anchor.Points {
		if hit[at] < 2 {
			t.Errorf("%s was not reached", at)
		}
	}
}

// story says whether the fault happened.
func story(t *testing.T, f *fault) bool {
	l := newLife(t, "one")
	f.life, f.left = l, filepath.Join(t.TempDir(), "left")
	anchor.SetPoint(f.point)
	o := l.outside[0]

	rise := func() {
		t.Helper()
		var err error
		for range 3 {
			f.inherit()
			if err = l.open(); err == nil {
				break
			}
		}
		if err != nil {
			t.Fatalf("it does not start again: %v", err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		l.cancel, l.done = cancel, make(chan struct{})
		go func() {
			defer close(l.done)
			l.Run(ctx)
		}()
	}
	// wait lets time pass; who dies meanwhile rises, and gets the time anew.
	wait := func(d time.Duration) {
		t.Helper()
		time.Sleep(d)
		synctest.Wait()
		if !f.died() {
			return
		}
		l.stop()
		rise()
		time.Sleep(d)
		synctest.Wait()
	}

	rise()
	wait(2 * time.Minute)
	for range 2 {
		l.chain.Grow(2)
		wait(2 * time.Minute)
	}
	equal(t, "anchored", l.newest("one"), l.chain.Size())

	// The witness holds another state: an alarm.
	honest := o.root
	o.set(func(o *outside) { o.root = merkle.LeafHash([]byte("another")) })
	l.chain.Grow(1)
	wait(2 * time.Minute)
	st := l.of("one")
	if st.Alarm == nil || st.Alarm.Size != l.chain.Size() || len(st.Alarm.Ours) == 0 || len(st.Alarm.Theirs) == 0 {
		t.Fatalf("no alarm with both statements: %+v", st)
	}
	puts := len(o.puts)
	wait(10 * time.Minute)
	equal(t, "calls after the alarm", len(o.puts), puts)
	o.set(func(o *outside) { o.root = honest })

	// An operator looks at it, and may try twice.
	err := l.Resume("one")
	wait(0)
	if err != nil {
		if err := l.Resume("one"); err != nil && !errors.Is(err, anchor.ErrNoAlarm) {
			t.Errorf("Resume once more: %v", err)
		}
	}
	l.chain.Grow(1)
	wait(2 * time.Minute)
	last := l.chain.Size()
	equal(t, "anchored in the end", l.newest("one"), last)
	equal(t, "alarms kept", anchor.Alarms(l.Service, "one"), 1)
	l.honest()

	// Nothing lost, nothing doubled, in this process and in the next one.
	for range 2 {
		sizes := l.receipts("one")
		for _, size := range l.told() {
			if !slices.Contains(sizes, size) {
				t.Errorf("the receipt for size %d was told of, and is gone: %v", size, sizes)
			}
		}
		for _, size := range sizes {
			if !slices.Contains(o.taken, size) {
				t.Errorf("a receipt for size %d, which the witness never took: %v", size, o.taken)
			}
		}
		if got := l.told(); len(slices.Compact(slices.Sorted(slices.Values(got)))) != len(got) {
			t.Errorf("told twice: %v", got)
		}
		equal(t, "pending", l.of("one").Pending, 0)
		puts = len(o.puts)
		l.stop()
		l.start()
		synctest.Wait()
	}
	time.Sleep(time.Hour)
	equal(t, "calls after a start with nothing new", len(o.puts), puts)
	l.stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done
}
