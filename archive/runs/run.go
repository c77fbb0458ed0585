package runs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

// ErrDamaged: a file holds what was never written. The owner removes the folder
// and adds everything again.
var ErrDamaged = errors.New("the index is damaged")

// DamagedError names the file. It is ErrDamaged.
type DamagedError struct {
	Path    string
	Problem string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%v: %s: %s", ErrDamaged, e.Path, e.Problem)
}

func (e *DamagedError) Is(target error) bool { return target == ErrDamaged }

const (
	blockSize = 4096
	blockTail = 4
	entrySize = 16
	perBlock  = (blockSize - blockTail) / entrySize

	fenceSize      = 8
	fencesPerBlock = (blockSize - blockTail) / fenceSize
)

var (
	runMagic   = [8]byte{'Q', 'F', 'R', 'U', 'N', 0, 0, 2}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// checksum is over a block and its number.
func checksum(p []byte, number int64) uint32 {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(number))
	return crc32.Update(crc32.Update(0, castagnoli, p), castagnoli, n[:])
}

// header is block 0 of a run.
type header struct {
	number      uint64
	first, last Place
	ids, lists  int64
	latest      int64 // time of a record
}

func blocksOf(entries int64) int64 { return (entries + perBlock - 1) / perBlock }

// fenceBlocks is how many blocks hold the fences of so many entries.
func fenceBlocks(entries int64) int64 {
	return (blocksOf(entries) + fencesPerBlock - 1) / fencesPerBlock
}

// The parts of a run, in blocks: ids, lists, filter, fences of the ids and of the
// lists.
func (h *header) listsAt() int64      { return 1 + blocksOf(h.ids) }
func (h *header) filterAt() int64     { return h.listsAt() + blocksOf(h.lists) }
func (h *header) fencesAt() int64     { return h.filterAt() + filterOf(h.ids).blocks() }
func (h *header) listFencesAt() int64 { return h.fencesAt() + fenceBlocks(h.ids) }
func (h *header) blocks() int64       { return h.listFencesAt() + fenceBlocks(h.lists) }

// size is that of the whole file in bytes.
func (h *header) size() int64 { return h.blocks() * blockSize }

func (h *header) encode() []byte {
	b := slices.Clone(runMagic[:])
	b = binary.BigEndian.AppendUint64(b, h.number)
	for _, p := range []Place{h.first, h.last} {
		b = binary.BigEndian.AppendUint64(b, p.Seq)
		b = binary.BigEndian.AppendUint32(b, p.Offset)
		b = binary.BigEndian.AppendUint32(b, p.Position)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(h.ids))
	b = binary.BigEndian.AppendUint64(b, uint64(h.lists))
	return binary.BigEndian.AppendUint64(b, uint64(h.latest))
}

func decodeHeader(b []byte) (h header, err error) {
	if [8]byte(b[:8]) != runMagic {
		return h, fmt.Errorf("this is no run of version %d", runMagic[7])
	}
	place := func(b []byte) Place {
		return Place{binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])}
	}
	h = header{number: binary.BigEndian.Uint64(b[8:]), first: place(b[16:]), last: place(b[32:]),
		ids: int64(binary.BigEndian.Uint64(b[48:])), lists: int64(binary.BigEndian.Uint64(b[56:])), latest: int64(binary.BigEndian.Uint64(b[64:]))}
	const most = 1 << 48 // so that nothing overflows below
	if h.ids < 0 || h.ids > most || h.lists < 0 || h.lists > most || h.first.After(h.last) || h.last.Seq-h.first.Seq > maxDelta {
		return h, errors.New("its counts or places are not possible")
	}
	return h, nil
}

// run is an open run. It does not change.
type run struct {
	header
	path   string
	f      File
	idPart section
	list   section
	filter []byte // its blocks, where they are held in memory

	sets   atomic.Int32 // that it is in
	remove atomic.Bool  // when it is in none any more
	busy   bool         // it is being merged; guarded by the store
}

// section is the ids or the lists of a run.
type section struct {
	first    int64 // block
	entries  int64
	fencesAt int64   // block
	fences   []Print // the first of each block of fences
}

// openRun opens a run and reads what stays in memory: the first of each block of
// fences, and the filter of no more than resident ids. A file that is not a run, or not whole, is a
// DamagedError.
func openRun(d Disk, path string, resident int64) (r *run, err error) {
	f, err := d.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &DamagedError{path, "the file is missing"}
	}
	if err != nil {
		return nil, fmt.Errorf("opening a run: %w", err)
	}
	if r, err = load(path, f, resident); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

func (r *run) damaged(format string, args ...any) error {
	return &DamagedError{r.path, fmt.Sprintf(format, args...)}
}

