package fsck_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/syndtr/goleveldb/leveldb"

	"qifeng/fsck"
)

// runs are the files of the index, in their order.
func (d *damaged) runs() []string {
	d.t.Helper()
	list, err := filepath.Glob(filepath.Join(d.dir, runsDir, "*.run"))
	d.ok(err)
	if len(list) < 2 {
		d.t.Fatalf("the index has %d files", len(list))
	}
	return list
}

// reseal changes a file of the index and puts its checksums right.
func (d *damaged) reseal(path string, f func(b []byte)) {
	d.t.Helper()
	b, err := os.ReadFile(path)
	d.ok(err)
	f(b)
	fsck.ResealRun(b, d.number(path))
	d.ok(os.WriteFile(path, b, 0o600))
}

func (d *damaged) number(path string) (n uint64) {
	d.t.Helper()
	_, err := fmt.Sscanf(filepath.Base(path), "%d.run", &n)
	d.ok(err)
	return n
}

// list writes the list of the index again, with its checksum.
func (d *damaged) list(f func(lines []string) []string) {
	d.t.Helper()
	d.edit(runsDir+"MANIFEST", func(b []byte) []byte {
		lines := strings.SplitAfter(string(b), "\n")
		text := strings.Join(f(lines[:len(lines)-2]), "")
		return fmt.Appendf(nil, "%ssum %08x\n", text, crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)))
	})
}

func (d *damaged) names(f func(*leveldb.DB)) {
	d.t.Helper()
	d.store("../archive/index/names", f)
}

func bodyKey(seq uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'b'}, seq) }

