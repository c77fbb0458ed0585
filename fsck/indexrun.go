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
// number (8) at its end, and two tables with one at theirs, the number being that
// of the block where they begin:
//
//	block 0   "QFRUN" 0 0 1, number (8), first and last place (seq 8, offset 4, position 4
//	          each), count of ids (8), count of list entries (8), zeros
//	ids       255 entries a block, the last padded with zeros
//	lists     the same
//	fences    the fingerprint (8) of the first entry of each block of ids and lists
//	filter    32 bytes a block, 12 bits an id
//
// An entry is fingerprint (6), seq less that of the first place (4), offset (4),
// position (2).
const (
	runBlock   = 4096
	runTail    = 4
	runEntry   = 16
	runPer     = (runBlock - runTail) / runEntry
	runMagic   = "QFRUN\x00\x00\x01"
	runFilter  = 32
	runBits    = 12
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
	size        int64

	want, got [2]tally
}

func runName(n uint64) string { return fmt.Sprintf("%016d.run", n) }

func (r *indexRun) wrong(format string, args ...any) *Problem {
	return wrong(CodeIndex, r.c.rel(r.path), format, args...)
}

func runSum(b []byte, number uint64) uint32 {
	return crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, be8(number))
}

func runBlocks(entries uint64) uint64 { return (entries + runPer - 1) / runPer }

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
		return errors.New("it is no file of an index of version 1")
	}
	if n := f.num(8); n != r.number {
		return fmt.Errorf("it is file %d of the index", n)
	}
	for _, p := range []*place{&r.first, &r.last} {
		*p = place{f.num(8), uint32(f.num(4)), uint32(f.num(4))}
	}
	r.counts = [2]uint64{f.num(8), f.num(8)}
	if len(bytes.TrimLeft(f.b, "\x00")) > 0 {
		return errors.New("its first block does not end in zeros")
	}
	if r.counts[0] == 0 || r.counts[0] > maxEntries || r.counts[1] > maxEntries || r.first.compare(r.last) > 0 || r.last.seq-r.first.seq > 1<<32-1 {
		return fmt.Errorf("it cannot have %d and %d entries from %s to %s", r.counts[0], r.counts[1], r.first, r.last)
	}
	if want := r.filterAt() + runFilter*int64(r.filterBlocks()) + runTail; r.size != want {
		return fmt.Errorf("it has %d bytes, with %d and %d entries it must have %d", r.size, r.counts[0], r.counts[1], want)
	}
	return nil
}

// entryBlocks is how many hold entries, filterBlocks how many the filter has.
func (r *indexRun) entryBlocks() uint64  { return runBlocks(r.counts[0]) + runBlocks(r.counts[1]) }
func (r *indexRun) filterBlocks() uint64 { return r.counts[0]*runBits/(8*runFilter) + 1 }

func (r *indexRun) fencesAt() int64 { return runBlock * int64(1+r.entryBlocks()) }
func (r *indexRun) filterAt() int64 { return r.fencesAt() + 8*int64(r.entryBlocks()) + runTail }

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

// runReader reads a file of the index from its beginning, beside it the fences and
// the filter, which follow from the entries.
type runReader struct {
	*indexRun
	seed           maphash.Seed
	blocks         *bufio.Reader
	fences, filter *table
	next           uint64 // block
	low, high      place

	bits  [runFilter]byte // of the filter's block that the ids are in
	block uint64          // which that is
}

// table is read beside its checksum.
type table struct {
	r     *bufio.Reader
	sum   uint32
	first uint64 // block where it begins
}

func section(f io.ReaderAt, at, size int64) *bufio.Reader {
	return bufio.NewReaderSize(io.NewSectionReader(f, at, size), int(min(size, 256<<10)))
}

func newTable(f io.ReaderAt, at, size int64) *table {
	return &table{r: section(f, at, size), first: uint64(at / runBlock)}
}

func (t *table) take(b []byte) error {
	if _, err := io.ReadFull(t.r, b); err != nil {
		return err
	}
	t.sum = crc32.Update(t.sum, castagnoli, b)
	return nil
}

