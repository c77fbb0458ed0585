package fsck

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/syndtr/goleveldb/leveldb/storage"

	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// anchorStore is the store of what was witnessed outside the consortium, a
// goleveldb:
//
//	v                    "qifeng-anchor/1", LF, chain id
//	r NAME 00 size(8)    receipt: 01, kind(1), size of the one before(8), stored(12), time(12), note, data
//	p NAME               pending: 01, size(8), since(12), note
//	a NAME 00 number(8)  alarm: 01, at(12), resumed(12), size(8), ours, theirs, text
//
// A value but v ends in the plain pair over length of the key (4), key and what is
// before it. Notes, data and texts have their length (4) before them. A moment is
// Unix seconds (8) and nanoseconds (4).
type anchorStore struct {
	c     *checker
	dir   string
	db    *database
	roots *proof.AnchorRoots // nil if there are none
	known map[string]bool    // anchors that the roots know, by kind and name
	pool  *pool

	under string // sort and name of the last key
	kind  byte   // of the last receipt
	last  uint64 // its size, or the number of the last alarm

	receipts, alarms, unproved uint64
	done, total                int64
}

var anchorKinds = map[byte]proof.AnchorKind{1: proof.AnchorFabric, 2: proof.AnchorRFC3161, 3: proof.AnchorWitness}

const anchorFormat = "qifeng-anchor/1\n"

// checkAnchors reads the store of anchors, if there is one: every value, and every
// receipt as a court would verify it.
func (c *checker) checkAnchors() error {
	dir := c.data("anchor")
	list, exists, err := names(dir)
	if err != nil || !exists {
		return err
	}
	if !slices.ContainsFunc(list, func(n string) bool {
		fd, ok := parseName(n)
		return n == "CURRENT" || ok && fd.Type != storage.TypeManifest && fd.Type != storage.TypeTemp
	}) {
		c.note(NoteEmpty, c.rel(dir), "it was never opened to the end")
		return nil
	}
	a := &anchorStore{c: c, dir: dir, pool: newPool(c.ctx, c.opt.Workers)}
	if a.roots, err = c.anchorRoots(); err != nil {
		return err
	}
	a.known = knownAnchors(a.roots)
	if a.db, err = c.openDB(dir, false); err != nil {
		return coded(err, CodeAnchor)
	}
	defer a.db.close()
	for _, n := range list {
		if st, err := os.Stat(filepath.Join(dir, n)); err == nil {
			a.total += st.Size()
		}
	}
	if err := a.pool.end(a.run()); err != nil {
		return coded(err, CodeAnchor)
	}
	c.anchors.Store(a.receipts)
	if a.alarms > 0 {
		c.note(NoteAnchorAlarm, c.rel(dir), "%d", a.alarms)
	}
	if a.unproved > 0 {
		c.note(NoteUnproved, c.rel(dir), "%d", a.unproved)
	}
	return nil
}

// anchorRoots reads what receipts are verified by, nil if it is not there.
func (c *checker) anchorRoots() (*proof.AnchorRoots, error) {
	path := c.home.AnchorRoots
	if path == "" {
		return nil, nil
	}
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	raw, err := c.readSmall(path)
	if err != nil {
		return nil, err
	}
	roots, err := proof.ParseAnchorRoots(raw)
	if err != nil {
		return nil, wrong(CodeAnchorRoots, c.rel(path), "%v", err)
	}
	if roots.Chain != c.cons.chain {
		return nil, wrong(CodeAnchorRoots, c.rel(path), "they are of chain %s", roots.Chain)
	}
	return roots, nil
}

func (a *anchorStore) run() (err error) {
	defer caught(&err, CodeAnchor, a.c.rel(a.dir))
	it := a.db.under(nil)
	defer it.close()
	version, empty := false, true
	for {
		ok, err := it.next()
		if err != nil || !ok || a.pool.stopped() {
			if err == nil && !version && !empty {
				err = a.wrong("it does not say its version")
			}
			return err
		}
		empty = false
		key, value := bytes.Clone(it.key()), bytes.Clone(it.value())
		a.c.progress(PhaseRest, min(a.done, a.total), a.total+1)
		a.done += int64(len(key) + len(value))
		if string(key) == "v" {
			if version = string(value) == anchorFormat+a.c.cons.chain; !version {
				return a.wrong("it says that it is %.100q", value)
			}
			continue
		}
		if err := a.entry(key, value); err != nil {
			return err
		}
	}
}

func (a *anchorStore) wrong(format string, args ...any) *Problem {
	return wrong(CodeAnchor, a.c.rel(a.dir), format, args...)
}

