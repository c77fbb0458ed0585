package fsck

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// sealReader goes through the seals and the marks of sizes beside the sizes.
type sealReader struct {
	l                      *ledger
	unsealed, marked, held *stepper // u, q, s

	sealed     uint64 // newest size that meets the quorum
	sealedTime int64  // Unix seconds
}

// stepper is a run that shows its next key before it is taken.
type stepper struct {
	*cursor
	ok   bool
	init bool
}

// size is the size in the next key; false at the end.
func (s *stepper) size() (uint64, bool, error) {
	if !s.init {
		if err := s.step(); err != nil {
			return 0, false, err
		}
	}
	if !s.ok || len(s.key()) < 9 {
		return 0, s.ok, nil // a key that is too short has no size: 0 is none
	}
	return binary.BigEndian.Uint64(s.key()[1:]), true, nil
}

func (s *stepper) step() (err error) {
	s.init = true
	s.ok, err = s.next()
	return err
}

// newestSeal is what a member's newest seal states.
type newestSeal struct {
	size uint64
	time int64
}

func newSealReader(l *ledger) *sealReader {
	return &sealReader{l: l, unsealed: &stepper{cursor: l.cursor('u')}, marked: &stepper{cursor: l.cursor('q')}, held: &stepper{cursor: l.cursor('s')}}
}

// size checks what is kept of a size: its seals, and whether they meet the quorum.
func (r *sealReader) size(size uint64, root merkle.Digest) error {
	unsealed, err := r.mark(r.unsealed, size)
	if err != nil {
		return err
	}
	marked, err := r.mark(r.marked, size)
	if err != nil {
		return err
	}
	if unsealed == marked {
		return r.l.wrong(CodeSeal, "it is marked as sealed: %t, and as not sealed: %t", marked, unsealed).at("size", size)
	}
	epoch, err := r.l.c.cons.policy.EpochOf(size)
	if err != nil {
		return r.l.wrong(CodeSeal, "%v", err).at("size", size)
	}
	cp := checkpoint.Checkpoint{Origin: r.l.c.cons.origin, Size: size, Root: root}
	seals, err := r.firsts(cp, epoch)
	if err != nil {
		return err
	}
	verdict := epoch.Quorum.Judge(epoch, seals)
	if verdict.Met != marked {
		return r.l.wrong(CodeSeal, "it is marked as sealed: %t, its seals meet the quorum: %t (%s)", marked, verdict.Met, verdict.Missing).at("size", size)
	}
	if verdict.Met {
		r.sealed, r.sealedTime = size, verdict.SealedTime
		r.l.c.report.Counts.Sealed = size
		r.l.c.report.Counts.SealedSizes++
	}
	return nil
}

// mark says whether a size has a mark, and takes it.
func (r *sealReader) mark(s *stepper, size uint64) (bool, error) {
	at, ok, err := s.size()
	if err != nil || !ok || at > size {
		return false, err
	}
	if at < size || len(s.key()) != 9 || len(s.value()) != 0 {
		return false, r.l.wrong(CodeSeal, "a mark of a size that no height ended with: %q", s.key()).at("size", at)
	}
	return true, s.step()
}

// firsts reads the seals of a size and has each of them verified.
func (r *sealReader) firsts(cp checkpoint.Checkpoint, epoch *checkpoint.Epoch) (out []checkpoint.Seal, err error) {
	for {
		at, ok, err := r.held.size()
		if err != nil || !ok || at > cp.Size {
			return out, err
		}
		k, v := r.held.key(), r.held.value()
		if at < cp.Size || len(v) != 8+3*64 {
			return nil, r.l.wrong(CodeSeal, "a seal on a size that no height ended with, or of %d bytes: %q", len(v), k).at("size", at)
		}
		s := seal(string(k[9:]), v)
		r.verify(cp, epoch, s)
		out = append(out, s)
		if err := r.held.step(); err != nil {
			return nil, err
		}
	}
}

// seal reads time and the three signatures.
func seal(member string, v []byte) checkpoint.Seal {
	return checkpoint.Seal{Member: member, Time: int64(binary.BigEndian.Uint64(v)),
		Log: [64]byte(v[8:]), Ed25519: [64]byte(v[72:]), SM2: [64]byte(v[136:])}
}

func (r *sealReader) verify(cp checkpoint.Checkpoint, epoch *checkpoint.Epoch, s checkpoint.Seal) {
	r.l.pool.do(func() error {
		m, ok := epoch.Member(s.Member)
		if !ok {
			return r.l.wrong(CodeSeal, "it is of %q, who is no member", s.Member).at("size", cp.Size)
		}
		if err := m.VerifySeal(cp, s); err != nil {
			return r.l.wrong(CodeSeal, "of %s: %v", s.Member, err).at("size", cp.Size)
		}
		r.l.c.seals.Add(1)
		return nil
	})
}

