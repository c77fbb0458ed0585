package fsck

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/util"
)

// database is a goleveldb that is only read.
type database struct {
	c   *checker
	dir string
	db  *leveldb.DB
}

// openDB opens a database whose folder is there. First the logs and the manifest
// are read by our own code, because goleveldb passes over what is damaged in them.
// derived says that what the logs have lost of it is made again: then that is a note.
func (c *checker) openDB(dir string, derived bool) (d *database, err error) {
	defer caught(&err, CodeStore, c.rel(dir))
	stor := &readStorage{dir: dir, derived: derived}
	if err := c.checkLogs(stor); err != nil {
		return nil, err
	}
	db, err := leveldb.Open(stor, &opt.Options{ReadOnly: true, Strict: opt.DefaultStrict | opt.StrictManifest,
		BlockCacheCapacity: blockCache, OpenFilesCacheCapacity: openFiles, Filter: filter.NewBloomFilter(10)})
	d = &database{c: c, dir: dir, db: db}
	if err != nil {
		return nil, d.failed(err)
	}
	return d, nil
}

func (d *database) close() { _ = d.db.Close() } // read-only

// failed says what goleveldb's error is: damage, which is a Problem of a file,
// or a disk that does not read.
func (d *database) failed(err error) error {
	if err == nil {
		return nil
	}
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var corrupt *storage.ErrCorrupted
	if errors.As(err, &corrupt) {
		file := filepath.Join(d.dir, corrupt.Fd.String())
		if corrupt.Fd.Zero() {
			file = d.dir
		}
		return wrong(CodeStore, d.c.rel(file), "%v", corrupt.Err)
	}
	var path *os.PathError
	if errors.Is(err, os.ErrNotExist) && errors.As(err, &path) {
		return wrong(CodeStore, d.c.rel(path.Path), "the file is missing")
	}
	if errors.As(err, &path) {
		return fmt.Errorf("reading %s: %w", d.dir, err)
	}
	return wrong(CodeStore, d.c.rel(d.dir), "%v", err)
}

// get returns a value, nil where there is none.
func (d *database) get(key []byte) ([]byte, error) {
	v, err := d.db.Get(key, nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return nil, nil
	}
	if err == nil && v == nil {
		v = []byte{}
	}
	return v, d.failed(err)
}

// under runs through the keys with a prefix, all for an empty one.
func (d *database) under(prefix []byte) *cursor {
	var r *util.Range
	if len(prefix) > 0 {
		r = util.BytesPrefix(prefix)
	}
	return &cursor{d: d, it: d.db.NewIterator(r, &opt.ReadOptions{DontFillCache: true})}
}

// cursor is a place in a run through keys. Key and value are good until the next
// step.
type cursor struct {
	d  *database
	it iterator.Iterator
}

// next goes one on; false at the end, with the error that ended it.
func (c *cursor) next() (bool, error) {
	if c.it.Next() {
		return true, nil
	}
	return false, c.d.failed(c.it.Error())
}

func (c *cursor) key() []byte   { return c.it.Key() }
func (c *cursor) value() []byte { return c.it.Value() }
func (c *cursor) close()        { c.it.Release() }

// readAll reads every block of every table, whose checksums goleveldb compares.
func (d *database) readAll() (err error) {
	defer caught(&err, CodeStore, d.c.rel(d.dir))
	it := d.under(nil)
	defer it.close()
	for ok := true; ok && err == nil; {
		if d.c.ctx.Err() != nil {
			return d.c.ctx.Err()
		}
		ok, err = it.next()
	}
	return err
}

// readStorage gives goleveldb a folder's files and refuses every write. It locks
// nothing: the checker holds the locks.
type readStorage struct {
	dir     string
	derived bool // as openDB says
	lock    sync.Mutex

	joined []storage.FileDesc // journals that are read as one; the last has its name
	into   []byte             // that one
}

var errReadOnly = errors.New("fsck never writes")

type unlocker struct{ m *sync.Mutex }

func (u unlocker) Unlock() { u.m.Unlock() }

func (s *readStorage) Lock() (storage.Locker, error)                   { s.lock.Lock(); return unlocker{&s.lock}, nil }
func (s *readStorage) Log(string)                                      {}
func (s *readStorage) SetMeta(storage.FileDesc) error                  { return errReadOnly }
func (s *readStorage) Create(storage.FileDesc) (storage.Writer, error) { return nil, errReadOnly }
func (s *readStorage) Remove(storage.FileDesc) error                   { return errReadOnly }
func (s *readStorage) Rename(_, _ storage.FileDesc) error              { return errReadOnly }
func (s *readStorage) Close() error                                    { return nil }

// GetMeta reads CURRENT, which names the manifest.
func (s *readStorage) GetMeta() (fd storage.FileDesc, err error) {
	b, err := os.ReadFile(filepath.Join(s.dir, "CURRENT"))
	if err != nil {
		return fd, err
	}
	name, ended := strings.CutSuffix(string(b), "\n")
	fd, ok := parseName(name)
	if !ended || !ok || fd.Type != storage.TypeManifest {
		return fd, &storage.ErrCorrupted{Err: fmt.Errorf("CURRENT names no manifest: %q", b)}
	}
	if _, err := os.Stat(filepath.Join(s.dir, name)); err != nil {
		return fd, err
	}
	return fd, nil
}

// List implements storage.Storage.
func (s *readStorage) List(types storage.FileType) (out []storage.FileDesc, err error) {
	list, _, err := names(s.dir)
	for _, n := range list {
		fd, ok := parseName(n)
		if i := slices.Index(s.joined, fd); i >= 0 && i < len(s.joined)-1 {
			continue
		}
		if ok && fd.Type&types != 0 {
			out = append(out, fd)
		}
	}
	return out, err
}

// Open implements storage.Storage.
func (s *readStorage) Open(fd storage.FileDesc) (storage.Reader, error) {
	if n := len(s.joined); n > 0 && fd == s.joined[n-1] {
		return memory{bytes.NewReader(s.into)}, nil
	}
	return os.Open(filepath.Join(s.dir, fd.String()))
}

// memory is a file that does not stand on the disk.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

// parseName reads the name of a database's file.
func parseName(name string) (fd storage.FileDesc, ok bool) {
	digits, kind := name, storage.FileType(0)
	if n, is := strings.CutPrefix(name, "MANIFEST-"); is {
		digits, kind = n, storage.TypeManifest
	} else if n, ext, is := strings.Cut(name, "."); is {
		digits = n
		switch ext {
		case "log":
			kind = storage.TypeJournal
		case "ldb":
			kind = storage.TypeTable
		case "tmp":
			kind = storage.TypeTemp
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	fd = storage.FileDesc{Type: kind, Num: n}
	return fd, err == nil && kind != 0 && fd.String() == name
}
