package fsck

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// register is what follows from the entries of the ledger, as the members agree
// on it: how far each node's batches have come, and the keys.
type register struct {
	cons     *consortium
	cursors  map[string]cursorState
	keys     map[string]map[string]*userKey
	keySums  map[string]merkle.Digest
	lastSize uint64 // ledger size after the last height that changed a key

	// Of the height that is being read.
	base    uint64 // ledger size before it
	count   map[string]int
	changed map[string]map[string]bool
	fresh   map[string]int // names registered
}

type cursorState struct {
	seq  uint64
	last time.Time
}

// userKey is a registered key.
type userKey struct {
	public  gm.PublicKey
	purpose evidence.Purpose
	index   uint64
	revoked bool
	until   uint64 // ledger index of the revocation
}

func newRegister(cons *consortium) *register {
	r := &register{cons: cons, cursors: map[string]cursorState{}, keys: map[string]map[string]*userKey{},
		keySums: map[string]merkle.Digest{}, lastSize: 1}
	for _, id := range cons.ids {
		r.keys[id] = map[string]*userKey{}
		r.keySums[id] = merkle.Sum(nil)
	}
	r.begin(1)
	return r
}

// begin begins a height.
func (r *register) begin(base uint64) {
	r.base, r.count, r.changed, r.fresh = base, map[string]int{}, map[string]map[string]bool{}, map[string]int{}
}

// take applies an entry by the rules of docs/spec/batch.md and key.md, and
// returns what must have signed it. The error says which rule it breaks.
func (r *register) take(index uint64, raw []byte) (*evidence.Signed, gm.PublicKey, *evidence.Batch, error) {
	if len(raw) > evidence.MaxTxBytes {
		return nil, gm.PublicKey{}, nil, fmt.Errorf("it has %d bytes", len(raw))
	}
	if evidence.PeekType(raw) == evidence.TypeBatch {
		b, err := evidence.ParseBatch(raw)
		if err == nil {
			err = r.batch(b)
		}
		if err != nil {
			return nil, gm.PublicKey{}, nil, err
		}
		return b.Signed, r.cons.cards[b.Node].Intake, b, nil
	}
	k, err := evidence.ParseKeyEntry(raw)
	if err == nil {
		err = r.key(index, k)
	}
	if err != nil {
		return nil, gm.PublicKey{}, nil, err
	}
	return k.Signed, r.cons.cards[k.Member].Admin, nil, nil
}

func (r *register) member(id string) error {
	if r.cons.cards[id] == nil {
		return fmt.Errorf("it is of %s, who is no member", id)
	}
	if r.count[id]++; r.count[id] > maxPerBlock {
		return fmt.Errorf("it is entry %d of %s in one block", r.count[id], id)
	}
	return nil
}

func (r *register) batch(b *evidence.Batch) error {
	if err := r.member(b.Node); err != nil {
		return err
	}
	cur := r.cursors[b.Node]
	switch {
	case b.Seq <= cur.seq:
		return fmt.Errorf("batch %d of %s stands after batch %d", b.Seq, b.Node, cur.seq)
	case cur.seq > 0 && b.FirstReceivedAt.Before(cur.last):
		return fmt.Errorf("batch %d of %s begins before its batch %d ends", b.Seq, b.Node, cur.seq)
	case b.RegistrySize > r.base:
		return fmt.Errorf("batch %d of %s has registry_size %d on a ledger of %d", b.Seq, b.Node, b.RegistrySize, r.base)
	}
	r.cursors[b.Node] = cursorState{b.Seq, b.LastReceivedAt}
	return nil
}

func (r *register) key(index uint64, e *evidence.KeyEntry) error {
	if err := r.member(e.Member); err != nil {
		return err
	}
	k := r.keys[e.Member][e.Key]
	switch {
	case r.changed[e.Member][e.Key]:
		return fmt.Errorf("key %s of %s changes twice in one block", e.Key, e.Member)
	case e.Action == evidence.Register && k != nil:
		return fmt.Errorf("key %s of %s was registered at index %d", e.Key, e.Member, k.index)
	case e.Action == evidence.Register && len(r.keys[e.Member])-r.fresh[e.Member] >= maxKeys:
		return fmt.Errorf("%s has registered %d keys before", e.Member, maxKeys)
	case e.Action == evidence.Revoke && k == nil:
		return fmt.Errorf("key %s of %s is revoked and was never registered", e.Key, e.Member)
	case e.Action == evidence.Revoke && k.revoked:
		return fmt.Errorf("key %s of %s was revoked at index %d", e.Key, e.Member, k.until)
	}
	if r.changed[e.Member] == nil {
		r.changed[e.Member] = map[string]bool{}
	}
	r.changed[e.Member][e.Key] = true
	if e.Action == evidence.Revoke {
		k.revoked, k.until = true, index
		return nil
	}
	r.fresh[e.Member]++
	r.keys[e.Member][e.Key] = &userKey{public: e.PublicKey, purpose: e.Purpose, index: index}
	return nil
}

// end ends a height and returns its AppHash: the plain pair of the checkpoint's
// body followed by the plain pair of the register's text (chain/state.go).
func (r *register) end(size uint64, root merkle.Digest) []byte {
	for id := range r.changed {
		r.keySums[id] = r.keysOf(id)
		r.lastSize = size
	}
	var text []byte
	for _, id := range r.cons.ids {
		cur := r.cursors[id]
		var ms int64
		if cur.seq > 0 {
			ms = cur.last.UnixMilli()
		}
		text = fmt.Appendf(text, "%s %d %d %x %x\n", id, cur.seq, ms, r.keySums[id].SM3, r.keySums[id].SHA256)
	}
	body := checkpoint.Checkpoint{Origin: r.cons.origin, Size: size, Root: root}.Body()
	return plain(merkle.Sum(append(body, plain(merkle.Sum(text))...)))
}

func (r *register) keysOf(id string) merkle.Digest {
	var text []byte
	for _, name := range slices.Sorted(maps.Keys(r.keys[id])) {
		k := r.keys[id][name]
		revoked := "-"
		if k.revoked {
			revoked = strconv.FormatUint(k.until, 10)
		}
		text = fmt.Appendf(text, "%s %s %s %d %s\n", name, k.purpose, k.public, k.index, revoked)
	}
	return merkle.Sum(text)
}

// submitKey is the key by which a statement counts that was checked against the
// first size entries.
func (r *register) submitKey(member, name string, size uint64) (gm.PublicKey, error) {
	k := r.keys[member][name]
	switch {
	case k == nil || k.index >= size:
		return gm.PublicKey{}, fmt.Errorf("key %s of %s is not registered in the first %d entries", name, member, size)
	case k.purpose != evidence.Submit:
		return gm.PublicKey{}, fmt.Errorf("key %s of %s is registered for %s", name, member, k.purpose)
	case k.revoked && k.until < size:
		return gm.PublicKey{}, fmt.Errorf("key %s of %s was revoked at ledger index %d", name, member, k.until)
	}
	return k.public, nil
}
