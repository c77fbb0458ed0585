package fsck

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// manifest is what goleveldb's manifest says of the files that must be there. It
// is read here first, because goleveldb trusts the lengths in it, and misses no
// journal that is gone.
type manifest struct {
	comparer string
	journal  uint64            // number of the oldest journal that counts
	tables   map[uint64]uint64 // live tables: number to size
}

var errManifest = errors.New("a record of the manifest is damaged")

// take applies one record: kinds as numbers, each with its fields.
func (m *manifest) take(rec []byte) error {
	bad := false
	num := func() uint64 {
		v, n := binary.Uvarint(rec)
		if n <= 0 {
			bad, rec = true, nil
			return 0
		}
		rec = rec[n:]
		return v
	}
	text := func() []byte {
		n := num()
		if n > uint64(len(rec)) {
			bad, rec = true, nil
			return nil
		}
		b := rec[:n]
		rec = rec[n:]
		return b
	}
	for len(rec) > 0 {
		switch kind := num(); kind {
		case 1: // comparer
			m.comparer = string(text())
		case 2: // journal
			m.journal = num()
		case 3, 4, 9: // next file, sequence number, previous journal
			num()
		case 5: // where the next compaction begins: level, key
			num()
			text()
		case 6: // deleted table: level, number
			num()
			delete(m.tables, num())
		case 7: // table: level, number, size, least and greatest key
			num()
			n := num()
			m.tables[n] = num()
			text()
			text()
		default:
			bad = true
		}
		if bad {
			return errManifest
		}
	}
	return nil
}

// checkFiles compares the files of a database with its manifest.
func (c *checker) checkFiles(s *readStorage, m *manifest) error {
	if m.comparer != "leveldb.BytewiseComparator" {
		return wrong(CodeStore, c.rel(s.dir), "its keys are ordered by %q", m.comparer)
	}
	if m.journal > 0 {
		path := filepath.Join(s.dir, storage.FileDesc{Type: storage.TypeJournal, Num: int64(m.journal)}.String())
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return wrong(CodeStore, c.rel(path), "the manifest names this journal, and it is missing")
		} else if err != nil {
			return err
		}
	}
	for n, size := range m.tables {
		path := filepath.Join(s.dir, storage.FileDesc{Type: storage.TypeTable, Num: int64(n)}.String())
		if err := c.checkTable(path, size); err != nil {
			return err
		}
	}
	return nil
}

const tableMagic = "\x57\xfb\x80\x8b\x24\x75\x47\xdb"

// checkTable looks at a table's size and its last 48 bytes, the only ones without
// a checksum: two places of blocks (offset and length each, the rest zeros) and
// the magic number.
func (c *checker) checkTable(path string, size uint64) error {
	f, there, err := opened(path)
	if errors.Is(err, os.ErrNotExist) {
		return wrong(CodeStore, c.rel(path), "the manifest names this table, and it is missing")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if uint64(there) != size || size < 48 {
		return wrong(CodeStore, c.rel(path), "the table has %d bytes, the manifest says %d", there, size)
	}
	var foot [48]byte
	if _, err := f.ReadAt(foot[:], there-48); err != nil {
		return reading(path, err)
	}
	if err := tableFooter(foot[:], size); err != nil {
		return wrong(CodeStore, c.rel(path), "%v", err).at("offset", size-48)
	}
	return nil
}

func tableFooter(foot []byte, size uint64) error {
	if !bytes.Equal(foot[40:], []byte(tableMagic)) {
		return errors.New("it does not end as a table")
	}
	rest := foot[:40]
	for range 2 {
		var place [2]uint64
		for i := range place {
			v, n := binary.Uvarint(rest)
			if n <= 0 {
				return errors.New("the places in its footer are damaged")
			}
			place[i], rest = v, rest[n:]
		}
		if place[0] > size || place[1] > size-place[0] {
			return fmt.Errorf("its footer names a block of %d bytes at %d", place[1], place[0])
		}
	}
	if len(bytes.TrimLeft(rest, "\x00")) > 0 {
		return errors.New("the end of its footer is not zeros")
	}
	return nil
}
