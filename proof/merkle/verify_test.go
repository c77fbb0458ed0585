package merkle

import (
	"errors"
	"slices"
	"testing"
)

// proof is one valid proof of either kind, and how to check a changed copy of it.
type proof struct {
	name   string
	path   []Digest
	roots  []Digest // the digests beside the path: leaf and root, or both roots
	verify func(roots, path []Digest) error
}

// proofs are all valid inclusion and consistency proofs with a hash to compare, up to size n.
func proofs(t *testing.T, n int) []proof {
	t.Helper()
	_, leaves := entries(n)
	tree := NewTree(leaves)
	var all []proof
	for size := uint64(1); size <= uint64(n); size++ {
		root := Root(leaves[:size])
		for i := range size {
			path, err := InclusionAt(i, size, tree)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, proof{"inclusion", path, []Digest{leaves[i], root}, func(roots, path []Digest) error {
				return VerifyInclusion(roots[0], i, size, path, roots[1])
			}})
		}
		for m := uint64(1); m <= size; m++ {
			path, err := ConsistencyAt(m, size, tree)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, proof{"consistency", path, []Digest{Root(leaves[:m]), root}, func(roots, path []Digest) error {
				return VerifyConsistency(m, size, roots[0], roots[1], path)
			}})
		}
	}
	return all
}

// flip changes one bit of one half: bits 0..255 are SM3's, 256..511 SHA-256's.
func flip(d *Digest, bit int) {
	if bit < 256 {
		d.SM3[bit/8] ^= 1 << (bit % 8)
	} else {
		d.SHA256[bit/8-32] ^= 1 << (bit % 8)
	}
}

// TestEveryBit flips every bit of every digest of every proof of small trees. Each must fail, in
// the half that was changed and in no other.
func TestEveryBit(t *testing.T) {
	for _, p := range proofs(t, 9) {
		if err := p.verify(p.roots, p.path); err != nil {
			t.Fatalf("%s unchanged: %v", p.name, err)
		}
		for at := range len(p.roots) + len(p.path) {
			for bit := range 512 {
				roots, path := slices.Clone(p.roots), slices.Clone(p.path)
				if at < len(roots) {
					flip(&roots[at], bit)
				} else {
					flip(&path[at-len(roots)], bit)
				}
				var half *HalfError
				if err := p.verify(roots, path); !errors.As(err, &half) {
					t.Fatalf("%s, digest %d, bit %d: %v", p.name, at, bit, err)
				}
				if half.Proof != p.name || half.SM3 != (bit < 256) || half.SHA256 != (bit >= 256) {
					t.Fatalf("%s, digest %d, bit %d: %+v", p.name, at, bit, half)
				}
			}
		}
	}
}

// TestBothHalves changes both halves, of one digest and of two.
func TestBothHalves(t *testing.T) {
	for _, p := range proofs(t, 6) {
		same := slices.Clone(p.roots)
		flip(&same[1], 0)
		flip(&same[1], 511)
		two := slices.Clone(p.roots)
		flip(&two[0], 3)
		flip(&two[1], 300)
		for _, roots := range [][]Digest{same, two} {
			var half *HalfError
			if err := p.verify(roots, p.path); !errors.As(err, &half) || !half.SM3 || !half.SHA256 {
				t.Fatalf("%s: %v", p.name, err)
			}
			if half.Half() != "SM3 and SHA-256" {
				t.Errorf("Half = %s", half.Half())
			}
		}
	}
}

// TestSwappedHalves exchanges the two halves of one digest: neither may stand in for the other.
func TestSwappedHalves(t *testing.T) {
	for _, p := range proofs(t, 6) {
		for at := range p.roots {
			roots := slices.Clone(p.roots)
			roots[at].SM3, roots[at].SHA256 = roots[at].SHA256, roots[at].SM3
			if p.verify(roots, p.path) == nil {
				t.Fatalf("%s: root %d with swapped halves verifies", p.name, at)
			}
		}
	}
}

// TestWrongLength cuts, extends and doubles every path. Without the exact length no hash is
// compared: ErrPath.
func TestWrongLength(t *testing.T) {
	for _, p := range proofs(t, 20) {
		var wrong [][]Digest
		for cut := range p.path {
			wrong = append(wrong, p.path[:cut], p.path[cut+1:])
		}
		for _, extra := range []Digest{{}, p.roots[0], p.roots[1]} {
			wrong = append(wrong, append(slices.Clone(p.path), extra), append([]Digest{extra}, p.path...))
		}
		wrong = append(wrong, append(slices.Clone(p.path), make([]Digest, MaxPath)...), make([]Digest, MaxPath+1), make([]Digest, 10_000))
		for _, path := range wrong {
			if err := p.verify(p.roots, path); !errors.Is(err, ErrPath) {
				t.Fatalf("%s with %d for %d hashes: %v", p.name, len(path), len(p.path), err)
			}
		}
	}
}

// TestWrongPlace verifies every proof of a tree for every other index and size: none may hold.
func TestWrongPlace(t *testing.T) {
	const n = 24
	_, leaves := entries(n)
	tree := NewTree(leaves)
	for size := uint64(1); size <= n; size++ {
		root := Root(leaves[:size])
		for i := range size {
			path, err := InclusionAt(i, size, tree)
			if err != nil {
				t.Fatal(err)
			}
			for other := range size + 3 {
				if err := VerifyInclusion(leaves[i], other, size, path, root); (err == nil) != (other == i) {
					t.Fatalf("leaf %d of %d verifies at %d: %v", i, size, other, err)
				}
			}
			if VerifyInclusion(leaves[(i+1)%n], i, size, path, root) == nil {
				t.Fatalf("a foreign leaf verifies at %d of %d", i, size)
			}
		}
		for m := uint64(1); m < size; m++ {
			path, err := ConsistencyAt(m, size, tree)
			if err != nil {
				t.Fatal(err)
			}
			for other := range size + 3 {
				rm := Root(leaves[:m])
				if err := VerifyConsistency(other, size, rm, root, path); err == nil && other != m {
					t.Fatalf("the proof from %d to %d verifies from %d", m, size, other)
				}
			}
		}
	}
}

