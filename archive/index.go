package archive

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/syndtr/goleveldb/leveldb"
	lverrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"

	"qifeng/archive/runs"
	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// locator says where a record is: the batch, the offset of its group's frame in
// the batch's file, which stays when the batch is closed, and the position in
// the group. Locators rise in the order of intake, so they are cursors too.
type locator struct {
	seq      uint64
	offset   uint32
	position uint32
}

const locatorSize = 16

func (l locator) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, l.seq)
	b = binary.BigEndian.AppendUint32(b, l.offset)
	return binary.BigEndian.AppendUint32(b, l.position)
}

func toLocator(b []byte) locator {
	return locator{binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])}
}

// group is the locator of the group, which is that of its first record.
func (l locator) group() locator { return locator{l.seq, l.offset, 0} }

func (l locator) compare(m locator) int { return bytes.Compare(l.append(nil), m.append(nil)) }

func (l locator) place() runs.Place {
	return runs.Place{Seq: l.seq, Offset: l.offset, Position: l.position}
}

func locatorOf(p runs.Place) locator { return locator{p.Seq, p.Offset, p.Position} }

// cursor is the text form of l; parseCursor reads it, "" being the beginning.
func (l locator) cursor() string { return hex.EncodeToString(l.append(nil)) }

func parseCursor(s string) (after locator, err error) {
	if s == "" {
		return locator{}, nil
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != locatorSize || hex.EncodeToString(b) != s {
		return locator{}, ErrCursor
	}
	return toLocator(b), nil
}

// space is what a fingerprint is of.
type space byte

const (
	bySM3     space = 's' // content digest, 32 bytes
	bySHA256  space = 'h' // content digest, 32 bytes
	byDossier space = 'd' // name of the dossier, 16 bytes
	spaceID   space = 'i' // SM3 half of the submission's pair
)

// listKey is what a list of the index is by.
type listKey struct {
	space space
	key   []byte
}

// entry is what the index keeps of one record.
type entry struct {
	id      [32]byte
	time    int64          // captured_at, Unix milliseconds; the id is of it too
	content *merkle.Digest // nil where there is none
	dossier []byte         // empty where there is none
}

// entryOf derives the entry of a record. What is looked up by digest is the
// content: the digest of contract.*, the claims of the other kinds.
func entryOf(s *evidence.Submission, pair merkle.Digest) entry {
	e := entry{id: pair.SM3, time: s.CapturedAt.UnixMilli(), content: s.Digest}
	if e.content == nil {
		e.content = s.Claims
	}
	if s.Dossier != "" {
		if name, err := hex.DecodeString(string(s.Dossier)); err == nil {
			e.dossier = name
		}
	}
	return e
}

// lists adds the lists that the record is in to b.
func (e *entry) lists(b []listKey) []listKey {
	if e.content != nil {
		b = append(b, listKey{bySM3, e.content.SM3[:]}, listKey{bySHA256, e.content.SHA256[:]})
	}
	if len(e.dossier) > 0 {
		b = append(b, listKey{byDossier, e.dossier})
	}
	return b
}

// isUnder says whether the record is in a list.
func (e *entry) isUnder(list listKey) bool {
	for _, l := range e.lists(nil) {
		if l.space == list.space && bytes.Equal(l.key, list.key) {
			return true
		}
	}
	return false
}

// index finds records. All of it is derived. What is kept of each record is in
// runs, which know fingerprints only: what is found there may be another record
// and is compared with the record itself. The little else is in goleveldb, in
// names:
//
//	b ‖ seq → name of the batch's file
//	m       → locator of the newest group
//	c       → seq up to which the names are durable
//
// Two points say what a power cut leaves. Up to durable every record is in the
// runs; up to named every name is in names. Behind them anything may be missing,
// since goleveldb leaves out damaged blocks of its log and reads on, and recovery
// adds all of it again. The mark is not synced: it is there after a crash of the
// process, and then tells of files that have lost something.
type index struct {
	runs    *runs.Store
	names   *leveldb.DB
	storage storage.Storage // of names

	// Used by add, which one goroutine calls at a time.
	marked locator
	group  runs.Group
	keys   []listKey

	// Used by complete, which one goroutine calls at a time.
	last     uint64 // newest seq that complete was called for
	unsynced int    // names since the last sync
}

// Keys of names.
const (
	keyBody = 'b'
	keyMark = 'm'
	keyDone = 'c'
)

// The folders of an index.
const (
	runsDir  = "runs"
	namesDir = "names"
)

// storageOf opens what goleveldb writes a database to.
type storageOf func(dir string) (storage.Storage, error)

func fileStorage(dir string) (storage.Storage, error) { return storage.OpenFile(dir, false) }

// openIndex opens the index. What is damaged, or of the version that kept all
// keys in goleveldb, is removed and made anew; remade says so.
func openIndex(d disk, dir string, stor storageOf, o runs.Options) (ix *index, remade bool, err error) {
	if _, err := os.Stat(filepath.Join(dir, "CURRENT")); err == nil {
		remade = true
		if err := removeIndex(d, dir); err != nil {
			return nil, false, err
		}
	}
	for _, dir := range []string{dir, filepath.Join(dir, runsDir)} {
		if err := d.mkdir(dir); err != nil {
			return nil, remade, fmt.Errorf("making a folder: %w", err)
		}
	}
	ix = new(index)
	again := func(dir string, damaged func(error) bool, open func() error) error {
		err := open()
		if !damaged(err) {
			return err
		}
		remade = true
		if err := removeIndex(d, dir); err != nil {
			return err
		}
		if err := d.mkdir(dir); err != nil {
			return fmt.Errorf("making a folder: %w", err)
		}
		return open()
	}
	names := filepath.Join(dir, namesDir)
	err = again(names, lverrors.IsCorrupted, func() (err error) {
		if ix.storage, err = stor(names); err != nil {
			return err
		}
		if ix.names, err = leveldb.Open(ix.storage, &opt.Options{WriteBuffer: namesBuffer}); err != nil {
			_ = ix.storage.Close() // the error of Open is asked for its kind, and must stay as it is
		}
		return err
	})
	if err != nil {
		return nil, remade, fmt.Errorf("opening the index: %w", err)
	}
	sorted := filepath.Join(dir, runsDir)
	err = again(sorted, func(err error) bool { return errors.Is(err, runs.ErrDamaged) }, func() (err error) {
		ix.runs, err = runs.Open(sorted, runsDisk{d}, o)
		return err
	})
	if err == nil {
		ix.marked, err = ix.mark()
	}
	if err != nil {
		return nil, remade, errors.Join(err, ix.close())
	}
	return ix, remade, nil
}

func removeIndex(d disk, dir string) error {
	if err := d.removeAll(dir); err != nil {
		return fmt.Errorf("removing the index: %w", err)
	}
	return nil
}

// runsDisk is the disk as the runs see it.
type runsDisk struct{ d disk }

func (r runsDisk) Create(path string) (runs.File, error) { return r.d.create(path) }
func (r runsDisk) Open(path string) (runs.File, error)   { return r.d.open(path, false) }
func (r runsDisk) Move(from, to string) error            { return moveFile(r.d, from, to) }
func (r runsDisk) Remove(path string) error              { return r.d.remove(path) }
func (r runsDisk) List(dir string) ([]string, error)     { return r.d.list(dir) }
func (r runsDisk) Free(dir string) (uint64, error)       { return r.d.free(dir) }

// flush makes everything that was added durable.
func (ix *index) flush() error {
	return errors.Join(ix.runs.Flush(), ix.putNamed(new(leveldb.Batch)))
}

// close drops what is in memory only; see flush.
func (ix *index) close() error {
	var errs []error
	if ix.runs != nil {
		errs = append(errs, ix.runs.Close())
	}
	return errors.Join(append(errs, ix.names.Close(), ix.storage.Close())...)
}

func (ix *index) print(s space, key []byte) runs.Print { return ix.runs.Print(byte(s), key) }

// add takes the entries of the records of one group, in their order, and sets
// the mark to it. It need not be durable. Groups come in the order of their
// locators; one that was added before changes nothing.
func (ix *index) add(group locator, entries []entry) error {
	g := &ix.group
	*g = runs.Group{Seq: group.seq, Offset: group.offset, Latest: math.MinInt64, IDs: g.IDs[:0], Lists: g.Lists[:0]}
	for i := range entries {
		g.Latest = max(g.Latest, entries[i].time)
		g.IDs = append(g.IDs, ix.print(spaceID, entries[i].id[:]))
		ix.keys = entries[i].lists(ix.keys[:0])
		for _, l := range ix.keys {
			g.Lists = append(g.Lists, runs.Listed{Print: ix.print(l.space, l.key), Position: uint32(i)})
		}
	}
	if err := ix.runs.Add(g); err != nil {
		return err
	}
	if group.compare(ix.marked) <= 0 {
		return nil
	}
	ix.marked = group
	if err := ix.names.Put([]byte{keyMark}, group.append(nil), nil); err != nil {
		return fmt.Errorf("writing to the index: %w", err)
	}
	return nil
}

// found is a record that may have one of the ids asked for.
type found struct {
	index int // of the id
	at    locator
}

// byIDs returns what may be records of the ids, by id and in order of intake,
// behind a locator; none of them was captured before since. newest is how far it
// has looked: what add returned for before is not behind it.
func (ix *index) byIDs(ids [][32]byte, since int64, after locator) (out []found, newest locator, err error) {
	prints := make([]runs.Print, len(ids))
	for i := range ids {
		prints[i] = ix.print(spaceID, ids[i][:])
	}
	maybe, last, err := ix.runs.IDs(prints, since, after.place())
	for _, f := range maybe {
		out = append(out, found{f.Index, locatorOf(f.At)})
	}
	return out, locatorOf(last), err
}

// page returns up to limit records that may be in a list, behind a locator, in
// order.
func (ix *index) page(list listKey, after locator, limit int) ([]locator, error) {
	places, err := ix.runs.Page(ix.print(list.space, list.key), after.place(), limit)
	out := make([]locator, len(places))
	for i, p := range places {
		out[i] = locatorOf(p)
	}
	return out, err
}

// durable is the newest group up to which all are in the runs, zero where there
// is none.
func (ix *index) durable() locator { return locatorOf(ix.runs.Durable()).group() }

// mark is the newest group added that is still known, zero where none is.
func (ix *index) mark() (locator, error) {
	v, err := ix.get(keyMark)
	switch {
	case err != nil:
		return locator{}, err
	case v != nil && len(v) != locatorSize:
		return locator{}, fmt.Errorf("the index's mark has %d bytes", len(v))
	case v != nil && toLocator(v).compare(ix.durable()) > 0:
		return toLocator(v), nil
	}
	return ix.durable(), nil
}

// get returns nil where there is nothing.
func (ix *index) get(key ...byte) ([]byte, error) {
	v, err := ix.names.Get(key, nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the index: %w", err)
	}
	return v, nil
}

func bodyKey(seq uint64) []byte { return binary.BigEndian.AppendUint64([]byte{keyBody}, seq) }

// complete keeps the name of the file of batch seq. Seqs come in order.
func (ix *index) complete(seq uint64, name string) error {
	var b leveldb.Batch
	b.Put(bodyKey(seq), []byte(name))
	ix.last = max(ix.last, seq)
	if ix.unsynced++; ix.unsynced >= namesPerSync {
		return ix.putNamed(&b)
	}
	if err := ix.names.Write(&b, nil); err != nil {
		return fmt.Errorf("writing to the index: %w", err)
	}
	return nil
}

// putNamed writes b and makes all names durable: what was written before it
// stands before it in the log, and what goleveldb writes out of that it syncs
// itself.
func (ix *index) putNamed(b *leveldb.Batch) error {
	if ix.unsynced == 0 {
		return nil
	}
	b.Put([]byte{keyDone}, binary.BigEndian.AppendUint64(nil, ix.last))
	if err := ix.names.Write(b, &opt.WriteOptions{Sync: true}); err != nil {
		return fmt.Errorf("writing to the index: %w", err)
	}
	ix.unsynced = 0
	return nil
}

// named is the seq up to which all names are durable.
func (ix *index) named() (uint64, error) {
	v, err := ix.get(keyDone)
	if err != nil || v == nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("the index's newest named seq has %d bytes", len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}

// body returns the name of a closed batch's file, "" where it is not known.
func (ix *index) body(seq uint64) (name string, err error) {
	v, err := ix.get(bodyKey(seq)...)
	return string(v), err
}
