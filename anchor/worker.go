package anchor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"qifeng/proof"
)

// worker brings checkpoints to one anchor, one at a time. Its goroutine keeps no
// state beside the store but when to try next: each round reads the store again,
// as the first one after a start does.
type worker struct {
	s      *Service
	name   string
	kind   proof.AnchorKind
	every  time.Duration
	limit  time.Duration
	anchor Anchor
	log    *slog.Logger
	wake   chan struct{} // an operator has resumed it

	next    time.Time     // no attempt before
	backoff time.Duration // after the last failure; 0 after a receipt
	unkept  *storedAlarm  // an alarm that could not be written yet
	// unstored is a receipt that could not be written yet: it may have been paid for,
	// and is not asked for again while its checkpoint is the one to put.
	unstored *receipt
	told     time.Time // when a failure was logged last

	mu     sync.Mutex // guards what follows
	status Status
}

func newWorker(s *Service, n Named) *worker {
	kind := n.Anchor.Kind()
	return &worker{s: s, name: n.Name, kind: kind, every: n.Every, limit: n.Timeout, anchor: n.Anchor,
		log: s.log.With("anchor", n.Name), wake: make(chan struct{}, 1), status: Status{Name: n.Name, Kind: kind}}
}

// load reads what the store knows, at Open.
func (w *worker) load() error {
	known, err := w.known()
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		w.update(func(st *Status) { st.LastError = clip(err.Error()) })
		w.log.Error("what is stored of an anchor is damaged", "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	if known.newest != nil {
		if known.newest.Kind != w.kind {
			return fmt.Errorf("anchor %s is configured as %s, and its receipts are of %s: an anchor of another kind needs a name of its own",
				w.name, w.kind, known.newest.Kind)
		}
		// After a start there is no hurry: the last receipt is not older than it says.
		since := w.s.cfg.Now().Sub(known.newest.StoredAt)
		w.next = time.Now().Add(min(max(w.every-since, 0), w.every))
	}
	if known.pending != nil {
		w.next = time.Now() // it may be at the witness already
	}
	if a := known.alarm; a != nil {
		w.log.Warn("an anchor is stopped by an alarm that nobody has ended", "size", a.Size, "at", a.At)
	}
	return nil
}

// known is what the store has of an anchor.
type known struct {
	newest  *receipt
	pending *pending
	alarm   *storedAlarm // open
}

// known reads the store, and shows it in the status.
func (w *worker) known() (*known, error) {
	if err := w.s.store.settle(); err != nil {
		return nil, err
	}
	newest, err := w.s.store.newest(w.name)
	if err != nil {
		return nil, err
	}
	p, err := w.s.store.pending(w.name)
	if err != nil {
		return nil, err
	}
	a, err := w.s.store.lastAlarm(w.name)
	if err != nil {
		return nil, err
	}
	if a != nil && !a.resumed.IsZero() {
		a = nil
	}
	w.update(func(st *Status) {
		if newest != nil {
			st.Size, st.StoredAt, st.Time = newest.Size, newest.StoredAt, newest.Time
		}
		st.Pending = 0
		if p != nil {
			st.Pending = p.size
		}
		if a != nil {
			st.Alarm = &a.Alarm
		} else if w.unkept == nil {
			st.Alarm = nil
		}
	})
	return &known{newest: newest, pending: p, alarm: a}, nil
}

// run makes rounds until ctx is done.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		changed := w.s.cfg.Source.Changed() // before the source is asked, so that nothing is missed
		wait := w.round(ctx)
		w.sleep(ctx, wait, changed)
	}
}

// pause says until when a worker does nothing.
type pause struct {
	until    time.Duration // from now; below 0 for no end
	onChange bool          // a change of the source ends it too
}

func (w *worker) sleep(ctx context.Context, p pause, changed <-chan struct{}) {
	if p.until == 0 {
		return
	}
	var after <-chan time.Time
	if p.until > 0 {
		t := time.NewTimer(p.until)
		defer t.Stop()
		after = t.C
	}
	if !p.onChange {
		changed = nil
	}
	select {
	case <-ctx.Done():
	case <-after:
	case <-changed:
	case <-w.wake:
	}
}

// round makes an attempt if there is something to do and its time has come.
func (w *worker) round(ctx context.Context) pause {
	if w.unkept != nil {
		if err := w.keepAlarm(); err != nil {
			return w.failed(err, 0, 0)
		}
	}
	known, err := w.known()
	if err != nil {
		return w.failed(err, 0, 0)
	}
	if known.alarm != nil {
		w.update(func(st *Status) { st.NextTry = time.Time{} })
		return pause{until: -1}
	}
	if wait := time.Until(w.next); wait > 0 {
		return w.waiting(wait)
	}
	cp, err := w.choose(known)
	var conflict *Conflict
	if errors.As(err, &conflict) {
		return w.alarm(conflict, Checkpoint{Size: conflict.Size, Note: conflict.Ours}, 0)
	}
	if err != nil {
		return w.failed(err, 0, 0)
	}
	if cp == nil {
		w.update(func(st *Status) { st.NextTry = time.Time{} })
		return pause{until: w.every, onChange: true}
	}
	return w.attempt(ctx, known, *cp)
}

func (w *worker) waiting(wait time.Duration) pause {
	next := w.s.cfg.Now().Add(wait)
	w.update(func(st *Status) { st.NextTry = next })
	return pause{until: wait}
}

// failed notes a failure, and waits: a second, then twice as long each time, up
// to the cadence; half of it by chance, so that those who lost one witness do not
// come back together. Where no repetition helps it is half the cadence or more
// at once, and all of it where a receipt was wasted.
func (w *worker) failed(err error, size uint64, took time.Duration) pause {
	text := clip(err.Error())
	level := slog.LevelDebug
	if w.backoff == 0 || time.Since(w.told) >= logEvery {
		level, w.told = slog.LevelWarn, time.Now()
	}
	w.log.Log(context.Background(), level, "an anchor failed; it is tried again", "size", size, "error", text)
	w.update(func(st *Status) { st.LastError, st.Hanging = text, false })
	w.s.cfg.Observe(Event{Name: w.name, Kind: w.kind, What: Failed, Size: size, Took: took})
	w.backoff = min(max(2*w.backoff, firstBackoff), w.every)
	if errors.Is(err, ErrRefused) {
		w.backoff = w.every
	}
	wait := w.backoff/2 + rand.N(w.backoff/2+1)
	if errors.Is(err, ErrSpent) {
		w.backoff, wait = w.every, w.every
	}
	w.next = time.Now().Add(wait)
	return w.waiting(wait)
}

func (w *worker) update(f func(*Status)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.status)
}

func (w *worker) report() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	st := w.status
	if st.Alarm != nil {
		a := *st.Alarm
		st.Alarm = &a
	}
	return st
}

// showsAlarm says whether the worker stands still for this alarm.
func (w *worker) showsAlarm(a *storedAlarm) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return a != nil && w.status.Alarm != nil && w.status.Alarm.At.Equal(a.At) && w.status.Alarm.Size == a.Size
}

// resume goes on after an alarm.
func (w *worker) resume() {
	w.update(func(st *Status) { st.Alarm, st.LastError = nil, "" })
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// close closes the driver, and does not wait for one that hangs.
func (w *worker) close() error {
	done := make(chan error, 1)
	go func() { done <- w.anchor.Close() }()
	t := time.NewTimer(closeGrace)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		return errors.New("it has not returned; it is left to the end of the process")
	}
}
