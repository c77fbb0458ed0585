package merkle

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/bits"
	"slices"
	"sync"
	"testing"

	"qifeng/internal/gm"
)

// naive is RFC 9162 §2.1 word for word, recursive, over one hash function. It shares nothing with
// the package but the hash functions themselves.
type naive struct{ new func() hash.Hash }

var (
	naiveSM3    = naive{gm.NewSM3}
	naiveSHA256 = naive{sha256.New}
)

func (v naive) hash(parts ...[]byte) (out [32]byte) {
	h := v.new()
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(out[:0])
	return out
}

func (v naive) node(l, r [32]byte) [32]byte { return v.hash([]byte{1}, l[:], r[:]) }

// split is the largest power of two smaller than n.
func split(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}

// mth is MTH(D_n).
func (v naive) mth(data [][]byte) [32]byte {
	switch len(data) {
	case 0:
		return v.hash()
	case 1:
		return v.hash([]byte{0}, data[0])
	}
	k := split(len(data))
	return v.node(v.mth(data[:k]), v.mth(data[k:]))
}

// path is PATH(m, D_n).
func (v naive) path(m int, data [][]byte) [][32]byte {
	if len(data) == 1 {
		return nil
	}
	if k := split(len(data)); m < k {
		return append(v.path(m, data[:k]), v.mth(data[k:]))
	} else {
		return append(v.path(m-k, data[k:]), v.mth(data[:k]))
	}
}

// subproof is SUBPROOF(m, D_n, b).
func (v naive) subproof(m int, data [][]byte, b bool) [][32]byte {
	if m == len(data) {
		if b {
			return nil
		}
		return [][32]byte{v.mth(data)}
	}
	if k := split(len(data)); m <= k {
		return append(v.subproof(m, data[:k], b), v.mth(data[k:]))
	} else {
		return append(v.subproof(m-k, data[k:], false), v.mth(data[:k]))
	}
}

// include computes the root that a path leads to, top down: the recursion of PATH inverted, unlike
// the bit walk of the package. ok is false if the length does not fit.
func (v naive) include(leaf [32]byte, m, n uint64, path [][32]byte) (root [32]byte, ok bool) {
	if n == 1 {
		return leaf, len(path) == 0
	}
	if len(path) == 0 {
		return root, false
	}
	k, last, rest := uint64(1)<<(bits.Len64(n-1)-1), path[len(path)-1], path[:len(path)-1]
	if m < k {
		sub, ok := v.include(leaf, m, k, rest)
		return v.node(sub, last), ok
	}
	sub, ok := v.include(leaf, m-k, n-k, rest)
	return v.node(last, sub), ok
}

// consistent computes both roots that a consistency path leads to, top down.
func (v naive) consistent(m, n uint64, b bool, rm [32]byte, path [][32]byte) (older, newer [32]byte, ok bool) {
	if m == n {
		if b {
			return rm, rm, len(path) == 0
		}
		if len(path) != 1 {
			return older, newer, false
		}
		return path[0], path[0], true
	}
	if len(path) == 0 {
		return older, newer, false
	}
	k, last, rest := uint64(1)<<(bits.Len64(n-1)-1), path[len(path)-1], path[:len(path)-1]
	if m <= k {
		o, w, ok := v.consistent(m, k, b, rm, rest)
		return o, v.node(w, last), ok
	}
	o, w, ok := v.consistent(m-k, n-k, false, rm, rest)
	return v.node(last, o), v.node(last, w), ok
}

// pair zips what the two naive trees say.
func pair(sm3, sha [32]byte) Digest { return Digest{SM3: sm3, SHA256: sha} }

func zip(t *testing.T, sm3, sha [][32]byte) []Digest {
	t.Helper()
	if len(sm3) != len(sha) {
		t.Fatalf("naive halves differ in length: %d, %d", len(sm3), len(sha))
	}
	var out []Digest
	for i := range sm3 {
		out = append(out, pair(sm3[i], sha[i]))
	}
	return out
}

// entry is the data of leaf i; leaf 3 is empty data, which is a leaf like any other.
func entry(i int) []byte {
	if i == 3 {
		return nil
	}
	return binary.BigEndian.AppendUint64([]byte("entry "), uint64(i))
}

func entries(n int) (data [][]byte, leaves []Digest) {
	for i := range n {
		data = append(data, entry(i))
		leaves = append(leaves, LeafHash(entry(i)))
	}
	return data, leaves
}

func naiveRoot(data [][]byte) Digest { return pair(naiveSM3.mth(data), naiveSHA256.mth(data)) }

