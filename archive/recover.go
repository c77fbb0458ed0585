package archive

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"qifeng/archive/runs"
	"qifeng/evidence"
)

// recovery is what Open finds out about the folder.
type recovery struct {
	a        *Archive
	durable  locator   // group up to which the index has all records
	named    uint64    // seq up to which it has the names of the files
	mark     locator   // newest group that the index knew
	newest   locator   // newest group found
	closed   uint64    // highest seq of a closed batch
	lost     uint64    // seq of a journal that the index knew and that is gone
	journals []*batch  // without footer, by seq
	queue    []*sealed // by seq
}

// recover brings the archive into the state in which a crash, or Close, left
// it. Order:
//
//  1. closed batches that the index may lack go into the index;
//  2. journals are replayed, a torn tail is cut off, their groups go into the
//     index, one with a footer moves on to the outbox;
//  3. the newest journal is the open batch, or, where it was lost, a later one
//     takes its place; the others wait for their footers;
//  4. counters and clock.
//
// A folder that was put back from a backup is first brought into a state in which
// nothing of an earlier life is gone on with, see restored.go.
//
// All of it can be repeated after a crash during it.
func (a *Archive) recover() (err error) {
	for _, dir := range []string{a.cfg.Dir, a.path(journalDir), a.path(outboxDir), a.path(batchesDir)} {
		if err := a.disk.mkdir(dir); err != nil {
			return fmt.Errorf("making a folder: %w", err)
		}
	}
	if a.lock, err = lockFile(a.path(lockName)); err != nil {
		return err
	}
	if err := removeLeftovers(a.disk, a.path(journalDir)); err != nil {
		return err
	}
	restored, floor := a.isRestored(), uint64(0)
	if restored {
		if floor, err = a.leaveBehind(); err != nil {
			return err
		}
	} else if err := a.recallLost(); err != nil {
		return err
	}
	if err := a.openIndex(); err != nil {
		return err
	}
	r := &recovery{a: a}
	defer func() {
		if err != nil { // else they are the open batch and those to be closed
			for _, b := range r.journals {
				err = errors.Join(err, b.close())
			}
		}
	}()
	if err := r.readAll(); err != nil {
		return err
	}
	if err := r.checkMark(); err != nil {
		return err
	}
	last, lastTime, err := a.cfg.Chain.LastSeq(a.cfg.Node)
	if err != nil {
		return fmt.Errorf("asking the chain for the last batch: %w", err)
	}
	if restored {
		err = r.goOnBehind(last, floor)
	} else {
		err = r.openBatch(last)
	}
	if err != nil {
		return err
	}
	a.queue = r.queue
	return r.count(last, lastTime)
}

func (a *Archive) openIndex() error {
	ix, remade, err := openIndex(a.disk, a.path(indexDir), a.cfg.storage, runs.Options{
		Records: a.cfg.indexRecords, Reserve: a.limits.FreeBytes, Full: isFull,
		Failed: func(err error) { _ = a.failed(err) },
	})
	if err != nil {
		return err
	}
	a.index = ix
	if remade {
		a.log.Warn("the index was damaged, or of an older version; it is made again from the batches")
	}
	return nil
}

// readAll reads everything that the index may lack.
func (r *recovery) readAll() (err error) {
	if r.mark, err = r.a.index.mark(); err != nil {
		return err
	}
	if r.named, err = r.a.index.named(); err != nil {
		return err
	}
	r.durable = r.a.index.durable()
	if err := r.readClosed(); err != nil {
		return err
	}
	return r.readJournals()
}

