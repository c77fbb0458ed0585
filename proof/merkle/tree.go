package merkle

import (
	"fmt"
	"math/bits"
	"slices"
)

// NodeReader gives the complete nodes of a tree. Node(l, i) covers the leaves [i·2^l, (i+1)·2^l);
// level 0 holds the leaf hashes. It is asked only for nodes that lie wholly inside the size it is
// asked about, and must give the same answer for ever: a complete node never changes.
type NodeReader interface {
	Node(level uint8, index uint64) (Digest, error)
}

// Node is a complete node and its place.
type Node struct {
	Level  uint8
	Index  uint64
	Digest Digest
}

// Append adds a leaf hash to the tree of the given size and returns the nodes that it completes,
// level 0 (the leaf itself) first. It reads their left siblings from r.
func Append(size uint64, leaf Digest, r NodeReader) ([]Node, error) {
	if size >= MaxSize {
		return nil, fmt.Errorf("appending to a tree of %d leaves: too large", size)
	}
	nodes := make([]Node, 0, 1+bits.TrailingZeros64(^size))
	n := Node{Index: size, Digest: leaf}
	nodes = append(nodes, n)
	for n.Index&1 == 1 {
		left, err := read(r, n.Level, n.Index-1)
		if err != nil {
			return nil, err
		}
		n = Node{Level: n.Level + 1, Index: n.Index >> 1, Digest: NodeHash(left, n.Digest)}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// RootAt is the root of the first size leaves.
func RootAt(size uint64, r NodeReader) (Digest, error) {
	if size > MaxSize {
		return Digest{}, fmt.Errorf("root of a tree of %d leaves: too large", size)
	}
	if size == 0 {
		return emptyRoot, nil
	}
	return span{0, size}.root(r)
}

// InclusionAt is the path from the leaf at index to the root of the first size leaves, leaf side
// first (RFC 9162 §2.1.3.1).
func InclusionAt(index, size uint64, r NodeReader) ([]Digest, error) {
	if size > MaxSize || index >= size {
		return nil, fmt.Errorf("inclusion of %d in %d: %w", index, size, ErrPath)
	}
	spans := make([]span, 0, MaxPath) // root side first
	for s := (span{0, size}); s.len() > 1; {
		left, right := s.split()
		if index < right.lo {
			s, spans = left, append(spans, right)
		} else {
			s, spans = right, append(spans, left)
		}
	}
	return roots(spans, r)
}

// ConsistencyAt is the path that shows the first m leaves to be a prefix of the first n
// (RFC 9162 §2.1.4.1); empty for m = 0 and m = n.
func ConsistencyAt(m, n uint64, r NodeReader) ([]Digest, error) {
	if n > MaxSize || m > n {
		return nil, fmt.Errorf("consistency of %d with %d: %w", m, n, ErrPath)
	}
	if m == 0 || m == n {
		return nil, nil
	}
	spans := make([]span, 0, MaxPath) // root side first
	s := span{0, n}
	for s.hi != m {
		left, right := s.split()
		if m <= right.lo {
			s, spans = left, append(spans, right)
		} else {
			s, spans = right, append(spans, left)
		}
	}
	// s now ends at m. If it begins at 0 it is the old tree itself, whose root the verifier has.
	if s.lo != 0 {
		spans = append(spans, s)
	}
	return roots(spans, r)
}

// span is the subtree over the leaves [lo, hi). In every span here lo is a multiple of the largest
// power of two not above the length, as the RFC's splitting makes them.
type span struct{ lo, hi uint64 }

func (s span) len() uint64 { return s.hi - s.lo }

// split cuts off the largest power of two that is smaller than the length, which is at least 2.
func (s span) split() (left, right span) {
	k := s.lo + 1<<(bits.Len64(s.len()-1)-1)
	return span{s.lo, k}, span{k, s.hi}
}

// root folds the complete subtrees of a span, one per set bit of its length, from the right.
func (s span) root(r NodeReader) (Digest, error) {
	var acc Digest
	hi := s.hi
	for n := s.len(); n != 0; n &= n - 1 {
		level := bits.TrailingZeros64(n)
		hi -= 1 << level
		d, err := read(r, uint8(level), hi>>level)
		if err != nil {
			return Digest{}, err
		}
		if hi+1<<level == s.hi {
			acc = d
		} else {
			acc = NodeHash(d, acc)
		}
	}
	return acc, nil
}

// roots are the roots of spans, last span first.
func roots(spans []span, r NodeReader) ([]Digest, error) {
	path := make([]Digest, 0, len(spans))
	for _, s := range slices.Backward(spans) {
		d, err := s.root(r)
		if err != nil {
			return nil, err
		}
		path = append(path, d)
	}
	return path, nil
}

func read(r NodeReader, level uint8, index uint64) (Digest, error) {
	d, err := r.Node(level, index)
	if err != nil {
		return Digest{}, fmt.Errorf("reading tree node level %d index %d: %w", level, index, err)
	}
	return d, nil
}

// Tree is a tree in memory: it keeps every complete node (about 128 bytes a leaf) and is a
// [NodeReader]. Use it where many paths of one tree are needed: [Inclusion] hashes all leaves each
// time. The zero Tree is empty. It is not safe for concurrent use while it grows.
type Tree struct{ levels [][]Digest }

// NewTree is the tree over leaf hashes.
func NewTree(leaves []Digest) *Tree {
	t := new(Tree)
	t.Append(leaves...)
	return t
}

// Size is the number of leaves.
func (t *Tree) Size() uint64 {
	if len(t.levels) == 0 {
		return 0
	}
	return uint64(len(t.levels[0]))
}

// Append adds leaf hashes. Many in one call take much less time than one by one, because each level
// is hashed in bulk.
func (t *Tree) Append(leaves ...Digest) {
	if len(leaves) == 0 {
		return
	}
	if len(t.levels) == 0 {
		t.levels = [][]Digest{nil}
	}
	t.levels[0] = append(t.levels[0], leaves...)
	for level := 0; len(t.levels[level]) > 1; level++ {
		if level+1 == len(t.levels) {
			t.levels = append(t.levels, nil)
		}
		below, above := t.levels[level], t.levels[level+1]
		have, want := len(above), len(below)/2
		above = slices.Grow(above, want-have)[:want]
		nodeHashes(above[have:], below[2*have:2*want])
		t.levels[level+1] = above
	}
}

// Node implements [NodeReader].
func (t *Tree) Node(level uint8, index uint64) (Digest, error) {
	if int(level) >= len(t.levels) || index >= uint64(len(t.levels[level])) {
		return Digest{}, fmt.Errorf("no complete node in a tree of %d leaves", t.Size())
	}
	return t.levels[level][index], nil
}

// Root is the root over leaf hashes. It leaves them as they are, and needs memory for one in 256.
func Root(leaves []Digest) Digest {
	if len(leaves) == 0 {
		return emptyRoot
	}
	// Complete subtrees of bulkSize leaves are nodes of one level of the tree, so their roots, and
	// that of the rest, are put together as leaves are.
	roots := make([]Digest, 0, (len(leaves)+bulkSize-1)/bulkSize)
	level := make([]Digest, min(bulkSize, len(leaves)))
	for some := range slices.Chunk(leaves, bulkSize) {
		roots = append(roots, subroot(level[:copy(level, some)]))
	}
	return subroot(roots)
}

// Blocks are the roots of each [BlockSize] leaves, in their order; the last block may have fewer.
// [Root] over them is that over the leaves, and the path of a leaf is the one in its block, then the
// one of the block: who keeps them makes a path without all the leaves.
func Blocks(leaves []Digest) []Digest {
	out := make([]Digest, 0, (len(leaves)+BlockSize-1)/BlockSize)
	level := make([]Digest, min(bulkSize, len(leaves)))
	for some := range slices.Chunk(leaves, bulkSize) {
		n := copy(level, some)
		whole := n / BlockSize
		rest := level[whole*BlockSize : n]
		for k := whole * BlockSize / 2; k > 0 && k >= whole; k /= 2 {
			nodeHashes(level[:k], level[:2*k])
		}
		if out = append(out, level[:whole]...); len(rest) > 0 {
			out = append(out, subroot(rest))
		}
	}
	return out
}

// Blocks are those of the tree's leaves.
func (t *Tree) Blocks() []Digest {
	size := t.Size()
	if size < BlockSize {
		return Blocks(t.leavesFrom(0))
	}
	whole := t.levels[blockLevel]
	return append(whole[:len(whole):len(whole)], Blocks(t.leavesFrom(size/BlockSize*BlockSize))...)
}

func (t *Tree) leavesFrom(i uint64) []Digest {
	if len(t.levels) == 0 {
		return nil
	}
	return t.levels[0][i:]
}

// Inclusion is the path of the leaf at index in the tree over leaf hashes. It hashes all of them:
// for many paths make a [Tree].
func Inclusion(leaves []Digest, index uint64) ([]Digest, error) {
	return InclusionAt(index, uint64(len(leaves)), NewTree(leaves))
}
