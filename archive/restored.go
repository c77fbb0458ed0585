package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"qifeng/evidence"
)

// A folder that was put back from a backup no longer knows what its node
// promised and sent since. It carries a mark, and Open then goes on behind all
// of it:
//
//   - A batch that has its footer goes its way: its signed header is the only one
//     of its seq that ever was, here as in the earlier life.
//   - A journal without a footer is never gone on with, since the earlier life
//     may have added to it, closed it and sent another header. Where the ledger's
//     header is over exactly its records, it gets that header and is whole again;
//     otherwise it is put aside into lost/.
//   - The next seq is restoredSkip beyond all that is known, so that none that
//     the earlier life promised in a receipt is used a second time.
//   - What the ledger has of this node and the folder does not is listed in
//     lost/list (lost.go), durably, before anything new is accepted.
//
// Receipts of the earlier life whose batch never reached the ledger leave no
// trace anywhere but with their holders.
//
// Order: journals; index, made again; list; new journal; the mark is removed.
// A crash in between leaves the mark, and all of it is done again.

// MarkRestored marks an archive's folder, durably, before it is opened for the
// first time after it was put back. Folders that a backup had nothing for are
// made.
func MarkRestored(dir string) error {
	for _, sub := range []string{journalDir, outboxDir, batchesDir} {
		if err := (osDisk{}).mkdir(filepath.Join(dir, sub)); err != nil {
			return fmt.Errorf("marking the archive as restored: %w", err)
		}
	}
	path := filepath.Join(dir, restoredName)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close(), osDisk{}.syncDir(dir))
	}
	if err != nil {
		return fmt.Errorf("marking the archive as restored: %w", err)
	}
	return nil
}

// IsRestored says whether the mark stands. Such an archive must not be opened
// before the chain has caught up. What cannot be looked at counts as marked.
func IsRestored(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, restoredName))
	return !errors.Is(err, fs.ErrNotExist)
}

// restoredName and lostDir are names in the archive's folder.
const (
	restoredName = "RESTORED"
	lostDir      = "lost"
)

// isRestored asks the archive's own disk.
func (a *Archive) isRestored() bool {
	f, err := a.disk.open(a.path(restoredName), false)
	if err == nil {
		err = f.Close()
	}
	return !errors.Is(err, os.ErrNotExist)
}

// recallLost reads the list of a folder that was restored some time ago.
func (a *Archive) recallLost() error {
	l, err := readLost(a.disk, a.path(lostDir, lostName))
	if err == nil {
		a.setLost(l)
	}
	return err
}

// setLost shows a list, which is not changed any more.
func (a *Archive) setLost(l *lostList) {
	l.sum = l.status()
	a.lost.Store(l)
}

// leaveBehind does with the files of a restored folder what stands above, and
// returns a seq that is not below any that the folder knows of.
func (a *Archive) leaveBehind() (floor uint64, err error) {
	if err := a.disk.mkdir(a.path(lostDir)); err != nil {
		return 0, fmt.Errorf("making a folder: %w", err)
	}
	for _, dir := range []struct {
		name, suffix string
		look         func(path, name string, seq uint64) error
	}{
		{outboxDir, ".batch", a.leavePassed},
		{journalDir, ".journal", a.leaveJournal},
	} {
		names, err := a.disk.list(a.path(dir.name))
		if err != nil {
			return 0, fmt.Errorf("listing %s: %w", dir.name, err)
		}
		for _, name := range names {
			seq, err := seqOfName(name, dir.suffix)
			if err != nil {
				return 0, err
			}
			floor = max(floor, seq)
			if err := dir.look(a.path(dir.name, name), name, seq); err != nil {
				return 0, err
			}
		}
	}
	return floor, removeIndex(a.disk, a.path(indexDir))
}

// leavePassed puts a closed batch aside that the chain has passed without it:
// a later life of the node went on elsewhere.
func (a *Archive) leavePassed(path, name string, seq uint64) error {
	last, _, err := a.cfg.Chain.LastSeq(a.cfg.Node)
	if err != nil {
		return fmt.Errorf("asking the chain for the last batch: %w", err)
	}
	_, ok, err := a.cfg.Chain.Batch(a.cfg.Node, seq)
	if err != nil {
		return fmt.Errorf("asking the chain for batch %d: %w", seq, err)
	}
	if ok || last < seq {
		return nil
	}
	return a.putAside(path, name, seq)
}

// leaveJournal decides what becomes of one journal.
func (a *Archive) leaveJournal(path, name string, seq uint64) (err error) {
	f, err := a.disk.open(path, true)
	if err != nil {
		return fmt.Errorf("opening a journal: %w", err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("closing a journal: %w", cerr)
		}
	}()
	nothing := func(locator, []entry) error { return nil }
	rep, err := a.replay(path, f, opening{seq, a.cfg.Node, a.cfg.ChainID}, nothing)
	switch {
	case err != nil:
		return err
	case rep.header != nil:
		return nil // the usual way into the outbox
	case rep.batch.records == 0:
		if err := errors.Join(a.disk.remove(path), a.disk.syncDir(filepath.Dir(path))); err != nil {
			return fmt.Errorf("removing an empty journal: %w", err)
		}
		return nil
	}
	entry, err := a.onLedger(seq)
	if err != nil {
		return err
	}
	if entry != nil {
		if _, err := a.checkHeader(entry, seq, rep.batch); err == nil {
			return a.giveFooter(rep.batch, f, entry)
		}
	}
	return a.putAside(path, name, seq)
}

