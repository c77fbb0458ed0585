package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// deliver is the outbox: it closes full batches and brings their headers to the
// chain, oldest first, one at a time.
func (a *Archive) deliver(ctx context.Context) {
	t := &tries{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed := a.cfg.Chain.Changed() // before looking, so that nothing is missed
		a.lookBehind()
		a.sealAll()
		wait := a.push(ctx, t)
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-changed:
			poke(a.nudge)
		case <-a.rouse:
		case <-timer.C:
		}
	}
}

// sealAll gives every full batch its footer. After a failed write it does not:
// what stands at the end of the files is for the next start to find out.
func (a *Archive) sealAll() {
	for a.refusal() == nil {
		a.mu.Lock()
		var b *batch
		if len(a.closing) > 0 {
			b = a.closing[0]
		}
		a.mu.Unlock()
		if b == nil {
			return
		}
		if err := a.seal(b); err != nil {
			a.log.Error("cannot close a batch", "seq", b.seq, "error", err)
			return
		}
	}
}

// seal closes a batch. Commit order:
//
//  1. sign the header;
//  2. append the footer, which holds it, to the journal, fsync;
//  3. rename the journal into the outbox, fsync of both folders;
//  4. memory and index; from now on the header may be sent.
//
// A crash during 2 leaves a torn tail: recovery rebuilds the same batch and
// signs its header anew, which is right since the first signature never left
// the process. A crash before 3 leaves a journal with a footer, which recovery
// moves. After 3 only these signed bytes are ever sent.
func (a *Archive) seal(b *batch) error {
	began := time.Now()
	last, _, err := a.cfg.Chain.LastSeq(a.cfg.Node)
	if err != nil {
		return fmt.Errorf("asking the chain for the last batch: %w", err)
	}
	if last >= b.seq { // a second header for one seq would be a fraud proof against us
		a.stop(AlarmTampered, passedBy(b.seq, last))
		return passedBy(b.seq, last)
	}
	header, err := b.header(a.cfg.Node, a.cfg.ChainID, a.cfg.Intake)
	if err != nil {
		return err
	}
	footer, err := encodeFooter(header, &b.trees, b.size)
	if err != nil {
		return fmt.Errorf("writing the footer of batch %d: %w", b.seq, err)
	}
	frame := sealFrame(footer, b.seq, b.size)
	if err := b.append(frame); err != nil {
		return a.failed(err)
	}
	s := &sealed{seq: b.seq, name: bodyName(b.seq, header), header: header, records: b.records,
		bytes: b.size + int64(len(frame)), first: b.first, last: b.last, closed: began, owners: b.owners}
	if err := moveFile(a.disk, b.path, a.path(outboxDir, s.name)); err != nil {
		return a.failed(fmt.Errorf("moving batch %d to the outbox: %w", b.seq, err))
	}
	if err := a.index.complete(s.seq, s.name); err != nil {
		return a.failed(err)
	}
	a.backlogBytes.Add(int64(len(frame)))
	a.mu.Lock()
	a.closing = a.closing[1:]
	a.queue = append(a.queue, s)
	a.mu.Unlock()
	return b.close()
}

// tries is what the outbox remembers of the header in flight.
type tries struct {
	seq   uint64
	delay time.Duration // before the next sending, doubled each time
	next  time.Time
	bad   bool // the last sending failed
}

// idleWait is how long the outbox sleeps when it waits for nothing: every
// change wakes it.
const idleWait = time.Minute

// push works off the queue as far as the chain lets it and returns when to look
// again. The chain's answer to Batch alone says that a header is in.
func (a *Archive) push(ctx context.Context, t *tries) time.Duration {
	for {
		a.mu.Lock()
		var s *sealed
		if len(a.queue) > 0 {
			s = a.queue[0]
		}
		closing := len(a.closing)
		a.mu.Unlock()
		if s == nil {
			if closing > 0 {
				return a.limits.RetryMax // a footer could not be written: try again
			}
			return idleWait
		}
		in, err := a.onChain(s)
		if errors.Is(err, ErrTampered) {
			a.stop(AlarmTampered, err)
			return idleWait
		}
		if err != nil {
			a.noteTry(s.seq, false, err)
			return a.limits.RetryMax
		}
		if !in {
			return a.send(ctx, s, t)
		}
		if err := a.confirm(s); err != nil {
			a.log.Error("cannot put away a batch that is on the chain", "seq", s.seq, "error", err)
			return a.limits.RetryMax
		}
	}
}