// entry checks a value in the order of keys.
func (a *anchorStore) entry(key, value []byte) error {
	name, number, ok := anchorKey(key)
	if !ok || proof.CheckAnchorName(name) != nil {
		return a.wrong("it has a key %x", key)
	}
	n := len(value) - 64
	if n < 1 || value[0] != 1 || !bytes.Equal(value[n:], plain(merkle.Sum(slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(key))), key, value[:n])))) {
		return a.wrong("the value of %.100q does not match its checksum or has another version", key)
	}
	f := &fields{b: value[1:n]}
	if under := string(key[:1]) + name; under != a.under {
		a.under, a.kind, a.last = under, 0, 0
	}
	switch key[0] {
	case 'r':
		return a.receipt(f, name, number)
	case 'p':
		size := f.num(8)
		moment(f)
		note := text(f)
		if err := f.over(); err != nil {
			return a.wrong("the pending statement of %s: %v", name, err)
		}
		a.later(&proof.Anchor{Name: name, Checkpoint: note}, size, time.Time{}, false)
		return nil
	default:
		a.alarms++
		if number != a.last+1 {
			return a.wrong("alarm %d of %s follows %d", number, name, a.last)
		}
		a.last = number
		moment(f)
		moment(f)
		f.num(8)
		text(f)
		text(f)
		text(f)
		if err := f.over(); err != nil {
			return a.wrong("alarm %d of %s: %v", number, name, err)
		}
		return nil
	}
}

func (a *anchorStore) receipt(f *fields, name string, size uint64) error {
	kind, before := byte(f.num(1)), f.num(8)
	moment(f)
	at := moment(f)
	note, data := text(f), text(f)
	if err := f.over(); err != nil {
		return a.wrong("the receipt of %s for size %d: %v", name, size, err)
	}
	if before != a.last || anchorKinds[kind] == "" || a.last > 0 && kind != a.kind {
		return a.wrong("the receipt of %s for size %d, of kind %d, follows one for size %d of kind %d, and says one for %d", name, size, kind, a.last, a.kind, before).at("size", size)
	}
	a.kind, a.last = kind, size
	a.receipts++
	anchor := &proof.Anchor{Kind: anchorKinds[kind], Name: name, Checkpoint: note, Receipt: data}
	known := a.known[string(anchor.Kind)+"/"+name]
	if !known {
		a.unproved++
	}
	a.later(anchor, size, at, known)
	return nil
}

// knownAnchors are those that the roots verify, by kind and name.
func knownAnchors(r *proof.AnchorRoots) map[string]bool {
	known := map[string]bool{}
	add := func(kind proof.AnchorKind, name string) { known[string(kind)+"/"+name] = true }
	if r == nil {
		return known
	}
	for i := range r.Fabric {
		add(proof.AnchorFabric, r.Fabric[i].Name)
	}
	for i := range r.Timestamps {
		add(proof.AnchorRFC3161, r.Timestamps[i].Name)
	}
	for i := range r.Witnesses {
		add(proof.AnchorWitness, r.Witnesses[i].Name)
	}
	return known
}

// later has a worker check a note, that it is of this ledger and sealed, and the
// receipt over it.
func (a *anchorStore) later(anchor *proof.Anchor, size uint64, at time.Time, known bool) {
	a.pool.do(func() error {
		s, err := checkpoint.Open(anchor.Checkpoint, a.c.cons.policy, checkpoint.Options{})
		if err != nil {
			return a.wrong("the note of %s for size %d: %v", anchor.Name, size, err).at("size", size)
		}
		if s.Size != size || !s.Met {
			return a.wrong("the note of %s for size %d is of size %d, sealed: %v", anchor.Name, size, s.Size, s.Met).at("size", size)
		}
		if book := a.c.book; book != nil {
			if size > book.size {
				return a.wrong("%s has witnessed size %d, the ledger has %d entries", anchor.Name, size, book.size).at("size", size)
			}
			root, err := book.rootAt(size)
			if err != nil {
				return err
			}
			if root != s.Root {
				return a.wrong("%s has witnessed another root of size %d than the ledger has", anchor.Name, size).at("size", size)
			}
		}
		if !known {
			return nil
		}
		r, err := proof.VerifyAnchor(anchor, a.c.cons.policy, a.roots)
		if err != nil {
			return a.wrong("the receipt of %s for size %d: %v", anchor.Name, size, err).at("size", size)
		}
		if !r.Time.Equal(at) {
			return a.wrong("the receipt of %s for size %d is of %s, the store says %s", anchor.Name, size, r.Time, at).at("size", size)
		}
		return nil
	})
}

// anchorKey splits a key: name, and size or number where the key has one.
func anchorKey(key []byte) (name string, number uint64, ok bool) {
	rest := string(key[1:])
	switch key[0] {
	case 'p':
		return rest, 0, true
	case 'r', 'a':
		name, raw, found := strings.Cut(rest, "\x00")
		if !found || len(raw) != 8 {
			return "", 0, false
		}
		number = binary.BigEndian.Uint64([]byte(raw))
		return name, number, number > 0
	}
	return "", 0, false
}

// text reads bytes behind their length.
func text(f *fields) []byte { return f.take(f.num(4)) }

// moment reads a time, zero for none.
func moment(f *fields) time.Time {
	sec, nano := f.num(8), f.num(4)
	if nano >= 1e9 {
		f.short = true
	}
	if sec == 0 && nano == 0 {
		return time.Time{}
	}
	return time.Unix(int64(sec), int64(nano)).UTC()
}

// coded gives damage that was found by a reader of many kinds of files the words
// of one of them.
func coded(err error, code Code) error {
	var p *Problem
	if errors.As(err, &p) && p.Code != CodeAnchorRoots {
		p.Code = code
	}
	return err
}