// onLedger is the header of a seq on the ledger, nil where there is none.
func (a *Archive) onLedger(seq uint64) ([]byte, error) {
	index, ok, err := a.cfg.Chain.Batch(a.cfg.Node, seq)
	if err != nil {
		return nil, fmt.Errorf("asking the chain for batch %d: %w", seq, err)
	}
	if !ok {
		return nil, nil
	}
	entry, err := a.cfg.Chain.Entry(index)
	if err != nil {
		return nil, fmt.Errorf("reading ledger entry %d: %w", index, err)
	}
	return bytes.Clone(entry), nil
}

// giveFooter closes a journal with the header that the ledger has. A torn tail
// goes first.
func (a *Archive) giveFooter(b *batch, f file, header []byte) error {
	payload, err := encodeFooter(header, &b.trees, b.size)
	if err != nil {
		return fmt.Errorf("writing the footer of batch %d: %w", b.seq, err)
	}
	if err := f.Truncate(b.size); err != nil {
		return fmt.Errorf("cutting off a torn tail: %w", err)
	}
	if err := b.append(sealFrame(payload, b.seq, b.size)); err != nil {
		return err
	}
	a.log.Info("a journal of the backup is whole: the ledger's header is over its records", "seq", b.seq)
	return nil
}

// putAside moves a file out of the way. Its records stay for people to read.
func (a *Archive) putAside(path, name string, seq uint64) error {
	if err := moveFile(a.disk, path, a.path(lostDir, name)); err != nil {
		return fmt.Errorf("putting batch %d aside: %w", seq, err)
	}
	a.log.Error("batch put aside: what the backup has of it is not what the ledger has, or is not known to be all", "seq", seq, "file", a.path(lostDir, name))
	return nil
}

// goOnBehind writes the list, opens the batch behind everything, and removes the
// mark.
func (r *recovery) goOnBehind(last, floor uint64) error {
	a := r.a
	l, err := readLost(a.disk, a.path(lostDir, lostName))
	if err != nil {
		return err
	}
	next := restoredSkip + 1 + max(floor, r.closed, r.lost, last, l.floor())
	l.spans = append(l.spans, lostSpan{after: r.closed, next: next, at: a.cfg.Now().UnixMilli()})
	l.batches = nil // asked again: a batch may have been put back since
	for _, s := range l.spans {
		if err := a.lookFor(l, s.after, min(s.next-1, last)); err != nil {
			return err
		}
	}
	if err := l.write(a.disk, a.path(lostDir, lostName)); err != nil {
		return err
	}
	if a.open, err = a.newBatch(next); err != nil {
		return err
	}
	if err := errors.Join(a.disk.remove(a.path(restoredName)), a.disk.syncDir(a.cfg.Dir)); err != nil {
		return fmt.Errorf("removing the mark of a restored archive: %w", err)
	}
	a.setLost(l)
	a.alarm(AlarmGap, l.alarm())
	return r.keepFull()
}

// lookFor adds to the list what the ledger has of this node in (after, last] and
// the folder has not.
func (a *Archive) lookFor(l *lostList, after, last uint64) error {
	for seq := after + 1; seq <= last; seq++ {
		index, ok, err := a.cfg.Chain.Batch(a.cfg.Node, seq)
		if err != nil {
			return fmt.Errorf("asking the chain for batch %d: %w", seq, err)
		}
		if !ok {
			continue
		}
		name, err := a.index.body(seq)
		if err != nil {
			return err
		}
		if name != "" {
			continue
		}
		entry, err := a.cfg.Chain.Entry(index)
		if err != nil {
			return fmt.Errorf("reading ledger entry %d: %w", index, err)
		}
		h, err := evidence.ParseBatch(entry)
		if err != nil || h.Node != a.cfg.Node || h.Seq != seq {
			return &TamperedError{What: fmt.Sprintf("ledger entry %d is not batch %d of this node", index, seq), Mend: "the chain's state is damaged", Theirs: entry}
		}
		b := LostBatch{Seq: seq, Index: index}
		for i, s := range evidence.Streams {
			b.Counts[i] = h.Streams[s].Count
		}
		l.add(b)
	}
	return nil
}

// lookBehind adds to the list what reaches the ledger late: the header that was
// on its way when the earlier life ended. Once a batch of this life is on the
// ledger none can come any more, and a last look finds what came just before it.
// It is the outbox's.
func (a *Archive) lookBehind() {
	l := a.lost.Load()
	if l == nil || len(l.spans) == 0 || l.final {
		return
	}
	span := l.spans[len(l.spans)-1]
	last, _, err := a.cfg.Chain.LastSeq(a.cfg.Node)
	known := max(span.after, l.last())
	if err != nil || last <= known {
		return // an error comes again, and is told by what needs the answer
	}
	fresh := &lostList{spans: l.spans, batches: slices.Clone(l.batches), final: last >= span.next}
	err = a.lookFor(fresh, known, min(last, span.next-1))
	found := len(fresh.batches) > len(l.batches)
	if err == nil && found {
		err = fresh.write(a.disk, a.path(lostDir, lostName))
	}
	if err != nil {
		a.log.Error("the list of lost batches could not be added to", "error", err)
		return
	}
	a.setLost(fresh)
	if found {
		a.alarm(AlarmGap, fresh.alarm())
	}
}
