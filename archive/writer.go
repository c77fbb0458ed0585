package archive

import (
	"errors"
	"fmt"
	"time"

	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// write is the writer: the only goroutine that adds groups and opens batches.
func (a *Archive) write() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if wait := a.turn(); wait > 0 {
			timer.Reset(wait)
		}
		select {
		case <-timer.C:
		case m, ok := <-a.groups:
			if !ok {
				return
			}
			a.commit(m)
		case <-a.nudge:
			a.lookAtChain()
		}
	}
}

// commit stores a group and answers its requests. Commit order:
//
//  1. sign the receipt head for the open batch's seq;
//  2. append records, statements and head to its journal as one frame, fsync;
//  3. trees of the batch, index (which need no fsync: recovery makes them again);
//  4. answer.
//
// A crash before the end of 2 leaves a torn tail, or a group that nobody was
// told of and that a retry finds. From then on the receipt can be answered byte
// for byte.
func (a *Archive) commit(m *made) {
	err := m.err
	if err == nil && m.group != nil {
		err = a.store(m.group)
	}
	for i, w := range m.works { // before the answers, so that a caller's next request fits
		a.pendingRecords.Add(-int64(len(w.req.Submissions)))
		if err != nil {
			m.results[i] = result{err: err}
		}
	}
	close(m.done)
	for i, w := range m.works {
		w.done <- m.results[i]
	}
}

// store makes g durable; see commit.
func (a *Archive) store(g *freshGroup) error {
	if err := a.refusal(); err != nil {
		return err
	}
	if a.open.records > 0 && (a.open.registry != g.registry ||
		a.open.records+uint64(len(g.records)) > uint64(a.limits.BatchRecords) ||
		a.open.size+g.bytes > a.limits.BatchBytes) {
		if err := a.rotate(); err != nil {
			return err
		}
	}
	b := a.open
	g.seq, g.base = b.seq, b.base()
	if err := a.signHead(g); err != nil {
		return err
	}
	frame := sealFrame(g.encode(a.frame), b.seq, b.size)
	a.frame = frame[:0]
	began := time.Now()
	if err := b.append(frame); err != nil {
		return a.failed(err)
	}
	a.cfg.Meter.GroupStored(GroupStored{Requests: len(g.statements), Records: len(g.records), Bytes: int64(len(frame)), Write: time.Since(began)})
	at := locator{seq: b.seq, offset: uint32(b.size)}
	b.grow(&g.group, g.leaves, int64(len(frame)))
	a.shares.add(g.owners())
	a.backlogRecords.Add(int64(len(g.records)))
	a.backlogBytes.Add(int64(len(frame)))
	entries := make([]entry, len(g.records))
	for i := range entries {
		entries[i] = entryOf(g.subs[i], g.pairs[i])
	}
	if err := a.index.add(at, entries); err != nil {
		return a.failed(err)
	}
	return nil
}

// failed decides what a failed write means: a full disk is refused and goes
// away, everything else stops the archive until it is opened again, which finds
// out what is on the disk.
func (a *Archive) failed(err error) error {
	if errors.Is(err, ErrFull) {
		a.alarm(AlarmFull, err.Error())
		return err
	}
	a.stop(AlarmFailed, fmt.Errorf("%w; check the disk and start the node again, which keeps everything that was acknowledged", err))
	return a.refusal()
}

func (a *Archive) signHead(g *freshGroup) error {
	root, err := merkle.RootAt(g.receipt.Size(), g.receipt)
	if err != nil {
		return fmt.Errorf("computing the receipt's root: %w", err)
	}
	received := time.UnixMilli(g.received).UTC()
	h := evidence.ReceiptHead{
		Count: uint64(len(g.records)), Deadline: received.Add(a.limits.ReceiptDeadline), Node: a.cfg.Node,
		ReceivedAt: received, Root: root, Seq: g.seq,
	}
	h.Sealed.Size, h.Sealed.Root = a.cfg.SealedHead()
	if h.Sealed.Size == 0 {
		h.Sealed.Root = merkle.EmptyRoot()
	}
	if g.head, err = h.Sign(a.cfg.ChainID, a.cfg.Intake); err != nil {
		return fmt.Errorf("signing the receipt: %w", err)
	}
	return nil
}

