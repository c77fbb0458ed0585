package backup

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
)

// storeOptions reorganise the store all the time.
var storeOptions = &opt.Options{WriteBuffer: 64 << 10, CompactionTableSize: 64 << 10}

func storeKey(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte("r"), n) }

// storeValue is what stands under a number, different for each.
func storeValue(n uint64) []byte {
	return bytes.Repeat(binary.BigEndian.AppendUint64(nil, n*0x9e3779b97f4a7c15), 64)
}

// TestAnchorsAreCopiedWhileTheyAreWritten: whatever the moment, the copy opens,
// holds everything that was synced before the backup began, and nothing that was
// not written.
func TestAnchorsAreCopiedWhileTheyAreWritten(t *testing.T) {
	src := newSource(t)
	live := filepath.Join(src.Data, anchorDir)
	db, err := leveldb.OpenFile(live, storeOptions)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var written atomic.Uint64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := uint64(1); ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := db.Put(storeKey(n), storeValue(n), &opt.WriteOptions{Sync: true}); err != nil {
				t.Error(err)
				return
			}
			written.Store(n)
			time.Sleep(time.Millisecond) // a store has one receipt a second at most; this one is hurried
		}
	})
	defer wg.Wait()
	defer close(stop)
	dir := filepath.Join(t.TempDir(), "backup")
	left := 0
	for range 12 {
		for from := written.Load(); written.Load() < from+150; {
			time.Sleep(time.Millisecond)
		}
		before := written.Load()
		r := take(t, src, dir)
		if slices.Contains(r.LeftOut, dataPart+anchorDir) {
			left++
			continue
		}
		checkStore(t, filepath.Join(dir, r.Set, dataPart, anchorDir), before, written.Load())
	}
	if left > 3 {
		t.Errorf("%d of 12 backups left the store out", left)
	}
	home := filepath.Join(t.TempDir(), "home")
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Restore(t.Context(), home, filepath.Join(home, "data"), "home/qifeng.toml", nil); err != nil {
		t.Fatal(err)
	}
	if left == 0 {
		checkStore(t, filepath.Join(home, "data", anchorDir), 12*150, written.Load())
	}
}

// checkStore opens a copy of a copy and wants 1..n in it, n from least to most.
func checkStore(t *testing.T, dir string, least, most uint64) {
	t.Helper()
	at := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(at, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	db, err := leveldb.OpenFile(at, &opt.Options{Strict: opt.DefaultStrict, ErrorIfMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	it := db.NewIterator(nil, nil)
	defer it.Release()
	n := uint64(0)
	for it.Next() {
		n++
		if !bytes.Equal(it.Key(), storeKey(n)) || !bytes.Equal(it.Value(), storeValue(n)) {
			t.Fatalf("entry %d of the copy is %x", n, it.Key())
		}
	}
	if it.Error() != nil || n < least || n > most {
		t.Errorf("the copy has %d entries, of %d to %d: %v", n, least, most, it.Error())
	}
}

// TestAMovingStoreIsLeftOut: a copy that never fits is not passed off as one.
func TestAMovingStoreIsLeftOut(t *testing.T) {
	src := newSource(t)
	write(t, filepath.Join(src.Data, anchorDir, "CURRENT"), "MANIFEST-000001\n", 0o600)
	if r := take(t, src, filepath.Join(t.TempDir(), "backup")); !slices.Contains(r.LeftOut, dataPart+anchorDir) ||
		slices.ContainsFunc(r.Files, func(f File) bool { return strings.HasPrefix(f.Path, dataPart+anchorDir) }) {
		t.Errorf("left out %v", r.LeftOut)
	}
	write(t, filepath.Join(src.Data, anchorDir, "CURRENT"), "../../keys/intake.pem\n", 0o600)
	if _, err := Take(t.Context(), src, filepath.Join(t.TempDir(), "backup"), Options{}); err == nil {
		t.Error("a CURRENT that names what it must not is followed")
	}
}

// TestAStoreThatMovesIsCopiedAnew: another MANIFEST came while the first was copied.
func TestAStoreThatMovesIsCopiedAnew(t *testing.T) {
	src := newSource(t)
	at := func(name string) string { return filepath.Join(src.Data, anchorDir, name) }
	write(t, at("CURRENT"), "MANIFEST-000001\n", 0o600)
	write(t, at("MANIFEST-000001"), "one", 0o600)
	write(t, at("000003.ldb"), strings.Repeat("table", 1000), 0o600)
	write(t, at("000004.log"), "journal", 0o600)
	moved := false
	dir := filepath.Join(t.TempDir(), "backup")
	r := take(t, src, dir, Options{Progress: func(int64, int64) {
		if moved || len(glob(t, filepath.Join(dir, setPrefix+"*", dataPart, anchorDir, "*.ldb"))) == 0 {
			return
		}
		moved = true
		write(t, at("MANIFEST-000005"), "two", 0o600)
		write(t, at("CURRENT"), "MANIFEST-000005\n", 0o600)
	}})
	if !moved {
		t.Fatal("the test tests nothing")
	}
	copied := filepath.Join(dir, r.Set, dataPart, anchorDir)
	if got := read(t, filepath.Join(copied, "CURRENT")); got != "MANIFEST-000005\n" || read(t, filepath.Join(copied, "MANIFEST-000005")) != "two" {
		t.Errorf("the copy has CURRENT %q", got)
	}
	if n := slices.IndexFunc(r.Files, func(f File) bool { return strings.HasSuffix(f.Path, "MANIFEST-000001") }); n >= 0 || len(r.LeftOut) > 0 {
		t.Errorf("the first copy is in the manifest of the backup, or left out: %v", r.LeftOut)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return names
}
