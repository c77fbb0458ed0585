package anchor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	lerrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/util"

	"qifeng/internal/durable"
	"qifeng/proof/checkpoint"
)

// store keeps receipts, pending statements and alarms. Its calls may be made at
// the same time; of one name only that name's worker writes, or an operator while
// that worker is stopped by an alarm.
//
// A write that failed may have been kept or not, and goleveldb takes no other
// after it. So settle opens the database again and finds out, in the way that a
// start does; on a disk that is still full it is then read, and not written.
type store struct {
	dir, chain string
	log        *slog.Logger
	open       func(storage.Storage, *opt.Options) (*leveldb.DB, error) // leveldb.Open, but in tests

	mu     sync.RWMutex // guards what follows; held for reading while the database is used
	db     *leveldb.DB  // nil while it could not be opened again
	files  storage.Storage
	failed bool // a write has failed since it was opened, or it is open for reading only
	closed bool
}

var errClosed = errors.New("the anchor store is closed")

// openStore opens or makes the store.
func openStore(dir, chain string, log *slog.Logger) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the anchor store: %w", err)
	}
	if err := durable.SyncFolder(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("making the folder of the anchor store: %w", err)
	}
	s := &store{dir: dir, chain: chain, log: log, open: leveldb.Open}
	if err := s.start(); err != nil {
		return nil, fmt.Errorf("opening the anchor store %s: %w", dir, err)
	}
	return s, nil
}

// start opens the database. Where its log does not read to the end it is opened
// once more without what cannot be read: after a power cut that is a write that
// was not synced, and nobody relied on it. Which of the two it was nobody can
// say, so it is told; a receipt that is missing from the middle is found when the
// next one is read.
func (s *store) start() error {
	if err := durable.RemoveUnborn(s.dir); err != nil {
		return err
	}
	err := s.openWith(opt.Options{Strict: opt.DefaultStrict | opt.StrictJournal})
	var corrupted *lerrors.ErrCorrupted
	if errors.As(err, &corrupted) {
		torn := err
		if err = s.openWith(opt.Options{Strict: opt.DefaultStrict}); err == nil {
			s.log.Warn("the log of the anchor store did not read to the end: what a power cut tore is gone, or the file is damaged",
				"folder", s.dir, "error", torn)
		}
	}
	if err != nil {
		return err
	}
	if err := s.begin(); err != nil {
		return errors.Join(err, s.shut())
	}
	return nil
}

func (s *store) openWith(o opt.Options) error {
	files, err := storage.OpenFile(s.dir, o.ReadOnly)
	if err != nil {
		return err
	}
	o.WriteBuffer, o.BlockCacheCapacity = writeBuffer, blockCache
	db, err := s.open(files, &o)
	if err != nil {
		return errors.Join(err, files.Close())
	}
	s.db, s.files, s.failed = db, files, o.ReadOnly
	return nil
}

// begin checks the version, which is the first write ever.
func (s *store) begin() error {
	want := format + "\n" + s.chain
	have, err := s.db.Get([]byte{kVersion}, nil)
	if err == nil && string(have) != want {
		return fmt.Errorf("it is %q, this node needs %q", have, want)
	}
	if !errors.Is(err, leveldb.ErrNotFound) {
		return err
	}
	it := s.db.NewIterator(nil, nil)
	empty := !it.Next()
	it.Release()
	if err := it.Error(); err != nil {
		return err
	}
	if !empty {
		return errors.New("it is not empty and has no format version")
	}
	if err := point(pointCreated); err != nil {
		return err
	}
	if err := s.db.Put([]byte{kVersion}, []byte(want), &opt.WriteOptions{Sync: true}); err != nil {
		return err
	}
	return point(pointBegun)
}

// shut gives the files back; the caller holds mu, or the store alone.
func (s *store) shut() error {
	if s.db == nil {
		return nil
	}
	err := errors.Join(s.db.Close(), s.files.Close())
	s.db, s.files = nil, nil
	return err
}

func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.shut()
}

// settle finds out what a failed write has left. Where nothing failed it waits for
// nobody: a lock for writing would have every reader, proofs among them, wait for
// the writes of others on a slow disk.
func (s *store) settle() error {
	s.mu.RLock()
	well := s.db != nil && !s.failed && !s.closed
	s.mu.RUnlock()
	if well {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errClosed
	case s.db != nil && !s.failed:
		return nil
	}
	if err := s.shut(); err != nil {
		s.log.Warn("closing the anchor store after a failed write", "error", err)
	}
	err := s.start()
	if err == nil {
		return nil
	}
	if err := s.openWith(opt.Options{Strict: opt.DefaultStrict, ReadOnly: true}); err == nil {
		return nil
	}
	return fmt.Errorf("opening the anchor store again after a failed write: %w", err)
}

// use calls f with the database open.
func (s *store) use(f func(db *leveldb.DB) error) error {
	for range 2 {
		s.mu.RLock()
		if s.db != nil && !s.closed {
			defer s.mu.RUnlock()
			return f(s.db)
		}
		s.mu.RUnlock()
		if err := s.settle(); err != nil {
			return err
		}
	}
	return errClosed
}

// write makes a batch durable, between the two places.
func (s *store) write(b *leveldb.Batch, before, after string) error {
	if err := s.settle(); err != nil {
		return err
	}
	err := s.use(func(db *leveldb.DB) error {
		if err := point(before); err != nil {
			return err
		}
		if err := db.Write(b, &opt.WriteOptions{Sync: true}); err != nil {
			return err
		}
		return point(after)
	})
	if err != nil {
		s.mu.Lock()
		s.failed = true
		s.mu.Unlock()
		return fmt.Errorf("writing to the anchor store: %w", err)
	}
	return nil
}

