package archive

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"github.com/syndtr/goleveldb/leveldb"
	lverrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

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

// space is what a list of the index is by.
type space byte

const (
	bySM3     space = 's' // content digest, 32 bytes
	bySHA256  space = 'h' // content digest, 32 bytes
	byDossier space = 'd' // name of the dossier, 16 bytes

	spaceID   space = 'i'
	spaceBody space = 'b'
	spaceMark space = 'm'
	spaceDone space = 'c'
)

// entry is what the index keeps of one record.
type entry struct {
	at    locator
	id    [32]byte
	lists []listKey
}

type listKey struct {
	space space
	key   []byte
}

// entryOf derives the entry of a record. What is looked up by digest is the
// content: the digest of contract.*, the claims of the other kinds.
func entryOf(at locator, s *evidence.Submission, pair merkle.Digest) entry {
	e := entry{at: at, id: pair.SM3}
	content := s.Digest
	if content == nil {
		content = s.Claims
	}
	if content != nil {
		e.lists = append(e.lists, listKey{bySM3, content.SM3[:]}, listKey{bySHA256, content.SHA256[:]})
	}
	if s.Dossier != "" {
		if name, err := hex.DecodeString(string(s.Dossier)); err == nil {
			e.lists = append(e.lists, listKey{byDossier, name})
		}
	}
	return e
}

// index finds records. It is derived: recovery adds again what it may have lost.
type index interface {
	// add takes the entries of one group and sets the mark to it, atomically. It
	// need not be durable: a power cut may undo it, and undo it while later adds
	// stay. Adding a group again changes nothing.
	add(group locator, entries []entry) error
	// complete says that all groups of batches up to seq were added, and makes
	// them durable. It keeps the name of the file of batch seq. completed is the
	// highest such seq.
	complete(seq uint64, name string) error
	completed() (seq uint64, err error)
	// byID returns all records of an id, in order of intake.
	byID(id [32]byte) ([]locator, error)
	// page returns up to limit records of a list behind a locator, in order.
	page(list listKey, after locator, limit int) ([]locator, error)
	// mark is the newest group added that is still known, zero where none is.
	mark() (locator, error)
	// body returns the name of a closed batch's file, "" where it is not known.
	body(seq uint64) (name string, err error)
	close() error
}

// levelIndex is the index in goleveldb.
//
//	i ‖ id                        → the record's locators, 16 bytes each
//	s|h|d ‖ key ‖ locator         → nothing
//	b ‖ seq                       → name of the batch's file
//	m                             → locator of the newest group
//	c                             → seq up to which it is complete
//
// Only complete is synced, once a batch: the log before it is then on the disk,
// and what goleveldb writes out of the log it syncs itself. After a power cut
// goleveldb leaves out damaged blocks of the log and reads on behind them, so
// behind the completed seq anything may be missing; recovery adds all of it again.
type levelIndex struct{ db *leveldb.DB }

// openIndex opens the index; a damaged one is removed and made anew, since all
// of it is in the batch files.
func openIndex(dir string) (ix *levelIndex, remade bool, err error) {
	o := &opt.Options{
		Filter:      filter.NewBloomFilter(10),
		WriteBuffer: 16 << 20,
	}
	db, err := leveldb.OpenFile(dir, o)
	if lverrors.IsCorrupted(err) {
		if err := removeIndex(dir); err != nil {
			return nil, false, err
		}
		remade = true
		db, err = leveldb.OpenFile(dir, o)
	}
	if err != nil {
		return nil, remade, fmt.Errorf("opening the index: %w", err)
	}
	return &levelIndex{db}, remade, nil
}

func removeIndex(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing the index: %w", err)
	}
	return nil
}

func (ix *levelIndex) close() error { return ix.db.Close() }

func (ix *levelIndex) add(group locator, entries []entry) error {
	var b leveldb.Batch
	ids := make(map[[32]byte][]byte, len(entries))
	var key []byte
	for _, e := range entries {
		known, ok := ids[e.id]
		if !ok {
			var err error
			if known, err = ix.get(spaceID, e.id[:]); err != nil {
				return err
			}
		}
		at := e.at.append(nil)
		if !holds(known, at) {
			known = append(bytes.Clone(known), at...)
		}
		ids[e.id] = known
		for _, l := range e.lists {
			key = append(append(append(key[:0], byte(l.space)), l.key...), at...)
			b.Put(key, nil)
		}
	}
	for id, locators := range ids {
		b.Put(append([]byte{byte(spaceID)}, id[:]...), locators)
	}
	b.Put([]byte{byte(spaceMark)}, group.append(nil))
	if err := ix.db.Write(&b, nil); err != nil {
		return fmt.Errorf("writing to the index: %w", err)
	}
	return nil
}

func holds(locators, at []byte) bool {
	for ; len(locators) >= locatorSize; locators = locators[locatorSize:] {
		if bytes.Equal(locators[:locatorSize], at) {
			return true
		}
	}
	return false
}

// get returns nil where there is nothing.
func (ix *levelIndex) get(s space, key []byte) ([]byte, error) {
	v, err := ix.db.Get(append([]byte{byte(s)}, key...), nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the index: %w", err)
	}
	return v, nil
}

func (ix *levelIndex) byID(id [32]byte) ([]locator, error) {
	v, err := ix.get(spaceID, id[:])
	if err != nil {
		return nil, err
	}
	if len(v)%locatorSize != 0 {
		return nil, fmt.Errorf("the index holds %d bytes of locators for an id", len(v))
	}
	var out []locator
	for ; len(v) > 0; v = v[locatorSize:] {
		out = append(out, toLocator(v))
	}
	return out, nil
}

func (ix *levelIndex) page(list listKey, after locator, limit int) ([]locator, error) {
	prefix := append([]byte{byte(list.space)}, list.key...)
	r := util.BytesPrefix(prefix)
	if after != (locator{}) {
		r.Start = append(after.append(bytes.Clone(prefix)), 0)
	}
	it := ix.db.NewIterator(r, nil)
	defer it.Release()
	var out []locator
	for len(out) < limit && it.Next() {
		if k := it.Key(); len(k) == len(prefix)+locatorSize {
			out = append(out, toLocator(k[len(prefix):]))
		}
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("reading the index: %w", err)
	}
	return out, nil
}

func (ix *levelIndex) mark() (locator, error) {
	v, err := ix.get(spaceMark, nil)
	if err != nil || v == nil {
		return locator{}, err
	}
	if len(v) != locatorSize {
		return locator{}, fmt.Errorf("the index's mark has %d bytes", len(v))
	}
	return toLocator(v), nil
}

func (ix *levelIndex) complete(seq uint64, name string) error {
	var b leveldb.Batch
	number := binary.BigEndian.AppendUint64(nil, seq)
	b.Put(append([]byte{byte(spaceBody)}, number...), []byte(name))
	b.Put([]byte{byte(spaceDone)}, number)
	if err := ix.db.Write(&b, &opt.WriteOptions{Sync: true}); err != nil {
		return fmt.Errorf("writing to the index: %w", err)
	}
	return nil
}

func (ix *levelIndex) completed() (uint64, error) {
	v, err := ix.get(spaceDone, nil)
	if err != nil || v == nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("the index's completed seq has %d bytes", len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}

func (ix *levelIndex) body(seq uint64) (string, error) {
	v, err := ix.get(spaceBody, binary.BigEndian.AppendUint64(nil, seq))
	return string(v), err
}