// stored assembles the answer for one record of a group that has just been made
// durable. trees keeps those of statements from one call to the next.
func (g *freshGroup) stored(node string, position uint32, trees map[uint32]*merkle.Tree) (s Stored, err error) {
	r := &g.records[position]
	st := &g.statements[r.statement]
	tree := trees[r.statement]
	if tree == nil {
		tree = merkle.NewTree(st.pairs)
		trees[r.statement] = tree
	}
	s = Stored{ID: evidence.IDOf(st.pairs[r.position]), Node: node, Seq: g.seq, Record: r.data, Statement: st.signed,
		ReceiptHead: g.head, ReceiptIndex: uint64(position),
		Stream: evidence.Streams[r.stream], StreamIndex: uint64(g.base[r.stream] + g.within[position])}
	if s.StatementPath, err = merkle.InclusionAt(uint64(r.position), tree.Size(), tree); err != nil {
		return Stored{}, err
	}
	if s.ReceiptPath, err = merkle.InclusionAt(uint64(position), g.receipt.Size(), g.receipt); err != nil {
		return Stored{}, err
	}
	return s, nil
}

// turn closes the open batch when it is time: nothing of ours is on its way to
// the chain, or the registry has changed. It returns when to look again, 0 where
// something else will say.
//
// A block costs every member what some thousand records cost this node. So after
// a large batch the next one is given BatchPace to fill.
func (a *Archive) turn() (wait time.Duration) {
	if a.refusal() != nil || a.open.records == 0 {
		return 0
	}
	size := a.cfg.Chain.RegistrySize()
	if moved := size != 0 && size != a.open.registry; !moved {
		a.mu.Lock()
		idle := len(a.closing) == 0 && len(a.queue) == 0
		a.mu.Unlock()
		if !idle {
			return 0
		}
		if wait := a.limits.BatchPace - time.Since(a.rotated); a.paced && wait > 0 {
			return wait
		}
	}
	if err := a.rotate(); err != nil {
		a.log.Warn("the batch stays open", "seq", a.open.seq, "error", err)
		return a.limits.RetryMax
	}
	return 0
}

// rotate opens the next batch and gives the open one to the outbox. The next
// journal exists before anything is done to the last, so an archive without an
// open journal has lost one.
func (a *Archive) rotate() error {
	next, err := a.newBatch(a.open.seq + 1)
	if err != nil {
		return err
	}
	a.rotated, a.paced = time.Now(), a.open.records >= uint64(a.limits.PacedRecords)
	a.mu.Lock()
	a.closing = append(a.closing, a.open)
	a.open = next
	a.mu.Unlock()
	poke(a.rouse)
	return nil
}

func (a *Archive) newBatch(seq uint64) (*batch, error) {
	b, err := createBatch(a.disk, a.path(journalDir), opening{seq, a.cfg.Node, a.cfg.ChainID})
	if err == nil {
		a.backlogBytes.Add(b.size)
		return b, nil
	}
	if isFull(err) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	return nil, a.failed(err)
}

// lookAtChain compares the open batch with the chain: a seq that the chain has
// passed cannot be used any more.
func (a *Archive) lookAtChain() {
	last, _, err := a.cfg.Chain.LastSeq(a.cfg.Node)
	if err != nil {
		a.log.Warn("cannot ask the chain for the last batch", "error", err)
		return
	}
	if last < a.open.seq || a.refusal() != nil {
		return
	}
	if a.open.records > 0 {
		a.stop(AlarmTampered, passedBy(a.open.seq, last))
		return
	}
	if err := a.skipTo(last + 2); err != nil {
		a.log.Warn("cannot pass over lost batches", "error", err)
	}
}

// passedBy is the error of a batch whose seq the chain has passed.
func passedBy(seq, last uint64) error {
	return &TamperedError{
		What: fmt.Sprintf("the chain has batch %d of this node, but batch %d with acknowledged records was never sent", last, seq),
		Mend: "another copy of this node ran, or this folder is an old backup: stop the copy, put the newest folder back",
	}
}

// skipTo replaces the empty open batch by one with a later seq and raises the
// gap alarm. One seq more is left out, since a lost journal may have promised it.
func (a *Archive) skipTo(seq uint64) error {
	old := a.open
	next, err := a.newBatch(seq)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.open = next
	a.mu.Unlock()
	a.backlogBytes.Add(-old.size)
	a.gap(old.seq, seq)
	if err := old.close(); err != nil {
		return err
	}
	return a.disk.remove(old.path)
}

func (a *Archive) gap(from, next uint64) {
	a.alarm(AlarmGap, fmt.Sprintf("the journals of batches %d to %d were lost: receipts given for records in them that are not on the chain cannot be kept; the archive goes on with batch %d",
		from, next-1, next))
}
