// Package merkle is the paired Merkle tree: two parallel RFC 9162 trees over the same leaves, one
// of SM3 and one of SHA-256, zipped.
//
// Every digest is a pair ([Digest]), and every algorithm is written once, over the pair:
//
//	leaf(d)    = (SM3(0x00‖d), SHA-256(0x00‖d))
//	node(l, r) = (SM3(0x01‖l.SM3‖r.SM3), SHA-256(0x01‖l.SHA256‖r.SHA256))
//	empty tree = (SM3(""), SHA-256(""))
//
// so that the SHA-256 half alone is exactly the tree of C2SP tlog and golang.org/x/mod/sumdb/tlog.
//
// Invariants: the halves are independent, nothing of one enters the other; a proof holds only if
// both halves hold, over the same index and sizes; a path has exactly the length that index and
// size demand. A proof of which one half fails is an alarm, not a nuisance: [HalfError] says which.
//
// It does no I/O: complete nodes of a tree too big for memory come through a [NodeReader]. Whoever
// makes leaves, paths, roots, indexes and sizes may lie to the two Verify functions. The callers of
// the others are trusted: a NodeReader that lies gives a root or a path that does not verify.
package merkle

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"

	"qifeng/internal/gm"
)

// Digest is the pair of an SM3 and a SHA-256 digest of the same bytes. It is comparable.
type Digest struct {
	SM3    [32]byte
	SHA256 [32]byte
}

// IsZero says that d is the zero value, which is the digest of nothing known.
func (d Digest) IsZero() bool { return d == Digest{} }

// String is for logs: both halves in lower-case hex, "sm3:… sha256:…".
func (d Digest) String() string {
	return "sm3:" + hex.EncodeToString(d.SM3[:]) + " sha256:" + hex.EncodeToString(d.SHA256[:])
}

// Hash digests a stream with both algorithms in one pass. Make it with [NewHash].
type Hash struct {
	sm3, sha256 hash.Hash
	size        int64
}

// NewHash is an empty Hash.
func NewHash() *Hash { return &Hash{sm3: gm.NewSM3(), sha256: sha256.New()} }

// Write adds p; it never fails.
func (h *Hash) Write(p []byte) (int, error) {
	h.sm3.Write(p)
	h.sha256.Write(p)
	h.size += int64(len(p))
	return len(p), nil
}

// Size is the number of bytes written.
func (h *Hash) Size() int64 { return h.size }

// Sum is the pair of what was written so far, without any prefix; more may be written after.
func (h *Hash) Sum() Digest {
	var d Digest
	h.sm3.Sum(d.SM3[:0])
	h.sha256.Sum(d.SHA256[:0])
	return d
}

// Sum is the pair of data without any prefix: for file contents and signed objects, never for
// leaves.
func Sum(data []byte) Digest { return Digest{SM3: gm.SM3(data), SHA256: sha256.Sum256(data)} }

// The prefixes of RFC 9162 §2.1.1 keep a leaf from being taken for a node.
const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

// hasher holds what hashing a leaf or a node needs, so that neither allocates.
type hasher struct {
	sm3, sha256 hash.Hash
	buf         [1 + 64]byte
	out         Digest
}

var hashers = sync.Pool{New: func() any { return &hasher{sm3: gm.NewSM3(), sha256: sha256.New()} }}

// LeafHash is the leaf hash of an entry's data.
func LeafHash(data []byte) Digest {
	h := hashers.Get().(*hasher)
	defer hashers.Put(h)
	h.buf[0] = leafPrefix
	h.sm3.Reset()
	h.sm3.Write(h.buf[:1])
	h.sm3.Write(data)
	h.sm3.Sum(h.out.SM3[:0])
	h.sha256.Reset()
	h.sha256.Write(h.buf[:1])
	h.sha256.Write(data)
	h.sha256.Sum(h.out.SHA256[:0])
	return h.out
}

// NodeHash is the hash of an inner node over its two children.
func NodeHash(l, r Digest) Digest {
	h := hashers.Get().(*hasher)
	defer hashers.Put(h)
	h.buf[0] = nodePrefix
	copy(h.buf[1:], l.SM3[:])
	copy(h.buf[33:], r.SM3[:])
	h.sm3.Reset()
	h.sm3.Write(h.buf[:])
	h.sm3.Sum(h.out.SM3[:0])
	copy(h.buf[1:], l.SHA256[:])
	copy(h.buf[33:], r.SHA256[:])
	h.sha256.Reset()
	h.sha256.Write(h.buf[:])
	h.sha256.Sum(h.out.SHA256[:0])
	return h.out
}

var emptyRoot = Sum(nil)

// EmptyRoot is the root of the tree without leaves: the pair of the empty string.
func EmptyRoot() Digest { return emptyRoot }
