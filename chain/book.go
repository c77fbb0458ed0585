package chain

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// book keeps the seals. A seal enters only through put, which verifies it; the
// sealer goroutine alone calls put, everybody may read.
//
// Per size and member the earliest-dated seal is kept for evidence, per member
// the newest one of all for freshness. Nothing of this is part of the AppHash:
// two honest nodes may hold different seals.
type book struct {
	c     *consortium
	store *store
	now   func() time.Time

	mu     sync.RWMutex // guards what follows
	newest map[string]wireSeal

	// held are seals for sizes that the ledger has not reached. Only put and
	// release touch it.
	held map[string][]wireSeal
}

func openBook(c *consortium, s *store, now func() time.Time) (*book, error) {
	b := &book{c: c, store: s, now: now, newest: map[string]wireSeal{}, held: map[string][]wireSeal{}}
	it := s.db.NewIterator(util.BytesPrefix([]byte{kNewest}), nil)
	defer it.Release()
	for it.Next() {
		r := &reader{b: slices.Clone(it.Value())}
		w := r.seal()
		if r.bad || len(r.b) != 0 || w.seal.Member != string(it.Key()[1:]) {
			return nil, fmt.Errorf("the stored newest seal of %q is damaged", it.Key()[1:])
		}
		b.newest[w.seal.Member] = w
	}
	return b, it.Error()
}

// outcome says what became of a seal that was put.
type outcome int

const (
	known    outcome = iota // stored before, or nothing new in it
	stored                  // stored as a first or as a newest seal
	sealed                  // stored, and its size meets the quorum since
	holding                 // kept for a size that the ledger has not reached
	ignored                 // not collected: a time or a size that is not taken
	conflict                // a verified seal on another root: kept as evidence
)

// put verifies a seal and keeps what is new in it. live says that the member
// has just given it. An error that wraps [checkpoint.ErrSeal] is the sender's
// fault, any other one a failure of this node.
func (b *book) put(w wireSeal, live bool, ledger uint64) (outcome, error) {
	off := time.Unix(w.seal.Time, 0).Sub(b.now())
	inTime := off <= liveTolerance && (!live || off >= -liveTolerance)
	if w.size > ledger {
		if !inTime {
			return ignored, nil
		}
		return b.hold(w)
	}
	root, err := merkle.RootAt(w.size, b.store)
	if err != nil {
		return ignored, err
	}
	if w.root != root {
		// Whatever its time and size: a member that signs what the ledger
		// contradicts is caught by its own signature.
		if err := b.verify(w); err != nil {
			return ignored, err
		}
		return b.keepConflict(w)
	}
	_, at, ok, err := b.store.finalized(w.size)
	if err != nil || !ok || !inTime || w.seal.Time < at.Add(-clockBehind).Unix() {
		return ignored, err
	}
	return b.putGood(w)
}

// putGood goes on with a seal on our root, of a size and a time that are
// collected.
func (b *book) putGood(w wireSeal) (outcome, error) {
	first, haveFirst, err := b.first(w.size, w.seal.Member)
	if err != nil {
		return ignored, err
	}
	b.mu.RLock()
	last, haveLast := b.newest[w.seal.Member]
	b.mu.RUnlock()
	betterFirst := !haveFirst || w.seal.Time < first.Time
	betterLast := !haveLast || w.size > last.size || w.size == last.size && w.seal.Time > last.seal.Time
	if !betterFirst && !betterLast {
		return known, nil
	}
	if err := b.verify(w); err != nil {
		return ignored, err
	}
	return b.keep(w, betterFirst, betterLast)
}

func (b *book) verify(w wireSeal) error {
	m, ok := b.c.sealer(w.seal.Member, w.size)
	if !ok {
		return fmt.Errorf("%w: %s is no member", checkpoint.ErrSeal, w.seal.Member)
	}
	return m.VerifySeal(b.c.checkpoint(w.size, w.root), w.seal)
}

// keep writes a verified seal and, where it completes the quorum, that its size
// is sealed. Not fsynced: what a crash loses is asked for again, and the next
// height's fsync takes it along.
func (b *book) keep(w wireSeal, first, newest bool) (outcome, error) {
	batch := new(leveldb.Batch)
	out := stored
	if first {
		batch.Put(sealKey(w.size, w.seal.Member), encodeSeal(w.seal))
		completes, err := b.completes(w)
		if err != nil {
			return ignored, err
		}
		if completes {
			batch.Put(sizeKey(kSealed, w.size), nil)
			batch.Delete(sizeKey(kUnsealed, w.size))
			out = sealed
		}
	}
	if newest {
		batch.Put(newestKey(w.seal.Member), appendSeal(nil, w))
	}
	err := b.store.db.Write(batch, nil)
	if err == nil {
		err = point(pointKept)
	}
	if err != nil {
		return ignored, fmt.Errorf("storing a seal: %w", err)
	}
	if newest {
		b.mu.Lock()
		b.newest[w.seal.Member] = w
		b.mu.Unlock()
	}
	return out, nil
}

// completes says whether w is the seal by which its size becomes sealed.
func (b *book) completes(w wireSeal) (bool, error) {
	done, err := b.isSealed(w.size)
	if done || err != nil {
		return false, err
	}
	seals, err := b.firsts(w.size)
	if err != nil {
		return false, err
	}
	seals = slices.DeleteFunc(seals, func(s checkpoint.Seal) bool { return s.Member == w.seal.Member })
	return b.c.judge(w.size, append(seals, w.seal)).Met, nil
}