func load(path string, f File, resident int64) (*run, error) {
	r := &run{path: path, f: f}
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if st.Size() < blockSize {
		return nil, r.damaged("it is too short for a run")
	}
	b := make([]byte, blockSize)
	if err := r.read(b, 0); err != nil {
		return nil, err
	}
	h, err := decodeHeader(b)
	if err != nil {
		return nil, r.damaged("%v", err)
	}
	if st.Size() != h.size() {
		return nil, r.damaged("it has %d bytes where its head says %d", st.Size(), h.size())
	}
	r.header = h
	r.idPart = section{first: 1, entries: h.ids, fencesAt: h.fencesAt()}
	r.list = section{first: h.listsAt(), entries: h.lists, fencesAt: h.listFencesAt()}
	for _, s := range []*section{&r.idPart, &r.list} {
		for n := range fenceBlocks(s.entries) {
			if err := r.read(b, s.fencesAt+n); err != nil {
				return nil, err
			}
			s.fences = append(s.fences, fence(b, 0))
		}
	}
	if h.ids <= resident {
		r.filter = make([]byte, filterOf(h.ids).blocks()*blockSize)
		if err := r.read(r.filter, h.filterAt()); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *run) readError(err error) error {
	if errors.Is(err, io.EOF) {
		return r.damaged("it ends too early")
	}
	return fmt.Errorf("reading %s: %w", r.path, err)
}

// read fills b with blocks and checks them.
func (r *run) read(b []byte, first int64) error {
	if _, err := r.f.ReadAt(b, first*blockSize); err != nil {
		return r.readError(err)
	}
	for ; len(b) > 0; b, first = b[blockSize:], first+1 {
		if binary.BigEndian.Uint32(b[blockSize-blockTail:]) != checksum(b[:blockSize-blockTail], first) {
			return r.damaged("block %d does not match its checksum", first)
		}
	}
	return nil
}

// entry decodes an entry of a block. It is two words: the fingerprint (48 bits)
// with the first half of seq less that of the run's first place (32), then the
// other half, offset (32) and position (16). So entries rise as numbers.
func (r *run) entry(b []byte, i int) (Print, Place) {
	e := b[i*entrySize : i*entrySize+entrySize]
	hi, lo := binary.BigEndian.Uint64(e), binary.BigEndian.Uint64(e[8:])
	return Print(hi) & printMask, Place{r.first.Seq + hi&0xffff<<16 + lo>>48, uint32(lo >> 16), uint32(lo & 0xffff)}
}

// words encodes an entry of a run that begins at seq.
func words(p Print, at Place, seq uint64) (hi, lo uint64) {
	delta := at.Seq - seq
	return uint64(p) | delta>>16, delta<<48 | uint64(at.Offset)<<16 | uint64(at.Position)
}

// within is how many entries block n of s has.
func (s *section) within(n int) int { return int(min(perBlock, s.entries-int64(n)*perBlock)) }

var blockPool = sync.Pool{New: func() any { return new([blockSize]byte) }}

// pass adds to out the index of each fingerprint that may be among the ids.
func (r *run) pass(prints []Print, out []int) ([]int, error) {
	f := filterOf(r.ids)
	buf := blockPool.Get().(*[blockSize]byte)
	defer blockPool.Put(buf)
	for i, p := range prints {
		n, at := f.group(p)
		b := buf[:]
		if r.filter != nil {
			b = r.filter[n*blockSize:]
		} else if err := r.read(b, r.filterAt()+n); err != nil {
			return out, err
		}
		if marked(b[at:at+filterGroup], p) {
			out = append(out, i)
		}
	}
	return out, nil
}

// fence is fence i of a block of fences.
func fence(b []byte, i int) Print { return Print(binary.BigEndian.Uint64(b[fenceSize*i:])) }

// begin is how many blocks of a section begin before a fingerprint, and how many
// before it or with it. It reads a block of fences, seldom two, into b.
func (r *run) begin(s *section, p Print, b []byte) (before, with int, err error) {
	held := -1                     // in b
	count := func(end Print) int { // of the blocks that begin before end
		n := sort.Search(len(s.fences), func(i int) bool { return s.fences[i] >= end }) - 1
		if n < 0 || err != nil {
			return 0
		}
		if n != held {
			err = r.read(b, s.fencesAt+int64(n))
			held = n
		}
		first := n * fencesPerBlock
		return first + sort.Search(min(fencesPerBlock, int(blocksOf(s.entries))-first), func(i int) bool { return fence(b, i) >= end })
	}
	before = count(p)
	with = count(p + 1) // the last bits of a fingerprint are zeros
	return before, with, err
}

// find adds to out up to limit places of a fingerprint behind after, in order.
func (r *run) find(s *section, p Print, after Place, limit int, out []Place) ([]Place, error) {
	buf := blockPool.Get().(*[blockSize]byte)
	defer blockPool.Put(buf)
	b := buf[:]
	passed := func(i int) bool { // entry i of b is behind the place where to begin
		q, at := r.entry(b, i)
		return q > p || q == p && at.After(after)
	}
	before, with, err := r.begin(s, p, b)
	if err != nil || with == 0 {
		return out, err
	}
	// The first entry wanted is in the last block that does not begin behind it.
	// Blocks between lo and hi all begin with p.
	lo, hi := max(before-1, 0), with-1
	for lo < hi {
		mid := lo + (hi-lo+1)/2
		if err := r.read(b, s.first+int64(mid)); err != nil {
			return out, err
		}
		if passed(0) {
			hi = mid - 1
		} else {
			lo = mid
		}
	}
	for n := lo; limit > 0 && n < with; n++ {
		if err := r.read(b, s.first+int64(n)); err != nil {
			return out, err
		}
		count := s.within(n)
		for i := sort.Search(count, passed); i < count && limit > 0; i++ {
			q, at := r.entry(b, i)
			if q != p {
				return out, nil
			}
			out = append(out, at)
			limit--
		}
	}
	return out, nil
}

// release is called for each set that r leaves.
func (r *run) release(d Disk) {
	if r.sets.Add(-1) > 0 {
		return
	}
	r.f.Close() // it was only read
	if r.remove.Load() {
		d.Remove(r.path) //nolint:errcheck // what stays is removed at the next start
	}
}
