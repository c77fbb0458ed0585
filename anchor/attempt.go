package anchor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// An attempt, and what a crash leaves at each of its steps:
//
//  1. The newest sealed checkpoint is chosen, or the pending statement, byte for
//     byte, if that is not smaller: the witness may hold it already, and would
//     take a smaller one, or another root of this size, for a lie. It is opened by
//     the policy, its quorum is met, and it grows out of the newest receipt's.
//  2. It is stored as the pending statement. After a crash from here on it is not
//     known whether the witness has it: it, or a larger one, is put again.
//  3. The witness is asked. Of a statement that it took without our hearing of
//     it, nothing is lost: the next one covers it.
//  4. The receipt is verified as a court would.
//  5. In one batch the receipt is stored and the pending statement removed. A
//     crash before repeats from 1, a crash after leaves nothing to do.
//  6. Memory and status follow.
//
// If the witness contradicts, 4 and 5 are: in one batch the alarm is stored with
// both statements and the pending one removed. A crash before has the witness
// contradict once more.

// choose returns the checkpoint that is due, or nil. The smaller ones that came
// meanwhile are covered by it.
func (w *worker) choose(k *known) (*Checkpoint, error) {
	note, size, ok, err := w.s.cfg.Source.Checkpoint()
	if err != nil {
		return nil, fmt.Errorf("asking for the newest sealed checkpoint: %w", err)
	}
	if !ok {
		note, size = nil, 0
	}
	for _, held := range k.held() {
		if held.size == size && !bytes.Equal(body(held.note), body(note)) {
			return nil, w.split(held.note, note, size)
		}
	}
	if k.pending != nil && k.pending.size >= size {
		note, size = k.pending.note, k.pending.size
	}
	if len(note) == 0 || k.newest != nil && size <= k.newest.Size {
		return nil, nil
	}
	return w.open(note, size)
}

// split says that there are two checkpoints of one size, where both are sealed.
func (w *worker) split(held, note []byte, size uint64) error {
	if _, err := w.open(note, size); err != nil {
		return err
	}
	return &Conflict{Size: size, Ours: note, Theirs: held,
		Err: fmt.Errorf("%s was given another sealed checkpoint of this size", w.name)}
}

// body is the part of a note that is signed.
func body(note []byte) []byte {
	b, _, _ := bytes.Cut(note, []byte("\n\n"))
	return b
}

// held are the statements that the witness has, or may have.
func (k *known) held() (out []pending) {
	if k.newest != nil {
		out = append(out, pending{size: k.newest.Size, note: k.newest.Note})
	}
	if k.pending != nil {
		out = append(out, *k.pending)
	}
	return out
}

// open reads a note and refuses what is not sealed.
func (w *worker) open(note []byte, size uint64) (*Checkpoint, error) {
	sealed, err := checkpoint.Open(note, w.s.cfg.Policy, checkpoint.Options{})
	if err != nil {
		return nil, err
	}
	if !sealed.Met {
		return nil, fmt.Errorf("the checkpoint of size %d: %w: %s", size, checkpoint.ErrNotSealed, sealed.Missing)
	}
	if sealed.Size != size {
		return nil, fmt.Errorf("the checkpoint of size %d was given as one of size %d", sealed.Size, size)
	}
	return &Checkpoint{Size: size, Root: sealed.Root, Note: slices.Clone(note)}, nil
}