func TestVerifyLimits(t *testing.T) {
	d, e := LeafHash([]byte("d")), EmptyRoot()
	isHalf := func(err error) bool { var h *HalfError; return errors.As(err, &h) }
	isPath := func(err error) bool { return errors.Is(err, ErrPath) }
	valid := func(err error) bool { return err == nil }
	tests := []struct {
		name string
		err  error
		want func(error) bool
	}{
		{"one leaf", VerifyInclusion(d, 0, 1, nil, d), valid},
		{"one leaf, empty path", VerifyInclusion(d, 0, 1, []Digest{}, d), valid},
		{"one leaf, other root", VerifyInclusion(d, 0, 1, nil, e), isHalf},
		{"empty tree", VerifyInclusion(d, 0, 0, nil, e), isPath},
		{"index = size", VerifyInclusion(d, 1, 1, nil, d), isPath},
		{"size over the limit", VerifyInclusion(d, 0, MaxSize+1, make([]Digest, 63), d), isPath},
		{"largest size, path too short", VerifyInclusion(d, 0, MaxSize, make([]Digest, 62), d), isPath},
		{"largest size", VerifyInclusion(d, 0, MaxSize, make([]Digest, 63), d), isHalf},
		{"largest index", VerifyInclusion(d, MaxSize-1, MaxSize, make([]Digest, 62), d), isHalf},
		{"0 to 0", VerifyConsistency(0, 0, e, e, nil), valid},
		{"0 to 0, wrong old root", VerifyConsistency(0, 0, d, e, nil), isHalf},
		{"0 to 0, wrong new root", VerifyConsistency(0, 0, e, d, nil), isHalf},
		{"0 to 0, equal wrong roots", VerifyConsistency(0, 0, d, d, nil), isHalf},
		{"0 to 5", VerifyConsistency(0, 5, e, d, nil), valid},
		{"0 to 5, old root not empty's", VerifyConsistency(0, 5, d, d, nil), isHalf},
		{"0 to 5, zero old root", VerifyConsistency(0, 5, Digest{}, d, nil), isHalf},
		{"0 to 5, a path", VerifyConsistency(0, 5, e, d, []Digest{d}), isPath},
		{"5 to 5", VerifyConsistency(5, 5, d, d, nil), valid},
		{"5 to 5, other root", VerifyConsistency(5, 5, d, e, nil), isHalf},
		{"5 to 5, a path", VerifyConsistency(5, 5, d, d, []Digest{d}), isPath},
		{"6 to 5", VerifyConsistency(6, 5, d, d, nil), isPath},
		{"1 to 0", VerifyConsistency(1, 0, d, e, nil), isPath},
		{"3 to 4, no path", VerifyConsistency(3, 4, d, d, nil), isPath},
		{"4 to 5, no path", VerifyConsistency(4, 5, d, d, nil), isPath},
		{"over the limit", VerifyConsistency(1, MaxSize+1, d, d, make([]Digest, 63)), isPath},
		{"over the limit, equal", VerifyConsistency(MaxSize+1, MaxSize+1, d, d, nil), isPath},
		{"longest path", VerifyConsistency(1<<62+1, MaxSize, d, d, make([]Digest, 64)), isHalf},
		{"largest size", VerifyConsistency(1, MaxSize, d, d, make([]Digest, 63)), isHalf},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !tt.want(tt.err) {
				t.Errorf("got %v", tt.err)
			}
		})
	}
}

// TestLongestPaths shows that MaxPath is enough: the longest paths of the largest tree fit.
func TestLongestPaths(t *testing.T) {
	longest := 0
	for _, m := range []uint64{1, 2, 3, 1<<62 - 1, 1 << 62, 1<<62 + 1, MaxSize - 2, MaxSize - 1} {
		for _, n := range []uint64{1<<62 + 2, MaxSize - 1, MaxSize} {
			if m > n {
				continue
			}
			path, err := ConsistencyAt(m, n, fixed{})
			if err != nil {
				t.Fatal(err)
			}
			longest = max(longest, len(path))
			// The nodes are made up, so no root fits; the form must.
			var half *HalfError
			if err := VerifyConsistency(m, n, Digest{}, Digest{}, path); m != n && !errors.As(err, &half) {
				t.Errorf("from %d to %d, %d hashes: %v", m, n, len(path), err)
			}
			in, err := InclusionAt(m-1, n, fixed{})
			if err != nil {
				t.Fatal(err)
			}
			longest = max(longest, len(in))
			root, err := RootAt(n, fixed{})
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyInclusion(Digest{}, m-1, n, in, root); !errors.As(err, &half) {
				t.Errorf("inclusion of %d in %d, %d hashes: %v", m-1, n, len(in), err)
			}
		}
	}
	if longest > MaxPath || longest < MaxPath-1 {
		t.Errorf("the longest path has %d hashes, MaxPath is %d", longest, MaxPath)
	}
}

// fixed gives the same digest for every node.
type fixed struct{}

func (fixed) Node(uint8, uint64) (Digest, error) { return EmptyRoot(), nil }
