package anchortest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"qifeng/anchor"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// Chain is a consortium of four members with all their keys, and a ledger that
// grows when it is told to: every size is sealed. It is an anchor.Source. Its
// methods may be called at the same time.
type Chain struct {
	Policy *checkpoint.Policy
	keys   map[string]checkpoint.SealKeys

	mu      sync.Mutex // guards what follows
	tree    *merkle.Tree
	salt    string
	notes   map[uint64][]byte
	hidden  bool
	changed chan struct{}
}

// NewChain makes a consortium with new keys and a ledger of one entry. name is
// the first part of its chain id; the second is another one each time.
func NewChain(t testing.TB, name string) *Chain {
	t.Helper()
	genesis := make([]byte, 32)
	if _, err := rand.Read(genesis); err != nil {
		t.Fatal(err)
	}
	digest := merkle.Sum(genesis)
	c := &Chain{keys: make(map[string]checkpoint.SealKeys), salt: "entry", notes: make(map[uint64][]byte),
		changed: make(chan struct{}), tree: merkle.NewTree([]merkle.Digest{merkle.LeafHash(genesis)})}
	e := checkpoint.Epoch{First: 1, Quorum: checkpoint.DefaultQuorum(4)}
	for _, m := range []checkpoint.Member{{ID: "arb-a", Role: checkpoint.Arbitration}, {ID: "court-a", Role: checkpoint.Court},
		{ID: "notary-a", Role: checkpoint.Notary}, {ID: "vendor-a", Role: checkpoint.Vendor}} {
		keys := checkpoint.SealKeys{Log: newKey(t, gm.Ed25519), Ed25519: newKey(t, gm.Ed25519), SM2: newKey(t, gm.SM2)}
		m.Log, m.SealEd25519, m.SealSM2 = keys.Log.Public(), keys.Ed25519.Public(), keys.SM2.Public()
		m.Intake, m.Admin = newKey(t, gm.SM2).Public(), newKey(t, gm.SM2).Public()
		e.Members = append(e.Members, m)
		c.keys[m.ID] = keys
	}
	c.Policy = &checkpoint.Policy{Chain: checkpoint.ChainID(name, digest), Genesis: digest, Epochs: []checkpoint.Epoch{e}}
	if err := c.Policy.Validate(); err != nil {
		t.Fatalf("the consortium is not valid: %v", err)
	}
	return c
}

func newKey(t testing.TB, alg gm.Alg) *gm.PrivateKey {
	t.Helper()
	k, err := gm.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Grow adds entries and returns the new size.
func (c *Chain) Grow(n int) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n {
		c.tree.Append(merkle.LeafHash(fmt.Appendf(nil, "%s %d", c.salt, c.tree.Size())))
	}
	close(c.changed)
	c.changed = make(chan struct{})
	return c.tree.Size()
}

// Size is that of the ledger.
func (c *Chain) Size() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tree.Size()
}

// Fork is the same consortium, with the same keys, and another ledger from an
// entry on: what no honest quorum makes. It has the size of the first.
func (c *Chain) Fork(t testing.TB, at uint64) *Chain {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &Chain{Policy: c.Policy, keys: c.keys, salt: c.salt + "'", notes: make(map[uint64][]byte), changed: make(chan struct{}),
		tree: &merkle.Tree{}}
	for i := range c.tree.Size() {
		leaf, err := c.tree.Node(0, i)
		if err != nil {
			t.Fatal(err)
		}
		if i >= at {
			leaf = merkle.LeafHash(fmt.Appendf(nil, "%s %d", f.salt, i))
		}
		f.tree.Append(leaf)
	}
	return f
}

// At is the checkpoint of a size that the ledger has reached, sealed by all four
// members. It has the same bytes each time.
func (c *Chain) At(t testing.TB, size uint64) anchor.Checkpoint {
	t.Helper()
	note, root, err := c.note(size)
	if err != nil {
		t.Fatal(err)
	}
	return anchor.Checkpoint{Size: size, Root: root, Note: note}
}

// Sealed is the note of a size with the seals of some members, made anew: its
// bytes are others each time.
func (c *Chain) Sealed(t testing.TB, size uint64, members ...string) []byte {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	note, err := c.seal(size, members...)
	if err != nil {
		t.Fatal(err)
	}
	return note
}

func (c *Chain) note(size uint64) ([]byte, merkle.Digest, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	root, err := merkle.RootAt(size, c.tree)
	if err != nil {
		return nil, root, err
	}
	if c.notes[size] == nil {
		note, err := c.seal(size, "arb-a", "court-a", "notary-a", "vendor-a")
		if err != nil {
			return nil, root, err
		}
		c.notes[size] = note
	}
	return slices.Clone(c.notes[size]), root, nil
}

// seal is called with mu held.
func (c *Chain) seal(size uint64, members ...string) ([]byte, error) {
	root, err := merkle.RootAt(size, c.tree)
	if err != nil {
		return nil, err
	}
	cp := checkpoint.Checkpoint{Origin: checkpoint.Origin(c.Policy.Chain), Size: size, Root: root}
	var seals []checkpoint.Seal
	for _, id := range members {
		s, err := checkpoint.Sign(cp, id, time.Now().Unix(), c.keys[id])
		if err != nil {
			return nil, err
		}
		seals = append(seals, s)
	}
	return checkpoint.Note(cp, seals, &c.Policy.Epochs[0])
}

// Hide makes Checkpoint say that nothing is sealed, or ends that.
func (c *Chain) Hide(hidden bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hidden = hidden
	close(c.changed)
	c.changed = make(chan struct{})
}

// Checkpoint implements anchor.Source.
func (c *Chain) Checkpoint() (note []byte, size uint64, ok bool, err error) {
	c.mu.Lock()
	size, hidden := c.tree.Size(), c.hidden
	c.mu.Unlock()
	if hidden {
		return nil, 0, false, nil
	}
	note, _, err = c.note(size)
	return note, size, err == nil, err
}

// Changed implements anchor.Source.
func (c *Chain) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// Consistency implements anchor.Ledger.
func (c *Chain) Consistency(m, n uint64) ([]merkle.Digest, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m == 0 || m > n || n > c.tree.Size() {
		return nil, errors.New("no such sizes")
	}
	return merkle.ConsistencyAt(m, n, c.tree)
}
