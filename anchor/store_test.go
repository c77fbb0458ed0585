package anchor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/util"

	"qifeng/proof"
)

// filled is a store with a hundred receipts of two names, big enough for tables,
// and closed again.
func filled(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "anchor")
	s := opened(t, dir)
	for i := range uint64(50) {
		for _, name := range []string{"a-1", "a-2"} {
			if err := s.putPending(name, &pending{size: 2*i + 2, since: someTime, note: []byte("note")}); err != nil {
				t.Fatal(err)
			}
			if err := s.putReceipt(filler(name, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.putAlarm(someAlarm); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// filler is the receipt for size 2i+2.
func filler(name string, i uint64) *receipt {
	return &receipt{previous: 2 * i, Stored: Stored{Name: name, Kind: proof.AnchorFabric, Size: 2*i + 2, StoredAt: someTime, Time: someTime,
		Note: fmt.Appendf(nil, "the note of %s for %d", name, 2*i+2), Data: bytes.Repeat([]byte{byte(i)}, 300)}}
}

func opened(t *testing.T, dir string) *store {
	t.Helper()
	s, err := openStore(dir, "demo-12345678", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s
}

func TestCoveringIsOneSeek(t *testing.T) {
	s := opened(t, filled(t))
	for size := range uint64(103) {
		r, err := s.covering("a-2", size)
		if err != nil {
			t.Fatal(err)
		}
		want := max(2, (size+1)/2*2)
		if (r == nil) != (want > 100) || r != nil && (r.Size != want || !bytes.Equal(r.Note, filler("a-2", want/2-1).Note)) {
			t.Fatalf("covering %d: %+v, want size %d", size, r, want)
		}
	}
	if r, err := s.newest("a-1"); err != nil || r.Size != 100 {
		t.Errorf("newest: %+v, %v", r, err)
	}
	if r, err := s.covering("a", 1); r != nil || err != nil { // a name that another begins with
		t.Errorf("covering of a: %+v, %v", r, err)
	}
	names, err := s.names()
	if err != nil || fmt.Sprint(names) != "[a-1 a-2 tsa-a]" {
		t.Errorf("names: %v, %v", names, err)
	}
}

// change opens the database with nothing of ours.
func change(t *testing.T, dir string, f func(db *leveldb.DB) error) {
	t.Helper()
	db, err := leveldb.OpenFile(dir, nil)
	if err == nil {
		err = errors.Join(f(db), db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestStoreRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(db *leveldb.DB) error
		says   string
	}{
		{"another format", func(db *leveldb.DB) error { return db.Put([]byte("v"), []byte("qifeng-anchor/2\ndemo-12345678"), nil) }, "qifeng-anchor/2"},
		{"another chain", func(db *leveldb.DB) error { return db.Put([]byte("v"), []byte("qifeng-anchor/1\nother-12345678"), nil) }, "other-12345678"},
		{"no format", func(db *leveldb.DB) error { return db.Delete([]byte("v"), nil) }, "no format version"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filled(t)
			change(t, dir, test.change)
			s, err := openStore(dir, "demo-12345678", slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("opened: %v, %v", s, err)
			}
			change(t, dir, func(*leveldb.DB) error { return nil }) // it was given back
		})
	}
}

// What is damaged is named; what is not is served.
func TestDamage(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(db *leveldb.DB) error
		names  string
	}{
		{"a bit", func(db *leveldb.DB) error {
			v, err := db.Get(receiptKey("a-1", 50), nil)
			if err != nil {
				return err
			}
			v[60] ^= 4
			return db.Put(receiptKey("a-1", 50), v, nil)
		}, "the receipt of a-1 for size 50"},
		{"a receipt under another size", func(db *leveldb.DB) error {
			v, err := db.Get(receiptKey("a-1", 48), nil)
			if err != nil {
				return err
			}
			return db.Put(receiptKey("a-1", 50), v, nil)
		}, "the receipt of a-1 for size 50"},
		{"a receipt that is gone", func(db *leveldb.DB) error { return db.Delete(receiptKey("a-1", 50), nil) }, "the receipt of a-1 for size 50"},
		{"a foreign key", func(db *leveldb.DB) error { return db.Put(append(receiptKey("a-1", 49), 0), []byte("x"), nil) }, "a receipt of a-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filled(t)
			change(t, dir, test.change)
			s := opened(t, dir)
			r, err := s.covering("a-1", 49)
			var damaged *DamagedError
			if !errors.As(err, &damaged) || damaged.What != test.names || r != nil {
				t.Errorf("covering: %v, %v", r, err)
			}
			if r, err := s.covering("a-1", 47); err != nil || r.Size != 48 {
				t.Errorf("the one before: %+v, %v", r, err)
			}
			if r, err := s.covering("a-2", 49); err != nil || r.Size != 50 {
				t.Errorf("the other name: %+v, %v", r, err)
			}
		})
	}
}

// Whatever byte of whatever file is another one: what is served is what was
// written.
func TestFlippedFiles(t *testing.T) {
	dir := filled(t)
	change(t, dir, func(db *leveldb.DB) error { return db.CompactRange(util.Range{}) }) // tables too
	s := opened(t, dir)
	for i := uint64(50); i < 60; i++ { // and a journal behind them
		if err := s.putReceipt(filler("a-1", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var named, cut, places int
	for _, file := range files {
		path := filepath.Join(dir, file.Name())
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if file.Name() == "LOG" || file.Name() == "LOCK" {
			continue
		}
		for i := 0; i < len(whole); i += max(1, len(whole)/40) {
			copied := filepath.Join(t.TempDir(), "copy")
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			flipped := bytes.Clone(whole)
			flipped[i] ^= 1 << (i % 8)
			if err := os.WriteFile(filepath.Join(copied, file.Name()), flipped, 0o600); err != nil {
				t.Fatal(err)
			}
			places++
			switch n, err := readAll(t, copied); {
			case err != nil:
				named++
			case n < 110:
				cut++
			}
		}
	}
	t.Logf("%d places: %d named, %d told of as a cut log", places, named, cut)
	if named == 0 || cut == 0 {
		t.Error("neither damage nor a cut was found")
	}
}

// readAll counts the receipts, and wants each to be what was written. Fewer are
// only served where the cut log was told of.
func readAll(t *testing.T, dir string) (n int, err error) {
	t.Helper()
	var told bytes.Buffer
	s, err := openStore(dir, "demo-12345678", slog.New(slog.NewTextHandler(&told, nil)))
	if err != nil {
		return 0, err
	}
	defer s.close()
	for _, name := range []string{"a-1", "a-2"} {
		for size := uint64(1); ; {
			r, err := s.covering(name, size)
			if err != nil {
				return n, err
			}
			if r == nil {
				break
			}
			want := filler(name, r.Size/2-1)
			if !bytes.Equal(r.Note, want.Note) || !bytes.Equal(r.Data, want.Data) || r.Kind != want.Kind || r.previous != want.previous {
				t.Fatalf("it serves what was not written: %+v", r)
			}
			n, size = n+1, r.Size+1
		}
	}
	if n < 110 && !strings.Contains(told.String(), "did not read to the end") {
		t.Errorf("%d of 110 receipts, and nobody was told", n)
	}
	return n, nil
}

// A power cut that leaves a half-written record at the end of the log costs
// nothing that was synced.
func TestTornLog(t *testing.T) {
	dir := filled(t)
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	f, err := os.OpenFile(logs[len(logs)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// A chunk of 1,000 bytes, of which 20 were written.
	torn := binary.LittleEndian.AppendUint16([]byte{1, 2, 3, 4}, 1000)
	if _, err := f.Write(append(append(torn, 1), make([]byte, 20)...)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	s := opened(t, dir)
	for _, name := range []string{"a-1", "a-2"} {
		if r, err := s.newest(name); err != nil || r.Size != 100 {
			t.Errorf("newest of %s: %+v, %v", name, r, err)
		}
	}
}

// A disk that was full for a while is written to again afterwards.
func TestWriteFails(t *testing.T) {
	s := opened(t, filled(t))
	t.Cleanup(func() { point = func(string) error { return nil } })
	for _, at := range []string{pointVerified, pointStored} {
		failing := true
		point = func(name string) error {
			if name == at && failing {
				return errors.New("no space left on device")
			}
			return nil
		}
		r := filler("a-1", 50)
		if at == pointStored {
			r = filler("a-1", 51)
		}
		if err := s.putReceipt(r); err == nil {
			t.Fatal("the write did not fail")
		}
		if _, err := s.covering("a-2", 1); err != nil {
			t.Errorf("reading after it: %v", err)
		}
		if err := s.settle(); err != nil {
			t.Error(err)
		}
		if kept, err := s.covering("a-1", r.Size); err != nil || (kept != nil) != (at == pointStored) {
			t.Errorf("what was kept: %+v, %v", kept, err)
		}
		failing = false
		if err := s.putReceipt(r); err != nil {
			t.Errorf("writing after it: %v", err)
		}
	}
	// goleveldb itself takes no write any more: it is opened again.
	if err := s.db.SetReadOnly(); err != nil {
		t.Fatal(err)
	}
	if err := s.putReceipt(filler("a-1", 52)); !errors.Is(err, leveldb.ErrReadOnly) {
		t.Fatalf("writing where nothing can be written: %v", err)
	}
	if err := s.putReceipt(filler("a-1", 52)); err != nil {
		t.Errorf("writing after it: %v", err)
	}

	// While the disk stays full it cannot be opened for writing, and is read.
	s.open = func(files storage.Storage, o *opt.Options) (*leveldb.DB, error) {
		if !o.ReadOnly {
			return nil, syscall.ENOSPC
		}
		return leveldb.Open(files, o)
	}
	if err := s.db.SetReadOnly(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.putReceipt(filler("a-1", 53)); !errors.Is(err, leveldb.ErrReadOnly) {
			t.Fatalf("writing to a full disk: %v", err)
		}
		if r, err := s.newest("a-1"); err != nil || r.Size != filler("a-1", 52).Size {
			t.Errorf("reading from a full disk: %+v, %v", r, err)
		}
	}
	s.open = leveldb.Open
	if err := s.putReceipt(filler("a-1", 53)); err != nil {
		t.Errorf("writing when there is room again: %v", err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if err := s.putReceipt(filler("a-1", 60)); !errors.Is(err, errClosed) {
		t.Errorf("writing after close: %v", err)
	}
	if _, err := s.newest("a-1"); !errors.Is(err, errClosed) {
		t.Errorf("reading after close: %v", err)
	}
}

// Who reads a receipt waits for no write, nor for who looks whether one has failed.
func TestReadsBesideSlowWrite(t *testing.T) {
	s := opened(t, filled(t))
	t.Cleanup(func() { point = func(string) error { return nil } })
	syncing, slow := make(chan struct{}), make(chan struct{})
	point = func(name string) error {
		if name == pointStored {
			close(syncing)
			<-slow
		}
		return nil
	}
	written := make(chan error, 1)
	go func() { written <- s.putReceipt(filler("a-1", 50)) }()
	<-syncing
	read := make(chan error, 2)
	go func() { read <- s.settle() }()
	go func() {
		time.Sleep(50 * time.Millisecond) // after the other
		_, err := s.covering("a-2", 1)
		read <- err
	}()
	for range 2 {
		select {
		case err := <-read:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(5 * time.Second):
			t.Error("a reader waits for the write")
		}
	}
	close(slow)
	if err := <-written; err != nil {
		t.Error(err)
	}
}
