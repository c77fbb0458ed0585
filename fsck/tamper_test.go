package fsck_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/util"

	"qifeng/fsck"
)

// damaged is a copy of the home that a test does something to.
type damaged struct {
	t       testing.TB
	dir     string
	self    string
	foreign string // the same member's home of another chain
}

func newDamaged(t testing.TB, member string) *damaged {
	t.Helper()
	dir := copyHome(t, member)
	homes, _ := networks()
	return &damaged{t, dir, member, filepath.Join(filepath.Dir(homes[1]), member)}
}

func (d *damaged) ok(errs ...error) {
	d.t.Helper()
	if err := errors.Join(errs...); err != nil {
		d.t.Fatal(err)
	}
}

// path is the one file that a pattern names.
func (d *damaged) path(pattern string) string { d.t.Helper(); return d.in(d.dir, pattern) }

func (d *damaged) in(dir, pattern string) string {
	d.t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
	d.ok(err)
	if len(list) == 0 {
		d.t.Fatalf("no file %s", pattern)
	}
	return list[0]
}

func (d *damaged) edit(pattern string, f func([]byte) []byte) {
	d.t.Helper()
	path := d.path(pattern)
	b, err := os.ReadFile(path)
	d.ok(err)
	d.ok(os.WriteFile(path, f(b), 0o600))
}

func (d *damaged) swap(a, b string) {
	d.t.Helper()
	d.ok(os.Rename(a, a+".away"), os.Rename(b, a), os.Rename(a+".away", b))
}

// store opens one of the databases to write.
func (d *damaged) store(name string, f func(*leveldb.DB)) {
	d.t.Helper()
	db, err := leveldb.OpenFile(filepath.Join(d.dir, "data", "chain", filepath.FromSlash(name)), nil)
	d.ok(err)
	f(db)
	d.ok(db.Close())
}

func (d *damaged) ledger(f func(*leveldb.DB)) { d.t.Helper(); d.store("ledger", f) }

func (d *damaged) get(db *leveldb.DB, key []byte) []byte {
	d.t.Helper()
	v, err := db.Get(key, nil)
	d.ok(err)
	return v
}

// swapValues exchanges two values.
func (d *damaged) swapValues(db *leveldb.DB, a, b string) {
	d.t.Helper()
	x, y := d.get(db, []byte(a)), d.get(db, []byte(b))
	d.ok(db.Put([]byte(a), y, nil), db.Put([]byte(b), x, nil))
}

// flip changes a bit of a value, of the last where n is negative.
func (d *damaged) flip(db *leveldb.DB, key []byte, n int) {
	d.t.Helper()
	v := d.get(db, key)
	if n < 0 {
		n += len(v)
	}
	v[n] ^= 1
	d.ok(db.Put(key, v, nil))
}

// keys are the keys with a prefix.
func (d *damaged) keys(db *leveldb.DB, prefix string) (out [][]byte) {
	d.t.Helper()
	it := db.NewIterator(util.BytesPrefix([]byte(prefix)), nil)
	defer it.Release()
	for it.Next() {
		out = append(out, bytes.Clone(it.Key()))
	}
	if len(out) == 0 {
		d.t.Fatalf("no key %q", prefix)
	}
	return out
}

func entry(n uint64) string { return "e" + string(binary.BigEndian.AppendUint64(nil, n)) }

// wants checks that the home is found wrong, at this file and with one of these codes.
func (d *damaged) wants(file string, codes ...fsck.Code) {
	d.t.Helper()
	r := check(d.t, d.dir, d.self)
	if r.Result != fsck.Wrong {
		d.t.Fatalf("it was not found:\n%s", r.Text(false))
	}
	if !strings.HasPrefix(r.Problem.File, file) {
		d.t.Errorf("found in %s, it is in %s:\n%s", r.Problem.File, file, r.Text(false))
	}
	for _, c := range codes {
		if r.Problem.Code == c {
			return
		}
	}
	if len(codes) > 0 {
		d.t.Errorf("found as %s, want %v:\n%s", r.Problem.Code, codes, r.Text(false))
	}
	if text := r.Text(true); !strings.Contains(text, "意味着：") || strings.Contains(text, "意味着：\n") || strings.Contains(text, "请：\n") {
		d.t.Errorf("the report does not say what it means and what to do:\n%s", text)
	}
}

const (
	ledgerDir  = "data/chain/ledger"
	cometDir   = "data/chain/comet/data/"
	batchesDir = "data/archive/batches/00000000000000/"
	runsDir    = "data/archive/index/runs/"
	namesDir   = "data/archive/index/names/"
)