// onChain says whether the chain has the header of s. Where it has another one
// for this seq, or has passed it, the error is an ErrTampered.
func (a *Archive) onChain(s *sealed) (bool, error) {
	last, _, err := a.cfg.Chain.LastSeq(a.cfg.Node) // before Batch: the header may come in between
	if err != nil {
		return false, fmt.Errorf("asking the chain for the last batch: %w", err)
	}
	index, ok, err := a.cfg.Chain.Batch(a.cfg.Node, s.seq)
	if err != nil {
		return false, fmt.Errorf("asking the chain for batch %d: %w", s.seq, err)
	}
	if !ok {
		if last >= s.seq {
			return false, &TamperedError{Ours: s.header,
				What: fmt.Sprintf("the chain has passed to batch %d of this node without batch %d, which waits here", last, s.seq),
				Mend: "another copy of this node ran: stop it, and ask the members what it sent"}
		}
		return false, nil
	}
	entry, err := a.cfg.Chain.Entry(index)
	if err != nil {
		return false, fmt.Errorf("reading ledger entry %d: %w", index, err)
	}
	if !bytes.Equal(entry, s.header) {
		return false, &TamperedError{Ours: s.header, Theirs: entry,
			What: fmt.Sprintf("ledger entry %d is another header of batch %d than the one that waits here", index, s.seq),
			Mend: "another holder of the intake key signed it: stop it, replace the key, keep both headers"}
	}
	return true, nil
}

// confirm puts away a batch that the chain has. The folder only says what the
// chain says too, so a crash anywhere here costs one question at the next start.
func (a *Archive) confirm(s *sealed) error {
	dir := a.bodyFolder(s.seq)
	err := a.disk.mkdir(dir)
	if err == nil {
		err = moveFile(a.disk, a.path(outboxDir, s.name), filepath.Join(dir, s.name))
	}
	if isFull(err) {
		err = fmt.Errorf("%w: %w", ErrFull, err) // both steps can be done again
	}
	if err != nil {
		return a.failed(fmt.Errorf("moving batch %d out of the outbox: %w", s.seq, err))
	}
	a.mu.Lock()
	a.queue = a.queue[1:]
	a.inFlight = InFlight{}
	a.mu.Unlock()
	a.backlogRecords.Add(-int64(s.records))
	a.backlogBytes.Add(-s.bytes)
	a.shares.remove(s.owners)
	a.committed.Store(s.seq)
	a.tellCommitted(s)
	a.recent.add(filepath.Join(dir, s.name), s.bytes)
	poke(a.nudge)
	return nil
}

// send hands the signed header to the mempool when it is due, and returns when
// it is due again.
func (a *Archive) send(ctx context.Context, s *sealed, t *tries) time.Duration {
	if t.seq != s.seq {
		*t = tries{seq: s.seq}
	}
	// The wall clock may jump, so this is measured by the monotonic one.
	if wait := time.Until(t.next); wait > 0 {
		return wait
	}
	limited, cancel := context.WithTimeout(ctx, a.limits.SendTimeout)
	defer cancel()
	err := a.cfg.Chain.Submit(limited, s.header)
	if ctx.Err() != nil {
		return idleWait
	}
	first, most := a.limits.ResendFirst, a.limits.ResendMax
	if err != nil {
		first, most = a.limits.RetryFirst, a.limits.RetryMax
		a.log.Warn("the chain did not take a header; it is sent again", "seq", s.seq, "error", err)
	}
	if bad := err != nil; t.delay == 0 || bad != t.bad {
		t.delay, t.bad = first, bad
	} else {
		t.delay = min(2*t.delay, most)
	}
	t.next = time.Now().Add(t.delay)
	a.noteTry(s.seq, true, err)
	return t.delay
}

// noteTry keeps what Status shows of the header in flight.
func (a *Archive) noteTry(seq uint64, sent bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.inFlight.Seq != seq {
		a.inFlight = InFlight{Seq: seq, Since: a.cfg.Now()}
	}
	if sent {
		a.inFlight.Sent++
	}
	a.inFlight.Error = ""
	if err != nil {
		a.inFlight.Error = err.Error()
	}
}
