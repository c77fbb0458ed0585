package proof

import (
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// secondRoot recomputes the SM3 root from a leaf's data and its path with the
// second SM3 implementation (RFC 9162 §2.1.3.2). The path has been verified
// before, so its length fits index and size.
func secondRoot(data []byte, index, size uint64, path []merkle.Digest) [32]byte {
	h := gm.SM3Second(append([]byte{0}, data...))
	node := func(l, r [32]byte) [32]byte {
		b := append([]byte{1}, l[:]...)
		return gm.SM3Second(append(b, r[:]...))
	}
	fn, sn := index, size-1
	for _, p := range path {
		if fn&1 == 1 || fn == sn {
			h = node(p.SM3, h)
			for fn&1 == 0 && fn != 0 {
				fn >>= 1
				sn >>= 1
			}
		} else {
			h = node(h, p.SM3)
		}
		fn >>= 1
		sn >>= 1
	}
	return h
}

// secondRoots recomputes both SM3 roots of a consistency path with the second SM3
// implementation (RFC 9162 §2.1.4.2), for 0 < m < n. The path has been verified
// before, so its length fits the sizes; old is the root of m leaves.
func secondRoots(m, n uint64, old [32]byte, path []merkle.Digest) (first, second [32]byte) {
	node := func(l, r [32]byte) [32]byte {
		b := append([]byte{1}, l[:]...)
		return gm.SM3Second(append(b, r[:]...))
	}
	fn, sn := m-1, n-1
	for fn&1 == 1 {
		fn, sn = fn>>1, sn>>1
	}
	fr := old
	if m&(m-1) != 0 {
		fr, path = path[0].SM3, path[1:]
	}
	sr := fr
	for _, p := range path {
		if fn&1 == 1 || fn == sn {
			fr, sr = node(p.SM3, fr), node(p.SM3, sr)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			sr = node(sr, p.SM3)
		}
		fn, sn = fn>>1, sn>>1
	}
	return fr, sr
}