// grows checks that a checkpoint grows out of what the witness has a receipt
// for, or may have been given.
func (w *worker) grows(k *known, cp Checkpoint) error {
	for _, held := range k.held() {
		if bytes.Equal(held.note, cp.Note) {
			continue
		}
		if err := w.growsFrom(held.note, held.size, cp); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) growsFrom(note []byte, size uint64, cp Checkpoint) error {
	old, err := w.open(note, size)
	if err != nil {
		return fmt.Errorf("opening the note that %s was given for size %d: %w", w.name, size, err)
	}
	var path []merkle.Digest
	if old.Size < cp.Size {
		if path, err = w.s.cfg.Source.Consistency(old.Size, cp.Size); err != nil {
			return fmt.Errorf("asking for the path from size %d to %d: %w", old.Size, cp.Size, err)
		}
	}
	if err := merkle.VerifyConsistency(old.Size, cp.Size, old.Root, cp.Root, path); err != nil {
		return &Conflict{Size: cp.Size, Ours: cp.Note, Theirs: old.Note,
			Err: fmt.Errorf("this ledger does not show that it grew out of what %s was given for size %d: %w", w.name, old.Size, err)}
	}
	return nil
}

// attempt brings one checkpoint to the witness.
func (w *worker) attempt(ctx context.Context, k *known, cp Checkpoint) pause {
	began := time.Now()
	w.update(func(st *Status) { st.Attempts, st.NextTry = st.Attempts+1, time.Time{} })
	err := w.bring(ctx, k, cp)
	took := time.Since(began)
	var conflict *Conflict
	switch {
	case err == nil:
		if w.backoff > 0 {
			w.log.Info("an anchor works again", "size", cp.Size)
		}
		w.next, w.backoff = began.Add(w.every), 0
		w.s.cfg.Observe(Event{Name: w.name, Kind: w.kind, What: Succeeded, Size: cp.Size, Took: took})
		return pause{}
	case errors.As(err, &conflict):
		return w.alarm(conflict, cp, took)
	case ctx.Err() != nil:
		return pause{} // the service ends; the pending statement says what was under way
	default:
		return w.failed(err, cp.Size, took)
	}
}

// bring makes steps 1 to 6.
func (w *worker) bring(ctx context.Context, k *known, cp Checkpoint) error {
	r, err := w.unstored, error(nil)
	if r == nil || !bytes.HasPrefix(r.Note, cp.Note) {
		if r, err = w.receive(ctx, k, cp); err != nil {
			return err
		}
	}
	r.previous = 0
	if k.newest != nil {
		r.previous = k.newest.Size
	}
	w.unstored = r
	if err := w.s.store.putReceipt(r); err != nil {
		return err
	}
	w.unstored = nil
	w.log.Debug("a checkpoint is anchored", "size", r.Size)
	w.update(func(st *Status) {
		st.Size, st.StoredAt, st.Time = r.Size, r.StoredAt, r.Time
		st.Pending, st.Attempts, st.LastError, st.Hanging = 0, 0, "", false
	})
	return nil
}

// receive makes steps 1 to 4.
func (w *worker) receive(ctx context.Context, k *known, cp Checkpoint) (*receipt, error) {
	if err := w.grows(k, cp); err != nil {
		return nil, err
	}
	if k.pending == nil || !bytes.Equal(k.pending.note, cp.Note) {
		if err := w.s.store.putPending(w.name, &pending{size: cp.Size, since: w.s.cfg.Now(), note: cp.Note}); err != nil {
			return nil, err
		}
		w.update(func(st *Status) { st.Pending = cp.Size })
	}
	got, err := w.put(ctx, cp)
	if err != nil {
		return nil, err
	}
	if err := point(pointAnswered); err != nil {
		return nil, err
	}
	r, err := w.verify(cp, got)
	if err != nil {
		return nil, fmt.Errorf("the receipt does not verify: %w: %w", ErrSpent, err)
	}
	return r, nil
}

// verify judges a receipt as a court would, and by what was asked for.
func (w *worker) verify(cp Checkpoint, got Receipt) (*receipt, error) {
	added, ok := bytes.CutPrefix(got.Note, cp.Note)
	if !ok || len(added) > 0 && w.kind != proof.AnchorWitness {
		return nil, errors.New("it covers another note than the one that was put")
	}
	if len(got.Note) > maxNote || len(got.Data) > maxData {
		return nil, fmt.Errorf("it has %d bytes and a note of %d, at most %d and %d", len(got.Data), len(got.Note), maxData, maxNote)
	}
	rep, err := w.s.cfg.Verify(&proof.Anchor{Kind: w.kind, Name: w.name, Checkpoint: got.Note, Receipt: got.Data})
	if err != nil {
		return nil, err
	}
	return &receipt{Stored: Stored{Name: w.name, Kind: w.kind, Size: cp.Size,
		Note: slices.Clone(got.Note), Data: slices.Clone(got.Data), StoredAt: w.s.cfg.Now(), Time: rep.Time}}, nil
}

// put asks the witness. A call that has not returned well after its deadline is
// said to hang, and is waited for: with a second one beside it nobody would know
// which of them the witness has heard. The end of the service waits for a moment
// and leaves it to the end of the process; what it returns then is not looked at.
func (w *worker) put(ctx context.Context, cp Checkpoint) (Receipt, error) {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, w.limit)
	defer cancel()
	done := make(chan answer, 1)
	go func() { done <- w.call(limited, cp) }()

	select {
	case a := <-done:
		return a.receipt, a.err
	case <-limited.Done():
	}
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case a := <-done:
		return a.receipt, a.err
	case <-ctx.Done():
		return lastWord(ctx, done)
	case <-patience.C:
	}
	text := fmt.Sprintf("a call for size %d has not returned %v after its deadline; no other is made until it does", cp.Size, grace)
	w.log.Error("a call to an anchor hangs", "size", cp.Size)
	w.update(func(st *Status) { st.LastError, st.Hanging = text, true })
	w.s.cfg.Observe(Event{Name: w.name, Kind: w.kind, What: Hung, Size: cp.Size, Took: time.Since(began)})
	select {
	case a := <-done:
		return a.receipt, a.err
	case <-ctx.Done():
		return lastWord(ctx, done)
	}
}

