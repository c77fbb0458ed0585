package merkle

import (
	"fmt"
	"testing"
)

func BenchmarkLeafHash(b *testing.B) {
	data := make([]byte, 600) // about one evidence record
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		LeafHash(data)
	}
}

func BenchmarkNodeHash(b *testing.B) {
	l, r := LeafHash([]byte("l")), LeafHash([]byte("r"))
	b.ReportAllocs()
	for b.Loop() {
		NodeHash(l, r)
	}
}

func BenchmarkRoot(b *testing.B) {
	_, leaves := entries(1000)
	b.ReportAllocs()
	for b.Loop() {
		Root(leaves)
	}
}

// BenchmarkPaths makes the paths of all leaves of one request.
func BenchmarkPaths(b *testing.B) {
	_, leaves := entries(1000)
	b.ReportAllocs()
	for b.Loop() {
		tree := NewTree(leaves)
		for i := range leaves {
			if _, err := InclusionAt(uint64(i), uint64(len(leaves)), tree); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	leaf := LeafHash([]byte("leaf"))
	tree := new(Tree)
	b.ReportAllocs()
	for b.Loop() {
		tree.Append(leaf)
	}
}

func BenchmarkVerifyInclusion(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			_, leaves := entries(n)
			path, err := Inclusion(leaves, uint64(n/3))
			if err != nil {
				b.Fatal(err)
			}
			root := Root(leaves)
			b.ReportAllocs()
			for b.Loop() {
				if err := VerifyInclusion(leaves[n/3], uint64(n/3), uint64(n), path, root); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerifyConsistency(b *testing.B) {
	_, leaves := entries(100_000)
	tree := NewTree(leaves)
	path, err := ConsistencyAt(66_666, 100_000, tree)
	if err != nil {
		b.Fatal(err)
	}
	rm, rn := Root(leaves[:66_666]), Root(leaves)
	b.ReportAllocs()
	for b.Loop() {
		if err := VerifyConsistency(66_666, 100_000, rm, rn, path); err != nil {
			b.Fatal(err)
		}
	}
}