// finish checks what is kept beside the sizes: nothing more, each member's newest
// seal, and seals on other ledgers.
func (r *sealReader) finish() error {
	for _, s := range []*stepper{r.unsealed, r.marked, r.held} {
		if at, ok, err := s.size(); err != nil || ok {
			if err != nil {
				return err
			}
			return r.l.wrong(CodeSeal, "a mark or seal of a size that no height ended with: %q", s.key()).at("size", at)
		}
	}
	if err := r.newest(); err != nil {
		return err
	}
	return r.conflicts()
}

func (r *sealReader) newest() error {
	cur := r.l.cursor('n')
	for {
		ok, err := cur.next()
		if err != nil || !ok {
			return err
		}
		member := string(cur.key()[1:])
		w, err := parseWire(cur.value())
		if err != nil || w.seal.Member != member || w.size > r.l.size {
			return r.l.wrong(CodeSeal, "the newest seal of %q is damaged, or beyond the ledger: %v", member, err)
		}
		z, err := r.l.db.get(append([]byte{'z'}, be8(w.size)...))
		if err != nil {
			return err
		}
		root, err := r.l.rootAt(w.size)
		if err != nil {
			return err
		}
		if z == nil || root != w.root {
			return r.l.wrong(CodeSeal, "the newest seal of %s is on a size that no height ended with, or on another root", member).at("size", w.size)
		}
		epoch, err := r.l.c.cons.policy.EpochOf(w.size)
		if err != nil {
			return r.l.wrong(CodeSeal, "%v", err).at("size", w.size)
		}
		r.l.newest[member] = newestSeal{w.size, w.seal.Time}
		r.verify(checkpoint.Checkpoint{Origin: r.l.c.cons.origin, Size: w.size, Root: w.root}, epoch, w.seal)
	}
}

// conflicts checks that what is kept as evidence of a lie is one.
func (r *sealReader) conflicts() error {
	cur := r.l.cursor('x')
	for {
		ok, err := cur.next()
		if err != nil || !ok {
			return err
		}
		w, err := parseWire(cur.value())
		if err != nil || w.size > r.l.size {
			return r.l.wrong(CodeSeal, "a conflicting seal is damaged, or beyond the ledger: %v", err)
		}
		sum := merkle.Sum(cur.value())
		key := append([]byte{'x'}, be8(w.size)...)
		key = append(append(append(key, byte(len(w.seal.Member))), w.seal.Member...), sum.SM3[:8]...)
		root, err := r.l.rootAt(w.size)
		if err != nil {
			return err
		}
		if !bytes.Equal(key, cur.key()) || root == w.root {
			return r.l.wrong(CodeSeal, "a conflicting seal stands under another name than its own, or contradicts nothing").at("size", w.size)
		}
		epoch, err := r.l.c.cons.policy.EpochOf(w.size)
		if err != nil {
			return r.l.wrong(CodeSeal, "%v", err).at("size", w.size)
		}
		r.verify(checkpoint.Checkpoint{Origin: r.l.c.cons.origin, Size: w.size, Root: w.root}, epoch, w.seal)
		n := r.l.c.note(NoteConflict, r.l.name, "of %s", w.seal.Member)
		n.Places = append(n.Places, Place{"size", w.size})
	}
}

// wire is a seal with what it seals: length (1) and text of the member's id, size
// (8), root (64), time (8), log, Ed25519 and SM2 signature (64 each).
type wire struct {
	size uint64
	root merkle.Digest
	seal checkpoint.Seal
}

var errWire = errors.New("it is not in the form of a seal")

func parseWire(v []byte) (w wire, err error) {
	v = slices.Clone(v)
	if len(v) == 0 || len(v) != 1+int(v[0])+8+64+8+3*64 {
		return w, errWire
	}
	id, v := string(v[1:1+v[0]]), v[1+v[0]:]
	if checkpoint.CheckMemberID(id) != nil {
		return w, errWire
	}
	w.size = binary.BigEndian.Uint64(v)
	if w.root, err = unplain(v[8:72]); err != nil {
		return w, err
	}
	w.seal = seal(id, v[72:])
	if w.size == 0 || w.size > checkpoint.MaxSize || checkpoint.CheckTime(w.seal.Time) != nil {
		return w, errWire
	}
	return w, nil
}
