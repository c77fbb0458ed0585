package fsck_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/syndtr/goleveldb/leveldb"

	"qifeng/fsck"
	"qifeng/proof/merkle"
)

// TestSwapped renames files into each other.
func TestSwapped(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*damaged)
		file string
		code fsck.Code
	}{
		{"two batches", func(d *damaged) { d.swap(d.path(batchesDir+"*1-*"), d.path(batchesDir+"*2-*")) }, batchesDir + "0000000000000001-", fsck.CodeBatchFile},
		{"the digests in the names of two batches", func(d *damaged) {
			a, b := d.path(batchesDir+"*1-*"), d.path(batchesDir+"*2-*")
			dir := filepath.Dir(a)
			d.ok(os.Rename(a, filepath.Join(dir, "0000000000000001"+filepath.Base(b)[16:])), os.Rename(b, filepath.Join(dir, "0000000000000002"+filepath.Base(a)[16:])))
		}, batchesDir + "0000000000000001-", fsck.CodeBatchName},
		{"batch and outbox", func(d *damaged) { d.swap(d.path(batchesDir+"*3-*"), d.path("data/archive/outbox/*")) }, batchesDir + "0000000000000003-", fsck.CodeBatchFile},
		{"outbox and journal", func(d *damaged) { d.swap(d.path("data/archive/outbox/*"), d.path("data/archive/journal/*")) }, "data/archive/", fsck.CodeBatchFile},
		{"a batch in another folder", func(d *damaged) {
			dir := filepath.Join(d.dir, "data/archive/batches/00000000000001")
			old := d.path(batchesDir + "*3-*")
			d.ok(os.Mkdir(dir, 0o700), os.Rename(old, filepath.Join(dir, filepath.Base(old))))
		}, "data/archive/batches/00000000000001/", fsck.CodeBatchName},
		{"a batch in the outbox", func(d *damaged) {
			old := d.path(batchesDir + "*3-*")
			d.ok(os.Rename(d.path("data/archive/outbox/*"), filepath.Join(filepath.Dir(old), filepath.Base(d.path("data/archive/outbox/*")))))
		}, batchesDir + "0000000000000004-", fsck.CodeNotOnLedger},
		{"a batch twice", func(d *damaged) {
			old := d.path(batchesDir + "*2-*")
			b, err := os.ReadFile(old)
			d.ok(err, os.WriteFile(old[:len(old)-len("0.batch")]+"z.batch", b, 0o600))
		}, batchesDir + "0000000000000002-", fsck.CodeBatchName},
		{"two seal keys", func(d *damaged) { d.swap(d.path("keys/seal-sm2.pem"), d.path("keys/intake.pem")) }, "keys/intake.pem", fsck.CodeKey},
		{"two keys of CometBFT", func(d *damaged) { d.swap(d.path("keys/consensus.json"), d.path("keys/node.json")) }, "keys/consensus.json", fsck.CodeKey},
		{"two databases", func(d *damaged) {
			d.swap(d.path(cometDir+"state.db"), d.path(cometDir+"blockstore.db"))
		}, "data/chain/comet/data/", ""},
		{"ledger of another chain", func(d *damaged) {
			d.ok(os.RemoveAll(d.path(ledgerDir)), os.CopyFS(filepath.Join(d.dir, ledgerDir), os.DirFS(filepath.Join(d.foreign, ledgerDir))))
		}, ledgerDir, fsck.CodeRegister},
		{"blocks of another chain", func(d *damaged) {
			d.ok(os.RemoveAll(d.path("data/chain/comet")), os.CopyFS(filepath.Join(d.dir, "data/chain/comet"), os.DirFS(filepath.Join(d.foreign, "data/chain/comet"))))
		}, "data/chain/comet/data/blockstore.db", ""},
		{"no archive", func(d *damaged) { d.ok(os.RemoveAll(d.path("data/archive"))) }, "data/archive", fsck.CodeMissing},
		{"no chain", func(d *damaged) { d.ok(os.RemoveAll(d.path("data/chain"))) }, "data/chain/ledger", fsck.CodeMissing},
		{"no ledger", func(d *damaged) { d.ok(os.RemoveAll(d.path(ledgerDir))) }, "data/chain/ledger", fsck.CodeMissing},
		{"no blocks", func(d *damaged) { d.ok(os.RemoveAll(d.path(cometDir))) }, cometDir + "blockstore.db", fsck.CodeMissing},
		{"no CometBFT state", func(d *damaged) { d.ok(os.RemoveAll(d.path(cometDir + "state.db"))) }, cometDir + "state.db", fsck.CodeMissing},
		{"no outbox folder", func(d *damaged) { d.ok(os.RemoveAll(d.path("data/archive/outbox"))) }, "data/archive/outbox", fsck.CodeMissing},
		{"a strange file among the batches", func(d *damaged) { d.ok(os.WriteFile(filepath.Join(d.dir, batchesDir, "x"), nil, 0o600)) }, batchesDir + "x", fsck.CodeForeign},
		{"a key that others may read", func(d *damaged) { d.ok(os.Chmod(d.path("keys/log.pem"), 0o644)) }, "keys/log.pem", fsck.CodeKey},
		{"a guard of before", func(d *damaged) {
			empty := merkle.EmptyRoot()
			d.edit("keys/guard.json", func(b []byte) []byte {
				origin, _, _ := bytes.Cut(b, []byte(`,"root"`))
				return fmt.Appendf(origin, `,"root":{"sha256":"%x","sm3":"%x"},"size":0,"time":0,"v":1}`+"\n", empty.SHA256, empty.SM3)
			})
		}, "keys/guard.json", fsck.CodeGuard},
		{"an audit log without a line", func(d *damaged) {
			line := `{"seq":1,"prev":"` + strings.Repeat("0", 64) + `"}`
			d.ok(os.WriteFile(filepath.Join(d.dir, "data/audit.log"), []byte(line+"\n"+line+"\n"), 0o600))
		}, "data/audit.log", fsck.CodeAudit},
		{"a fraud proof that is none", func(d *damaged) {
			d.ok(os.Mkdir(filepath.Join(d.dir, "data/fraud"), 0o755), os.WriteFile(filepath.Join(d.dir, "data/fraud/x.json"), []byte("{}"), 0o600))
		}, "data/fraud/x.json", fsck.CodeFraud},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDamaged(t, vendor)
			c.do(d)
			if c.code == "" {
				d.wants(c.file)
			} else {
				d.wants(c.file, c.code)
			}
		})
	}
}