func equal(a, b []Digest) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

const (
	inclusionSizes   = 70
	consistencySizes = 40
)

func TestRoot(t *testing.T) {
	grown := new(Tree)
	for n := 0; n <= inclusionSizes; n++ {
		data, leaves := entries(n)
		want := naiveRoot(data)
		if got := Root(leaves); got != want {
			t.Errorf("Root of %d leaves = %v, want %v", n, got, want)
		}
		for name, tree := range map[string]*Tree{"NewTree": NewTree(leaves), "grown": grown} {
			if tree.Size() != uint64(n) {
				t.Errorf("%s of %d leaves has size %d", name, n, tree.Size())
			}
			if got, err := RootAt(uint64(n), tree); err != nil || got != want {
				t.Errorf("RootAt(%d) of %s = %v, %v, want %v", n, name, got, err, want)
			}
		}
		grown.Append(LeafHash(entry(n)))
	}
}

func TestInclusionEveryIndex(t *testing.T) {
	for n := 1; n <= inclusionSizes; n++ {
		data, leaves := entries(n)
		root := naiveRoot(data)
		for i := range n {
			path, err := Inclusion(leaves, uint64(i))
			if err != nil {
				t.Fatal(err)
			}
			if want := zip(t, naiveSM3.path(i, data), naiveSHA256.path(i, data)); !equal(path, want) {
				t.Fatalf("Inclusion(%d of %d) differs from RFC 9162", i, n)
			}
			if err := VerifyInclusion(leaves[i], uint64(i), uint64(n), path, root); err != nil {
				t.Fatalf("VerifyInclusion(%d of %d): %v", i, n, err)
			}
		}
	}
}

func TestConsistencyEveryPair(t *testing.T) {
	data, leaves := entries(consistencySizes)
	tree := NewTree(leaves)
	for n := 0; n <= consistencySizes; n++ {
		rn := naiveRoot(data[:n])
		for m := 0; m <= n; m++ {
			rm := naiveRoot(data[:m])
			path, err := ConsistencyAt(uint64(m), uint64(n), tree)
			if err != nil {
				t.Fatal(err)
			}
			var want []Digest
			if m > 0 {
				want = zip(t, naiveSM3.subproof(m, data[:n], true), naiveSHA256.subproof(m, data[:n], true))
			}
			if !equal(path, want) {
				t.Fatalf("ConsistencyAt(%d, %d) differs from RFC 9162", m, n)
			}
			if err := VerifyConsistency(uint64(m), uint64(n), rm, rn, path); err != nil {
				t.Fatalf("VerifyConsistency(%d, %d): %v", m, n, err)
			}
		}
	}
}