// readClosed reads the outbox, and puts into the index what it lacks.
func (r *recovery) readClosed() error {
	names, err := r.a.disk.list(r.a.path(outboxDir))
	if err != nil {
		return fmt.Errorf("listing the outbox: %w", err)
	}
	folders, err := r.a.disk.list(r.a.path(batchesDir))
	if err != nil {
		return fmt.Errorf("listing the batches: %w", err)
	}
	var closed []closedFile
	from := filepath.Base(r.a.bodyFolder(min(r.mark.seq, r.named, r.durable.seq)))
	for i, folder := range folders {
		if folder < from && i < len(folders)-1 {
			continue // all in the index; the last folder is read for its newest seq
		}
		dir := r.a.path(batchesDir, folder)
		bodies, err := r.a.disk.list(dir)
		if err != nil {
			return fmt.Errorf("listing batches: %w", err)
		}
		for _, name := range bodies {
			closed = append(closed, closedFile{dir: dir, name: name})
		}
	}
	for _, name := range names {
		s, err := r.a.readSealed(name)
		if err != nil {
			return err
		}
		r.queue = append(r.queue, s)
		closed = append(closed, closedFile{dir: r.a.path(outboxDir), name: name})
	}
	for i := range closed {
		if closed[i].seq, err = seqOfName(closed[i].name, ".batch"); err != nil {
			return err
		}
	}
	slices.SortStableFunc(closed, func(a, b closedFile) int { return cmp.Compare(a.seq, b.seq) })
	for _, c := range closed { // the index takes groups in their order only
		if err := r.readBody(c); err != nil {
			return err
		}
	}
	return nil
}

// closedFile is the file of a closed batch.
type closedFile struct {
	seq       uint64
	dir, name string
}

// readBody puts into the index what it lacks of a closed batch.
func (r *recovery) readBody(c closedFile) error {
	r.closed = max(r.closed, c.seq)
	if c.seq <= r.named && c.seq < r.durable.seq && c.seq != r.mark.seq {
		return nil
	}
	path := filepath.Join(c.dir, c.name)
	f, err := r.a.disk.open(path, false)
	if err != nil {
		return fmt.Errorf("opening a batch: %w", err)
	}
	defer f.Close()
	foot, err := footerOf(path, f, c.seq)
	if err != nil {
		return err
	}
	if bodyName(c.seq, foot.header) != c.name {
		return corruptFile(path, "it holds another batch than its name says")
	}
	if r.lacks(f, c.seq, foot) {
		if _, err := r.replay(path, f, c.seq); err != nil {
			return err
		}
	}
	r.see(locator{seq: c.seq, offset: uint32(foot.start)})
	if c.seq <= r.named {
		return nil
	}
	return r.a.index.complete(c.seq, c.name)
}

// lacks says whether groups of a closed batch are behind what the index has.
func (r *recovery) lacks(f file, seq uint64, foot *footer) bool {
	if seq != r.durable.seq {
		return seq > r.durable.seq
	}
	n, err := readHead(f, foot.end, seq, int64(r.durable.offset), maxGroupPayload)
	return err != nil || int64(r.durable.offset)+frameSize(n) != foot.start // replay finds out what is wrong
}

// see takes note of how far the files go.
func (r *recovery) see(at locator) {
	if at.compare(r.newest) > 0 {
		r.newest = at
	}
}

// replay reads a file and gives the index what is in it.
func (r *recovery) replay(path string, f file, seq uint64) (*replayed, error) {
	rep, err := r.a.replay(path, f, opening{seq, r.a.cfg.Node, r.a.cfg.ChainID}, r.a.index.add)
	if err == nil {
		r.see(rep.newest)
	}
	return rep, err
}

// readSealed reads the header of a batch in the outbox.
func (a *Archive) readSealed(name string) (*sealed, error) {
	seq, err := seqOfName(name, ".batch")
	if err != nil {
		return nil, err
	}
	path := a.path(outboxDir, name)
	f, err := a.disk.open(path, false)
	if err != nil {
		return nil, fmt.Errorf("opening a batch: %w", err)
	}
	defer f.Close()
	foot, err := footerOf(path, f, seq)
	if err != nil {
		return nil, err
	}
	h, err := a.checkHeader(foot.header, seq, nil)
	if err != nil {
		return nil, corruptFile(path, "%v", err)
	}
	if bodyName(seq, foot.header) != name {
		return nil, corruptFile(path, "it holds another batch than its name says")
	}
	s := &sealed{seq: seq, name: name, header: foot.header, bytes: foot.end,
		first: h.FirstReceivedAt.UnixMilli(), last: h.LastReceivedAt.UnixMilli()}
	for _, n := range foot.counts {
		s.records += n
	}
	return s, nil
}

