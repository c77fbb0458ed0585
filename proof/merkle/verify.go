package merkle

import (
	"errors"
	"fmt"
)

// ErrPath says that a path cannot belong to the index and sizes it came with: its length is wrong,
// or they are impossible. No hash was compared.
var ErrPath = errors.New("path does not fit index and size")

// HalfError says that a proof has the right form and does not lead to the root, and in which half.
// Only one failed half means that one hash function's tree was tampered with or broken.
type HalfError struct {
	Proof  string // "inclusion" or "consistency"
	SM3    bool   // the SM3 half failed
	SHA256 bool   // the SHA-256 half failed
}

// Half names what failed: "SM3", "SHA-256" or "SM3 and SHA-256".
func (e *HalfError) Half() string {
	switch {
	case e.SM3 && e.SHA256:
		return "SM3 and SHA-256"
	case e.SM3:
		return "SM3"
	}
	return "SHA-256"
}

func (e *HalfError) Error() string {
	return fmt.Sprintf("%s proof does not lead to the root: %s", e.Proof, e.Half())
}

// compare is nil if every pair (got, want) is equal, and names the failed halves if not.
func compare(proof string, pairs ...[2]Digest) error {
	e := HalfError{Proof: proof}
	for _, p := range pairs {
		e.SM3 = e.SM3 || p[0].SM3 != p[1].SM3
		e.SHA256 = e.SHA256 || p[0].SHA256 != p[1].SHA256
	}
	if e.SM3 || e.SHA256 {
		return &e
	}
	return nil
}

// VerifyInclusion checks that leaf (a leaf hash) is at index in the tree of size leaves with the
// given root (RFC 9162 §2.1.3.2). A wrong form is [ErrPath], a wrong hash a [*HalfError].
func VerifyInclusion(leaf Digest, index, size uint64, path []Digest, root Digest) error {
	if size > MaxSize || index >= size {
		return fmt.Errorf("inclusion of %d in %d: %w", index, size, ErrPath)
	}
	if len(path) > MaxPath {
		return fmt.Errorf("inclusion path of %d hashes: %w", len(path), ErrPath)
	}
	fn, sn, r := index, size-1, leaf
	for _, p := range path {
		if sn == 0 {
			return fmt.Errorf("inclusion path of %d hashes is too long: %w", len(path), ErrPath)
		}
		if fn&1 == 1 || fn == sn {
			r = NodeHash(p, r)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			r = NodeHash(r, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 {
		return fmt.Errorf("inclusion path of %d hashes is too short: %w", len(path), ErrPath)
	}
	return compare("inclusion", [2]Digest{r, root})
}

// VerifyConsistency checks that the tree of m leaves with root rm is a prefix of the tree of n
// leaves with root rn (RFC 9162 §2.1.4.2). The RFC has no proof for m = 0 and none for m = n; here
// both have the empty path: for m = n the roots must be equal, and for m = 0 rm must be [EmptyRoot].
func VerifyConsistency(m, n uint64, rm, rn Digest, path []Digest) error {
	if n > MaxSize || m > n {
		return fmt.Errorf("consistency of %d with %d: %w", m, n, ErrPath)
	}
	if len(path) > MaxPath {
		return fmt.Errorf("consistency path of %d hashes: %w", len(path), ErrPath)
	}
	if m == 0 || m == n {
		if len(path) != 0 {
			return fmt.Errorf("consistency path of %d hashes is too long: %w", len(path), ErrPath)
		}
		var pairs [][2]Digest
		if m == 0 {
			pairs = append(pairs, [2]Digest{rm, emptyRoot})
		}
		if m == n {
			pairs = append(pairs, [2]Digest{rm, rn})
		}
		return compare("consistency", pairs...)
	}
	fn, sn := m-1, n-1
	for fn&1 == 1 {
		fn, sn = fn>>1, sn>>1
	}
	// When m is a power of two the old root is itself the first node, and the path leaves it out.
	first := rm
	if m&(m-1) != 0 {
		if len(path) == 0 {
			return fmt.Errorf("consistency path is empty: %w", ErrPath)
		}
		first, path = path[0], path[1:]
	}
	return climb(fn, sn, first, rm, rn, path)
}

// climb walks from the node that both trees share last up to both roots.
func climb(fn, sn uint64, first, rm, rn Digest, path []Digest) error {
	fr, sr := first, first
	for _, p := range path {
		if sn == 0 {
			return fmt.Errorf("consistency path is too long: %w", ErrPath)
		}
		if fn&1 == 1 || fn == sn {
			fr, sr = NodeHash(p, fr), NodeHash(p, sr)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			sr = NodeHash(sr, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 {
		return fmt.Errorf("consistency path is too short: %w", ErrPath)
	}
	return compare("consistency", [2]Digest{fr, rm}, [2]Digest{sr, rn})
}
