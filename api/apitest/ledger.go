package apitest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"qifeng/archive"
	"qifeng/chain"
	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

type batchName struct {
	node string
	seq  uint64
}

type sealedNote struct {
	size uint64
	note []byte
}

// Ledger is a chain in memory. Transactions wait until [Ledger.Commit], sizes
// are unsealed until [Ledger.Seal]; [Ledger.Auto] does both at once.
type Ledger struct {
	c   *Consortium
	now func() time.Time

	mu       sync.Mutex // guards all below
	entries  [][]byte
	leaves   []merkle.Digest
	tree     merkle.Tree // of leaves, as far as it was asked for
	pending  [][]byte
	batches  map[batchName]uint64
	last     map[string]*evidence.Batch
	keys     map[string]map[string]chain.Key
	registry uint64
	sealed   []sealedNote
	seals    map[uint64][]checkpoint.Seal
	changed  chan struct{}
	auto     bool
	away     map[string]bool // members that give no seal
	status   chain.Status    // what Status returns besides what the ledger knows
	refuse   error           // what Submit answers, nil to take
}

// NewLedger makes a ledger of genesis and the user key's entry.
func NewLedger(tb testing.TB, c *Consortium, now func() time.Time) *Ledger {
	tb.Helper()
	l := &Ledger{
		c: c, now: now, batches: map[batchName]uint64{}, last: map[string]*evidence.Batch{},
		keys: map[string]map[string]chain.Key{}, seals: map[uint64][]checkpoint.Seal{},
		changed: make(chan struct{}), away: map[string]bool{},
		status: chain.Status{Guard: chain.GuardStatus{OK: true}},
	}
	l.append(c.Genesis.Raw)
	must(tb, l.apply(c.KeyEntry(tb, Node, KeyName, c.User.Public(), evidence.Submit)))
	l.registry = uint64(len(l.entries))
	return l
}

// Submit takes a transaction.
func (l *Ledger) Submit(ctx context.Context, tx []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != nil {
		return l.refuse
	}
	// The archive sends again what is not in a block after a while.
	if slices.ContainsFunc(l.pending, func(p []byte) bool { return bytes.Equal(p, tx) }) {
		return nil
	}
	l.pending = append(l.pending, tx)
	if l.auto {
		l.commit()
		l.seal()
	}
	return nil
}

// Auto commits and seals what is pending and whatever comes.
func (l *Ledger) Auto() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.auto = true
	l.commit()
	l.seal()
}

// Commit appends what is pending and reports how many entries that were.
func (l *Ledger) Commit() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commit()
}

// Seal has every member that is not away seal the newest size.
func (l *Ledger) Seal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seal()
}

func (l *Ledger) commit() int {
	n, registry := 0, false
	for _, tx := range l.pending {
		if l.apply(tx) == nil {
			n++
			registry = registry || evidence.PeekType(tx) == evidence.TypeKey
		}
	}
	l.pending = nil
	if registry {
		l.registry = uint64(len(l.entries))
	}
	l.wake()
	return n
}

func (l *Ledger) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *Ledger) append(b []byte) uint64 {
	l.entries = append(l.entries, b)
	l.leaves = append(l.leaves, merkle.LeafHash(b))
	return uint64(len(l.entries) - 1)
}

// apply executes one transaction; what is refused leaves no trace.
func (l *Ledger) apply(tx []byte) error {
	switch t := evidence.PeekType(tx); t {
	case evidence.TypeBatch:
		b, err := evidence.ParseBatch(tx)
		if err != nil {
			return err
		}
		if prev := l.last[b.Node]; prev != nil && b.Seq <= prev.Seq {
			return fmt.Errorf("batch %d after %d", b.Seq, prev.Seq)
		}
		l.last[b.Node] = b
		l.batches[batchName{b.Node, b.Seq}] = l.append(tx)
		return nil
	case evidence.TypeKey:
		return l.applyKey(tx)
	default:
		return fmt.Errorf("transaction of type %q", t)
	}
}

func (l *Ledger) applyKey(tx []byte) error {
	e, err := evidence.ParseKeyEntry(tx)
	if err != nil {
		return err
	}
	if l.keys[e.Member] == nil {
		l.keys[e.Member] = map[string]chain.Key{}
	}
	key, ok := l.keys[e.Member][e.Key]
	if ok == (e.Action == evidence.Register) {
		return fmt.Errorf("%s of a key that is there: %t", e.Action, ok)
	}
	index := l.append(tx)
	if e.Action == evidence.Revoke {
		key.RevokedAt = &index
	} else {
		key = chain.Key{Member: e.Member, Name: e.Key, PublicKey: e.PublicKey, Purpose: e.Purpose, Index: index}
	}
	l.keys[e.Member][e.Key] = key
	return nil
}

func (l *Ledger) head() checkpoint.Checkpoint {
	return checkpoint.Checkpoint{
		Origin: checkpoint.Origin(l.c.Chain), Size: uint64(len(l.entries)), Root: merkle.Root(l.leaves),
	}
}

func (l *Ledger) seal() {
	cp := l.head()
	var seals []checkpoint.Seal
	for _, id := range sortedMembers {
		if l.away[id] {
			continue
		}
		k := l.c.Keys[id]
		seal, err := checkpoint.Sign(cp, id, l.now().Unix(), checkpoint.SealKeys{Log: k.Log, Ed25519: k.SealEd25519, SM2: k.SealSM2})
		if err != nil {
			panic(err)
		}
		seals = append(seals, seal)
	}
	l.seals[cp.Size] = seals
	epoch := &l.c.Policy.Epochs[0]
	if epoch.Quorum.Judge(epoch, seals).Met {
		note, err := checkpoint.Note(cp, seals, epoch)
		if err != nil {
			panic(err)
		}
		l.sealed = append(l.sealed, sealedNote{cp.Size, note})
	}
	l.wake()
}

