package chain

import (
	"errors"
	"fmt"

	"qifeng/proof/merkle"
)

// Node returns a complete node of the ledger's tree: that over the entries
// [index·2^level, (index+1)·2^level). A node never changes once it is there, so
// the answer holds for ever and for every later size; it makes Chain a
// [merkle.NodeReader]. ErrNotFound where the ledger does not reach so far.
func (ch *Chain) Node(level uint8, index uint64) (merkle.Digest, error) {
	if size := ch.Size(); level > 63 || index >= size>>level {
		return merkle.Digest{}, fmt.Errorf("tree node %d/%d of size %d: %w", level, index, size, ErrNotFound)
	}
	d, err := ch.store.Node(level, index)
	if errors.Is(err, errNotFound) {
		return merkle.Digest{}, fmt.Errorf("the store is damaged: %w", err)
	}
	return d, err
}
