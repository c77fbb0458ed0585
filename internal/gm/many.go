package gm

import (
	"hash"
	"sync"

	"qifeng/internal/gm/sm3lanes"
)

// SM3Many sets sums[i] to the SM3 digest of prefix ‖ messages[i], for every message. It is for work
// that comes in bulk: where the processor has wide registers (amd64 with AVX2 or AVX-512) messages
// are hashed side by side, at a fraction of the time of [SM3], and the more so the more there are in
// one call. The digests are the same everywhere.
//
// sums must be as long as messages, and the prefix at most 63 bytes; anything else is a mistake in
// the calling code and panics. It allocates nothing, keeps no reference to the messages and is safe
// for concurrent use.
func SM3Many(sums [][32]byte, prefix []byte, messages [][]byte) {
	if len(sums) != len(messages) || len(prefix) > maxManyPrefix {
		panic("gm: sums and messages differ in number, or the prefix is too long")
	}
	if sm3lanes.Width() > 0 && len(messages) >= minLanes {
		sm3lanes.Sum(sums, prefix, messages)
		return
	}
	h := singles.Get().(*single)
	defer singles.Put(h)
	for i, msg := range messages {
		h.Reset()
		h.Write(prefix)
		h.Write(msg)
		h.Sum(h.out[:0])
		sums[i] = h.out
	}
}

// single is a hash with a place for its digest, so that the digest does not escape to the heap.
type single struct {
	hash.Hash
	out [32]byte
}

var singles = sync.Pool{New: func() any { return &single{Hash: NewSM3()} }}
