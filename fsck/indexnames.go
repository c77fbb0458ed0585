package fsck

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// bodyNames is the part of the index that names the file of each closed batch: a
// goleveldb with b ‖ seq → name, c → seq up to which all names are durable, and
// m → place of a group that was in the files. It is synced now and then: names behind
// c may be missing after a power cut, and are added at the next start.
type bodyNames struct {
	dir  string
	db   *database // nil if there is none
	done uint64
	mark place

	closed uint64 // batches up to done that there are; counted while they are listed
}

// openBodies opens the names. What is wrong with them is wrong with the index.
func (c *checker) openBodies(dir string) (*bodyNames, error) {
	n := &bodyNames{dir: dir}
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		c.note(NoteNoIndex, c.rel(dir), "")
		return n, nil
	}
	db, err := c.openDB(dir, true)
	var p *Problem
	if errors.As(err, &p) && !n.table(c, p.File) {
		c.note(NoteNoIndex, p.File, "%s", p.Detail)
		return n, nil
	}
	if err != nil {
		return n, coded(err, CodeIndex)
	}
	n.db = db
	done, err := db.get([]byte{'c'})
	if err != nil {
		return n, coded(err, CodeIndex)
	}
	mark, err := db.get([]byte{'m'})
	if err != nil {
		return n, coded(err, CodeIndex)
	}
	if done != nil && len(done) != 8 || mark != nil && len(mark) != 16 {
		return n, wrong(CodeIndex, c.rel(dir), "its marks have %d and %d bytes", len(done), len(mark))
	}
	if done != nil {
		n.done = binary.BigEndian.Uint64(done)
	}
	if mark != nil {
		f := &fields{b: mark}
		n.mark = place{f.num(8), uint32(f.num(4)), uint32(f.num(4))}.group()
	}
	return n, nil
}

// table says whether a file that is damaged is a table that is there: the others,
// and what they name, are after a power cut as they may be, and made again.
func (n *bodyNames) table(c *checker, file string) bool {
	path := filepath.Join(n.dir, filepath.Base(file))
	_, err := os.Lstat(path)
	return err == nil && c.rel(path) == file && filepath.Ext(path) == ".ldb"
}

func (n *bodyNames) close() {
	if n != nil && n.db != nil {
		n.db.close()
	}
}

// check compares the names with the files, whose own names were checked.
func (n *bodyNames) check(x *index) (err error) {
	if n.db == nil {
		return nil
	}
	c := x.c
	defer caught(&err, CodeIndex, c.rel(n.dir))
	it := n.db.under(nil)
	defer it.close()
	found := uint64(0)
	for {
		ok, err := it.next()
		if err != nil {
			return coded(err, CodeIndex)
		}
		if !ok {
			break
		}
		k := it.key()
		switch {
		case len(k) == 1 && (k[0] == 'c' || k[0] == 'm'):
			continue
		case len(k) != 9 || k[0] != 'b':
			return wrong(CodeIndex, c.rel(n.dir), "it has a key %x", k)
		}
		seq := binary.BigEndian.Uint64(k[1:])
		name := string(it.value())
		at, _, named := batchName(name)
		folder := filepath.Join("batches", fmt.Sprintf("%014d", seq/perFolder))
		closed := c.inArchive(folder, name) || c.inArchive("outbox", name)
		if !named || at != seq || !closed && !c.inArchive("journal", fmt.Sprintf("%016d.journal", seq)) { // not moved yet
			return wrong(CodeIndex, c.rel(n.dir), "it says that batch %d is in %.100q", seq, name).at("seq", seq)
		}
		if closed && seq <= n.done {
			found++
		}
	}
	if found != n.closed {
		return wrong(CodeIndex, c.rel(n.dir), "it names %d of %d closed batches up to batch %d", found, n.closed, n.done)
	}
	return nil
}

func (c *checker) inArchive(folder, name string) bool {
	_, err := os.Lstat(c.data("archive", folder, name))
	return err == nil
}
