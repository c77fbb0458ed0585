package archive

import (
	"errors"

	"qifeng/proof/merkle"
)

// blockTree is a tree of which the blocks stand beside the leaves, so that a path
// needs the leaves of one block. What it gives is under the root that it was
// opened with.
type blockTree struct {
	size   uint64
	blocks *merkle.Tree                                  // over the blocks' roots
	leaves func(from, n uint64) ([]merkle.Digest, error) // reads some
	at     uint64                                        // block that was read last
	block  *merkle.Tree                                  // nil at first
}

var errBlocks = errors.New("the hashes beside the leaves are not those of the tree")

// openBlocks opens a tree of size leaves; blocks are those that [kept] has kept.
func openBlocks(size uint64, root merkle.Digest, blocks []merkle.Digest, leaves func(from, n uint64) ([]merkle.Digest, error)) (*blockTree, error) {
	if len(blocks) == 0 {
		blocks = []merkle.Digest{root}
	}
	tree := merkle.NewTree(blocks)
	if over, err := merkle.RootAt(tree.Size(), tree); err != nil || over != root {
		return nil, errBlocks
	}
	return &blockTree{size: size, blocks: tree, leaves: leaves}, nil
}

// extent is where the block of a leaf begins in a tree of a size, and how many
// leaves the block has.
func extent(index, size uint64) (from, n uint64) {
	from = index / merkle.BlockSize * merkle.BlockSize
	return from, min(merkle.BlockSize, size-from)
}

// leaf returns a leaf and its path. The error is errBlocks, or one of reading.
func (b *blockTree) leaf(index uint64) (leaf merkle.Digest, path []merkle.Digest, err error) {
	if index >= b.size {
		return leaf, nil, errBlocks
	}
	from, n := extent(index, b.size)
	if b.block == nil || b.at != from {
		leaves, err := b.leaves(from, n)
		if err != nil {
			return leaf, nil, err
		}
		want, err := b.blocks.Node(0, from/merkle.BlockSize)
		if err != nil {
			return leaf, nil, errBlocks
		}
		block := merkle.NewTree(leaves)
		if root, err := merkle.RootAt(n, block); err != nil || root != want {
			return leaf, nil, errBlocks
		}
		b.at, b.block = from, block
	}
	if leaf, err = b.block.Node(0, index-from); err != nil {
		return leaf, nil, err
	}
	if path, err = merkle.InclusionAt(index-from, n, b.block); err != nil {
		return leaf, nil, err
	}
	above, err := merkle.InclusionAt(from/merkle.BlockSize, b.blocks.Size(), b.blocks)
	return leaf, append(path, above...), err
}