// SetAway says which members give no seal from now on.
func (l *Ledger) SetAway(ids ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = map[string]bool{}
	for _, id := range ids {
		l.away[id] = true
	}
}

// SetRefusal makes Submit answer err, nil to take transactions again.
func (l *Ledger) SetRefusal(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse = err
}

// SetStatus changes what Status returns besides what the ledger knows.
func (l *Ledger) SetStatus(change func(*chain.Status)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.status)
}

// Status tells of the members by who is away.
func (l *Ledger) Status() chain.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	st, epoch, now := l.status, &l.c.Policy.Epochs[0], l.now()
	st.ChainID, st.Self, st.Size = l.c.Chain, Node, uint64(len(l.entries))
	var fresh []checkpoint.Seal
	st.Members = nil
	for _, id := range sortedMembers {
		m := chain.MemberStatus{ID: id, Role: Members[id], Self: id == Node, Connected: !l.away[id], Fresh: !l.away[id]}
		if m.Fresh {
			m.SealSize, m.SealTime = st.Size, now
			fresh = append(fresh, checkpoint.Seal{Member: id, Time: now.Unix()})
		}
		st.Members = append(st.Members, m)
	}
	v := epoch.Quorum.Judge(epoch, fresh)
	st.Quorum = chain.QuorumStatus{Met: v.Met, Missing: v.Missing}
	if n := len(l.sealed); n > 0 {
		st.Sealed = chain.SealedStatus{Size: l.sealed[n-1].size, Time: now}
	}
	return st
}

// Tamper changes one ledger entry after the fact.
func (l *Ledger) Tamper(index uint64, b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[index] = b
}

// Pending returns how many transactions wait.
func (l *Ledger) Pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pending)
}

// Changed is closed at the next change.
func (l *Ledger) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// Size is the number of entries.
func (l *Ledger) Size() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.entries))
}

// Entry reads an entry.
func (l *Ledger) Entry(index uint64) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if index >= uint64(len(l.entries)) {
		return nil, fmt.Errorf("no entry %d", index)
	}
	return l.entries[index], nil
}

// Batch finds a batch.
func (l *Ledger) Batch(node string, seq uint64) (uint64, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	index, ok := l.batches[batchName{node, seq}]
	return index, ok, nil
}

// LastSeq is how far a node's batches have come.
func (l *Ledger) LastSeq(node string) (uint64, time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.last[node]; b != nil {
		return b.Seq, b.LastReceivedAt, nil
	}
	return 0, time.Time{}, nil
}

// RegistrySize is the size after the last registry change.
func (l *Ledger) RegistrySize() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.registry
}

// Key finds a key.
func (l *Ledger) Key(member, name string) (chain.Key, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, ok := l.keys[member][name]
	if read := l.c.Keys[member].Read; !ok && read != nil && name == ReadKeyName {
		return chain.Key{Member: member, Name: name, PublicKey: read.Public(), Purpose: evidence.Read}, true, nil
	}
	return k, ok, nil
}

// Keys lists a member's keys, of all with an empty id.
func (l *Ledger) Keys(member string) ([]chain.Key, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := Members[member]; !ok && member != "" {
		return nil, chain.ErrNotFound
	}
	var out []chain.Key
	for _, id := range sortedMembers {
		for _, name := range slices.Sorted(maps.Keys(l.keys[id])) {
			if member == "" || member == id {
				out = append(out, l.keys[id][name])
			}
		}
	}
	return out, nil
}

// SubmitKey finds a key that may submit.
func (l *Ledger) SubmitKey(member, name string) (gm.PublicKey, error) {
	k, ok, _ := l.Key(member, name)
	switch {
	case !ok:
		return gm.PublicKey{}, archive.ErrUnknownKey
	case k.RevokedAt != nil:
		return gm.PublicKey{}, archive.ErrKeyRevoked
	case k.Purpose != evidence.Submit:
		return gm.PublicKey{}, archive.ErrKeyPurpose
	}
	return k.PublicKey, nil
}

// Inclusion makes a path.
func (l *Ledger) Inclusion(index, size uint64) ([]merkle.Digest, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return merkle.Inclusion(l.leaves[:size], index)
}

// Covering finds the first sealed checkpoint over an entry.
func (l *Ledger) Covering(index uint64) ([]byte, uint64, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.sealed {
		if s.size > index {
			return s.note, s.size, true, nil
		}
	}
	return nil, 0, false, nil
}

// Checkpoint is the newest sealed one.
func (l *Ledger) Checkpoint() ([]byte, uint64, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sealed) == 0 {
		return nil, 0, false, nil
	}
	s := l.sealed[len(l.sealed)-1]
	return s.note, s.size, true, nil
}

// Seals are those of one size.
func (l *Ledger) Seals(size uint64) ([]checkpoint.Seal, checkpoint.Checkpoint, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.seals[size]) == 0 {
		return nil, checkpoint.Checkpoint{}, chain.ErrNotFound
	}
	return l.seals[size], checkpoint.Checkpoint{
		Origin: checkpoint.Origin(l.c.Chain), Size: size, Root: merkle.Root(l.leaves[:size]),
	}, nil
}

// ChainID names the chain.
func (l *Ledger) ChainID() string { return l.c.Chain }

// Policy is the consortium's.
func (l *Ledger) Policy() *checkpoint.Policy { return l.c.Policy }

// SealedHead is the newest sealed head.
func (l *Ledger) SealedHead() (uint64, merkle.Digest) {
	_, size, ok, _ := l.Checkpoint()
	if !ok {
		return 0, merkle.EmptyRoot()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return size, merkle.Root(l.leaves[:size])
}