// TestInsider changes what the databases hold as somebody would who knows them, so
// that every checksum is right.
func TestInsider(t *testing.T) {
	put := func(key, value string) func(*damaged, *leveldb.DB) {
		return func(d *damaged, db *leveldb.DB) { d.ok(db.Put([]byte(key), []byte(value), nil)) }
	}
	drop := func(prefix string) func(*damaged, *leveldb.DB) {
		return func(d *damaged, db *leveldb.DB) { d.ok(db.Delete(d.keys(db, prefix)[0], nil)) }
	}
	flip := func(prefix string, n int) func(*damaged, *leveldb.DB) {
		return func(d *damaged, db *leveldb.DB) { d.flip(db, d.keys(db, prefix)[0], n) }
	}
	for _, c := range []struct {
		name, db string
		do       func(*damaged, *leveldb.DB)
		code     fsck.Code
	}{
		{"two entries swapped", "ledger", func(d *damaged, db *leveldb.DB) { d.swapValues(db, entry(3), entry(4)) }, fsck.CodeNode},
		{"two batches of a node swapped", "ledger", func(d *damaged, db *leveldb.DB) {
			b := d.keys(db, "bvendor-a")
			d.swapValues(db, "e"+string(d.get(db, b[0])), "e"+string(d.get(db, b[1])))
		}, ""},
		{"an entry missing", "ledger", func(d *damaged, db *leveldb.DB) { d.ok(db.Delete([]byte(entry(4)), nil)) }, fsck.CodeEntry},
		{"an entry changed", "ledger", flip(entry(3), -30), ""},
		{"the genesis changed", "ledger", flip(entry(0), 100), fsck.CodeEntry},
		{"an entry too many", "ledger", func(d *damaged, db *leveldb.DB) { put(entry(500), string(d.get(db, []byte(entry(3)))))(d, db) }, fsck.CodeRegister},
		{"a node changed", "ledger", flip("t\x01", 9), fsck.CodeNode},
		{"a node missing", "ledger", drop("t\x02"), fsck.CodeNode},
		{"a node too many", "ledger", put("t\x09"+entry(0)[1:], strings.Repeat("x", 64)), fsck.CodeRegister},
		{"the head's AppHash changed", "ledger", flip("h", -1), fsck.CodeAppHash},
		{"the head's size changed", "ledger", flip("h", 23), ""},
		{"the head's height changed", "ledger", flip("h", 7), ""},
		{"the head's register size changed", "ledger", flip("h", 31), fsck.CodeRegister},
		{"the head missing", "ledger", drop("h"), fsck.CodeRegister},
		{"the version changed", "ledger", flip("v", 3), fsck.CodeRegister},
		{"a cursor changed", "ledger", flip("cvendor-a", -1), fsck.CodeRegister},
		{"a cursor missing", "ledger", drop("cvendor-a"), fsck.CodeRegister},
		{"a key changed", "ledger", flip("kvendor-a", -1), fsck.CodeRegister},
		{"a key not revoked", "ledger", flip("kvendor-a\x00extra", 8), fsck.CodeRegister},
		{"a key missing", "ledger", drop("kvendor-a"), fsck.CodeRegister},
		{"a key too many", "ledger", put("kvendor-b\x00x", "x"), fsck.CodeRegister},
		{"a batch's place changed", "ledger", flip("bvendor-a", -1), fsck.CodeRegister},
		{"a batch's place missing", "ledger", drop("bvendor-a"), fsck.CodeRegister},
		{"a batch of nobody", "ledger", put("bnobody\x00"+entry(1)[1:], entry(1)[1:]), fsck.CodeRegister},
		{"a size's height changed", "ledger", flip("z", 7), ""},
		{"a size missing", "ledger", drop("z"), ""},
		{"a seal changed", "ledger", flip("s", 100), fsck.CodeSeal},
		{"a seal's time changed", "ledger", flip("s", 7), fsck.CodeSeal},
		{"a seal of another size", "ledger", func(d *damaged, db *leveldb.DB) {
			s := d.keys(db, "s")
			last := s[len(s)-1]
			for _, k := range s {
				if string(k[9:]) == string(last[9:]) { // of the same member
					d.swapValues(db, string(k), string(last))
					return
				}
			}
		}, fsck.CodeSeal},
		{"seals below the quorum", "ledger", func(d *damaged, db *leveldb.DB) {
			size := d.keys(db, "q")[0][1:]
			for _, k := range d.keys(db, "s"+string(size))[:2] {
				d.ok(db.Delete(k, nil))
			}
		}, fsck.CodeSeal},
		{"a seal of nobody", "ledger", func(d *damaged, db *leveldb.DB) {
			k := d.keys(db, "s")[0]
			put(string(k[:9])+"nobody", string(d.get(db, k)))(d, db)
		}, fsck.CodeSeal},
		{"a sealed size unmarked", "ledger", drop("q"), fsck.CodeSeal},
		{"a size marked twice", "ledger", func(d *damaged, db *leveldb.DB) { put("u"+string(d.keys(db, "q")[0][1:]), "")(d, db) }, fsck.CodeSeal},
		{"a newest seal changed", "ledger", flip("n", -1), fsck.CodeSeal},
		{"a conflict that is none", "ledger", put("x"+entry(3)[1:], "x"), fsck.CodeSeal},
		{"a key of no kind", "ledger", put("w", "x"), fsck.CodeRegister},
		{"a key behind all", "ledger", put("\xff", "x"), fsck.CodeRegister},
		{"a block missing", "comet/data/blockstore.db", drop("H:3"), fsck.CodeBlock},
		{"a part changed", "comet/data/blockstore.db", flip("P:3:0", 60), fsck.CodeBlock},
		{"a part missing", "comet/data/blockstore.db", drop("P:3:0"), fsck.CodeBlock},
		{"two parts swapped", "comet/data/blockstore.db", func(d *damaged, db *leveldb.DB) { d.swapValues(db, "P:2:0", "P:3:0") }, fsck.CodeBlock},
		{"two blocks swapped", "comet/data/blockstore.db", func(d *damaged, db *leveldb.DB) {
			d.swapValues(db, "P:2:0", "P:3:0")
			d.swapValues(db, "H:2", "H:3")
			d.swapValues(db, "C:2", "C:3")
		}, fsck.CodeBlock},
		{"a commit changed", "comet/data/blockstore.db", flip("C:3", -10), fsck.CodeBlock},
		{"the last commit changed", "comet/data/blockstore.db", func(d *damaged, db *leveldb.DB) {
			last := 0
			for _, k := range d.keys(db, "SC:") {
				var n int
				_, err := fmt.Sscanf(string(k), "SC:%d", &n)
				d.ok(err)
				last = max(last, n)
			}
			d.flip(db, fmt.Appendf(nil, "SC:%d", last), -10)
		}, fsck.CodeBlock},
		{"a block not found by its hash", "comet/data/blockstore.db", drop("BH:"), fsck.CodeBlock},
		{"a range of heights that is false", "comet/data/blockstore.db", put("blockStore", "\x08\x01\x10\x02"), fsck.CodeComet},
		{"blocks said to be pruned", "comet/data/blockstore.db", func(d *damaged, db *leveldb.DB) {
			v := d.get(db, []byte("blockStore"))
			put("blockStore", "\x08\x03"+string(v[2:]))(d, db)
		}, fsck.CodeBlock},
		{"the state changed", "comet/data/state.db", flip("stateKey", -3), ""},
		{"another genesis", "comet/data/state.db", flip("genesisDoc", -100), fsck.CodeComet},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDamaged(t, vendor)
			d.store(c.db, func(db *leveldb.DB) { c.do(d, db) })
			if c.code == "" {
				d.wants("data/chain/")
			} else {
				d.wants("data/chain/"+c.db, c.code)
			}
		})
	}
}

