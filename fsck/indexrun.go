package fsck

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/maphash"
	"io"
	"math/bits"
	"os"
	"path/filepath"
)

// A file of the index is blocks of 4096 bytes, each with a CRC-32C over it and its
// number (8) at its end, and zeros between its content and that:
//
//	block 0   "QFRUN" 0 0 2, number (8), first and last place (seq 8, offset 4, position 4
//	          each), count of ids (8), count of list entries (8), latest time of a record (8)
//	ids       255 entries a block
//	lists     the same
//	filter    127 groups of 32 bytes a block, 12 bits an id
//	fences    511 a block: the fingerprint (8) of the first entry of each block of ids
//	fences    the same, of lists
//
// An entry is fingerprint (6), seq less that of the first place (4), offset (4),
// position (2).
const (
	runBlock   = 4096
	runTail    = 4
	runEntry   = 16
	runPer     = (runBlock - runTail) / runEntry
	runMagic   = "QFRUN\x00\x00\x02"
	runGroup   = 32
	runGroups  = (runBlock - runTail) / runGroup
	runBits    = 12
	runFence   = 8
	runFences  = (runBlock - runTail) / runFence
	printBits  = ^uint64(0xffff)
	maxEntries = 1 << 44 // so that nothing overflows
)

// indexRun is a file of the index.
type indexRun struct {
	c           *checker
	path        string
	number      uint64
	first, last place
	counts      [2]uint64 // ids, lists
	latest      int64     // time of a record
	size        int64

	want, got  [2]tally
	wantLatest int64 // guarded by the index while the batches are read
}

func runName(n uint64) string { return fmt.Sprintf("%016d.run", n) }

func (r *indexRun) wrong(format string, args ...any) *Problem {
	return wrong(CodeIndex, r.c.rel(r.path), format, args...)
}

func runSum(b []byte, number uint64) uint32 {
	return crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, be8(number))
}

func up(n, per uint64) uint64 { return (n + per - 1) / per }

func runBlocks(entries uint64) uint64 { return up(entries, runPer) }

