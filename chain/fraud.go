package chain

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/syndtr/goleveldb/leveldb/util"

	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
)

// This file keeps what proves that a member has lied, as files that anyone can
// check with `qifeng verify` (docs/spec/fraud.md): two seals of one member on
// two ledgers of one size, and two headers of one node for one number. A fraud
// proof changes nothing that the chain does; a file that cannot be written is
// logged, and the alarm says it all the same.

// lookAtTaken finds headers in a block whose number its node had used for
// another header, in an earlier block or in this one. It comes before the commit
// of the height, so that a crash cannot lose it: the height is then executed again.
func (a *app) lookAtTaken(blk *block) {
	for _, t := range blk.taken {
		first, err := a.headerOf(t.node, t.seq)
		for _, r := range blk.batches {
			if r.node == t.node && r.seq == t.seq {
				first, err = blk.entries[r.index-blk.first], nil
			}
		}
		if err == nil && first != nil {
			a.compare(t, first)
		}
	}
}

// lookAtRefused does the same with a header that somebody submits: a proposer
// would not take it in, so it would never be seen again. The signature is checked
// only where the bytes differ from what is on the ledger.
func (a *app) lookAtRefused(t *tx) {
	first, err := a.headerOf(t.batch.Node, t.batch.Seq)
	if err == nil && first != nil && differs(t.raw, first) && a.c.verify(t) == nil {
		a.compare(takenBatch{t.batch.Node, t.batch.Seq, t.raw}, first)
	}
}

// headerOf returns the header on the ledger, nil where there is none.
func (a *app) headerOf(node string, seq uint64) ([]byte, error) {
	index, ok, err := a.store.batch(node, seq)
	if err != nil || !ok {
		return nil, err
	}
	return a.store.entry(index)
}

func (a *app) compare(t takenBatch, first []byte) {
	if differs(t.raw, first) {
		a.twice(t, first)
	}
}

// differs reports whether two signed headers say different things. The same
// header signed twice is a repetition: SM2 signatures are never the same.
func differs(x, y []byte) bool {
	if bytes.Equal(x, y) {
		return false
	}
	a, errA := evidence.ParseBatch(x)
	b, errB := evidence.ParseBatch(y)
	return errA != nil || errB != nil || !bytes.Equal(a.Signed.Body, b.Signed.Body)
}

// twoHeaders raises the alarm about two headers and keeps the proof. Whoever
// sends them again and again raises it once.
func (ch *Chain) twoHeaders(t takenBatch, first []byte) {
	name := fmt.Sprintf("double-batch-%s-%d.json", t.node, t.seq)
	ch.alarmMu.Lock()
	said := ch.said[name] || len(ch.said) >= maxFrauds
	if !said {
		ch.said[name] = true
	}
	ch.alarmMu.Unlock()
	if said {
		return
	}
	path := ch.keepFraud(name, &proof.Fraud{Chain: ch.c.chainID, Kind: proof.DoubleBatch, Member: t.node, First: first, Second: t.raw})
	ch.alarm(CodeDoubleBatch, "a node signed two batch headers for one sequence number", "member", t.node, "seq", t.seq,
		"proof", path, "first", string(first), "second", string(t.raw))
}

// splitView keeps the proof that a member sealed two ledgers of one size, and
// returns its path, "" where there is none: the member may have sealed only the
// one that is not ours.
func (ch *Chain) splitView(size uint64, member string) string {
	f, err := ch.book.splitView(size, member)
	if err != nil {
		ch.log.Error("a fraud proof could not be made", "member", member, "size", size, "error", err)
		return ""
	}
	if f == nil {
		return ""
	}
	return ch.keepFraud(fmt.Sprintf("split-view-%s-%d.json", member, size), f)
}

// keepFraud writes a fraud proof under a name that tells what it is about, once:
// temporary file, fsync, rename, fsync of the folder.
func (ch *Chain) keepFraud(name string, f *proof.Fraud) string {
	path := filepath.Join(ch.cfg.FraudDir, name)
	if _, err := os.Lstat(path); err == nil {
		return path
	}
	raw, err := f.Marshal()
	if err == nil {
		err = os.MkdirAll(ch.cfg.FraudDir, 0o755)
	}
	if err == nil {
		var have []os.DirEntry
		if have, err = os.ReadDir(ch.cfg.FraudDir); err == nil && len(have) >= maxFrauds {
			err = fmt.Errorf("%s holds %d files already", ch.cfg.FraudDir, len(have))
		}
	}
	if err == nil {
		err = replaceFile(path, append(raw, '\n'), 0o644)
	}
	if err != nil {
		ch.log.Error("a fraud proof could not be written", "file", path, "error", err)
		return ""
	}
	return path
}

// recallLies raises the alarms about the conflicting seals that are kept, and
// writes what proofs a crash may have left out.
func (ch *Chain) recallLies() error {
	lies, err := ch.book.conflicting()
	if err != nil {
		return err
	}
	var said []string
	for _, w := range lies {
		if !slices.Contains(said, w.seal.Member) {
			said = append(said, w.seal.Member)
			ch.alarm(CodeSplitView, "a member has sealed two different ledgers; both seals are kept", "member", w.seal.Member)
		}
		ch.splitView(w.size, w.seal.Member)
	}
	return nil
}

// conflicting returns the kept seals that contradict our ledger, by size and
// member.
func (b *book) conflicting() ([]wireSeal, error) { return b.conflictsUnder([]byte{kConflict}) }

func (b *book) conflictsUnder(prefix []byte) (out []wireSeal, err error) {
	it := b.store.db.NewIterator(util.BytesPrefix(prefix), nil)
	defer it.Release()
	for it.Next() {
		r := &reader{b: bytes.Clone(it.Value())}
		w := r.seal()
		if r.bad || len(r.b) != 0 {
			return nil, errors.New("a stored conflicting seal is damaged")
		}
		out = append(out, w)
	}
	return out, it.Error()
}

// lied reports whether a seal of this size and member on another root is kept.
func (b *book) lied(w wireSeal) bool {
	n, err := b.conflicts(w.size, w.seal.Member)
	return err == nil && n > 0
}

// splitView makes the proof from two seals of a member on two roots of a size:
// its seal on our root if there is one, and seals on others. nil where fewer
// than two are held.
func (b *book) splitView(size uint64, member string) (*proof.Fraud, error) {
	seals, err := b.conflictsUnder(conflictKey(size, member))
	if err != nil {
		return nil, err
	}
	if s, ok, err := b.first(size, member); err != nil {
		return nil, err
	} else if ok {
		root, err := b.store.rootAt(size)
		if err != nil {
			return nil, err
		}
		seals = append([]wireSeal{{size, root, s}}, seals...)
	}
	for i := 1; i < len(seals); i++ {
		if seals[i].root != seals[0].root {
			return b.twoNotes(seals[0], seals[i])
		}
	}
	return nil, nil
}

func (b *book) twoNotes(x, y wireSeal) (*proof.Fraud, error) {
	e, err := b.c.policy.EpochOf(x.size)
	if err != nil {
		return nil, err
	}
	f := &proof.Fraud{Chain: b.c.chainID, Kind: proof.SplitView, Member: x.seal.Member}
	for _, n := range []struct {
		into *[]byte
		of   wireSeal
	}{{&f.First, x}, {&f.Second, y}} {
		if *n.into, err = checkpoint.Note(b.c.checkpoint(n.of.size, n.of.root), []checkpoint.Seal{n.of.seal}, e); err != nil {
			return nil, err
		}
	}
	return f, nil
}