// TestNotes is what is told and not wrong.
func TestNotes(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*damaged)
		file string
		code fsck.Code
	}{
		{"a torn journal", func(d *damaged) {
			d.edit("data/archive/journal/*", func(b []byte) []byte { return append(b, 0xff, 'Q', 'F', 0xf7, 0, 0) })
		}, "data/archive/journal/", fsck.NoteTorn},
		{"a journal with a lost sector", func(d *damaged) {
			d.edit("data/archive/journal/*", func(b []byte) []byte { return append(b, make([]byte, 2000)...) })
		}, "data/archive/journal/", fsck.NoteTorn},
		{"a journal that never got its name", func(d *damaged) {
			d.ok(os.WriteFile(filepath.Join(d.dir, "data/archive/journal/0000000000000006.journal.tmp"), []byte("QF"), 0o600))
		}, "data/archive/journal/", fsck.NoteMoving},
		{"a restored home", func(d *damaged) { d.ok(os.WriteFile(filepath.Join(d.dir, "data/restored"), nil, 0o600)) }, "data/restored", fsck.NoteRestored},
		{"a restored home without its guard", func(d *damaged) {
			d.ok(os.WriteFile(filepath.Join(d.dir, "data/restored"), nil, 0o600), os.Remove(d.path("keys/guard.json")))
		}, "keys/guard.json", fsck.NoteRestored},
		{"a restored home that knows an older vote", func(d *damaged) {
			d.ok(os.WriteFile(filepath.Join(d.dir, "data/restored"), nil, 0o600), os.WriteFile(d.path("keys/consensus.last-signed.json"), []byte(`{"height":"1","round":0,"step":3}`), 0o600))
		}, "keys/consensus.last-signed.json", fsck.NoteRestored},
		{"the admin key elsewhere", func(d *damaged) { d.ok(os.Remove(d.path("keys/admin.pem"))) }, "keys/admin.pem", fsck.NoteAdminGone},
		{"half a line in the audit log", func(d *damaged) { d.edit("data/audit.log", func(b []byte) []byte { return append(b, "{"...) }) }, "data/audit.log", fsck.NoteTorn},
		{"a log that CometBFT has cut", func(d *damaged) {
			d.ok(os.WriteFile(filepath.Join(d.dir, "data/chain/comet/data/cs.wal/wal.CORRUPTED"), []byte("damaged"), 0o600))
		}, "data/chain/comet/data/cs.wal/wal.CORRUPTED", fsck.NoteWALCut},
		{"a batch under both names of a move", func(d *damaged) {
			from := d.path("data/archive/batches/*/0000000000000001-*")
			b, err := os.ReadFile(from)
			d.ok(err, os.WriteFile(filepath.Join(d.dir, "data/archive/outbox", filepath.Base(from)), b, 0o600))
		}, "data/archive/outbox/", fsck.NoteMoving},
		{"a batch closed in the journal", func(d *damaged) {
			b, err := os.ReadFile(d.path("data/archive/outbox/*"))
			d.ok(err, os.Remove(d.path("data/archive/outbox/*")), os.WriteFile(filepath.Join(d.dir, "data/archive/journal/0000000000000004.journal"), b, 0o600))
		}, "data/archive/journal/", fsck.NoteMoving},
		{"no index", func(d *damaged) { d.ok(os.RemoveAll(filepath.Join(d.dir, "data/archive/index"))) }, "data/archive/index", fsck.NoteNoIndex},
		{"no names of batches", func(d *damaged) { d.ok(os.RemoveAll(filepath.Join(d.dir, namesDir))) }, "data/archive/index/names", fsck.NoteNoIndex},
		{"an index that was given up", func(d *damaged) { d.ok(os.Remove(d.path(runsDir + "MANIFEST"))) }, "data/archive/index", fsck.NoteNoIndex},
		{"an index of an older version", func(d *damaged) {
			d.ok(os.WriteFile(filepath.Join(d.dir, "data/archive/index/CURRENT"), nil, 0o600))
		}, "data/archive/index", fsck.NoteNoIndex},
		{"an index without its newest file", func(d *damaged) {
			d.list(func(l []string) []string { return l[:len(l)-1] })
		}, runsDir, fsck.NoteMoving},
		{"half a file of the index", func(d *damaged) {
			d.ok(os.WriteFile(filepath.Join(d.dir, runsDir, "0000000000000099.run.tmp"), nil, 0o600))
		}, runsDir, fsck.NoteMoving},
		{"a home that has not run", func(d *damaged) { d.ok(os.RemoveAll(filepath.Join(d.dir, "data"))) }, "data/chain/ledger", fsck.NoteEmpty},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDamaged(t, vendor)
			c.do(d)
			r := check(t, d.dir, vendor)
			if r.Result != fsck.Good {
				t.Fatalf("%s", r.Text(false))
			}
			for _, n := range r.Notes {
				if n.Code == c.code && strings.HasPrefix(n.File, c.file) {
					return
				}
			}
			t.Errorf("it was not told:\n%s", r.Text(false))
		})
	}
}

// TestPin holds the ledger against a root that the policy pins.
func TestPin(t *testing.T) {
	d := newDamaged(t, vendor)
	genesis, err := os.ReadFile(d.path("genesis.json"))
	d.ok(err)
	for _, right := range []bool{true, false} {
		root := merkle.LeafHash(bytes.TrimSpace(genesis))
		if !right {
			root.SM3[5] ^= 1
		}
		d.edit("policy.txt", func(b []byte) []byte {
			b, _, _ = bytes.Cut(b, []byte("pin "))
			return fmt.Appendf(b, "pin 1 %x %x\n", root.SM3, root.SHA256)
		})
		if right {
			if r := check(t, d.dir, vendor); r.Result != fsck.Good {
				t.Fatalf("%s", r.Text(false))
			}
		} else {
			d.wants("policy.txt", fsck.CodePin)
		}
	}
}
