package witness

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"qifeng/anchor"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// consortium is a policy with its keys, and a ledger that it has sealed.
type consortium struct {
	policy *checkpoint.Policy
	keys   map[string]checkpoint.SealKeys
	leaves []merkle.Digest
}

var consortia atomic.Int32 // so that each has a chain of its own

func newKey(t testing.TB, alg gm.Alg) *gm.PrivateKey {
	t.Helper()
	k, err := gm.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newConsortium has four members and a ledger of n entries.
func newConsortium(t testing.TB, n int) *consortium {
	t.Helper()
	c := &consortium{keys: make(map[string]checkpoint.SealKeys)}
	genesis := merkle.Sum(fmt.Appendf(nil, "genesis %d", consortia.Add(1)))
	e := checkpoint.Epoch{First: 1, Quorum: checkpoint.DefaultQuorum(4)}
	for _, m := range []struct {
		id   string
		role checkpoint.Role
	}{{"arb-a", checkpoint.Arbitration}, {"court-a", checkpoint.Court}, {"notary-a", checkpoint.Notary}, {"vendor-a", checkpoint.Vendor}} {
		k := checkpoint.SealKeys{Log: newKey(t, gm.Ed25519), Ed25519: newKey(t, gm.Ed25519), SM2: newKey(t, gm.SM2)}
		c.keys[m.id] = k
		e.Members = append(e.Members, checkpoint.Member{ID: m.id, Role: m.role, SealSM2: k.SM2.Public(), SealEd25519: k.Ed25519.Public(),
			Log: k.Log.Public(), Intake: newKey(t, gm.SM2).Public(), Admin: newKey(t, gm.SM2).Public()})
	}
	c.policy = &checkpoint.Policy{Chain: checkpoint.ChainID("demo", genesis), Genesis: genesis, Epochs: []checkpoint.Epoch{e}}
	if err := c.policy.Validate(); err != nil {
		t.Fatal(err)
	}
	c.grow(n)
	return c
}

func (c *consortium) grow(n int) {
	for range n {
		c.leaves = append(c.leaves, merkle.LeafHash(fmt.Appendf(nil, "entry %d of %s", len(c.leaves), c.policy.Chain)))
	}
}

// fork is the same consortium with another ledger from size n on.
func (c *consortium) fork(n int) *consortium {
	f := *c
	f.leaves = append([]merkle.Digest(nil), c.leaves...)
	for i := n; i < len(f.leaves); i++ {
		f.leaves[i] = merkle.LeafHash(fmt.Appendf(nil, "another entry %d", i))
	}
	return &f
}

func (c *consortium) origin() string { return checkpoint.Origin(c.policy.Chain) }

func (c *consortium) logKeys() []string { return c.policy.WitnessLogKeys(&c.policy.Epochs[0]) }

// at is the checkpoint of a size, sealed by all.
func (c *consortium) at(t testing.TB, size int) anchor.Checkpoint {
	t.Helper()
	cp := checkpoint.Checkpoint{Origin: c.origin(), Size: uint64(size), Root: merkle.Root(c.leaves[:size])}
	var seals []checkpoint.Seal
	for _, m := range c.policy.Epochs[0].Members {
		s, err := checkpoint.Sign(cp, m.ID, time.Now().Unix(), c.keys[m.ID])
		if err != nil {
			t.Fatal(err)
		}
		seals = append(seals, s)
	}
	note, err := checkpoint.Note(cp, seals, &c.policy.Epochs[0])
	if err != nil {
		t.Fatal(err)
	}
	return anchor.Checkpoint{Size: cp.Size, Root: cp.Root, Note: note}
}

// Consistency implements anchor.Ledger.
func (c *consortium) Consistency(m, n uint64) ([]merkle.Digest, error) {
	return merkle.ConsistencyAt(m, n, leafReader(c.leaves))
}

// leafReader makes every node anew out of the leaves.
type leafReader []merkle.Digest

func (r leafReader) Node(level uint8, index uint64) (merkle.Digest, error) {
	return merkle.Root(r[index<<level : (index+1)<<level]), nil
}
