package chain

import (
	"fmt"
	"maps"
	"time"

	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// block is one executed height: the next state, and what is new in it. It is
// made in memory by FinalizeBlock and made durable by Commit.
type block struct {
	next    *state
	first   uint64        // ledger index of the first new entry
	entries [][]byte      // new ledger entries
	nodes   []merkle.Node // new complete tree nodes
	batches []batchRef    // new index entries
	touched []string      // members whose cursor changed
	changed []Key         // keys that were registered or revoked
	results []*refusal    // one per transaction, nil where it was accepted
	taken   []takenBatch  // signed headers refused because their number was taken
}

type batchRef struct {
	node  string
	seq   uint64
	index uint64
}

// takenBatch is a correctly signed header for a sequence number that was
// already used: with other bytes it proves that its node lied.
type takenBatch struct {
	node string
	seq  uint64
	raw  []byte
}

// overlay reads nodes of the block being built before those of the store.
type overlay struct {
	under merkle.NodeReader
	nodes map[[2]uint64]merkle.Digest
}

func (o *overlay) Node(level uint8, index uint64) (merkle.Digest, error) {
	if d, ok := o.nodes[[2]uint64{uint64(level), index}]; ok {
		return d, nil
	}
	return o.under.Node(level, index)
}

// builder executes the transactions of one height on top of base.
type builder struct {
	c     *consortium
	base  *state
	tree  *overlay
	out   *block
	count map[string]int             // transactions of a member in this block
	names map[string]map[string]bool // member -> key names that this block changes
}

// execute runs one height. It is a pure function of its arguments and of the
// stored ledger; an error is a failure of this node, never of a transaction.
func execute(c *consortium, base *state, nodes merkle.NodeReader, height int64, at time.Time, txs [][]byte) (*block, error) {
	b := &builder{c: c, base: base, tree: &overlay{under: nodes, nodes: map[[2]uint64]merkle.Digest{}},
		out:   &block{next: base.next(), first: base.size, results: make([]*refusal, len(txs))},
		count: map[string]int{}, names: map[string]map[string]bool{}}
	b.out.next.height, b.out.next.blockTime = height, at
	for i, raw := range txs {
		why, err := b.apply(raw)
		if err != nil {
			return nil, fmt.Errorf("executing transaction %d of height %d: %w", i, height, err)
		}
		b.out.results[i] = why
	}
	return b.out, b.finish()
}

func (b *builder) apply(raw []byte) (*refusal, error) {
	t, why := b.c.decode(raw)
	if why != nil {
		return why, nil
	}
	if b.count[t.member]++; b.count[t.member] > maxTxsPerMember {
		return refuse(codeCrowded, "%s has more than %d transactions in this block", t.member, maxTxsPerMember), nil
	}
	if why := b.check(t); why != nil {
		if t.batch != nil && why.code == codeSeq && b.c.verify(t) == nil {
			b.out.taken = append(b.out.taken, takenBatch{t.batch.Node, t.batch.Seq, t.raw})
		}
		return why, nil
	}
	if why := b.c.verify(t); why != nil {
		return why, nil
	}
	return nil, b.accept(t)
}

// check judges key entries by the state before this block, so that registry
// changes act from the next height, and batches by the cursors as they stand
// within it: two batches of one node in one block follow each other.
func (b *builder) check(t *tx) *refusal {
	if t.entry != nil {
		if b.names[t.member][t.entry.Key] {
			return refuse(codeKeyUsed, "key %s of %s is changed by this block already; changes act from the next height", t.entry.Key, t.member)
		}
		return b.base.checkEntry(t.entry)
	}
	within := *b.base
	within.cursors = b.out.next.cursors
	return within.checkBatch(t.batch)
}

func (b *builder) accept(t *tx) error {
	next := b.out.next
	index := next.size
	nodes, err := merkle.Append(index, merkle.LeafHash(t.raw), b.tree)
	if err != nil {
		return fmt.Errorf("appending ledger entry %d: %w", index, err)
	}
	for _, n := range nodes {
		b.tree.nodes[[2]uint64{uint64(n.Level), n.Index}] = n.Digest
	}
	b.out.nodes = append(b.out.nodes, nodes...)
	b.out.entries = append(b.out.entries, t.raw)
	next.size++
	if t.batch != nil {
		next.cursors[t.member] = cursor{seq: t.batch.Seq, last: t.batch.LastReceivedAt}
		b.out.batches = append(b.out.batches, batchRef{t.member, t.batch.Seq, index})
		b.out.touched = append(b.out.touched, t.member)
		return nil
	}
	b.acceptEntry(t.entry, index)
	return nil
}

func (b *builder) acceptEntry(e *evidence.KeyEntry, index uint64) {
	next := b.out.next
	if b.names[e.Member] == nil {
		b.names[e.Member] = map[string]bool{}
		next.keys[e.Member] = maps.Clone(next.keys[e.Member])
		if next.keys[e.Member] == nil {
			next.keys[e.Member] = map[string]Key{}
		}
	}
	b.names[e.Member][e.Key] = true
	k := Key{Member: e.Member, Name: e.Key, PublicKey: e.PublicKey, Purpose: e.Purpose, Index: index}
	if e.Action == evidence.Revoke {
		k = next.keys[e.Member][e.Key]
		k.RevokedAt = &index
	}
	next.keys[e.Member][e.Key] = k
	b.out.changed = append(b.out.changed, k)
}

// finish computes what follows from the accepted transactions.
func (b *builder) finish() error {
	next := b.out.next
	for id := range b.names {
		next.keySums[id] = keysDigest(next.keys[id])
	}
	if len(b.names) > 0 {
		next.registrySize = next.size
	}
	if len(b.out.entries) == 0 {
		return nil
	}
	root, err := merkle.RootAt(next.size, b.tree)
	if err != nil {
		return fmt.Errorf("computing the root of size %d: %w", next.size, err)
	}
	next.root = root
	next.appHash = appHash(b.c, next)
	return nil
}