// readJournals replays the journals.
func (r *recovery) readJournals() error {
	dir := r.a.path(journalDir)
	names, err := r.a.disk.list(dir)
	if err != nil {
		return fmt.Errorf("listing the journals: %w", err)
	}
	for _, name := range names {
		if err := r.readJournal(filepath.Join(dir, name), name); err != nil {
			return err
		}
	}
	sort.Slice(r.journals, func(i, j int) bool { return r.journals[i].seq < r.journals[j].seq })
	sort.Slice(r.queue, func(i, j int) bool { return r.queue[i].seq < r.queue[j].seq })
	return nil
}

func (r *recovery) readJournal(path, name string) error {
	seq, err := seqOfName(name, ".journal")
	if err != nil {
		return err
	}
	f, err := r.a.disk.open(path, true)
	if err != nil {
		return fmt.Errorf("opening a journal: %w", err)
	}
	// What a process wrote before it died and did not sync is answered like
	// everything else from now on, and the index may keep it: so it is synced.
	if err := f.Sync(); err != nil {
		return errors.Join(fmt.Errorf("syncing a journal: %w", err), f.Close())
	}
	rep, err := r.replay(path, f, seq)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if rep.header != nil {
		return r.finishMove(path, f, seq, bodyName(seq, rep.header))
	}
	if seq <= r.closed {
		return errors.Join(corruptFile(path, "batch %d is open here and closed in another file", seq), f.Close())
	}
	if rep.torn > 0 {
		r.a.log.Warn("cutting off what a crash left unfinished; nobody was told of it", "file", path, "bytes", rep.torn)
		if err := errors.Join(f.Truncate(rep.batch.size), f.Sync()); err != nil {
			return errors.Join(fmt.Errorf("cutting off a torn tail: %w", err), f.Close())
		}
	}
	r.journals = append(r.journals, rep.batch)
	return nil
}

// finishMove moves a journal that has its footer to the outbox. After a power
// cut it may be there already, under both names.
func (r *recovery) finishMove(path string, f file, seq uint64, body string) error {
	if err := f.Close(); err != nil {
		return fmt.Errorf("closing a journal: %w", err)
	}
	if seq <= r.closed {
		for _, dir := range []string{r.a.path(outboxDir), r.a.bodyFolder(seq)} {
			names, err := r.a.disk.list(dir)
			if err == nil && slices.Contains(names, body) {
				return r.a.disk.remove(path)
			}
		}
		return corruptFile(path, "another batch %d is closed already", seq)
	}
	if err := moveFile(r.a.disk, path, r.a.path(outboxDir, body)); err != nil {
		return fmt.Errorf("moving batch %d to the outbox: %w", seq, err)
	}
	s, err := r.a.readSealed(body)
	if err != nil {
		return err
	}
	r.closed = max(r.closed, seq)
	r.queue = append(r.queue, s)
	return r.a.index.complete(seq, body)
}

// checkMark compares what was found with what the index had seen. The index is
// written after the fsync of the journal, so it never knows more, unless a file
// has lost what was acknowledged. Where a whole file is gone, the index is made
// again without it; where a file is too short, that is for a person.
func (r *recovery) checkMark() error {
	if r.mark.compare(r.newest) <= 0 {
		return nil
	}
	short := r.mark.seq == r.newest.seq
	for _, b := range r.journals {
		short = short || b.seq == r.mark.seq
	}
	if short {
		return corruptFile(r.a.path(journalDir, journalName(r.mark.seq)),
			"it ends before byte %d, where the index has seen acknowledged records", r.mark.offset)
	}
	r.a.log.Error("a journal that the index knows is gone; the index is made again without it", "seq", r.mark.seq)
	return r.rebuild(r.mark.seq)
}

