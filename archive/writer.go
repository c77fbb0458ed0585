package archive

import (
	"errors"
	"fmt"
	"slices"
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
		case w := <-a.work:
			a.commit(a.collect(w))
		case <-a.nudge:
			a.lookAtChain()
		case <-a.quit:
			for len(a.work) > 0 { // nothing is added any more
				a.commit(a.collect(<-a.work))
			}
			return
		}
	}
}

// collect takes what waits, up to a group.
func (a *Archive) collect(first *work) []*work {
	group := []*work{first}
	records, bytes := len(first.req.Submissions), int64(len(first.req.Raw))
	for records < a.limits.GroupRecords && bytes < a.limits.GroupBytes {
		select {
		case w := <-a.work:
			group = append(group, w)
			records += len(w.req.Submissions)
			bytes += int64(len(w.req.Raw))
		default:
			return group
		}
	}
	return group
}

// freshGroup is a group in the making, and then what answers are made from.
type freshGroup struct {
	group
	seq     uint64
	slab    []byte          // holds the records' bytes
	leaves  []merkle.Digest // made of all records at once, when they are all there
	pairs   []merkle.Digest // of the records' submissions
	subs    []*evidence.Submission
	places  map[merkle.Digest]uint32
	counts  [3]uint32
	within  []uint32 // place of each record among the group's of its stream
	bytes   int64    // of the records, statements and pairs
	receipt *merkle.Tree
}

// newFreshGroup is an empty group with room for all that is in works.
func newFreshGroup(works []*work) *freshGroup {
	records, bytes := 0, 0
	for _, w := range works {
		records += len(w.req.Submissions)
		for i := range w.req.Submissions {
			bytes += len(w.req.Submissions[i].Bytes)
		}
	}
	g := &freshGroup{
		slab:  make([]byte, 0, bytes+records*intakeBytes),
		pairs: make([]merkle.Digest, 0, records), subs: make([]*evidence.Submission, 0, records),
		places: make(map[merkle.Digest]uint32, records), within: make([]uint32, 0, records),
	}
	g.records = make([]groupRecord, 0, records)
	return g
}

// commit stores what is new in the works and answers all of them. Commit order:
//
//  1. build records and paths, sign the receipt head for the open batch's seq;
//  2. append records, statements and head to its journal as one frame, fsync;
//  3. trees of the batch, index (which need no fsync: recovery makes them again);
//  4. answer.
//
// A crash before the end of 2 leaves a torn tail, or a group that nobody was
// told of and that a retry finds. From then on the receipt can be answered byte
// for byte.
func (a *Archive) commit(works []*work) {
	results := make([]result, len(works))
	if err := a.fill(works, results); err != nil {
		for i := range results {
			results[i] = result{err: err}
		}
	}
	for _, w := range works { // before the answers, so that a caller's next request fits
		a.pendingRecords.Add(-int64(len(w.req.Submissions)))
	}
	for i, w := range works {
		w.done <- results[i]
	}
}

// errMoved says that the registry changed while a group was made.
var errMoved = errors.New("the register of keys is changing")

// fill is commit without the answers. An error is for all works.
func (a *Archive) fill(works []*work, results []result) error {
	for range maxTries {
		err := a.tryFill(works, results)
		if !errors.Is(err, errMoved) {
			return err
		}
	}
	return &BusyError{RetryAfter: a.limits.RetryPending, Reason: errMoved.Error()}
}

// tryFill makes and stores a group under one registry, or finds that it moved
// before anything was stored.
func (a *Archive) tryFill(works []*work, results []result) error {
	registry, err := a.admit()
	if err != nil {
		return err
	}
	g := newFreshGroup(works)
	g.registry, g.received = registry, a.lastReceived
	for i, w := range works {
		if results[i] = a.place(g, w); errors.Is(results[i].err, errMoved) {
			return errMoved
		}
	}
	if len(g.records) == 0 {
		return nil
	}
	return a.store(g)
}

// admit says whether a group may be stored now, under which registry, and sets
// its time. It closes the open batch where the registry has changed.
func (a *Archive) admit() (registry uint64, err error) {
	if err := a.refusal(); err != nil {
		return 0, err
	}
	if err := a.room(); err != nil {
		return 0, err
	}
	now := a.cfg.Now().UnixMilli()
	if back := time.Duration(a.lastReceived-now) * time.Millisecond; back > a.limits.ClockBack {
		err := fmt.Errorf("%w by %s: the last record came in at %s; set the clock right",
			ErrClock, back, time.UnixMilli(a.lastReceived).UTC().Format(time.RFC3339))
		a.alarm(AlarmClock, err.Error())
		return 0, err
	}
	a.clear(AlarmClock)
	a.lastReceived = max(a.lastReceived, now)
	registry = a.cfg.Chain.RegistrySize()
	if registry == 0 {
		return 0, &BusyError{RetryAfter: a.limits.RetryPending, Reason: "the register of keys is not known yet"}
	}
	if a.open.records > 0 && a.open.registry != registry {
		if err := a.rotate(); err != nil {
			return 0, err
		}
	}
	return registry, nil
}

