package chain

import (
	"errors"
	"testing"

	"qifeng/proof/merkle"
)

// TestNode: every complete node of the stored tree is that of a tree built at
// once, the rest is not found, and roots and paths can be made of them.
func TestNode(t *testing.T) {
	f := newFixture(t)
	ch := f.ledgerOf("court-a")
	leaves := []merkle.Digest{merkle.LeafHash(f.raw)}
	for seq := uint64(1); len(leaves) < 150; {
		var txs [][]byte
		for range maxTxsPerMember {
			for _, id := range f.ids {
				txs = append(txs, f.batch(id, seq, nil))
			}
			seq++
		}
		f.block(ch, txs...)
		for _, tx := range txs {
			leaves = append(leaves, merkle.LeafHash(tx))
		}
	}
	size := ch.Size()
	if size != uint64(len(leaves)) {
		t.Fatalf("size %d, want %d", size, len(leaves))
	}
	tree := merkle.NewTree(leaves)
	for level := uint8(0); level < 70; level++ {
		complete := uint64(0)
		if level < 64 {
			complete = size >> level
		}
		for index := range complete {
			got, err := ch.Node(level, index)
			want, _ := tree.Node(level, index)
			if err != nil || got != want {
				t.Fatalf("node %d/%d: %v", level, index, err)
			}
		}
		for _, index := range []uint64{complete, complete + 1, 1 << 53, ^uint64(0)} {
			if _, err := ch.Node(level, index); !errors.Is(err, ErrNotFound) {
				t.Errorf("node %d/%d: %v", level, index, err)
			}
		}
	}
	for n := uint64(1); n <= size; n++ {
		if root, err := merkle.RootAt(n, ch); err != nil || root != merkle.Root(leaves[:n]) {
			t.Fatalf("root at %d: %v", n, err)
		}
	}
	if err := ch.store.db.Delete(nodeKey(0, 3), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := ch.Node(0, 3); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("a lost node: %v", err)
	}
}
