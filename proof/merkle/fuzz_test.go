package merkle

import (
	"errors"
	"testing"
)

// digests cuts bytes into pairs; a rest is dropped.
func digests(b []byte) []Digest {
	var out []Digest
	for len(b) >= 64 && len(out) < 3*MaxPath {
		out = append(out, Digest{SM3: [32]byte(b[:32]), SHA256: [32]byte(b[32:64])})
		b = b[64:]
	}
	return out
}

// halves splits a path for the naive trees.
func halves(path []Digest) (sm3, sha [][32]byte) {
	for _, d := range path {
		sm3, sha = append(sm3, d.SM3), append(sha, d.SHA256)
	}
	return sm3, sha
}

// verdict is what a verifier says, in a form that two of them can be compared in.
type verdict struct{ form, sm3, sha bool }

func judge(t *testing.T, err error) verdict {
	t.Helper()
	var h *HalfError
	switch {
	case err == nil:
		return verdict{true, true, true}
	case errors.As(err, &h):
		if !h.SM3 && !h.SHA256 {
			t.Error("a HalfError without a half")
		}
		return verdict{true, !h.SM3, !h.SHA256}
	case !errors.Is(err, ErrPath):
		t.Errorf("an error of no kind: %v", err)
	}
	return verdict{}
}

// change flips one bit of the path, so that the fuzzer reaches almost valid proofs.
func change(path []Digest, where uint16) {
	if len(path) > 0 && where != 0 {
		flip(&path[int(where)%len(path)], int(where)%512)
	}
}

// FuzzVerifyInclusion compares with the naive top-down recursion: over any bytes, and over a valid
// path with a changed bit, length, index or size.
func FuzzVerifyInclusion(f *testing.F) {
	_, leaves := entries(64)
	tree := NewTree(leaves)
	f.Add(uint64(0), uint64(1), uint64(0), uint64(1), uint16(0), []byte(nil))
	f.Add(uint64(5), uint64(11), uint64(5), uint64(11), uint16(0), []byte(nil))
	f.Add(uint64(5), uint64(11), uint64(4), uint64(11), uint16(700), make([]byte, 64))
	f.Add(uint64(1<<62), uint64(MaxSize), uint64(3), uint64(64), uint16(0), make([]byte, 64*60))
	f.Fuzz(func(t *testing.T, index, size, realIndex, realSize uint64, where uint16, extra []byte) {
		realSize = 1 + realSize%64
		realIndex %= realSize
		path, err := InclusionAt(realIndex, realSize, tree)
		if err != nil {
			t.Fatal(err)
		}
		change(path, where)
		path = append(path, digests(extra)...)
		leaf, root := leaves[realIndex], Root(leaves[:realSize])
		for _, at := range [][2]uint64{{index, size}, {realIndex, realSize}, {index % realSize, realSize}} {
			got := judge(t, VerifyInclusion(leaf, at[0], at[1], path, root))
			var want verdict
			if at[1] <= MaxSize && at[0] < at[1] {
				sm3, sha := halves(path)
				r1, ok1 := naiveSM3.include(leaf.SM3, at[0], at[1], sm3)
				r2, ok2 := naiveSHA256.include(leaf.SHA256, at[0], at[1], sha)
				if ok1 && ok2 {
					want = verdict{true, r1 == root.SM3, r2 == root.SHA256}
				}
			}
			if got != want {
				t.Errorf("inclusion at %v of leaf %d of %d: %+v, naive %+v", at, realIndex, realSize, got, want)
			}
		}
	})
}

// FuzzVerifyConsistency does the same for consistency.
func FuzzVerifyConsistency(f *testing.F) {
	_, leaves := entries(64)
	tree := NewTree(leaves)
	f.Add(uint64(0), uint64(0), uint64(0), uint64(0), uint16(0), []byte(nil))
	f.Add(uint64(5), uint64(11), uint64(5), uint64(11), uint16(0), []byte(nil))
	f.Add(uint64(8), uint64(11), uint64(8), uint64(11), uint16(9), []byte(nil))
	f.Add(uint64(1<<62), uint64(MaxSize), uint64(3), uint64(64), uint16(0), make([]byte, 64*60))
	f.Fuzz(func(t *testing.T, m, n, realM, realN uint64, where uint16, extra []byte) {
		realN %= 65
		realM %= realN + 1
		path, err := ConsistencyAt(realM, realN, tree)
		if err != nil {
			t.Fatal(err)
		}
		change(path, where)
		path = append(path, digests(extra)...)
		rm, rn := Root(leaves[:realM]), Root(leaves[:realN])
		for _, at := range [][2]uint64{{m, n}, {realM, realN}, {m % (realN + 1), realN}} {
			got := judge(t, VerifyConsistency(at[0], at[1], rm, rn, path))
			if want := naiveConsistency(at[0], at[1], rm, rn, path); got != want {
				t.Errorf("consistency at %v of %d with %d: %+v, naive %+v", at, realM, realN, got, want)
			}
		}
	})
}

func naiveConsistency(m, n uint64, rm, rn Digest, path []Digest) verdict {
	if n > MaxSize || m > n {
		return verdict{}
	}
	if m == 0 {
		empty := EmptyRoot()
		v := verdict{len(path) == 0, rm.SM3 == empty.SM3, rm.SHA256 == empty.SHA256}
		if n == 0 {
			v.sm3, v.sha = v.sm3 && rn.SM3 == empty.SM3, v.sha && rn.SHA256 == empty.SHA256
		}
		if !v.form {
			return verdict{}
		}
		return v
	}
	sm3, sha := halves(path)
	o1, n1, ok1 := naiveSM3.consistent(m, n, true, rm.SM3, sm3)
	o2, n2, ok2 := naiveSHA256.consistent(m, n, true, rm.SHA256, sha)
	if !ok1 || !ok2 {
		return verdict{}
	}
	return verdict{true, o1 == rm.SM3 && n1 == rn.SM3, o2 == rm.SHA256 && n2 == rn.SHA256}
}