// TestEveryFile does to each kind of file what happens to files: a byte changes,
// the end is lost, the file is lost, a file of another chain lies there.
func TestEveryFile(t *testing.T) {
	// The court's node ran once, so its databases are logs; the vendor's ran twice,
	// so they are tables.
	const court = "court-a"
	var files = []struct{ name, member, pattern string }{
		{"genesis", vendor, "genesis.json"}, {"policy", vendor, "policy.txt"}, {"card", vendor, "card.json"},
		{"intake key", vendor, "keys/intake.pem"}, {"SM2 seal key", vendor, "keys/seal-sm2.pem"}, {"Ed25519 seal key", vendor, "keys/seal-ed25519.pem"},
		{"log key", vendor, "keys/log.pem"}, {"consensus key", vendor, "keys/consensus.json"}, {"node key", vendor, "keys/node.json"},
		{"guard", vendor, "keys/guard.json"}, {"last vote", vendor, "keys/consensus.last-signed.json"},
		{"ledger log", court, ledgerDir + "/*.log"}, {"ledger table", vendor, ledgerDir + "/*.ldb"},
		{"ledger manifest", vendor, ledgerDir + "/MANIFEST-*"}, {"ledger current", vendor, ledgerDir + "/CURRENT"},
		{"block log", court, cometDir + "blockstore.db/*.log"}, {"block table", vendor, cometDir + "blockstore.db/*.ldb"},
		{"state log", court, cometDir + "state.db/*.log"}, {"state table", vendor, cometDir + "state.db/*.ldb"}, {"write-ahead log", vendor, cometDir + "cs.wal/wal"},
		{"batch", vendor, batchesDir + "*2-*.batch"}, {"outbox", vendor, "data/archive/outbox/*.batch"}, {"journal", vendor, "data/archive/journal/*.journal"},
		{"index run", vendor, runsDir + "*.run"}, {"index list", vendor, runsDir + "MANIFEST"},
		{"index names table", vendor, namesDir + "*.ldb"},
	}
	// What cannot be wrong by itself.
	told := map[string]bool{
		"write-ahead log missing":   true, // CometBFT makes a new one
		"index list missing":        true, // as no index at all: the next start makes a new one
		"write-ahead log truncated": true,
		"index names table missing": true, // the same as no index
	}
	for _, f := range files {
		for _, how := range []struct {
			name string
			do   func(*damaged)
		}{
			{"tampered", func(d *damaged) {
				d.edit(f.pattern, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
			}},
			{"truncated", func(d *damaged) { d.edit(f.pattern, func(b []byte) []byte { return b[:len(b)*2/3] }) }},
			{"missing", func(d *damaged) { d.ok(os.Remove(d.path(f.pattern))) }},
			{"foreign", func(d *damaged) {
				pattern := f.pattern
				from := d.foreign
				switch { // where the other chain has none
				case f.name == "outbox":
					pattern = batchesDir + "*3-*.batch"
				case f.name == "ledger manifest": // of another database: on another chain it is the same
					pattern, from = cometDir+"state.db/MANIFEST-*", d.dir
				case strings.HasSuffix(f.name, " table"): // of another database
					pattern, from = map[bool]string{true: cometDir + "state.db/*.ldb", false: ledgerDir + "/*.ldb"}[f.name != "state table"], d.dir
				}
				b, err := os.ReadFile(d.in(from, pattern))
				d.ok(err)
				d.edit(f.pattern, func([]byte) []byte { return b })
			}},
		} {
			if f.name == "ledger current" && how.name == "foreign" {
				continue // it is the same in every young database
			}
			t.Run(f.name+"/"+how.name, func(t *testing.T) {
				t.Parallel()
				d := newDamaged(t, f.member)
				path, err := filepath.Rel(d.dir, d.path(f.pattern))
				d.ok(err)
				how.do(d)
				if told[f.name+" "+how.name] {
					if r := check(t, d.dir, d.self); r.Result != fsck.Good {
						t.Errorf("%s", r.Text(false))
					}
					return
				}
				switch {
				case f.name == "batch" && how.name == "missing":
					path = batchesDir + "0000000000000002-"
				case f.name == "genesis" && how.name == "foreign":
					path = "policy.txt" // the first that contradicts it
				case f.name == "outbox" && how.name == "missing":
					path = "data/archive/journal" // a gap shows before the next file
				case f.name == "journal" && how.name == "missing":
					path = "data/archive/journal"
				case f.name == "index list" && how.name == "foreign":
					path = runsDir // its key is another
				case strings.HasPrefix(path, filepath.FromSlash(namesDir)):
					path = "data/archive/index/names"
				case strings.HasPrefix(path, "data/chain"):
					path = "data/chain"
				}
				d.wants(filepath.ToSlash(path))
			})
		}
	}
}