// TestIndex changes the index as somebody does who puts the checksums right again.
func TestIndex(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*damaged)
		file string
		code fsck.Code
	}{
		{"a record at another place", func(d *damaged) {
			d.reseal(d.runs()[0], func(b []byte) { ids, _, _, _ := fsck.RunParts(b); b[ids+15] ^= 1 })
		}, runsDir, fsck.CodeIndex},
		{"a list's entry at another place", func(d *damaged) {
			d.reseal(d.runs()[0], func(b []byte) { _, lists, _, _ := fsck.RunParts(b); b[lists+15] ^= 1 })
		}, runsDir, fsck.CodeIndex},
		{"an id's fingerprint changed", func(d *damaged) {
			d.reseal(d.runs()[0], func(b []byte) { ids, _, _, _ := fsck.RunParts(b); b[ids+16+5] ^= 1 })
		}, runsDir, fsck.CodeIndex},
		{"a digest's fingerprint changed", func(d *damaged) {
			d.reseal(d.runs()[0], func(b []byte) { _, lists, _, _ := fsck.RunParts(b); b[lists+16+5] ^= 1 })
		}, runsDir, fsck.CodeIndex},
		{"an entry left out", func(d *damaged) {
			d.reseal(d.runs()[0], func(b []byte) {
				_, lists, _, _ := fsck.RunParts(b)
				n := binary.BigEndian.Uint64(b[56:])
				binary.BigEndian.PutUint64(b[56:], n-1)
				clear(b[lists+(n-1)*16:][:16])
			})
		}, runsDir, fsck.CodeIndex},
		{"an entry too much", func(d *damaged) {
			d.reseal(d.runs()[0], func(b []byte) {
				_, lists, _, _ := fsck.RunParts(b)
				n := binary.BigEndian.Uint64(b[56:])
				binary.BigEndian.PutUint64(b[56:], n+1)
				last := b[lists+(n-1)*16:]
				copy(last[16:32], last[:16])
			})
		}, runsDir, fsck.CodeIndex},
		{"two entries exchanged", func(d *damaged) {
			d.reseal(d.runs()[0], func(b []byte) {
				ids, _, _, _ := fsck.RunParts(b)
				first := bytes.Clone(b[ids:][:16])
				copy(b[ids:], b[ids+16:][:16])
				copy(b[ids+16:], first)
			})
		}, runsDir, fsck.CodeIndex},
		{"something behind the entries", func(d *damaged) {
			d.reseal(d.runs()[0], func(b []byte) { _, lists, _, _ := fsck.RunParts(b); b[lists-5] = 1 })
		}, runsDir, fsck.CodeIndex},
		{"a fence changed", func(d *damaged) {
			d.reseal(d.runs()[0], func(b []byte) { _, _, _, fences := fsck.RunParts(b); b[fences+3] ^= 1 })
		}, runsDir, fsck.CodeIndex},
		{"a filter that lets an id pass by", func(d *damaged) {
			d.reseal(d.runs()[0], func(b []byte) { _, _, filter, _ := fsck.RunParts(b); clear(b[filter : filter+32]) })
		}, runsDir, fsck.CodeIndex},
		{"a filter with a bit too much", func(d *damaged) {
			d.reseal(d.runs()[0], func(b []byte) { _, _, filter, _ := fsck.RunParts(b); b[filter] = ^b[filter] })
		}, runsDir, fsck.CodeIndex},
		{"a file that says that it goes further", func(d *damaged) {
			d.reseal(d.runs()[0], func(b []byte) { b[47]++ })
		}, runsDir, fsck.CodeIndex},
		{"a file that says that its records are older", func(d *damaged) {
			d.reseal(d.runs()[0], func(b []byte) { b[71]-- })
		}, runsDir, fsck.CodeIndex},
		{"something behind the filter", func(d *damaged) {
			d.reseal(d.runs()[0], func(b []byte) { _, _, _, fences := fsck.RunParts(b); b[fences-5] = 1 })
		}, runsDir, fsck.CodeIndex},
		{"two files swapped", func(d *damaged) { d.swap(d.runs()[0], d.runs()[1]) }, runsDir, fsck.CodeIndex},
		{"two files swapped with their numbers", func(d *damaged) {
			r := d.runs()
			d.swap(r[0], r[1])
			d.reseal(r[0], func([]byte) {})
			d.reseal(r[1], func([]byte) {})
		}, runsDir, fsck.CodeIndex},
		{"a file twice in the list", func(d *damaged) {
			d.list(func(l []string) []string { return append(l, l[len(l)-1]) })
		}, runsDir, fsck.CodeIndex},
		{"the first file left out of the list", func(d *damaged) {
			d.list(func(l []string) []string { return append(l[:2:2], l[3:]...) })
		}, strings.TrimSuffix(runsDir, "/"), fsck.CodeIndex},
		{"another key", func(d *damaged) {
			d.list(func(l []string) []string { l[1] = "key " + strings.Repeat("0", 32) + "\n"; return l })
		}, runsDir, fsck.CodeIndex},
		{"a list of another version", func(d *damaged) {
			d.list(func(l []string) []string { l[0] = "qifeng-runs/2\n"; return l })
		}, runsDir + "MANIFEST", fsck.CodeIndex},
		{"a batch's name missing", func(d *damaged) {
			d.names(func(db *leveldb.DB) { d.ok(db.Delete(bodyKey(2), nil)) })
		}, "data/archive/index/names", fsck.CodeIndex},
		{"two batches' names exchanged", func(d *damaged) {
			d.names(func(db *leveldb.DB) { d.swapValues(db, string(bodyKey(1)), string(bodyKey(2))) })
		}, "data/archive/index/names", fsck.CodeIndex},
		{"a name of a batch that is not there", func(d *damaged) {
			d.names(func(db *leveldb.DB) {
				d.ok(db.Put(bodyKey(77), fmt.Appendf(nil, "%016d-%064d.batch", 77, 0), nil))
			})
		}, "data/archive/index/names", fsck.CodeIndex},
		{"a key that nobody reads", func(d *damaged) {
			d.names(func(db *leveldb.DB) { d.ok(db.Put([]byte("x"), nil, nil)) })
		}, "data/archive/index/names", fsck.CodeIndex},
		{"a mark behind the end of the files", func(d *damaged) {
			d.names(func(db *leveldb.DB) {
				d.ok(db.Put([]byte("m"), append(binary.BigEndian.AppendUint64(nil, 5), 0, 0, 0xff, 0, 0, 0, 0, 0), nil))
			})
		}, "data/archive/journal/0000000000000005.journal", fsck.CodeShort},
		{"a journal that has lost its last group", func(d *damaged) {
			d.edit("data/archive/journal/*", func(b []byte) []byte {
				starts := fsck.FrameStarts(b)
				return b[:starts[len(starts)-1]]
			})
		}, "data/archive/journal/0000000000000005.journal", fsck.CodeShort},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDamaged(t, vendor)
			c.do(d)
			d.wants(c.file, c.code)
		})
	}
}