func (b *book) isSealed(size uint64) (bool, error) {
	_, err := b.store.get(sizeKey(kSealed, size))
	if errors.Is(err, errNotFound) {
		return false, nil
	}
	return err == nil, err
}

// keepConflict keeps a verified seal on another root, for good: with the
// member's seal on our root it proves that the member signed two ledgers.
func (b *book) keepConflict(w wireSeal) (outcome, error) {
	raw := appendSeal(nil, w)
	sum := merkle.Sum(raw)
	key := append(conflictKey(w.size, w.seal.Member), sum.SM3[:8]...)
	if _, err := b.store.get(key); err == nil {
		return known, nil
	} else if !errors.Is(err, errNotFound) {
		return ignored, err
	}
	if n, err := b.conflicts(w.size, w.seal.Member); err != nil || n >= maxConflicts {
		return known, err
	}
	if err := b.store.db.Put(key, raw, &opt.WriteOptions{Sync: true}); err != nil {
		return ignored, fmt.Errorf("storing a conflicting seal: %w", err)
	}
	return conflict, nil
}

func (b *book) conflicts(size uint64, member string) (int, error) {
	it := b.store.db.NewIterator(util.BytesPrefix(conflictKey(size, member)), nil)
	defer it.Release()
	n := 0
	for it.Next() {
		n++
	}
	return n, it.Error()
}

// hold keeps a seal for later; of one member only the newest few.
func (b *book) hold(w wireSeal) (outcome, error) {
	if _, ok := b.c.members[w.seal.Member]; !ok {
		return ignored, fmt.Errorf("%w: %s is no member", checkpoint.ErrSeal, w.seal.Member)
	}
	if err := b.verify(w); err != nil {
		return ignored, err
	}
	list := b.held[w.seal.Member]
	if i := slices.IndexFunc(list, func(h wireSeal) bool { return h.size == w.size && h.root == w.root }); i >= 0 {
		return known, nil
	}
	list = append(list, w)
	slices.SortFunc(list, func(x, y wireSeal) int { return cmp.Compare(x.size, y.size) })
	if len(list) > maxHeldPerMember {
		list = list[len(list)-maxHeldPerMember:]
	}
	b.held[w.seal.Member] = list
	return holding, nil
}

// release returns the held seals that the ledger has reached.
func (b *book) release(ledger uint64) []wireSeal {
	var out []wireSeal
	for id, list := range b.held {
		n := 0
		for n < len(list) && list[n].size <= ledger {
			n++
		}
		out = append(out, list[:n]...)
		if b.held[id] = list[n:]; n == len(list) {
			delete(b.held, id)
		}
	}
	slices.SortFunc(out, func(x, y wireSeal) int {
		return cmp.Or(cmp.Compare(x.size, y.size), cmp.Compare(x.seal.Member, y.seal.Member))
	})
	return out
}

// ahead returns the largest held size of a member, 0 where there is none.
func (b *book) ahead(member string) uint64 {
	if list := b.held[member]; len(list) > 0 {
		return list[len(list)-1].size
	}
	return 0
}

func (b *book) first(size uint64, member string) (checkpoint.Seal, bool, error) {
	v, err := b.store.get(sealKey(size, member))
	if errors.Is(err, errNotFound) {
		return checkpoint.Seal{}, false, nil
	}
	if err != nil {
		return checkpoint.Seal{}, false, err
	}
	s, err := decodeSeal(member, v)
	return s, err == nil, err
}

// firsts returns the first seals of a size, sorted by member.
func (b *book) firsts(size uint64) ([]checkpoint.Seal, error) {
	prefix := sizeKey(kSeal, size)
	it := b.store.db.NewIterator(util.BytesPrefix(prefix), nil)
	defer it.Release()
	var out []checkpoint.Seal
	for it.Next() {
		s, err := decodeSeal(string(it.Key()[len(prefix):]), it.Value())
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, it.Error()
}

// freshest returns the seals of a size, of each member the newest one held.
func (b *book) freshest(size uint64) ([]checkpoint.Seal, error) {
	out, err := b.firsts(size)
	if err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	for i, s := range out {
		if w, ok := b.newest[s.Member]; ok && w.size == size {
			out[i] = w.seal
		}
	}
	return out, nil
}

// newestSeals returns each member's newest seal.
func (b *book) newestSeals() map[string]wireSeal {
	b.mu.RLock()
	defer b.mu.RUnlock()
	out := make(map[string]wireSeal, len(b.newest))
	for id, w := range b.newest {
		out[id] = w
	}
	return out
}

func sealKey(size uint64, member string) []byte { return append(sizeKey(kSeal, size), member...) }
func conflictKey(size uint64, member string) []byte {
	return appendID(sizeKey(kConflict, size), member)
}

func newestKey(member string) []byte { return append([]byte{kNewest}, member...) }

func encodeSeal(s checkpoint.Seal) []byte {
	b := be8(uint64(s.Time))
	b = append(b, s.Log[:]...)
	b = append(b, s.Ed25519[:]...)
	return append(b, s.SM2[:]...)
}

func decodeSeal(member string, v []byte) (checkpoint.Seal, error) {
	if len(v) != 8+3*64 {
		return checkpoint.Seal{}, fmt.Errorf("the stored seal of %q has %d bytes", member, len(v))
	}
	return checkpoint.Seal{Member: member, Time: int64(binary.BigEndian.Uint64(v)),
		Log: [64]byte(v[8:]), Ed25519: [64]byte(v[72:]), SM2: [64]byte(v[136:])}, nil
}
