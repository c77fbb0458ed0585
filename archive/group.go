package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// The kinds of payload of a batch file's frames.
const (
	kindOpen   = 1
	kindGroup  = 2
	kindFooter = 3
)

// filePreface begins every batch file and carries the version of the format.
var filePreface = []byte("QFBATCH\x02")

// opening is the first frame: which batch of which node on which chain.
type opening struct {
	seq         uint64
	node, chain string
}

func (o opening) encode() []byte {
	b := append(make([]byte, frameHead, 128), kindOpen)
	b = binary.BigEndian.AppendUint64(b, o.seq)
	b = append(append(b, byte(len(o.node))), o.node...)
	return append(append(b, byte(len(o.chain))), o.chain...)
}

func decodeOpening(p []byte) (o opening, err error) {
	r := reader{p: p}
	r.kind(kindOpen)
	o.seq = r.u64()
	o.node = string(r.take(uint64(r.u8())))
	o.chain = string(r.take(uint64(r.u8())))
	return o, r.end()
}

// group is what shares one fsync and one receipt: the payload of one frame.
//
//	kind          1  2
//	registry      8  ledger size against which the keys were checked
//	received      8  received_at, Unix milliseconds
//	base       3×4   records of the batch before this group, per stream
//	statements    4  how many
//	records       4  how many
//	head          4  bytes of the signed receipt head
//	per statement: bytes 4, submissions under it 4
//	per record:    bytes 4, statement 4, position under it 4, stream 1
//	the head; the blocks of the receipt's tree, 64 bytes each; the statements;
//	per statement the pairs of its submissions, 64 bytes each, and their blocks;
//	the records
//
// The tables are of fixed width and come first, so that one record is read
// without the others. Pairs are kept of all submissions of a statement, also of
// those that were stored before, under another: the path needs them. Blocks
// ([merkle.Blocks]) make a path without the rest of its tree; a tree that is one
// block has none here.
type group struct {
	registry   uint64
	received   int64
	base       [3]uint32
	head       []byte
	blocks     []merkle.Digest
	statements []groupStatement
	records    []groupRecord
}

type groupStatement struct {
	signed []byte
	pairs  []merkle.Digest
	blocks []merkle.Digest
	owner  owner // read from signed; not in the frame
}

// keptBlocks is how many blocks of a tree of n leaves stand in a group.
func keptBlocks(n uint64) uint64 {
	if n <= merkle.BlockSize {
		return 0
	}
	return (n + merkle.BlockSize - 1) / merkle.BlockSize
}

// kept are those of a tree's blocks that stand in a group.
func kept(blocks []merkle.Digest) []merkle.Digest {
	if len(blocks) == 1 {
		return nil
	}
	return blocks
}

type groupRecord struct {
	data      []byte
	statement uint32 // which of the group's
	position  uint32 // of its submission under the statement
	stream    uint8  // which of evidence.Streams
}

const (
	groupFixed     = 1 + 8 + 8 + 3*4 + 3*4
	statementEntry = 8
	recordEntry    = 13
	pairSize       = 64
)