func TestDigest(t *testing.T) {
	// SHA-256 and SM3 of "" and "abc": FIPS 180-4, GB/T 32905-2016 annex A.
	tests := []struct{ in, sm3, sha string }{
		{"", "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	}
	for _, tt := range tests {
		want := "sm3:" + tt.sm3 + " sha256:" + tt.sha
		if got := Sum([]byte(tt.in)).String(); got != want {
			t.Errorf("Sum(%q) = %s, want %s", tt.in, got, want)
		}
		h := NewHash()
		for _, b := range []byte(tt.in) {
			if n, err := h.Write([]byte{b}); n != 1 || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
			h.Sum() // must not disturb the stream
		}
		if got := h.Sum(); got.String() != want || h.Size() != int64(len(tt.in)) {
			t.Errorf("Hash of %q = %s, size %d", tt.in, got, h.Size())
		}
	}
	var _ io.Writer = NewHash()
	if EmptyRoot() != Sum(nil) || EmptyRoot().IsZero() || !(Digest{}).IsZero() {
		t.Error("EmptyRoot or IsZero is wrong")
	}
	if empty := EmptyRoot(); hex.EncodeToString(empty.SM3[:]) != tests[0].sm3 {
		t.Error("EmptyRoot is not the digest of nothing")
	}
	// Prefixes: a leaf over two children is not their node.
	l, r := LeafHash([]byte("l")), LeafHash([]byte("r"))
	if n := NodeHash(l, r); n == LeafHash(append(l.SM3[:], r.SM3[:]...)) || n == NodeHash(r, l) {
		t.Error("NodeHash is not separated from LeafHash, or symmetric")
	}
	want := pair(naiveSM3.node(l.SM3, r.SM3), naiveSHA256.node(l.SHA256, r.SHA256))
	if got := NodeHash(l, r); got != want {
		t.Errorf("NodeHash = %v, want %v", got, want)
	}
}

func TestOutOfRange(t *testing.T) {
	_, leaves := entries(5)
	tree := NewTree(leaves)
	tests := []struct {
		name string
		call func() error
	}{
		{"inclusion in empty tree", func() error { _, err := Inclusion(nil, 0); return err }},
		{"inclusion index = size", func() error { _, err := Inclusion(leaves, 5); return err }},
		{"inclusion over MaxSize", func() error { _, err := InclusionAt(0, MaxSize+1, tree); return err }},
		{"inclusion beyond what is stored", func() error { _, err := InclusionAt(0, 6, tree); return err }},
		{"consistency m > n", func() error { _, err := ConsistencyAt(5, 4, tree); return err }},
		{"consistency over MaxSize", func() error { _, err := ConsistencyAt(1, MaxSize+1, tree); return err }},
		{"root beyond what is stored", func() error { _, err := RootAt(8, tree); return err }},
		{"root over MaxSize", func() error { _, err := RootAt(MaxSize+1, tree); return err }},
		{"append at MaxSize", func() error { _, err := Append(MaxSize, Digest{}, tree); return err }},
		{"append without its siblings", func() error { _, err := Append(7, Digest{}, tree); return err }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.call() == nil {
				t.Error("no error")
			}
		})
	}
}

// failing is a NodeReader that cannot read.
type failing struct{ err error }

func (f failing) Node(uint8, uint64) (Digest, error) { return Digest{}, f.err }

func TestReaderErrorIsWrapped(t *testing.T) {
	cause := errors.New("disk gone")
	r := failing{cause}
	for name, call := range map[string]func() error{
		"Append":        func() error { _, err := Append(3, Digest{}, r); return err },
		"RootAt":        func() error { _, err := RootAt(3, r); return err },
		"InclusionAt":   func() error { _, err := InclusionAt(1, 3, r); return err },
		"ConsistencyAt": func() error { _, err := ConsistencyAt(2, 3, r); return err },
	} {
		if err := call(); !errors.Is(err, cause) {
			t.Errorf("%s: %v does not wrap the reader's error", name, err)
		}
	}
}

func ExampleVerifyInclusion() {
	leaves := []Digest{LeafHash([]byte("a")), LeafHash([]byte("b")), LeafHash([]byte("c"))}
	root := Root(leaves)
	path, _ := Inclusion(leaves, 1)
	fmt.Println(VerifyInclusion(leaves[1], 1, 3, path, root))

	path[0].SM3[0] ^= 1
	fmt.Println(VerifyInclusion(leaves[1], 1, 3, path, root))
	// Output:
	// <nil>
	// inclusion proof does not lead to the root: SM3
}

// TestConcurrentUse is for the race detector: hashers are pooled.
func TestConcurrentUse(t *testing.T) {
	_, leaves := entries(50)
	root := Root(leaves)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range leaves {
				path, err := Inclusion(leaves, uint64(i))
				if err != nil {
					t.Error(err)
					return
				}
				if err := VerifyInclusion(LeafHash(entry(i)), uint64(i), uint64(len(leaves)), path, root); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestBlocks: of every size, blocks have the root of the leaves, and a path in a
// block, then of the block, is the leaf's.
func TestBlocks(t *testing.T) {
	leaves := make([]Digest, 3*bulkSize+BlockSize+1)
	for i := range leaves {
		leaves[i] = LeafHash([]byte{byte(i), byte(i >> 8)})
	}
	for n := range len(leaves) + 1 {
		some := slices.Clone(leaves[:n])
		blocks := Blocks(some)
		if !slices.Equal(some, leaves[:n]) {
			t.Fatalf("of %d leaves some are changed", n)
		}
		if want := (n + BlockSize - 1) / BlockSize; len(blocks) != want || Root(blocks) != Root(some) {
			t.Fatalf("%d leaves have %d blocks, or their root is another", n, len(blocks))
		}
		if tree := NewTree(some); !slices.Equal(tree.Blocks(), blocks) || tree.Size() != uint64(n) {
			t.Fatalf("the tree of %d leaves has other blocks", n)
		}
		for i := 0; i < n; i += 1 + n/7 {
			at := i / BlockSize * BlockSize
			path, err := Inclusion(some[at:min(at+BlockSize, n)], uint64(i-at))
			if err != nil {
				t.Fatal(err)
			}
			above, err := Inclusion(blocks, uint64(i/BlockSize))
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyInclusion(some[i], uint64(i), uint64(n), append(path, above...), Root(some)); err != nil {
				t.Fatalf("leaf %d of %d: %v", i, n, err)
			}
		}
	}
}