// putPending stores the statement that a witness is given next.
func (s *store) putPending(name string, p *pending) error {
	b := new(leveldb.Batch)
	key := pendingKey(name)
	b.Put(key, encodePending(key, p))
	return s.write(b, pointChosen, pointNoted)
}

// putReceipt stores a receipt, which ends the pending statement.
func (s *store) putReceipt(r *receipt) error {
	b := new(leveldb.Batch)
	key := receiptKey(r.Name, r.Size)
	b.Put(key, encodeReceipt(key, r))
	b.Delete(pendingKey(r.Name))
	return s.write(b, pointVerified, pointStored)
}

// putAlarm stores an alarm, which ends the pending statement.
func (s *store) putAlarm(a *storedAlarm) error {
	b := new(leveldb.Batch)
	key := alarmKey(a.Name, a.number)
	b.Put(key, encodeAlarm(key, a))
	b.Delete(pendingKey(a.Name))
	return s.write(b, pointConflict, pointAlarmed)
}

// endAlarm notes that an operator has looked at an alarm, which is kept.
func (s *store) endAlarm(a *storedAlarm, at time.Time) error {
	ended := *a
	ended.resumed = at
	b := new(leveldb.Batch)
	key := alarmKey(a.Name, a.number)
	b.Put(key, encodeAlarm(key, &ended))
	return s.write(b, pointResuming, pointResumed)
}

// pending returns a name's pending statement, or nil.
func (s *store) pending(name string) (p *pending, err error) {
	err = s.use(func(db *leveldb.DB) error {
		value, err := db.Get(pendingKey(name), nil)
		if errors.Is(err, leveldb.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the pending statement of %s: %w", name, err)
		}
		if p, err = decodePending(name, value); err != nil {
			return &DamagedError{What: "the pending statement of " + name, Err: err}
		}
		return nil
	})
	return p, err
}

// newest returns a name's newest receipt, or nil.
func (s *store) newest(name string) (*receipt, error) {
	return s.seekReceipt(name, func(it iterator.Iterator) bool { return it.Last() })
}

// covering returns a name's first receipt of at least a size, or nil.
func (s *store) covering(name string, size uint64) (*receipt, error) {
	r, err := s.seekReceipt(name, func(it iterator.Iterator) bool { return it.Seek(receiptKey(name, size)) })
	if err == nil && r != nil && r.previous >= size && r.previous > 0 {
		return nil, &DamagedError{What: receiptWords(name, r.previous),
			Err: fmt.Errorf("it is not there, and that of size %d follows it", r.Size)}
	}
	return r, err
}

func receiptWords(name string, size uint64) string {
	return fmt.Sprintf("the receipt of %s for size %d", name, size)
}

func (s *store) seekReceipt(name string, to func(iterator.Iterator) bool) (r *receipt, err error) {
	err = s.use(func(db *leveldb.DB) error {
		it := db.NewIterator(util.BytesPrefix(append([]byte{kReceipt}, name+"\x00"...)), nil)
		defer it.Release()
		if !to(it) {
			return readError(it, name)
		}
		size, ok := numberOf(it.Key(), name)
		if !ok {
			return &DamagedError{What: "a receipt of " + name, Err: fmt.Errorf("its key is %x", it.Key())}
		}
		var err error
		if r, err = decodeReceipt(name, size, it.Value()); err != nil {
			return &DamagedError{What: receiptWords(name, size), Err: err}
		}
		return nil
	})
	return r, err
}

// lastAlarm returns a name's newest alarm, open or not, or nil.
func (s *store) lastAlarm(name string) (a *storedAlarm, err error) {
	err = s.use(func(db *leveldb.DB) error {
		it := db.NewIterator(util.BytesPrefix(append([]byte{kAlarm}, name+"\x00"...)), nil)
		defer it.Release()
		if !it.Last() {
			return readError(it, name)
		}
		number, ok := numberOf(it.Key(), name)
		if !ok {
			return &DamagedError{What: "an alarm of " + name, Err: fmt.Errorf("its key is %x", it.Key())}
		}
		var err error
		if a, err = decodeAlarm(name, number, it.Value()); err != nil {
			return &DamagedError{What: fmt.Sprintf("alarm %d of %s", number, name), Err: err}
		}
		return nil
	})
	return a, err
}

func readError(it iterator.Iterator, name string) error {
	if err := it.Error(); err != nil {
		return fmt.Errorf("reading what is stored of %s: %w", name, err)
	}
	return nil
}

func numberOf(key []byte, name string) (uint64, bool) {
	if len(key) != 1+len(name)+1+8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(key[len(key)-8:]), true
}

// names lists whose receipts or alarms are stored, by one seek for each.
func (s *store) names() (names []string, err error) {
	err = s.use(func(db *leveldb.DB) error {
		for _, k := range []byte{kReceipt, kAlarm} {
			it := db.NewIterator(util.BytesPrefix([]byte{k}), nil)
			for ok := it.Next(); ok; {
				name, _, cut := strings.Cut(string(it.Key()[1:]), "\x00")
				if err := checkpoint.CheckMemberID(name); err != nil || !cut {
					it.Release()
					return &DamagedError{What: "a key", Err: fmt.Errorf("it is %x", it.Key())}
				}
				names = append(names, name)
				ok = it.Seek(append([]byte{k}, name+"\x01"...))
			}
			it.Release()
			if err := it.Error(); err != nil {
				return fmt.Errorf("listing the stored anchors: %w", err)
			}
		}
		return nil
	})
	return names, err
}
