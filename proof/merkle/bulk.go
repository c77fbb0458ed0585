package merkle

import (
	"crypto/sha256"
	"hash"
	"sync"

	"qifeng/internal/gm"
)

// bulk holds what hashing many leaves or nodes at once needs, about 28 KiB, so that it allocates
// nothing. SM3 is done for many at once (see [gm.SM3Many]); SHA-256 has instructions of its own in
// current processors and is done one by one, while the bytes are in the cache.
type bulk struct {
	sha256   hash.Hash
	sum      [32]byte // of sha256: in a variable it would escape to the heap
	node     [1 + 64]byte
	sums     [bulkSize][32]byte
	children [bulkSize][64]byte // left‖right, the SM3 half
	messages [bulkSize][]byte   // always the children
}

var bulks = sync.Pool{New: func() any {
	b := &bulk{sha256: sha256.New()}
	for i := range b.children {
		b.messages[i] = b.children[i][:]
	}
	return b
}}

var leafPrefixes, nodePrefixes = []byte{leafPrefix}, []byte{nodePrefix}

// LeafHashes are the leaf hashes of many entries, in their order: [LeafHash] of each, in much less
// time where the processor allows. Give it as many as there are.
func LeafHashes(entries [][]byte) []Digest {
	out := make([]Digest, len(entries))
	b := bulks.Get().(*bulk)
	defer bulks.Put(b)
	for at := 0; at < len(entries); at += bulkSize {
		some := entries[at:min(at+bulkSize, len(entries))]
		sums := b.sums[:len(some)]
		gm.SM3Many(sums, leafPrefixes, some)
		for i, e := range some {
			b.sha256.Reset()
			b.sha256.Write(leafPrefixes)
			b.sha256.Write(e)
			b.sha256.Sum(b.sum[:0])
			out[at+i] = Digest{SM3: sums[i], SHA256: b.sum}
		}
	}
	return out
}

// nodeHashes sets out[i] to the node over children[2i] and children[2i+1]. There are twice as many
// children as nodes; out may be the beginning of children.
func nodeHashes(out, children []Digest) {
	b := bulks.Get().(*bulk)
	defer bulks.Put(b)
	for len(out) > 0 {
		n := min(bulkSize, len(out))
		b.nodes(out[:n], children[:2*n])
		out, children = out[n:], children[2*n:]
	}
}

// nodes is nodeHashes of at most bulkSize nodes. A node is written after its children were read, and
// out[i] lies on no child of a later node.
func (b *bulk) nodes(out, children []Digest) {
	for i := range out {
		copy(b.children[i][:32], children[2*i].SM3[:])
		copy(b.children[i][32:], children[2*i+1].SM3[:])
	}
	sums := b.sums[:len(out)]
	gm.SM3Many(sums, nodePrefixes, b.messages[:len(out)])
	b.node[0] = nodePrefix
	for i := range out {
		copy(b.node[1:33], children[2*i].SHA256[:])
		copy(b.node[33:], children[2*i+1].SHA256[:])
		b.sha256.Reset()
		b.sha256.Write(b.node[:])
		b.sha256.Sum(b.sum[:0])
		out[i] = Digest{SM3: sums[i], SHA256: b.sum}
	}
}

// subroot is the root over at least one leaf hash, which it overwrites: level by level, an odd last
// node going up as it is, which is the tree of RFC 9162 §2.1.1.
func subroot(level []Digest) Digest {
	for len(level) > 1 {
		n := len(level) / 2
		nodeHashes(level[:n], level[:2*n])
		if len(level)%2 == 1 {
			level[n] = level[len(level)-1]
			n++
		}
		level = level[:n]
	}
	return level[0]
}