// rebuild makes the index again from all files that are left.
func (r *recovery) rebuild(lost uint64) error {
	if err := r.a.index.close(); err != nil {
		return fmt.Errorf("closing the index: %w", err)
	}
	r.a.index = nil
	if err := removeIndex(r.a.disk, r.a.path(indexDir)); err != nil {
		return err
	}
	if err := r.a.openIndex(); err != nil {
		return err
	}
	for _, b := range r.journals {
		if err := b.close(); err != nil {
			return fmt.Errorf("closing a journal: %w", err)
		}
	}
	*r = recovery{a: r.a, lost: lost}
	return r.readAll()
}

// openBatch decides which batch is open. There is always an open journal with a
// seq above all closed ones, empty or not; where there is none, it was lost, and
// what it promised is not known: its seq is never used again.
func (r *recovery) openBatch(last uint64) (err error) {
	a := r.a
	own := r.closed
	if n := len(r.journals); n > 0 {
		own = max(own, r.journals[n-1].seq)
	}
	switch {
	case own > r.closed && own > r.lost:
		a.open = r.journals[len(r.journals)-1]
		r.journals = r.journals[:len(r.journals)-1]
		if r.lost > 0 {
			a.gap(r.lost, a.open.seq)
		}
		if last >= a.open.seq && a.open.records > 0 {
			a.stop(AlarmTampered, passedBy(a.open.seq, last))
		} else if last >= a.open.seq {
			err = a.skipTo(last + 2)
		}
	case own == 0 && r.lost == 0 && last == 0:
		a.open, err = a.newBatch(1)
	default:
		next := max(own, r.lost, last) + 2
		a.gap(own+1, next)
		a.open, err = a.newBatch(next)
	}
	if err != nil {
		return err
	}
	return r.keepFull()
}

// keepFull gives the older journals to the outbox. An empty one is what a crash
// leaves of a seq that was passed over.
func (r *recovery) keepFull() error {
	for _, b := range r.journals {
		if b.records > 0 {
			r.a.closing = append(r.a.closing, b)
			continue
		}
		if err := errors.Join(b.close(), r.a.disk.remove(b.path)); err != nil {
			return fmt.Errorf("removing an empty journal: %w", err)
		}
	}
	r.journals = nil
	return nil
}

// count sets the counters and the time below which received_at may not fall.
func (r *recovery) count(last uint64, lastTime time.Time) error {
	a := r.a
	a.backlogBytes.Store(0)
	if !lastTime.IsZero() {
		a.lastReceived = lastTime.UnixMilli()
	}
	for _, s := range a.queue {
		a.backlogRecords.Add(int64(s.records))
		a.backlogBytes.Add(s.bytes)
		a.lastReceived = max(a.lastReceived, s.last)
	}
	for _, b := range append(a.closing[:len(a.closing):len(a.closing)], a.open) {
		a.backlogRecords.Add(int64(b.records))
		a.backlogBytes.Add(b.size)
		a.shares.add(b.owners)
		a.lastReceived = max(a.lastReceived, b.last)
	}
	committed := r.closed
	if len(a.queue) > 0 {
		committed = a.queue[0].seq - 1
	}
	a.committed.Store(min(committed, last))
	if r.closed == 0 || len(a.queue) > 0 {
		return nil
	}
	return r.lastBodyTime()
}

// lastBodyTime keeps received_at rising where the chain here is behind its own
// past, after a restart with its state lost, say.
func (r *recovery) lastBodyTime() error {
	f, path, err := r.a.openBody(r.closed)
	if err != nil {
		return err
	}
	defer f.Close()
	foot, err := footerOf(path, f, r.closed)
	if err != nil {
		return err
	}
	h, err := evidence.ParseBatch(foot.header)
	if err != nil {
		return corruptFile(path, "%v", err)
	}
	r.a.lastReceived = max(r.a.lastReceived, h.LastReceivedAt.UnixMilli())
	return nil
}
