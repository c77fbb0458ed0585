package chain

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// cursor is how far a node's batches have come.
type cursor struct {
	seq  uint64
	last time.Time // last_received_at of that batch
}

// Key is a registered user key.
type Key struct {
	Member    string
	Name      string
	PublicKey gm.PublicKey
	Purpose   evidence.Purpose
	Index     uint64  // ledger index of the registration
	RevokedAt *uint64 // ledger index of the revocation, nil while it is valid
}

// state is the replicated state after one height. It is immutable once it is
// published: readers keep the pointer, the next height makes a new one.
//
// The AppHash is the plain digest pair, SM3 then SHA-256, 64 bytes, of
//
//  1. the note body of the ledger: origin, size and both roots, and
//  2. the registry digest pair, SM3 then SHA-256 (registryDigest): for each
//     member in order of its id the last sequence number and receipt time of
//     its batches and, by name, each key that it ever registered with purpose,
//     public key, index of registration and index of revocation.
//
// Nothing else: no height, time, seal or validator. A block without accepted
// transactions leaves it as it was, or there would be no end of blocks.
type state struct {
	height       int64
	blockTime    time.Time
	size         uint64
	root         merkle.Digest
	registrySize uint64 // ledger size after the last height that changed a key; 1 before the first
	cursors      map[string]cursor
	keys         map[string]map[string]Key // member -> name
	keySums      map[string]merkle.Digest  // member -> digest of its keys
	appHash      [64]byte
}

// genesisState is the state before the first block: entry 0 alone.
func genesisState(c *consortium) *state {
	leaf := merkle.LeafHash(c.raw)
	s := &state{size: 1, root: leaf, registrySize: 1, blockTime: c.genesis.CreatedAt,
		cursors: map[string]cursor{}, keys: map[string]map[string]Key{}, keySums: map[string]merkle.Digest{}}
	for _, id := range c.ids {
		s.keySums[id] = keysDigest(nil)
	}
	s.appHash = appHash(c, s)
	return s
}

// next is a copy to be changed by the next height.
func (s *state) next() *state {
	n := *s
	n.cursors = maps.Clone(s.cursors)
	n.keys = maps.Clone(s.keys)
	n.keySums = maps.Clone(s.keySums)
	return &n
}

func pair(d merkle.Digest) [64]byte {
	var out [64]byte
	copy(out[:32], d.SM3[:])
	copy(out[32:], d.SHA256[:])
	return out
}

func unpair(b []byte) (merkle.Digest, error) {
	if len(b) != 64 {
		return merkle.Digest{}, fmt.Errorf("digest pair of %d bytes", len(b))
	}
	return merkle.Digest{SM3: [32]byte(b[:32]), SHA256: [32]byte(b[32:])}, nil
}

// appHash is documented at [state].
func appHash(c *consortium, s *state) [64]byte {
	registry := pair(registryDigest(c.ids, s))
	return pair(merkle.Sum(append(c.checkpoint(s.size, s.root).Body(), registry[:]...)))
}

// registryDigest is the pair of one line a member:
// "<id> <last seq> <last received, Unix ms> <keys SM3 hex> <keys SHA-256 hex>\n".
func registryDigest(ids []string, s *state) merkle.Digest {
	var b []byte
	for _, id := range ids {
		cur := s.cursors[id]
		var ms int64
		if cur.seq > 0 {
			ms = cur.last.UnixMilli()
		}
		b = fmt.Appendf(b, "%s %d %d %x %x\n", id, cur.seq, ms, s.keySums[id].SM3, s.keySums[id].SHA256)
	}
	return merkle.Sum(b)
}

// keysDigest is the pair of one line a key, sorted by name:
// "<name> <purpose> <public key> <index> <index of revocation, or ->\n".
func keysDigest(keys map[string]Key) merkle.Digest {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		k := keys[name]
		revoked := "-"
		if k.RevokedAt != nil {
			revoked = strconv.FormatUint(*k.RevokedAt, 10)
		}
		b = fmt.Appendf(b, "%s %s %s %d %s\n", k.Name, k.Purpose, k.PublicKey, k.Index, revoked)
	}
	return merkle.Sum(b)
}

// check says whether a transaction could be accepted on top of a committed
// state, without its signature. Registry changes act from the next height, so
// nothing here looks at what the same block holds.
func (s *state) check(t *tx) *refusal {
	if t.batch != nil {
		return s.checkBatch(t.batch)
	}
	return s.checkEntry(t.entry)
}

func (s *state) checkBatch(b *evidence.Batch) *refusal {
	cur := s.cursors[b.Node]
	switch {
	case b.Seq <= cur.seq:
		return refuse(codeSeq, "batch %d of %s: the last one taken is %d", b.Seq, b.Node, cur.seq)
	case cur.seq > 0 && b.FirstReceivedAt.Before(cur.last):
		return refuse(codeTime, "batch %d of %s: first_received_at %s is before %s, the last_received_at of its batch %d",
			b.Seq, b.Node, b.FirstReceivedAt.Format(time.RFC3339Nano), cur.last.Format(time.RFC3339Nano), cur.seq)
	case b.RegistrySize > s.size:
		return refuse(codeRegistrySize, "batch %d of %s: registry_size %d is more than the ledger's %d", b.Seq, b.Node, b.RegistrySize, s.size)
	}
	return nil
}

func (s *state) checkEntry(e *evidence.KeyEntry) *refusal {
	k, used := s.keys[e.Member][e.Key]
	switch {
	case e.Action == evidence.Register && used:
		return refuse(codeKeyUsed, "key %s of %s is registered at ledger index %d; a name is used once", e.Key, e.Member, k.Index)
	case e.Action == evidence.Register && len(s.keys[e.Member]) >= maxKeysPerMember:
		return refuse(codeKeyLimit, "%s has registered %d keys, as many as it can", e.Member, maxKeysPerMember)
	case e.Action == evidence.Revoke && !used:
		return refuse(codeKeyUnknown, "key %s of %s is not registered", e.Key, e.Member)
	case e.Action == evidence.Revoke && k.RevokedAt != nil:
		return refuse(codeKeyRevoked, "key %s of %s was revoked at ledger index %d", e.Key, e.Member, *k.RevokedAt)
	}
	return nil
}

// be8 is the big-endian form of store keys: it sorts as numbers do.
func be8(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
