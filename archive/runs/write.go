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
	entries  stretch
	filter   stretch
	fences   stretch
	block    []byte // of entries, being filled
	groups   []byte // the filter's block that ids are marked in
	begins   []byte // the block of fences that is being filled
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
	w := &writer{header: h, path: path, f: f, filter: stretch{next: h.filterAt()}, fences: stretch{next: h.fencesAt()},
		groups: make([]byte, blockSize-blockTail), left: [2]int64{h.ids, h.lists}}
	if err := w.put(&w.entries, h.encode()); err != nil {
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
	if len(w.block) == 0 {
		w.begins = binary.BigEndian.AppendUint64(w.begins, uint64(p))
	}
	w.block = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(w.block, hi), lo)
	if len(w.block) == perBlock*entrySize {
		if err := w.end(&w.entries, &w.block); err != nil {
			return err
		}
	}
	if len(w.begins) == fencesPerBlock*fenceSize {
		return w.end(&w.fences, &w.begins)
	}
	return nil
}

// markID adds an id to the filter: as ids rise, so do their blocks.
func (w *writer) markID(p Print) error {
	block, at := filterOf(w.ids).group(p)
	if err := w.filterUpTo(block); err != nil {
		return err
	}
	mark(w.groups[at:at+filterGroup], p)
	return nil
}

// filterUpTo ends the filter's blocks before one.
func (w *writer) filterUpTo(block int64) error {
	for w.filter.next < w.filterAt()+block {
		if err := w.put(&w.filter, w.groups); err != nil {
			return err
		}
		clear(w.groups)
	}
	return nil
}

// endPart ends the ids, or the lists.
func (w *writer) endPart() error {
	if w.left[w.part] != 0 {
		return errOrder
	}
	w.part++
	w.hi, w.lo = 0, 0
	return errors.Join(w.end(&w.entries, &w.block), w.end(&w.fences, &w.begins))
}

// end puts the content of a block that was being filled, if there is any.
func (w *writer) end(s *stretch, content *[]byte) error {
	if len(*content) == 0 {
		return nil
	}
	err := w.put(s, *content)
	*content = (*content)[:0]
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

// finish writes what is left and makes the file durable under its temporary name.
func (w *writer) finish() error {
	if w.part != 2 {
		return errOrder
	}
	if err := w.filterUpTo(filterOf(w.ids).blocks()); err != nil {
		return err
	}
	if err := errors.Join(w.flush(&w.entries), w.flush(&w.filter), w.flush(&w.fences)); err != nil {
		return err
	}
	return w.sync()
}
