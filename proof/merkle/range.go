package merkle

import (
	"fmt"
	"math/bits"
)

// A range path shows that the leaves [lo, hi) stand together in a tree: one path for all of them,
// of at most 2·log₂(size) hashes, where each leaf's own has log₂(size). It follows the split of RFC
// 9162 §2.1.1: the root of a subtree that lies wholly inside the range follows from the leaves, one
// that lies wholly outside is in the path, and every other is the node over its two children. Of a
// node with one child outside, the hashes under the other child come first and the one outside
// after them. So the path of a single leaf is its inclusion path.

// RangeAt is the range path of the leaves [lo, hi) in the first size leaves.
func RangeAt(lo, hi, size uint64, r NodeReader) ([]Digest, error) {
	if size > MaxSize || lo >= hi || hi > size {
		return nil, fmt.Errorf("range %d to %d in %d: %w", lo, hi, size, ErrPath)
	}
	path := make([]Digest, 0, bits.Len64(size))
	err := outside(span{0, size}, span{lo, hi}, func(s span) error {
		d, err := s.root(r)
		path = append(path, d)
		return err
	})
	if err != nil {
		return nil, err
	}
	return path, nil
}

// outside calls visit with the spans of a range path under s, which meets the range, in order.
func outside(s, in span, visit func(span) error) error {
	if s.within(in) {
		return nil
	}
	left, right := s.split()
	for _, child := range [2]span{left, right} {
		if child.meets(in) {
			if err := outside(child, in, visit); err != nil {
				return err
			}
		}
	}
	for _, child := range [2]span{left, right} {
		if !child.meets(in) {
			return visit(child)
		}
	}
	return nil
}

func (s span) within(in span) bool { return in.lo <= s.lo && s.hi <= in.hi }
func (s span) meets(in span) bool  { return s.lo < in.hi && in.lo < s.hi }

// VerifyRange checks that leaves (leaf hashes) are the leaves from lo on of the tree of size leaves
// with the given root. A wrong form is [ErrPath], a wrong hash a [*HalfError].
func VerifyRange(leaves []Digest, lo, size uint64, path []Digest, root Digest) error {
	in, err := checkRange(leaves, lo, size, path)
	if err != nil {
		return err
	}
	c := rangeCheck{in: in, leaves: leaves, path: path}
	return compare("range", [2]Digest{c.climb(span{0, size}), root})
}

// checkRange holds a range against the length of its path, before anything is hashed.
func checkRange(leaves []Digest, lo, size uint64, path []Digest) (in span, err error) {
	n := uint64(len(leaves))
	if size > MaxSize || n == 0 || lo >= size || n > size-lo {
		return in, fmt.Errorf("range of %d from %d in %d: %w", n, lo, size, ErrPath)
	}
	in = span{lo, lo + n}
	want := 0
	err = outside(span{0, size}, in, func(span) error { want++; return nil })
	if err == nil && len(path) != want {
		err = fmt.Errorf("range path of %d hashes where %d belong: %w", len(path), want, ErrPath)
	}
	return in, err
}

// rangeCheck walks a tree as [outside] does and takes the path as it goes.
type rangeCheck struct {
	in     span
	leaves []Digest
	path   []Digest // what is left of it
}

// climb is the root of s, which meets the range.
func (c *rangeCheck) climb(s span) Digest {
	if s.within(c.in) {
		return Root(c.of(s))
	}
	l, r := c.children(s, c.climb)
	return NodeHash(l, r)
}

// children are the roots of the children of s: by meet of one that meets the range, and out of the
// path of one that does not.
func (c *rangeCheck) children(s span, meet func(span) Digest) (l, r Digest) {
	left, right := s.split()
	if left.meets(c.in) {
		l = meet(left)
	}
	if right.meets(c.in) {
		r = meet(right)
	}
	switch {
	case !left.meets(c.in):
		l, c.path = c.path[0], c.path[1:]
	case !right.meets(c.in):
		r, c.path = c.path[0], c.path[1:]
	}
	return l, r
}

// of are the leaves of a span that lies within the range.
func (c *rangeCheck) of(s span) []Digest { return c.leaves[s.lo-c.in.lo : s.hi-c.in.lo] }

// RangePaths checks what [VerifyRange] checks and returns, of every leaf of the range, the
// inclusion path that [InclusionAt] gives.
func RangePaths(leaves []Digest, lo, size uint64, path []Digest, root Digest) ([][]Digest, error) {
	in, err := checkRange(leaves, lo, size, path)
	if err != nil {
		return nil, err
	}
	c := rangeCheck{in: in, leaves: leaves, path: path}
	b := branches{rangeCheck: &c, out: make([][]Digest, len(leaves))}
	for i := range b.out {
		b.out[i] = make([]Digest, 0, bits.Len64(size))
	}
	if err := compare("range", [2]Digest{b.climb(span{0, size}), root}); err != nil {
		return nil, err
	}
	return b.out, nil
}

// branches is a rangeCheck that grows the inclusion paths of its leaves from below: once the roots
// of both children are known, each is the next hash for the leaves of the other.
type branches struct {
	*rangeCheck
	out [][]Digest
}

func (b *branches) climb(s span) Digest {
	if s.len() == 1 {
		return b.leaves[s.lo-b.in.lo]
	}
	var l, r Digest
	left, right := s.split()
	if s.within(b.in) {
		l, r = b.climb(left), b.climb(right)
	} else {
		l, r = b.children(s, b.climb)
	}
	b.extend(left, r)
	b.extend(right, l)
	return NodeHash(l, r)
}

// extend adds a sibling to the paths of those leaves of the range that are under s.
func (b *branches) extend(s span, sibling Digest) {
	for i := max(s.lo, b.in.lo); i < min(s.hi, b.in.hi); i++ {
		b.out[i-b.in.lo] = append(b.out[i-b.in.lo], sibling)
	}
}