// openRun reads block 0.
func (x *index) openRun(number uint64) (*indexRun, error) {
	r := &indexRun{c: x.c, path: filepath.Join(x.dir, runName(number)), number: number}
	f, size, err := opened(r.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, r.wrong("there is no such file, and the list of the index names it")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r.size = size
	b := make([]byte, runBlock)
	if r.size < runBlock {
		return nil, r.wrong("it has %d bytes", r.size)
	}
	if _, err := f.ReadAt(b, 0); err != nil {
		return nil, reading(r.path, err)
	}
	if why := r.header(b); why != nil {
		return nil, r.wrong("%v", why)
	}
	return r, nil
}

func (r *indexRun) header(b []byte) error {
	if runSum(b[:runBlock-runTail], 0) != binary.BigEndian.Uint32(b[runBlock-runTail:]) {
		return errors.New("its first block does not match its checksum")
	}
	f := &fields{b: b[:runBlock-runTail]}
	if string(f.take(8)) != runMagic {
		return errors.New("it is no file of an index of version 2")
	}
	if n := f.num(8); n != r.number {
		return fmt.Errorf("it is file %d of the index", n)
	}
	for _, p := range []*place{&r.first, &r.last} {
		*p = place{f.num(8), uint32(f.num(4)), uint32(f.num(4))}
	}
	r.counts, r.latest = [2]uint64{f.num(8), f.num(8)}, int64(f.num(8))
	if len(bytes.TrimLeft(f.b, "\x00")) > 0 {
		return errors.New("its first block does not end in zeros")
	}
	if r.counts[0] == 0 || r.counts[0] > maxEntries || r.counts[1] > maxEntries || r.first.compare(r.last) > 0 || r.last.seq-r.first.seq > 1<<32-1 {
		return fmt.Errorf("it cannot have %d and %d entries from %s to %s", r.counts[0], r.counts[1], r.first, r.last)
	}
	if want := int64(runBlock * r.blocks()); r.size != want {
		return fmt.Errorf("it has %d bytes, with %d and %d entries it must have %d", r.size, r.counts[0], r.counts[1], want)
	}
	return nil
}

// The parts of the file, in blocks.
func (r *indexRun) filterAt() uint64 { return 1 + runBlocks(r.counts[0]) + runBlocks(r.counts[1]) }
func (r *indexRun) fencesAt() uint64 { return r.filterAt() + up(r.groups(), runGroups) }
func (r *indexRun) blocks() uint64 {
	return r.fencesAt() + up(runBlocks(r.counts[0]), runFences) + up(runBlocks(r.counts[1]), runFences)
}

// groups is how many the filter has.
func (r *indexRun) groups() uint64 { return r.counts[0]*runBits/(8*runGroup) + 1 }

// entry appends the entry of a fingerprint at a place.
func (r *indexRun) entry(b []byte, print uint64, at place) []byte {
	delta := at.seq - r.first.seq
	b = binary.BigEndian.AppendUint64(b, print|delta>>16)
	return binary.BigEndian.AppendUint64(b, delta<<48|uint64(at.offset)<<16|uint64(at.position))
}

// placeOf is the place that an entry states.
func (r *indexRun) placeOf(hi, lo uint64) place {
	return place{r.first.seq + hi&0xffff<<16 + lo>>48, uint32(lo >> 16), uint32(lo & 0xffff)}
}

// series reads items of one size that fill blocks one after another.
type series struct {
	run   *indexRun
	r     *bufio.Reader
	next  uint64 // block
	block [runBlock]byte
	left  []byte // of the block's content
	tell  func(int64)
}

func (r *indexRun) series(f io.ReaderAt, from, to uint64, tell func(int64)) *series {
	size := int64(to-from) * runBlock
	part := io.NewSectionReader(f, int64(from)*runBlock, size)
	return &series{run: r, r: bufio.NewReaderSize(part, int(min(size, 256<<10))), next: from, tell: tell}
}

// take reads an item, which is good until the next one.
func (s *series) take(size int) ([]byte, error) {
	if len(s.left) < size {
		if err := s.nextBlock(); err != nil {
			return nil, err
		}
	}
	item := s.left[:size]
	s.left = s.left[size:]
	return item, nil
}

func (s *series) nextBlock() error {
	if err := s.end(); err != nil {
		return err
	}
	if s.next%256 == 0 && s.run.c.ctx.Err() != nil {
		return s.run.c.ctx.Err()
	}
	if _, err := io.ReadFull(s.r, s.block[:]); err != nil {
		return err
	}
	content, sum := s.block[:runBlock-runTail], binary.BigEndian.Uint32(s.block[runBlock-runTail:])
	if runSum(content, s.next) != sum {
		return s.run.wrong("a block does not match its checksum").at("offset", s.next*runBlock)
	}
	s.left = content
	s.next++
	s.tell(runBlock)
	return nil
}

// end says that no more items are in the block.
func (s *series) end() error {
	if len(bytes.TrimLeft(s.left, "\x00")) > 0 {
		return s.run.wrong("something follows the last item of a block").at("offset", (s.next-1)*runBlock)
	}
	s.left = nil
	return nil
}

// runReader reads a file of the index from its beginning, beside it the filter and
// the fences, which follow from the entries.
type runReader struct {
	*indexRun
	seed                    maphash.Seed
	entries, filter, fences *series
	low, high               place

	bits  [runGroup]byte // of the filter's group that the ids are in
	group uint64         // which that is
}

// readFile reads the whole file and adds up what is in it. tell is told of bytes.
func (r *indexRun) readFile(seed maphash.Seed, tell func(int64)) error {
	f, err := os.Open(r.path)
	if err != nil {
		return err
	}
	defer f.Close()
	return r.read(f, seed, tell)
}

func (r *indexRun) read(f io.ReaderAt, seed maphash.Seed, tell func(int64)) error {
	s := &runReader{indexRun: r, seed: seed, low: r.last, high: r.first, entries: r.series(f, 1, r.filterAt(), tell),
		filter: r.series(f, r.filterAt(), r.fencesAt(), tell), fences: r.series(f, r.fencesAt(), r.blocks(), tell)}
	for part := range r.counts {
		if err := s.part(part); err != nil {
			return reading(r.path, err)
		}
		if part > 0 {
			break
		}
		if err := s.filterUpTo(r.groups()); err != nil {
			return reading(r.path, err)
		}
		if s.low != r.first || s.high != r.last { // each record has an id
			return r.wrong("it says that it goes from %s to %s, its ids go from %s to %s", r.first, r.last, s.low, s.high)
		}
	}
	tell(runBlock)
	return s.filter.end()
}

// part reads the blocks of the ids, or of the lists.
func (s *runReader) part(part int) error {
	var hi, lo, sum uint64 // the last entry
	for i := range s.counts[part] {
		e, err := s.entries.take(runEntry)
		if err != nil {
			return err
		}
		nextHi, nextLo := binary.BigEndian.Uint64(e), binary.BigEndian.Uint64(e[8:])
		if nextHi < hi || nextHi == hi && nextLo < lo {
			return s.wrong("its entries do not rise").at("offset", s.offset())
		}
		hi, lo = nextHi, nextLo
		sum += maphash.Bytes(s.seed, e)
		if err := s.entry(part, i, hi&printBits, s.placeOf(hi, lo)); err != nil {
			return err
		}
	}
	s.got[part].add(s.counts[part], sum)
	if err := s.entries.end(); err != nil {
		return err
	}
	return s.fences.end()
}

// offset is where the entry that was taken stands in the file.
func (s *runReader) offset() uint64 {
	return s.entries.next*runBlock - runTail - uint64(len(s.entries.left)) - runEntry
}

// entry looks at entry i of a part, and at what follows from it elsewhere in the
// file.
func (s *runReader) entry(part int, i, print uint64, at place) error {
	if at.compare(s.first) < 0 || at.compare(s.last) > 0 {
		return s.wrong("it has an entry for %s, and goes from %s to %s", at, s.first, s.last).at("offset", s.offset())
	}
	if i%runPer == 0 {
		fence, err := s.fences.take(runFence)
		if err != nil {
			return err
		}
		if binary.BigEndian.Uint64(fence) != print {
			return s.wrong("the fence of a block is not its first fingerprint").at("offset", s.offset())
		}
	}
	if part > 0 {
		return nil
	}
	if at.compare(s.low) < 0 {
		s.low = at
	}
	if at.compare(s.high) > 0 {
		s.high = at
	}
	group, _ := bits.Mul64(print, s.groups())
	if err := s.filterUpTo(group); err != nil {
		return err
	}
	for w, salt := range filterSalts {
		bit := binary.BigEndian.Uint32(s.bits[4*w:]) | 1<<(uint32(print>>16)*salt>>27)
		binary.BigEndian.PutUint32(s.bits[4*w:], bit)
	}
	return nil
}

// filterSalts are those of the split block Bloom filter of Apache Parquet.
var filterSalts = [8]uint32{0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31}

// filterUpTo compares the filter's groups before one with what the ids make of
// them: as ids rise, so do the groups that they are in.
func (s *runReader) filterUpTo(group uint64) error {
	for ; s.group < group; s.group++ {
		b, err := s.filter.take(runGroup)
		if err != nil {
			return err
		}
		if !bytes.Equal(b, s.bits[:]) {
			return s.wrong("group %d of its filter is not that of its ids", s.group)
		}
		s.bits = [runGroup]byte{}
	}
	return nil
}

// compare holds what is in the file against what follows from the records.
func (r *indexRun) compare() error {
	for part, what := range [2]string{"ids", "digests and dossiers"} {
		got, want := &r.got[part], &r.want[part]
		if n := want.count.Load(); got.count.Load() != n {
			return r.wrong("it has %d entries of %s, by the records there are %d", got.count.Load(), what, n)
		}
		if got.sum.Load() != want.sum.Load() {
			return r.wrong("its %d entries of %s are not those of the records", got.count.Load(), what)
		}
		r.c.entries.Add(got.count.Load())
	}
	if r.latest != r.wantLatest {
		return r.wrong("it says that its latest record is of %d ms, by the records that is %d", r.latest, r.wantLatest)
	}
	return nil
}
