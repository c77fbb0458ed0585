package runs

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// writer writes a run: all ids, then all lists, each in rising order, then
// finish. Counts and places are known beforehand.
type writer struct {
	header
	path   string
	f      File
	buf    []byte // not written yet
	at     int64  // where buf begins in the file
	synced int64
	fences []Print
	filter filter // borrowed
	within int    // entries in the block that is being filled
	left   [2]int64
	part   int    // 0 for the ids, 1 for the lists
	hi, lo uint64 // the last entry
}

// errOrder is a broken promise of the caller, or of a run that was merged.
var errOrder = errors.New("entries do not rise, or are not as many as said")

func newWriter(d Disk, path string, h header) (*writer, error) {
	f, err := d.Create(path)
	if err != nil {
		return nil, fmt.Errorf("creating a run: %w", err)
	}
	filter, err := borrow(filterSize(h.ids))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	w := &writer{header: h, path: path, f: f, left: [2]int64{h.ids, h.lists},
		fences: make([]Print, 0, h.blocks()-1), filter: filter}
	w.buf = append(make([]byte, 0, chunk+blockSize), h.encode()...)
	return w, nil
}

// add takes the next entry of the part.
func (w *writer) add(p Print, at Place) error {
	hi, lo := words(p, at, w.first.Seq)
	if w.left[w.part] == 0 || hi < w.hi || hi == w.hi && lo < w.lo {
		return errOrder
	}
	w.left[w.part]--
	w.hi, w.lo = hi, lo
	if w.part == 0 {
		w.filter.add(p)
	}
	if w.within == 0 {
		w.fences = append(w.fences, p)
	}
	w.buf = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(w.buf, hi), lo)
	if w.within++; w.within == perBlock {
		return w.endBlock()
	}
	return nil
}

// endPart ends the ids, or the lists.
func (w *writer) endPart() error {
	if w.left[w.part] != 0 {
		return errOrder
	}
	if w.within > 0 {
		if err := w.endBlock(); err != nil {
			return err
		}
	}
	w.part++
	w.hi, w.lo = 0, 0
	return nil
}

func (w *writer) endBlock() error {
	start := len(w.buf) - w.within*entrySize
	w.buf = append(w.buf, make([]byte, blockSize-blockTail-w.within*entrySize)...)
	w.buf = binary.BigEndian.AppendUint32(w.buf, checksum(w.buf[start:], (w.at+int64(start))/blockSize))
	w.within = 0
	if len(w.buf) >= chunk {
		return w.flush()
	}
	return nil
}

func (w *writer) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	if _, err := w.f.WriteAt(w.buf, w.at); err != nil {
		return fmt.Errorf("writing %s: %w", w.path, err)
	}
	w.at += int64(len(w.buf))
	w.buf = w.buf[:0]
	if w.at-w.synced < syncEvery {
		return nil
	}
	return w.sync()
}

func (w *writer) sync() error {
	if err := w.f.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", w.path, err)
	}
	w.synced = w.at
	return nil
}

// finish writes the tables and makes the file durable under its temporary name.
func (w *writer) finish() error {
	if w.part != 2 {
		return errOrder
	}
	if err := w.flush(); err != nil { // block 0 with it, where there was not much
		return err
	}
	fences := make([]byte, 0, w.fencesSize())
	for _, p := range w.fences {
		fences = binary.BigEndian.AppendUint64(fences, uint64(p))
	}
	for _, t := range [][]byte{fences, w.filter} {
		at := w.at
		w.buf = t
		if err := w.flush(); err != nil {
			return err
		}
		w.buf = binary.BigEndian.AppendUint32(nil, checksum(t, at/blockSize))
		if err := w.flush(); err != nil {
			return err
		}
	}
	return w.sync()
}