// room refuses new records before the disk is really full.
func (a *Archive) room() error {
	free, err := a.disk.free(a.cfg.Dir)
	if err != nil {
		return fmt.Errorf("asking for room on the disk: %w", err)
	}
	if free < a.limits.FreeBytes {
		err := fmt.Errorf("%w: %d MiB are free in %s, new records need %d; make room", ErrFull, free>>20, a.cfg.Dir, a.limits.FreeBytes>>20)
		a.alarm(AlarmFull, err.Error())
		return err
	}
	a.clear(AlarmFull)
	return nil
}

// place finds the place of each submission of w and adds to g what is new.
func (a *Archive) place(g *freshGroup, w *work) result {
	if err := w.ctx.Err(); err != nil {
		return result{err: fmt.Errorf("waiting for the group: %w", err)}
	}
	if w.registry != g.registry {
		// The key was good under another registry; the header will state this one.
		// A name never gets another key, so the signature need not be checked again.
		st := w.req.Statement
		size, _, err := a.submitKey(st.Submitter, st.Key)
		if err == nil && size != g.registry {
			err = errMoved
		}
		if err != nil {
			return result{err: err}
		}
	}
	since, _, err := a.find(pairsOf(w.req), w.looked) // what other groups stored meanwhile
	if err != nil {
		return result{err: err}
	}
	r := result{group: g, slots: make([]slot, len(w.req.Submissions))}
	missing := 0
	for i := range w.req.Submissions {
		pair := w.req.Submissions[i].Pair
		at, ok := w.known[i], w.known[i] != (locator{})
		if !ok {
			if p, twice := g.places[pair]; twice {
				r.slots[i] = slot{fresh: true, position: p}
				continue
			}
			at, ok = since[i], since[i] != (locator{})
		}
		if r.slots[i] = (slot{at: at}); !ok {
			r.slots[i] = slot{fresh: true, mine: true}
			missing++
		}
	}
	if missing > 0 {
		g.add(a.cfg.Node, w.req, r.slots)
	}
	return r
}

// add makes the records of those slots of a request that are its own.
func (g *freshGroup) add(node string, req *evidence.Request, slots []slot) {
	signed := req.Statement.Signed.Raw
	st := groupStatement{signed: signed, pairs: make([]merkle.Digest, len(slots)), owner: ownerOf(req.Statement)}
	envelope := evidence.NewEnvelope(evidence.Intake{Node: node, ReceivedAt: time.UnixMilli(g.received).UTC(), Statement: merkle.Sum(signed)})
	for i := range slots {
		sub := &req.Submissions[i]
		st.pairs[i] = sub.Pair
		if !slots[i].mine {
			continue
		}
		from := len(g.slab)
		g.slab = envelope.Append(g.slab, uint64(i), sub.Bytes)
		data := g.slab[from:len(g.slab):len(g.slab)]
		slots[i].position = uint32(len(g.records))
		g.places[sub.Pair] = slots[i].position
		stream := streamOf[sub.Kind]
		g.records = append(g.records, groupRecord{data, uint32(len(g.statements)), uint32(i), stream})
		g.pairs = append(g.pairs, sub.Pair)
		g.subs = append(g.subs, sub.Submission)
		g.within = append(g.within, g.counts[stream])
		g.counts[stream]++
		g.bytes += int64(len(data)) + recordEntry
	}
	g.statements = append(g.statements, st)
	g.bytes += int64(len(signed)) + statementEntry + int64(len(st.pairs))*pairSize
}

// streamOf is the place of each kind's stream in evidence.Streams.
var streamOf = func() map[evidence.Kind]uint8 {
	m := make(map[evidence.Kind]uint8)
	for _, k := range evidence.Kinds {
		m[k] = uint8(slices.Index(evidence.Streams[:], k.Stream()))
	}
	return m
}()

// store makes g durable; see commit.
func (a *Archive) store(g *freshGroup) error {
	if a.open.records > 0 && (a.open.records+uint64(len(g.records)) > uint64(a.limits.BatchRecords) ||
		a.open.size+g.bytes > a.limits.BatchBytes) {
		if err := a.rotate(); err != nil {
			return err
		}
	}
	b := a.open
	g.seq, g.base = b.seq, b.base()
	data := make([][]byte, len(g.records))
	for i := range data {
		data[i] = g.records[i].data
	}
	g.leaves = merkle.LeafHashes(data)
	g.receipt = merkle.NewTree(g.leaves)
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
// durable. views keeps the trees of statements from one call to the next.
func (g *freshGroup) stored(node string, position uint32, views map[uint32]*statementView) (Stored, error) {
	r := &g.records[position]
	view := views[r.statement]
	if view == nil {
		st := &g.statements[r.statement]
		view = &statementView{signed: st.signed, tree: merkle.NewTree(st.pairs)}
		views[r.statement] = view
	}
	return makeStored(node, g.seq, r.data, recordSpan{statement: r.statement, position: r.position, stream: r.stream},
		uint64(g.base[r.stream]+g.within[position]), view, g.head, g.receipt, uint64(position))
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
