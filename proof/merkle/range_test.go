package merkle

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"testing"
)

const rangeSizes = 65

// ranged is the root that a range path leads to, top down, over one hash function: the definition of
// docs/spec/merkle.md word for word. at is where the subtree of n leaves begins; rest is what of
// the path it did not take.
func (v naive) ranged(at, n int, lo int, leaves, path [][32]byte) (root [32]byte, rest [][32]byte, ok bool) {
	hi := lo + len(leaves)
	switch {
	case at >= lo && at+n <= hi && n == 1:
		return leaves[at-lo], path, true
	case at+n <= lo || at >= hi:
		panic("a subtree outside the range has no walk")
	}
	k := split(n)
	var l, r [32]byte
	left, right := at < hi && at+k > lo, at+k < hi && at+n > lo
	ok = true
	if left {
		if l, path, ok = v.ranged(at, k, lo, leaves, path); !ok {
			return root, nil, false
		}
	}
	if right {
		if r, path, ok = v.ranged(at+k, n-k, lo, leaves, path); !ok {
			return root, nil, false
		}
	}
	if !left || !right {
		if len(path) == 0 {
			return root, nil, false
		}
		if left {
			r = path[0]
		} else {
			l = path[0]
		}
		path = path[1:]
	}
	return v.node(l, r), path, true
}

// naiveRange judges a range proof by [naive.ranged].
func naiveRange(leaves []Digest, lo, size uint64, path []Digest, root Digest) verdict {
	if len(leaves) == 0 || size > 1<<20 || lo >= size || uint64(len(leaves)) > size-lo {
		return verdict{}
	}
	leaves3, leaves2 := halves(leaves)
	path3, path2 := halves(path)
	r3, rest3, ok3 := naiveSM3.ranged(0, int(size), int(lo), leaves3, path3)
	r2, rest2, ok2 := naiveSHA256.ranged(0, int(size), int(lo), leaves2, path2)
	if !ok3 || !ok2 || len(rest3) > 0 || len(rest2) > 0 {
		return verdict{}
	}
	return verdict{true, r3 == root.SM3, r2 == root.SHA256}
}

// TestEveryRange makes and checks the path of every range of every small tree.
func TestEveryRange(t *testing.T) {
	_, leaves := entries(rangeSizes)
	tree := NewTree(leaves)
	for size := uint64(1); size <= rangeSizes; size++ {
		root := Root(leaves[:size])
		single := make([][]Digest, size)
		for i := range size {
			single[i], _ = InclusionAt(i, size, tree)
		}
		for lo := range size {
			for hi := lo + 1; hi <= size; hi++ {
				path, err := RangeAt(lo, hi, size, tree)
				if err != nil {
					t.Fatal(err)
				}
				if err := VerifyRange(leaves[lo:hi], lo, size, path, root); err != nil {
					t.Fatalf("%d to %d of %d: %v", lo, hi, size, err)
				}
				if hi-lo == 1 && !equal(path, single[lo]) {
					t.Fatalf("the range path of leaf %d of %d is not its inclusion path", lo, size)
				}
				if size <= 20 { // the naive walk hashes all leaves each time
					if v := naiveRange(leaves[lo:hi], lo, size, path, root); v != (verdict{true, true, true}) {
						t.Fatalf("%d to %d of %d: naive %+v", lo, hi, size, v)
					}
				}
				if len(path) > 2*bits.Len64(size) {
					t.Fatalf("%d to %d of %d: %d hashes", lo, hi, size, len(path))
				}
				got, err := RangePaths(leaves[lo:hi], lo, size, path, root)
				if err != nil || !slices.EqualFunc(got, single[lo:hi], equal) {
					t.Fatalf("%d to %d of %d: other inclusion paths than the tree's, %v", lo, hi, size, err)
				}
			}
		}
	}
}

// TestRangeEveryChange flips bits of every leaf, path hash and the root, and changes each length
// and place. No change may hold, and a flipped bit is named by its half.
func TestRangeEveryChange(t *testing.T) {
	_, leaves := entries(21)
	tree := NewTree(leaves)
	for _, size := range []uint64{1, 2, 7, 8, 13, 21} {
		root := Root(leaves[:size])
		for lo := range size {
			for hi := lo + 1; hi <= size; hi++ {
				path, err := RangeAt(lo, hi, size, tree)
				if err != nil {
					t.Fatal(err)
				}
				in := leaves[lo:hi]
				name := fmt.Sprintf("%d to %d of %d", lo, hi, size)
				flipped(t, name, in, lo, size, path, root)
				misplaced(t, name, in, lo, size, path, root)
			}
		}
	}
}

func flipped(t *testing.T, name string, in []Digest, lo, size uint64, path []Digest, root Digest) {
	t.Helper()
	for at := range len(in) + len(path) + 1 {
		for _, bit := range []int{0, 100, 255, 256, 400, 511} {
			leaves, path, root := slices.Clone(in), slices.Clone(path), root
			switch {
			case at < len(in):
				flip(&leaves[at], bit)
			case at < len(in)+len(path):
				flip(&path[at-len(in)], bit)
			default:
				flip(&root, bit)
			}
			for _, err := range both(leaves, lo, size, path, root) {
				var half *HalfError
				if !errors.As(err, &half) || half.Proof != "range" || half.SM3 != (bit < 256) || half.SHA256 != (bit >= 256) {
					t.Fatalf("%s, digest %d, bit %d: %v", name, at, bit, err)
				}
			}
		}
	}
}

