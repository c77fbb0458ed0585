package merkle

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// store is the simplest NodeReader of a tree that grows leaf by leaf. It refuses to be asked for a
// node twice written or never written.
type store map[[2]uint64]Digest

func (s store) Node(level uint8, index uint64) (Digest, error) {
	d, ok := s[[2]uint64{uint64(level), index}]
	if !ok {
		return d, fmt.Errorf("no such node")
	}
	return d, nil
}

func (s store) append(t testing.TB, size uint64, leaf Digest) {
	t.Helper()
	nodes, err := Append(size, leaf, s)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range nodes {
		if int(n.Level) != i || n.Index != size>>n.Level {
			t.Fatalf("Append at %d: node %d is level %d, index %d", size, i, n.Level, n.Index)
		}
		key := [2]uint64{uint64(n.Level), n.Index}
		if _, dup := s[key]; dup {
			t.Fatalf("Append at %d writes level %d, index %d again", size, n.Level, n.Index)
		}
		s[key] = n.Digest
	}
}

// hashes is the tlog view of the SHA-256 half of a store.
func (s store) hashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		level, n := tlog.SplitStoredHashIndex(x)
		d, err := s.Node(uint8(level), uint64(n))
		if err != nil {
			return nil, err
		}
		out[i] = d.SHA256
	}
	return out, nil
}

// half is the SHA-256 half of a path, as tlog has it.
func half(path []Digest) []tlog.Hash {
	out := make([]tlog.Hash, len(path))
	for i, d := range path {
		out[i] = d.SHA256
	}
	return out
}

const largeSize = 6000

func largeStore(t testing.TB) store {
	t.Helper()
	s := make(store)
	for i := range largeSize {
		s.append(t, uint64(i), LeafHash(entry(i)))
	}
	return s
}

// TestAgainstTlog takes random sizes and indexes of a large tree: roots and proofs of the SHA-256
// half are those of golang.org/x/mod/sumdb/tlog, and its checker accepts ours.
func TestAgainstTlog(t *testing.T) {
	s := largeStore(t)
	reader := tlog.HashReaderFunc(s.hashes)
	rng := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		n := 1 + rng.Int64N(largeSize)
		root, err := RootAt(uint64(n), s)
		if err != nil {
			t.Fatal(err)
		}
		want, err := tlog.TreeHash(n, reader)
		if err != nil || want != tlog.Hash(root.SHA256) {
			t.Fatalf("root at %d: %v, tlog %v, %v", n, root, want, err)
		}
		i := rng.Int64N(n)
		path, err := InclusionAt(uint64(i), uint64(n), s)
		if err != nil {
			t.Fatal(err)
		}
		record, err := tlog.ProveRecord(n, i, reader)
		if err != nil || fmt.Sprint(record) != fmt.Sprint(tlog.RecordProof(half(path))) {
			t.Fatalf("inclusion of %d in %d differs from tlog: %v", i, n, err)
		}
		if err := tlog.CheckRecord(half(path), n, want, i, tlog.RecordHash(entry(int(i)))); err != nil {
			t.Fatalf("tlog refuses the inclusion of %d in %d: %v", i, n, err)
		}
		if err := VerifyInclusion(LeafHash(entry(int(i))), uint64(i), uint64(n), path, root); err != nil {
			t.Fatalf("inclusion of %d in %d: %v", i, n, err)
		}
		m := 1 + rng.Int64N(n)
		path, err = ConsistencyAt(uint64(m), uint64(n), s)
		if err != nil {
			t.Fatal(err)
		}
		older, err := RootAt(uint64(m), s)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckTree(half(path), n, want, m, tlog.Hash(older.SHA256)); err != nil {
			t.Fatalf("tlog refuses the consistency of %d with %d: %v", m, n, err)
		}
		tree, err := tlog.ProveTree(n, m, reader)
		if err != nil || fmt.Sprint(tree) != fmt.Sprint(tlog.TreeProof(half(path))) {
			t.Fatalf("consistency of %d with %d differs from tlog: %v", m, n, err)
		}
		if err := VerifyConsistency(uint64(m), uint64(n), older, root, path); err != nil {
			t.Fatalf("consistency of %d with %d: %v", m, n, err)
		}
	}
}

// TestLargeSM3 checks the SM3 half at a few random large sizes against the naive recursion.
func TestLargeSM3(t *testing.T) {
	s := largeStore(t)
	data, _ := entries(largeSize)
	rng := rand.New(rand.NewPCG(7, 8))
	for range 5 {
		n := 1 + rng.IntN(largeSize)
		i, m := rng.IntN(n), 1+rng.IntN(n)
		path, err := InclusionAt(uint64(i), uint64(n), s)
		if err != nil {
			t.Fatal(err)
		}
		if want := zip(t, naiveSM3.path(i, data[:n]), naiveSHA256.path(i, data[:n])); !equal(path, want) {
			t.Errorf("inclusion of %d in %d differs from RFC 9162", i, n)
		}
		path, err = ConsistencyAt(uint64(m), uint64(n), s)
		if err != nil {
			t.Fatal(err)
		}
		if want := zip(t, naiveSM3.subproof(m, data[:n], true), naiveSHA256.subproof(m, data[:n], true)); !equal(path, want) {
			t.Errorf("consistency of %d with %d differs from RFC 9162", m, n)
		}
	}
}

// TestRandomCorruption changes one random bit of random large proofs.
func TestRandomCorruption(t *testing.T) {
	s := largeStore(t)
	rng := rand.New(rand.NewPCG(9, 10))
	for range 300 {
		n := 2 + rng.Uint64N(largeSize-1)
		i := rng.Uint64N(n)
		path, err := InclusionAt(i, n, s)
		if err != nil {
			t.Fatal(err)
		}
		root, err := RootAt(n, s)
		if err != nil {
			t.Fatal(err)
		}
		bit := rng.IntN(512)
		flip(&path[rng.IntN(len(path))], bit)
		err = VerifyInclusion(LeafHash(entry(int(i))), i, n, path, root)
		if h, ok := err.(*HalfError); !ok || h.SM3 != (bit < 256) || h.SHA256 != (bit >= 256) {
			t.Fatalf("inclusion of %d in %d with a flipped bit: %v", i, n, err)
		}
	}
}