// end compares the checksum.
func (t *table) end() (good bool, err error) {
	var b [runTail]byte
	_, err = io.ReadFull(t.r, b[:])
	return crc32.Update(t.sum, castagnoli, be8(t.first)) == binary.BigEndian.Uint32(b[:]), err
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
	fences, filter := r.fencesAt(), r.filterAt()
	s := &runReader{indexRun: r, seed: seed, blocks: section(f, runBlock, fences-runBlock),
		fences: newTable(f, fences, filter-fences), filter: newTable(f, filter, r.size-filter), next: 1, low: r.last, high: r.first}
	for part := range r.counts {
		if err := s.part(part, tell); err != nil {
			return reading(r.path, err)
		}
		if part > 0 {
			break
		}
		if err := s.filterUpTo(r.filterBlocks()); err != nil {
			return reading(r.path, err)
		}
		if s.low != r.first || s.high != r.last { // each record has an id
			return r.wrong("it says that it goes from %s to %s, its ids go from %s to %s", r.first, r.last, s.low, s.high)
		}
	}
	for _, t := range []*table{s.fences, s.filter} {
		if good, err := t.end(); err != nil {
			return reading(r.path, err)
		} else if !good {
			return r.wrong("a table behind its blocks does not match its checksum")
		}
	}
	tell(r.size - fences + runBlock)
	return nil
}

// part reads the blocks of the ids, or of the lists.
func (s *runReader) part(part int, tell func(int64)) error {
	var b [runBlock]byte
	var hi, lo, sum uint64 // the last entry
	left := s.counts[part]
	for left > 0 {
		if s.next%256 == 0 && s.c.ctx.Err() != nil {
			return s.c.ctx.Err()
		}
		if _, err := io.ReadFull(s.blocks, b[:]); err != nil {
			return err
		}
		if runSum(b[:runBlock-runTail], s.next) != binary.BigEndian.Uint32(b[runBlock-runTail:]) {
			return s.wrong("a block does not match its checksum").at("offset", s.next*runBlock)
		}
		n := int(min(left, runPer))
		for i := range n {
			e := b[i*runEntry : (i+1)*runEntry]
			nextHi, nextLo := binary.BigEndian.Uint64(e), binary.BigEndian.Uint64(e[8:])
			if nextHi < hi || nextHi == hi && nextLo < lo {
				return s.wrong("its entries do not rise").at("offset", s.next*runBlock+uint64(i*runEntry))
			}
			hi, lo = nextHi, nextLo
			sum += maphash.Bytes(s.seed, e)
			if err := s.entry(part, i, hi&printBits, s.placeOf(hi, lo)); err != nil {
				return err
			}
		}
		if len(bytes.TrimLeft(b[n*runEntry:runBlock-runTail], "\x00")) > 0 {
			return s.wrong("something follows the last entry").at("offset", s.next*runBlock)
		}
		left -= uint64(n)
		s.next++
		tell(runBlock)
	}
	s.got[part].add(s.counts[part], sum)
	return nil
}

// entry looks at an entry, and at what follows from it elsewhere in the file.
func (s *runReader) entry(part, i int, print uint64, at place) error {
	if at.compare(s.first) < 0 || at.compare(s.last) > 0 {
		return s.wrong("it has an entry for %s, and goes from %s to %s", at, s.first, s.last).at("offset", s.next*runBlock+uint64(i*runEntry))
	}
	if i == 0 {
		var fence [8]byte
		if err := s.fences.take(fence[:]); err != nil {
			return err
		}
		if binary.BigEndian.Uint64(fence[:]) != print {
			return s.wrong("the fence of a block is not its first fingerprint").at("offset", s.next*runBlock)
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
	block, _ := bits.Mul64(print, s.filterBlocks())
	if err := s.filterUpTo(block); err != nil {
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

// filterUpTo compares the filter's blocks before one with what the ids make of
// them: as ids rise, so do the blocks that they are in.
func (s *runReader) filterUpTo(block uint64) error {
	for ; s.block < block; s.block++ {
		var b [runFilter]byte
		if err := s.filter.take(b[:]); err != nil {
			return err
		}
		if b != s.bits {
			return s.wrong("block %d of its filter is not that of its ids", s.block)
		}
		s.bits = [runFilter]byte{}
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
	return nil
}
