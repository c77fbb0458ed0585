package fsck

import (
	"math/bits"

	"qifeng/proof/merkle"
)

// frontier is a tree of which only the right edge is kept: of each level the last
// complete node, where the size has that bit.
type frontier struct {
	size uint64
	full [64]merkle.Digest
}

// add appends a leaf and shows every node that it completes, leaf first.
func (t *frontier) add(leaf merkle.Digest, visit func(level uint8, index uint64, d merkle.Digest) error) error {
	d := leaf
	for level := uint8(0); ; level++ {
		if err := visit(level, t.size>>level, d); err != nil {
			return err
		}
		if t.size>>level&1 == 0 {
			t.full[level] = d
			t.size++
			return nil
		}
		d = merkle.NodeHash(t.full[level], d)
	}
}

// root is the root of what was added.
func (t *frontier) root() merkle.Digest {
	if t.size == 0 {
		return merkle.EmptyRoot()
	}
	level := bits.TrailingZeros64(t.size)
	d := t.full[level]
	for level++; level < 64; level++ {
		if t.size>>level&1 == 1 {
			d = merkle.NodeHash(t.full[level], d)
		}
	}
	return d
}