func misplaced(t *testing.T, name string, in []Digest, lo, size uint64, path []Digest, root Digest) {
	t.Helper()
	longer := append(slices.Clone(path), root)
	for _, err := range both(in, lo, size, longer, root) {
		if !errors.Is(err, ErrPath) {
			t.Fatalf("%s, a path too long: %v", name, err)
		}
	}
	for cut := range path {
		for _, err := range both(in, lo, size, slices.Delete(slices.Clone(path), cut, cut+1), root) {
			if !errors.Is(err, ErrPath) {
				t.Fatalf("%s, a path too short: %v", name, err)
			}
		}
	}
	for at := range size + 2 {
		for _, err := range both(in, at, size, path, root) {
			if (err == nil) != (at == lo) {
				t.Fatalf("%s holds at %d: %v", name, at, err)
			}
		}
	}
	for i := 1; i < len(in); i++ {
		swapped := slices.Clone(in)
		swapped[0], swapped[i] = swapped[i], swapped[0]
		for _, err := range both(swapped, lo, size, path, root) {
			if err == nil {
				t.Fatalf("%s holds with leaves 0 and %d exchanged", name, i)
			}
		}
	}
}

// both is what the two verifiers of ranges say.
func both(leaves []Digest, lo, size uint64, path []Digest, root Digest) [2]error {
	_, err := RangePaths(leaves, lo, size, path, root)
	return [2]error{VerifyRange(leaves, lo, size, path, root), err}
}

func TestRangeLimits(t *testing.T) {
	d := LeafHash([]byte("d"))
	two := []Digest{d, d}
	for name, err := range map[string]error{
		"no leaf":             VerifyRange(nil, 0, 1, nil, d),
		"no leaf, no tree":    VerifyRange(nil, 0, 0, nil, EmptyRoot()),
		"begins at the end":   VerifyRange(two[:1], 1, 1, nil, d),
		"ends beyond the end": VerifyRange(two, 0, 1, nil, d),
		"overflows":           VerifyRange(two, 1<<64-1, MaxSize, nil, d),
		"too large":           VerifyRange(two, 0, MaxSize+1, nil, d),
		"no path":             VerifyRange(two, 1<<40, MaxSize, nil, d),
		"endless path":        VerifyRange(two, 0, 2, make([]Digest, 10_000), d),
	} {
		if !errors.Is(err, ErrPath) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, r := range [][3]uint64{{0, 0, 5}, {3, 2, 5}, {0, 6, 5}, {5, 6, 5}, {0, 1, MaxSize + 1}} {
		if _, err := RangeAt(r[0], r[1], r[2], fixed{}); !errors.Is(err, ErrPath) {
			t.Errorf("RangeAt%v: %v", r, err)
		}
	}
	cause := errors.New("disk gone")
	if _, err := RangeAt(1, 3, 8, failing{cause}); !errors.Is(err, cause) {
		t.Errorf("%v does not wrap the reader's error", err)
	}
	path, err := RangeAt(MaxSize/2-1, MaxSize/2+3, MaxSize, fixed{})
	if err != nil {
		t.Fatal(err)
	}
	var half *HalfError
	if err := VerifyRange(make([]Digest, 4), MaxSize/2-1, MaxSize, path, d); !errors.As(err, &half) {
		t.Errorf("the largest tree, %d hashes: %v", len(path), err)
	}
}

// FuzzVerifyRange compares with the naive walk: over a valid path with a changed bit, length, place
// or size, and over any bytes.
func FuzzVerifyRange(f *testing.F) {
	_, leaves := entries(64)
	tree := NewTree(leaves)
	f.Add(uint64(0), uint64(1), uint64(0), uint64(1), uint64(1), uint16(0), []byte(nil))
	f.Add(uint64(5), uint64(11), uint64(5), uint64(3), uint64(11), uint16(0), []byte(nil))
	f.Add(uint64(5), uint64(11), uint64(4), uint64(6), uint64(11), uint16(700), make([]byte, 64))
	f.Add(uint64(1<<62), uint64(MaxSize), uint64(3), uint64(2), uint64(64), uint16(0), make([]byte, 64*60))
	f.Fuzz(func(t *testing.T, lo, size, realLo, n, realSize uint64, where uint16, extra []byte) {
		realSize = 1 + realSize%64
		realLo %= realSize
		n = 1 + n%(realSize-realLo)
		in := leaves[realLo : realLo+n]
		path, err := RangeAt(realLo, realLo+n, realSize, tree)
		if err != nil {
			t.Fatal(err)
		}
		change(path, where)
		path = append(path, digests(extra)...)
		root := Root(leaves[:realSize])
		for _, at := range [][2]uint64{{lo % 100, size % 100}, {realLo, realSize}, {lo % realSize, realSize}} {
			want := naiveRange(in, at[0], at[1], path, root)
			for _, err := range both(in, at[0], at[1], path, root) {
				if got := judge(t, err); got != want {
					t.Errorf("%d leaves at %v of those from %d of %d: %+v, naive %+v", n, at, realLo, realSize, got, want)
				}
			}
		}
		for _, err := range both(in, lo, size, path, root) { // any numbers
			judge(t, err)
		}
	})
}

func BenchmarkVerifyRange(b *testing.B) {
	_, leaves := entries(1000)
	path, err := RangeAt(300, 400, 1000, NewTree(leaves))
	if err != nil {
		b.Fatal(err)
	}
	root := Root(leaves)
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := VerifyRange(leaves[300:400], 300, 1000, path, root); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("paths", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := RangePaths(leaves[300:400], 300, 1000, path, root); err != nil {
				b.Fatal(err)
			}
		}
	})
}
