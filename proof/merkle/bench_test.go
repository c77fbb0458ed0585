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

// BenchmarkLeafHashes is one by one hashing and hashing in bulk of the same entries.
func BenchmarkLeafHashes(b *testing.B) {
	for _, c := range []struct{ count, size int }{{100, 600}, {1000, 900}} {
		list := make([][]byte, c.count)
		for i := range list {
			list[i] = make([]byte, c.size)
		}
		run := func(name string, hash func([][]byte) []Digest) {
			b.Run(fmt.Sprintf("%dx%d/%s", c.count, c.size, name), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(c.count * c.size))
				for b.Loop() {
					hash(list)
				}
			})
		}
		run("single", func(list [][]byte) []Digest {
			out := make([]Digest, len(list))
			for i, e := range list {
				out[i] = LeafHash(e)
			}
			return out
		})
		run("bulk", LeafHashes)
	}
}

// BenchmarkTree builds a tree of 1000 leaves: leaf by leaf, at once, and the root alone.
func BenchmarkTree(b *testing.B) {
	_, leaves := entries(1000)
	run := func(name string, build func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				build()
			}
		})
	}
	run("single", func() {
		tree := new(Tree)
		for _, leaf := range leaves {
			tree.Append(leaf)
		}
	})
	run("bulk", func() { NewTree(leaves) })
	run("root", func() { Root(leaves) })
}