// encode writes the payload behind the room for a frame's head, into buf where
// it is large enough.
func (g *group) encode(buf []byte) []byte {
	size := frameHead + frameTail + groupFixed + len(g.head) + len(g.blocks)*pairSize + len(g.statements)*statementEntry + len(g.records)*recordEntry
	for _, s := range g.statements {
		size += len(s.signed) + (len(s.pairs)+len(s.blocks))*pairSize
	}
	for _, r := range g.records {
		size += len(r.data)
	}
	b := append(slices.Grow(buf[:0], size)[:frameHead], kindGroup)
	b = binary.BigEndian.AppendUint64(b, g.registry)
	b = binary.BigEndian.AppendUint64(b, uint64(g.received))
	for _, n := range g.base {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	b = appendLen(b, len(g.statements))
	b = appendLen(b, len(g.records))
	b = appendLen(b, len(g.head))
	for _, s := range g.statements {
		b = appendLen(appendLen(b, len(s.signed)), len(s.pairs))
	}
	for _, r := range g.records {
		b = appendLen(b, len(r.data))
		b = binary.BigEndian.AppendUint32(b, r.statement)
		b = binary.BigEndian.AppendUint32(b, r.position)
		b = append(b, r.stream)
	}
	b = appendPairs(append(b, g.head...), g.blocks)
	for _, s := range g.statements {
		b = append(b, s.signed...)
	}
	for _, s := range g.statements {
		b = appendPairs(appendPairs(b, s.pairs), s.blocks)
	}
	for _, r := range g.records {
		b = append(b, r.data...)
	}
	return b
}

func appendLen(b []byte, n int) []byte {
	if n < 0 || n > math.MaxUint32 {
		panic("archive: a length that limits exclude")
	}
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

func appendPair(b []byte, d merkle.Digest) []byte {
	return append(append(b, d.SM3[:]...), d.SHA256[:]...)
}

func appendPairs(b []byte, list []merkle.Digest) []byte {
	for _, d := range list {
		b = appendPair(b, d)
	}
	return b
}

func toPairs(b []byte) []merkle.Digest {
	out := make([]merkle.Digest, len(b)/pairSize)
	for i := range out {
		out[i] = toPair(b[i*pairSize:])
	}
	return out
}

func toPair(b []byte) (d merkle.Digest) {
	copy(d.SM3[:], b[:32])
	copy(d.SHA256[:], b[32:64])
	return d
}

// layout is where the parts of a group stand in its payload.
type layout struct {
	registry   uint64
	received   int64
	base       [3]uint32
	head       span
	blocks     span
	statements []span
	pairs      []span // per statement
	pairBlocks []span // per statement
	records    []recordSpan
	size       uint64
}

type span struct{ from, len uint64 }

type recordSpan struct {
	span
	statement, position uint32
	stream              uint8
}

func (s span) end() uint64 { return s.from + s.len }

// fixed is the beginning of a group, from which the size of its tables follows.
type fixed struct {
	registry                  uint64
	received                  int64
	base                      [3]uint32
	statements, records, head uint32
}

func decodeFixed(r *reader) (f fixed, err error) {
	r.kind(kindGroup)
	f.registry, f.received = r.u64(), int64(r.u64())
	for i := range f.base {
		f.base[i] = r.u32()
	}
	f.statements, f.records, f.head = r.u32(), r.u32(), r.u32()
	if r.err != nil {
		return f, r.err
	}
	if uint64(f.statements)*statementEntry+uint64(f.records)*recordEntry+uint64(f.head) > maxGroupPayload {
		return f, errors.New("the group's tables are larger than any group")
	}
	return f, nil
}

// tables is the size of a group's tables.
func (f fixed) tables() int {
	return int(f.statements)*statementEntry + int(f.records)*recordEntry
}

// decodeLayout reads the tables that follow f in r.
func decodeLayout(f fixed, r *reader) (*layout, error) {
	l := &layout{registry: f.registry, received: f.received, base: f.base}
	at := uint64(groupFixed + f.tables())
	next := func(n uint64) span { s := span{at, n}; at += n; return s }
	l.head = next(uint64(f.head))
	l.blocks = next(keptBlocks(uint64(f.records)) * pairSize)
	counts := make([]uint32, f.statements)
	for i := range counts {
		l.statements = append(l.statements, next(uint64(r.u32())))
		counts[i] = r.u32()
	}
	for _, n := range counts {
		l.pairs = append(l.pairs, next(uint64(n)*pairSize))
		l.pairBlocks = append(l.pairBlocks, next(keptBlocks(uint64(n))*pairSize))
	}
	if int(f.records)*recordEntry <= len(r.p) { // they are there, as the table says
		l.records = make([]recordSpan, 0, f.records)
	}
	for range f.records {
		rec := recordSpan{span: next(uint64(r.u32())), statement: r.u32(), position: r.u32(), stream: r.u8()}
		if rec.statement >= f.statements || rec.stream >= uint8(len(evidence.Streams)) ||
			r.err == nil && rec.position >= counts[rec.statement] {
			return nil, errors.New("a record of the group names a statement, position or stream that is not there")
		}
		l.records = append(l.records, rec)
	}
	l.size = at
	if r.err == nil && at > maxGroupPayload {
		return nil, errors.New("the group is larger than any that is written")
	}
	return l, r.err
}

// decodeGroup reads a whole payload. The result refers to it.
func decodeGroup(p []byte) (*group, error) {
	r := &reader{p: p}
	f, err := decodeFixed(r)
	if err != nil {
		return nil, err
	}
	l, err := decodeLayout(f, r)
	if err != nil {
		return nil, err
	}
	if l.size != uint64(len(p)) {
		return nil, fmt.Errorf("the group has %d bytes where its tables say %d", len(p), l.size)
	}
	cut := func(s span) []byte { return p[s.from:s.end():s.end()] }
	g := &group{registry: l.registry, received: l.received, base: l.base, head: cut(l.head), blocks: toPairs(cut(l.blocks))}
	for i, s := range l.statements {
		g.statements = append(g.statements, groupStatement{signed: cut(s), pairs: toPairs(cut(l.pairs[i])), blocks: toPairs(cut(l.pairBlocks[i]))})
	}
	for _, rec := range l.records {
		g.records = append(g.records, groupRecord{cut(rec.span), rec.statement, rec.position, rec.stream})
	}
	return g, nil
}

// reader reads numbers and byte strings; the first error stays.
type reader struct {
	p   []byte
	err error
}

func (r *reader) take(n uint64) []byte {
	if r.err == nil && n > uint64(len(r.p)) {
		r.err = io.ErrUnexpectedEOF
	}
	if r.err != nil {
		return nil
	}
	b := r.p[:n:n]
	r.p = r.p[n:]
	return b
}

func (r *reader) kind(want uint8) {
	if got := r.u8(); r.err == nil && got != want {
		r.err = fmt.Errorf("the frame is of kind %d where %d is expected", got, want)
	}
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// end says what was wrong, or that something is left.
func (r *reader) end() error {
	if r.err == nil && len(r.p) > 0 {
		r.err = fmt.Errorf("%d bytes follow the end", len(r.p))
	}
	return r.err
}
