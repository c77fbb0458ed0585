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
	path     string
	f        File
	main     stretch // all but the filter
	filter   stretch
	group    [blockSize - blockTail]byte // the filter's block that ids are marked in
	fences   []Print
	block    []byte // the block that is being filled
	blocks   int    // of the part that are full
	left     [2]int64
	part     int    // 0 for the ids, 1 for the lists
	hi, lo   uint64 // the last entry
	unsynced int64
}

// stretch is blocks that follow one another in the file.
type stretch struct {
	next int64  // the block behind buf
	buf  []byte // not written yet
}

// errOrder is a broken promise of the caller, or of a run that was merged.
var errOrder = errors.New("entries do not rise, or are not as many as said")

func newWriter(d Disk, path string, h header) (*writer, error) {
	f, err := d.Create(path)
	if err != nil {
		return nil, fmt.Errorf("creating a run: %w", err)
	}
	w := &writer{header: h, path: path, f: f, filter: stretch{next: h.filterAt()}, left: [2]int64{h.ids, h.lists},
		fences: make([]Print, 0, h.fences()), block: make([]byte, 0, blockSize)}
	if err := w.put(&w.main, h.encode()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
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
		if err := w.markID(p); err != nil {
			return err
		}
	}
	if len(w.block) == 0 && w.blocks%fenceStep == 0 {
		w.fences = append(w.fences, p)
	}
	w.block = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(w.block, hi), lo)
	if len(w.block) == perBlock*entrySize {
		return w.endBlock()
	}
	return nil
}

// markID adds an id to the filter: as ids rise, so do their blocks.
func (w *writer) markID(p Print) error {
	block, at := filterOf(w.ids).group(p)
	if err := w.filterUpTo(block); err != nil {
		return err
	}
	mark(w.group[at:at+filterGroup], p)
	return nil
}

// filterUpTo ends the filter's blocks before one.
func (w *writer) filterUpTo(block int64) error {
	for w.filter.next < w.filterAt()+block {
		if err := w.put(&w.filter, w.group[:]); err != nil {
			return err
		}
		clear(w.group[:])
	}
	return nil
}

// endPart ends the ids, or the lists.
func (w *writer) endPart() error {
	if w.left[w.part] != 0 {
		return errOrder
	}
	if len(w.block) > 0 {
		if err := w.endBlock(); err != nil {
			return err
		}
	}
	w.part++
	w.blocks, w.hi, w.lo = 0, 0, 0
	return nil
}

func (w *writer) endBlock() error {
	err := w.put(&w.main, w.block)
	w.block = w.block[:0]
	w.blocks++
	return err
}

// put adds a block to a stretch, with zeros behind its content and its checksum.
func (w *writer) put(s *stretch, content []byte) error {
	start := len(s.buf)
	s.buf = append(s.buf, content...)
	s.buf = append(s.buf, make([]byte, blockSize-blockTail-len(content))...)
	s.buf = binary.BigEndian.AppendUint32(s.buf, checksum(s.buf[start:], s.next))
	s.next++
	if len(s.buf) >= chunk {
		return w.flush(s)
	}
	return nil
}

func (w *writer) flush(s *stretch) error {
	if len(s.buf) == 0 {
		return nil
	}
	if _, err := w.f.WriteAt(s.buf, s.next*blockSize-int64(len(s.buf))); err != nil {
		return fmt.Errorf("writing %s: %w", w.path, err)
	}
	w.unsynced += int64(len(s.buf))
	s.buf = s.buf[:0]
	if w.unsynced < syncEvery {
		return nil
	}
	return w.sync()
}

func (w *writer) sync() error {
	if err := w.f.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", w.path, err)
	}
	w.unsynced = 0
	return nil
}

// finish writes the filter's end and the fences, and makes the file durable under
// its temporary name.
func (w *writer) finish() error {
	if w.part != 2 {
		return errOrder
	}
	if err := w.filterUpTo(filterOf(w.ids).blocks()); err != nil {
		return err
	}
	if err := w.flush(&w.main); err != nil { // up to the filter
		return err
	}
	w.main.next = w.fencesAt()
	for i, p := range w.fences {
		w.block = binary.BigEndian.AppendUint64(w.block, uint64(p))
		if len(w.block) == fencesPerBlock*fenceSize || i == len(w.fences)-1 {
			if err := w.endBlock(); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(w.flush(&w.filter), w.flush(&w.main)); err != nil {
		return err
	}
	return w.sync()
}
