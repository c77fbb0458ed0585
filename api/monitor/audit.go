package monitor

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"qifeng/api/wire"
	"qifeng/evidence"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// Auditor reads a whole ledger, entry by entry, and holds it against its rules
// (docs/spec/batch.md, key.md): who signed, rising numbers, times that do not go
// back, names used once. It asks for nothing but entry bundles and keeps the
// roots of the complete subtrees, not the entries.
type Auditor struct {
	policy *checkpoint.Policy
	size   uint64
	roots  []merkle.Digest // of the complete subtrees, largest first
	last   map[string]mark // by node
	keys   map[keyName]bool
	wrong  *EntryError // the first
}

// mark is the newest batch of a node.
type mark struct {
	seq uint64
	at  time.Time
}

type keyName struct{ member, name string }

// EntryError says that a sealed ledger holds an entry that its rules refuse: the
// members have sealed what they should not.
type EntryError struct {
	Index uint64
	Entry []byte
	Err   error
}

func (e *EntryError) Error() string { return fmt.Sprintf("ledger entry %d: %v", e.Index, e.Err) }

func (e *EntryError) Unwrap() error { return e.Err }

// ServedError says that what the node served as entries is not what was sealed.
type ServedError struct{ Err error }

func (e *ServedError) Error() string { return "the entries that the node serves: " + e.Err.Error() }

func (e *ServedError) Unwrap() error { return e.Err }

// NewAuditor begins at entry 0.
func NewAuditor(p *checkpoint.Policy) *Auditor {
	a := &Auditor{policy: p}
	a.reset()
	return a
}

func (a *Auditor) reset() {
	*a = Auditor{policy: a.policy, last: map[string]mark{}, keys: map[keyName]bool{}}
}

// Size is how many entries were read.
func (a *Auditor) Size() uint64 { return a.size }

// Extend reads on to the size of a checkpoint and compares both roots with it.
// An error of type *EntryError or *ServedError is a finding; after a ServedError
// the audit begins anew. Any other error is the source's, and the next call goes
// on from there.
func (a *Auditor) Extend(ctx context.Context, src Source, cp checkpoint.Checkpoint) error {
	for a.size < cp.Size {
		index := a.size / wire.TileWidth
		first := index * wire.TileWidth
		width := int(min(wire.TileWidth, cp.Size-first))
		data, err := src.EntryBundle(ctx, index, width)
		if err != nil {
			return fmt.Errorf("reading entries from %d on: %w", first, err)
		}
		entries, err := cutBundle(data, width)
		if err != nil {
			return a.served(fmt.Errorf("bundle %d of width %d: %w", index, width, err))
		}
		for _, entry := range entries[a.size-first:] {
			a.take(entry)
		}
	}
	if root := a.root(); a.size != cp.Size || root != cp.Root {
		return a.served(fmt.Errorf("the first %d do not hash to the sealed root", a.size))
	}
	if a.wrong != nil {
		return a.wrong
	}
	return nil
}

func (a *Auditor) served(err error) error {
	a.reset()
	return &ServedError{err}
}

// cutBundle splits a bundle of exactly width entries.
func cutBundle(b []byte, width int) ([][]byte, error) {
	out := make([][]byte, 0, width)
	for range width {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return nil, fmt.Errorf("it ends within entry %d", len(out))
		}
		end := 2 + int(binary.BigEndian.Uint16(b))
		out, b = append(out, b[2:end:end]), b[end:]
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%d bytes are left over", len(b))
	}
	return out, nil
}

// take appends an entry and judges it. The first one that is wrong is kept, and
// told of only when the root shows that it was sealed.
func (a *Auditor) take(entry []byte) {
	if err := a.judge(entry); err != nil && a.wrong == nil {
		a.wrong = &EntryError{a.size, slices.Clone(entry), err}
	}
	d := merkle.LeafHash(entry)
	for n := a.size; n&1 == 1; n >>= 1 {
		d = merkle.NodeHash(a.roots[len(a.roots)-1], d)
		a.roots = a.roots[:len(a.roots)-1]
	}
	a.roots = append(a.roots, d)
	a.size++
}

// root folds the subtrees, smallest first (RFC 9162 §2.1.1).
func (a *Auditor) root() merkle.Digest {
	if len(a.roots) == 0 || bits.OnesCount64(a.size) != len(a.roots) {
		return merkle.EmptyRoot()
	}
	acc := a.roots[len(a.roots)-1]
	for _, d := range slices.Backward(a.roots[:len(a.roots)-1]) {
		acc = merkle.NodeHash(d, acc)
	}
	return acc
}

// judge holds one entry against the rules and what came before it.
func (a *Auditor) judge(entry []byte) error {
	if a.size == 0 {
		if merkle.Sum(entry) != a.policy.Genesis {
			return fmt.Errorf("it is not the genesis that the policy names")
		}
		return nil
	}
	switch t := evidence.PeekType(entry); t {
	case evidence.TypeBatch:
		return a.judgeBatch(entry)
	case evidence.TypeKey:
		return a.judgeKey(entry)
	default:
		return fmt.Errorf("an object of type %q is no ledger entry", t)
	}
}

func (a *Auditor) member(id string) (checkpoint.Member, error) {
	epoch, err := a.policy.EpochOf(a.size + 1)
	if err != nil {
		return checkpoint.Member{}, err
	}
	m, ok := epoch.Member(id)
	if !ok {
		return m, fmt.Errorf("%s is no member", id)
	}
	return m, nil
}

func (a *Auditor) judgeBatch(entry []byte) error {
	b, err := evidence.ParseBatch(entry)
	if err != nil {
		return err
	}
	m, err := a.member(b.Node)
	if err != nil {
		return err
	}
	old := a.last[b.Node]
	a.last[b.Node] = mark{b.Seq, b.LastReceivedAt}
	switch {
	case b.Seq <= old.seq:
		return fmt.Errorf("batch %d of %s after its batch %d", b.Seq, b.Node, old.seq)
	case b.FirstReceivedAt.Before(old.at):
		return fmt.Errorf("batch %d of %s begins before its batch %d ended", b.Seq, b.Node, old.seq)
	case b.RegistrySize > a.size:
		return fmt.Errorf("batch %d of %s was checked against a registry of size %d at index %d", b.Seq, b.Node, b.RegistrySize, a.size)
	}
	return b.Signed.Verify(a.policy.Chain, m.Intake)
}

func (a *Auditor) judgeKey(entry []byte) error {
	k, err := evidence.ParseKeyEntry(entry)
	if err != nil {
		return err
	}
	m, err := a.member(k.Member)
	if err != nil {
		return err
	}
	name := keyName{k.Member, k.Key}
	valid, used := a.keys[name]
	a.keys[name] = k.Action == evidence.Register
	switch {
	case k.Action == evidence.Register && used:
		return fmt.Errorf("key %s of %s is registered a second time", k.Key, k.Member)
	case k.Action == evidence.Revoke && !valid:
		return fmt.Errorf("key %s of %s is revoked and is none that could be", k.Key, k.Member)
	}
	return k.Signed.Verify(a.policy.Chain, m.Admin)
}