// lastWord waits for a call when the service ends: a receipt that comes now is
// one that need not be asked for again.
func lastWord(ctx context.Context, done <-chan answer) (Receipt, error) {
	t := time.NewTimer(endGrace)
	defer t.Stop()
	select {
	case a := <-done:
		return a.receipt, a.err
	case <-t.C:
		return Receipt{}, context.Cause(ctx)
	}
}

type answer struct {
	receipt Receipt
	err     error
}

// call asks the driver. What a witness sends must not end the node, not even
// through an error of a driver.
func (w *worker) call(ctx context.Context, cp Checkpoint) (a answer) {
	defer func() {
		if r := recover(); r != nil {
			w.log.Error("an anchor's driver panicked", "panic", r, "stack", string(debug.Stack()))
			a = answer{err: fmt.Errorf("the driver panicked: %v", r)}
		}
	}()
	r, err := w.anchor.Put(ctx, cp, w.s.cfg.Source)
	return answer{r, err}
}

// alarm stops this anchor. What contradicts is kept before anything else is done.
func (w *worker) alarm(c *Conflict, cp Checkpoint, took time.Duration) pause {
	a := &storedAlarm{Alarm: Alarm{Name: w.name, At: w.s.cfg.Now(), Size: c.Size, Ours: c.Ours, Theirs: c.Theirs, Text: clip(c.Error())}}
	if c.Size == 0 {
		a.Size = cp.Size
	}
	if len(a.Ours) == 0 || len(a.Ours) > maxNote {
		a.Ours = cp.Note
	}
	if len(a.Theirs) > maxStatement {
		a.Theirs, a.Text = a.Theirs[:maxStatement], clip(fmt.Sprintf("(cut from %d bytes) %s", len(a.Theirs), a.Text))
	}
	w.log.Error("an anchor contradicts this ledger; it is stopped until an operator has looked", "size", a.Size,
		"ours", clip(string(a.Ours)), "theirs", clip(string(a.Theirs)), "error", a.Text)
	w.s.cfg.Observe(Event{Name: w.name, Kind: w.kind, What: Alarmed, Size: a.Size, Took: took})
	shown := a.Alarm
	w.update(func(st *Status) { st.Alarm, st.LastError, st.Hanging = &shown, a.Text, false })
	w.unkept = a
	if err := w.keepAlarm(); err != nil {
		return w.failed(err, a.Size, took)
	}
	return pause{}
}

// keepAlarm makes an alarm durable. Until it is, nothing else is done; a write
// that failed may have been kept, and is not doubled.
func (w *worker) keepAlarm() error {
	if err := w.s.store.settle(); err != nil {
		return err
	}
	last, err := w.s.store.lastAlarm(w.name)
	if err != nil {
		return err
	}
	a := w.unkept
	if last != nil && last.At.Equal(a.At) && last.Size == a.Size {
		w.unkept = nil
		return nil
	}
	a.number = 1
	if last != nil {
		a.number = last.number + 1
	}
	if err := w.s.store.putAlarm(a); err != nil {
		return err
	}
	w.unkept = nil
	return nil
}
