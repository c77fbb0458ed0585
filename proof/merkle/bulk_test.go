package merkle

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func randomEntries(rng *rand.Rand, n, limit int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = make([]byte, rng.IntN(limit))
		for j := range out[i] {
			out[i][j] = byte(rng.Uint32())
		}
	}
	return out
}

// TestLeafHashes compares with one by one hashing and with RFC 9162: every batch size up to 40 and
// around what is hashed at once, every length up to 300 in one batch.
func TestLeafHashes(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	var batches [][][]byte
	var lengths [][]byte
	for n := range 301 {
		lengths = append(lengths, make([]byte, n))
	}
	batches = append(batches, lengths)
	for n := range 41 {
		batches = append(batches, randomEntries(rng, n, 1500))
	}
	for _, n := range []int{bulkSize - 1, bulkSize, bulkSize + 1, 2*bulkSize + 3} {
		batches = append(batches, randomEntries(rng, n, 100))
	}
	for _, batch := range batches {
		got := LeafHashes(batch)
		if len(got) != len(batch) {
			t.Fatalf("%d leaf hashes of %d entries", len(got), len(batch))
		}
		for i, e := range batch {
			want := pair(naiveSM3.hash([]byte{0}, e), naiveSHA256.hash([]byte{0}, e))
			if got[i] != want || LeafHash(e) != want {
				t.Fatalf("entry %d of %d, %d bytes: %v, LeafHash %v, want %v", i, len(batch), len(e), got[i], LeafHash(e), want)
			}
		}
	}
}

func TestNodeHashes(t *testing.T) {
	_, leaves := entries(2 * (2*bulkSize + 3))
	for _, n := range []int{0, 1, 2, 3, 15, 16, 17, 40, bulkSize - 1, bulkSize, bulkSize + 1, 2*bulkSize + 3} {
		apart, over := make([]Digest, n), slices.Clone(leaves[:2*n])
		nodeHashes(apart, leaves[:2*n])
		nodeHashes(over[:n], over)
		for i := range n {
			want := NodeHash(leaves[2*i], leaves[2*i+1])
			if apart[i] != want || over[i] != want {
				t.Fatalf("node %d of %d: %v, over its children %v, want %v", i, n, apart[i], over[i], want)
			}
		}
	}
}

// TestBulkSizes holds Root, NewTree and trees that grow in pieces against the naive recursion, where
// the pieces that are hashed at once meet.
func TestBulkSizes(t *testing.T) {
	sizes := []int{bulkSize - 1, bulkSize, bulkSize + 1, 2*bulkSize - 1, 2 * bulkSize, 2*bulkSize + 1, 3*bulkSize + 37, 5 * bulkSize, 8 * bulkSize}
	data, leaves := entries(slices.Max(sizes))
	before := slices.Clone(leaves)
	rng := rand.New(rand.NewPCG(33, 34))
	for _, n := range sizes {
		want := naiveRoot(data[:n])
		if got := Root(leaves[:n]); got != want {
			t.Errorf("Root of %d = %v, want %v", n, got, want)
		}
		grown, one := new(Tree), new(Tree)
		for rest := leaves[:n]; len(rest) > 0; {
			k := rng.IntN(min(len(rest), 300) + 1)
			grown.Append(rest[:k]...)
			rest = rest[k:]
		}
		for _, leaf := range leaves[:n] {
			one.Append(leaf)
		}
		whole := NewTree(leaves[:n])
		for name, tree := range map[string]*Tree{"NewTree": whole, "in pieces": grown, "one by one": one} {
			if got, err := RootAt(uint64(n), tree); err != nil || got != want || tree.Size() != uint64(n) {
				t.Errorf("%s, %d leaves: %v, %v, size %d, want %v", name, n, got, err, tree.Size(), want)
			}
			for level := range whole.levels {
				if level >= len(tree.levels) || !slices.Equal(tree.levels[level], whole.levels[level]) {
					t.Fatalf("%s, %d leaves: level %d differs", name, n, level)
				}
			}
		}
	}
	if !slices.Equal(leaves, before) {
		t.Error("the leaves were changed")
	}
}

// TestTreeKeepsItsOwn: what the caller does to its slice later does not reach the tree.
func TestTreeKeepsItsOwn(t *testing.T) {
	_, leaves := entries(5)
	want := Root(leaves)
	tree := NewTree(leaves)
	clear(leaves)
	if got, err := RootAt(5, tree); err != nil || got != want {
		t.Errorf("RootAt = %v, %v, want %v", got, err, want)
	}
}

func TestEmptyAppend(t *testing.T) {
	tree := NewTree(nil)
	tree.Append()
	if root, err := RootAt(0, tree); tree.Size() != 0 || err != nil || root != EmptyRoot() || LeafHashes(nil) == nil {
		t.Errorf("size %d, root %v, %v", tree.Size(), root, err)
	}
}

// FuzzBulk cuts bytes into entries, a length byte before each, and builds trees of them in two
// pieces: leaves, nodes and root are those of one by one hashing.
func FuzzBulk(f *testing.F) {
	f.Add(uint16(1), []byte("\x03abc\x00\x01d\x02ee"))
	f.Add(uint16(300), make([]byte, 700))
	f.Fuzz(func(t *testing.T, cut uint16, data []byte) {
		var list [][]byte
		for len(data) > 0 && len(list) < 3*bulkSize {
			n := min(int(data[0]), len(data)-1)
			list, data = append(list, data[1:1+n]), data[1+n:]
		}
		leaves := LeafHashes(list)
		slow := make(store)
		for i, e := range list {
			if leaves[i] != LeafHash(e) {
				t.Fatalf("leaf %d of %d, %x", i, len(list), e)
			}
			slow.append(t, uint64(i), leaves[i])
		}
		want, err := RootAt(uint64(len(list)), slow)
		if err != nil || Root(leaves) != want {
			t.Fatalf("root of %d: %v, %v, want %v", len(list), Root(leaves), err, want)
		}
		at := min(int(cut), len(leaves))
		tree := NewTree(leaves[:at])
		tree.Append(leaves[at:]...)
		for level, nodes := range tree.levels {
			for i, d := range nodes {
				if other, err := slow.Node(uint8(level), uint64(i)); err != nil || other != d {
					t.Fatalf("node %d of level %d of %d leaves: %v, %v, want %v", i, level, len(leaves), d, err, other)
				}
			}
		}
	})
}