// TestEveryByteOfIndex changes every byte of a file of the index, first as a disk
// does and then as somebody who puts the checksums right again, and cuts it.
func TestEveryByteOfIndex(t *testing.T) {
	d := newDamaged(t, vendor)
	path, check, err := fsck.RunChecker(t.Context(), layout(d.dir, vendor))
	d.ok(err)
	good, err := os.ReadFile(path)
	d.ok(err, check(good))
	name, err := filepath.Rel(d.dir, path)
	d.ok(err)
	for at := range good {
		if err := check(good[:at]); !fsck.IsProblem(err, name) {
			t.Errorf("cut to %d bytes: %v", at, err)
		}
		bad := bytes.Clone(good)
		bad[at] ^= 1 << (at % 8)
		if err := check(bad); !fsck.IsProblem(err, name) {
			t.Errorf("byte %d changed: %v", at, err)
		}
		if at >= 48 && at < 64 { // the counts, which say where the checksums are
			continue
		}
		if fsck.ResealRun(bad, d.number(path)); bytes.Equal(bad, good) {
			continue // it was a checksum
		}
		if err := check(bad); !fsck.IsProblem(err, name) {
			t.Errorf("byte %d changed with its checksums: %v", at, err)
		}
	}
}

// TestIndexMend does what a finding says, and has the same index again.
func TestIndexMend(t *testing.T) {
	d := newDamaged(t, vendor)
	whole := check(t, d.dir, vendor).Counts.Index
	d.edit(runsDir+"*.run", func(b []byte) []byte { return b[:len(b)-1] })
	d.wants(runsDir, fsck.CodeIndex)
	d.ok(os.RemoveAll(filepath.Join(d.dir, "data/archive/index")))
	if r := check(t, d.dir, vendor); r.Result != fsck.Good || r.Counts.Index != 0 {
		t.Fatalf("without an index: %s", r.Text(false))
	}
	stop, err := background(`"node started"`, "start", "--home", d.dir)
	d.ok(err)
	stop()
	if r := check(t, d.dir, vendor); r.Result != fsck.Good || r.Counts.Index != whole || whole == 0 {
		t.Errorf("%d entries, before it were %d\n%s", r.Counts.Index, whole, r.Text(false))
	}
}

// TestSipHash compares the hash with the vectors of its paper, of 0, 1 … bytes.
func TestSipHash(t *testing.T) {
	var key [16]byte
	var msg []byte
	for i := range key {
		key[i] = byte(i)
	}
	for i, want := range []string{"310e0edd47db6f72", "fd67dc93c539f874", "5a4fa9d909806c0d", "2d7efbd796666785", "b7877127e09427cf",
		"8da699cd64557618", "cee3fe586e46c9cb", "37d1018bf50002ab", "6224939a79f5f593", "b0e4a90bdf82009e"} {
		got := binary.LittleEndian.AppendUint64(nil, fsck.SipHash(&key, msg))
		if hex.EncodeToString(got) != want {
			t.Errorf("%d bytes: %x, want %s", i, got, want)
		}
		msg = append(msg, byte(i))
	}
}
