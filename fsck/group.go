package fsck

import (
	"errors"
	"fmt"

	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// The kinds of payload.
const (
	kindOpening = 1
	kindGroup   = 2
	kindFooter  = 3
)

// readOpening reads the first frame: kind, seq (8), length (1) and text of the
// node's id, length (1) and text of the chain id.
func readOpening(p []byte) (seq uint64, node, chain string, err error) {
	f := &fields{b: p}
	if f.num(1) != kindOpening {
		return 0, "", "", errors.New("the first frame is no opening")
	}
	seq = f.num(8)
	node = string(f.take(f.num(1)))
	chain = string(f.take(f.num(1)))
	return seq, node, chain, f.over()
}

// group is what shares a receipt. Its payload: kind (1), registry size (8),
// received_at in Unix milliseconds (8), records per stream before it (3×4), number
// of statements (4) and of records (4), bytes of the head (4); per statement its
// bytes (4) and the submissions under it (4); per record its bytes (4), which
// statement (4), position under it (4), stream (1); then the head, the roots of
// each 32 of the receipt's leaves (64 each), the statements, per statement the
// pairs of its submissions (64 each) and the roots of each 32 of them, the records.
// Of 32 leaves or fewer no such root stands there.
type group struct {
	registry   uint64
	received   int64
	before     [3]uint64
	head       []byte
	blocks     []merkle.Digest
	statements []statement
	records    []record
}

type statement struct {
	signed []byte
	pairs  []merkle.Digest
	blocks []merkle.Digest
}

// rootOf is the root over leaves, and the roots of each 32 of them that have to
// stand beside them.
func rootOf(leaves []merkle.Digest) (root merkle.Digest, blocks []merkle.Digest) {
	blocks = merkle.Blocks(leaves)
	root = merkle.Root(blocks)
	return root, blocks[:blockCount(uint64(len(leaves)))]
}

// blockCount is how many they are.
func blockCount(leaves uint64) uint64 {
	if leaves <= 32 {
		return 0
	}
	return (leaves + 31) / 32
}

type record struct {
	data      []byte
	statement uint64
	position  uint64
	stream    uint64
}

func readGroup(p []byte) (*group, error) {
	f := &fields{b: p}
	if f.num(1) != kindGroup {
		return nil, errors.New("a frame between opening and footer is no group")
	}
	if len(p) > maxGroup {
		return nil, fmt.Errorf("a group of %d bytes", len(p))
	}
	g := &group{registry: f.num(8), received: int64(f.num(8))}
	for i := range g.before {
		g.before[i] = f.num(4)
	}
	nStatements, nRecords, nHead := f.num(4), f.num(4), f.num(4)
	if nStatements*8+nRecords*13 > uint64(len(f.b)) {
		return nil, errors.New("the tables of a group are larger than the group")
	}
	sizes, counts := make([]uint64, nStatements), make([]uint64, nStatements)
	for i := range sizes {
		sizes[i], counts[i] = f.num(4), f.num(4)
	}
	lengths := make([]uint64, nRecords)
	g.records = make([]record, nRecords)
	for i := range g.records {
		lengths[i] = f.num(4)
		r := record{statement: f.num(4), position: f.num(4), stream: f.num(1)}
		if r.statement >= nStatements || r.position >= counts[r.statement] || r.stream >= uint64(len(evidence.Streams)) {
			return nil, fmt.Errorf("record %d of a group names a statement, position or stream that is not there", i)
		}
		g.records[i] = r
	}
	g.head = f.take(nHead)
	var err error
	if g.blocks, err = f.pairs(blockCount(nRecords)); err != nil {
		return nil, err
	}
	g.statements = make([]statement, nStatements)
	for i := range g.statements {
		g.statements[i].signed = f.take(sizes[i])
	}
	for i := range g.statements {
		if g.statements[i].pairs, err = f.pairs(counts[i]); err != nil {
			return nil, err
		}
		if g.statements[i].blocks, err = f.pairs(blockCount(counts[i])); err != nil {
			return nil, err
		}
	}
	for i := range g.records {
		g.records[i].data = f.take(lengths[i])
	}
	return g, f.over()
}

// pairs reads n digest pairs.
func (f *fields) pairs(n uint64) (out []merkle.Digest, err error) {
	for b := f.take(n * 64); len(b) > 0; b = b[64:] {
		d, err := unplain(b[:64])
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// footer is the last frame of a closed batch: kind (1), records per stream (3×4),
// bytes of the header (4), the header, per stream and level from the leaves up the
// complete nodes (64 each), and the offset of this frame (8).
type footer struct {
	counts [3]uint64
	header []byte
	nodes  []byte
	start  uint64
}

func readFooter(p []byte) (*footer, error) {
	f := &fields{b: p}
	if f.num(1) != kindFooter {
		return nil, errors.New("the last frame is no footer")
	}
	ft := &footer{}
	nodes := uint64(0)
	for i := range ft.counts {
		ft.counts[i] = f.num(4)
		for n := ft.counts[i]; n > 0; n /= 2 {
			nodes += n
		}
	}
	ft.header = f.take(f.num(4))
	ft.nodes = f.take(nodes * 64)
	ft.start = f.num(8)
	return ft, f.over()
}
