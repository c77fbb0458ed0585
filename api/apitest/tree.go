package apitest

import (
	"slices"
	"testing"
	"time"

	"qifeng/evidence"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// Node reads a node of the ledger's tree.
func (l *Ledger) Node(level uint8, index uint64) (merkle.Digest, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := l.tree.Size(); n < uint64(len(l.leaves)); n++ {
		l.tree.Append(l.leaves[n])
	}
	return l.tree.Node(level, index)
}

// Grow appends signed batch headers, members in turn, until the ledger has size
// entries. What they promise to hold does not exist.
func (l *Ledger) Grow(tb testing.TB, size uint64) {
	tb.Helper()
	for n := l.Size(); n < size; n++ {
		must(tb, l.Append(l.Header(tb, sortedMembers[n%uint64(len(sortedMembers))])))
	}
}

// Header signs the next batch header of a member.
func (l *Ledger) Header(tb testing.TB, member string) []byte {
	tb.Helper()
	l.mu.Lock()
	seq, at := uint64(1), l.c.Genesis.CreatedAt
	if b := l.last[member]; b != nil {
		seq, at = b.Seq+1, b.LastReceivedAt
	}
	l.mu.Unlock()
	return l.c.Batch(tb, member, seq, at)
}

// Append adds an entry to the ledger as the chain would, at once.
func (l *Ledger) Append(tx []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.wake()
	return l.apply(tx)
}

// Batch signs a batch header of one record that does not exist.
func (c *Consortium) Batch(tb testing.TB, member string, seq uint64, at time.Time) []byte {
	tb.Helper()
	raw, err := (&evidence.Batch{
		Node: member, Seq: seq, RegistrySize: 1, FirstReceivedAt: at, LastReceivedAt: at,
		Streams: map[evidence.Stream]evidence.StreamRoot{evidence.Contract: {Count: 1, Root: merkle.Sum([]byte(member))}},
	}).Sign(c.Chain, c.Keys[member].Intake)
	must(tb, err)
	return raw
}

// Force adds an entry that the chain would refuse.
func (l *Ledger) Force(entry []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.append(entry)
}

// Rewrite puts another entry in the place of one, and its leaf in the tree.
func (l *Ledger) Rewrite(index uint64, entry []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[index], l.leaves[index], l.tree = entry, merkle.LeafHash(entry), merkle.Tree{}
}

// Prefix is another node's ledger that has come as far as size, with the
// checkpoints that had been sealed by then.
func (l *Ledger) Prefix(tb testing.TB, size uint64) *Ledger {
	tb.Helper()
	out := NewLedger(tb, l.c, l.now)
	l.mu.Lock()
	defer l.mu.Unlock()
	out.entries, out.leaves = slices.Clone(l.entries[:size]), slices.Clone(l.leaves[:size])
	out.last, out.seals, out.sealed = map[string]*evidence.Batch{}, map[uint64][]checkpoint.Seal{}, nil
	for _, entry := range out.entries {
		if b, err := evidence.ParseBatch(entry); err == nil {
			out.last[b.Node] = b
		}
	}
	for _, s := range l.sealed {
		if s.size <= size {
			out.sealed = append(out.sealed, s)
			out.seals[s.size] = l.seals[s.size]
		}
	}
	return out
}

// Become makes l answer as other does from now on.
func (l *Ledger) Become(other *Ledger) {
	other.mu.Lock()
	defer other.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries, l.leaves, l.tree = other.entries, other.leaves, merkle.Tree{}
	l.last, l.sealed, l.seals = other.last, other.sealed, other.seals
	l.wake()
}
