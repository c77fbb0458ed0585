package fsck_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb"

	"qifeng/fsck"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// anchored is a home with receipts of a witness, and what they were made with.
type anchored struct {
	*damaged
	chain   string
	key     *gm.PrivateKey
	witness checkpoint.Witness
	notes   [][]byte // cosigned, of rising sizes
	sizes   []uint64
	at      time.Time
}

func newAnchored(t *testing.T) *anchored {
	t.Helper()
	a := &anchored{damaged: newDamaged(t, vendor), at: time.Unix(time.Now().Unix(), 0)}
	var err error
	a.key, err = gm.GenerateKey(gm.Ed25519)
	a.ok(err)
	a.witness = checkpoint.Witness{Name: "outside.example/w", Key: a.key.Public()}
	raw, err := os.ReadFile(a.path("policy.txt"))
	a.ok(err)
	policy, err := checkpoint.ParsePolicy(raw)
	a.ok(err)
	a.chain = policy.Chain
	homes, _ := networks()
	for _, name := range []string{"0-a", "1-a", "2-a"} {
		raw, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(homes[0])), name+".qifeng.json"))
		a.ok(err)
		f, err := proof.Parse(raw)
		a.ok(err)
		sealed, err := checkpoint.Open(f.Checkpoint, policy, checkpoint.Options{})
		a.ok(err)
		a.notes, a.sizes = append(a.notes, a.cosigned(f.Checkpoint)), append(a.sizes, sealed.Size)
	}
	if !slices.IsSorted(a.sizes) || len(slices.Compact(slices.Clone(a.sizes))) != 3 {
		t.Fatalf("the proofs are of the sizes %v", a.sizes)
	}
	a.writeRoots(&proof.AnchorRoots{Chain: a.chain, Witnesses: []proof.NamedWitness{{Name: "outside", Witness: a.witness}}})
	a.store("../anchor", func(db *leveldb.DB) {
		a.ok(db.Put([]byte("v"), []byte("qifeng-anchor/1\n"+a.chain), nil))
		before := uint64(0)
		for i, size := range a.sizes {
			a.put(db, number('r', "outside", size), a.receipt(before, a.notes[i]))
			before = size
		}
		a.put(db, []byte("poutside"), parts(append(binary.BigEndian.AppendUint64([]byte{1}, before), moment(a.at)...), a.notes[2]))
		a.put(db, number('a', "outside", 1), parts(slices.Concat([]byte{1}, moment(a.at), moment(a.at), number('r', "", before)[2:]), []byte("ours"), []byte("theirs"), []byte("text")))
	})
	return a
}

// cosigned adds the witness's line to a note.
func (a *anchored) cosigned(note []byte) []byte {
	a.t.Helper()
	line, err := a.witness.Cosign(a.key, a.at.Unix(), note[:bytes.Index(note, []byte("\n\n"))+1])
	a.ok(err)
	out, err := checkpoint.AddLines(note, line)
	a.ok(err)
	return out
}

func (a *anchored) writeRoots(r *proof.AnchorRoots) {
	a.t.Helper()
	raw, err := r.Marshal()
	a.ok(err, os.WriteFile(filepath.Join(a.dir, "anchor-roots.json"), raw, 0o600))
}

// receipt is the body of a receipt of a witness.
func (a *anchored) receipt(before uint64, note []byte) []byte {
	b := binary.BigEndian.AppendUint64([]byte{1, 3}, before)
	return parts(slices.Concat(b, moment(a.at), moment(a.at)), note, nil)
}

// put writes a body with its checksum.
func (a *anchored) put(db *leveldb.DB, key, body []byte) {
	a.t.Helper()
	sum := merkle.Sum(slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(key))), key, body))
	a.ok(db.Put(key, slices.Concat(body, sum.SM3[:], sum.SHA256[:]), nil))
}

func number(sort byte, name string, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{sort}, name+"\x00"...), n)
}

func moment(t time.Time) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, uint64(t.Unix())), uint32(t.Nanosecond()))
}

func parts(b []byte, list ...[]byte) []byte {
	for _, p := range list {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	return b
}

// TestAnchors reads a good store, and says what it could not verify.
func TestAnchors(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*anchored)
		want []fsck.Code
		n    uint64
	}{
		{"whole", func(*anchored) {}, []fsck.Code{fsck.NoteAnchorAlarm}, 3},
		{"with requests to resume", func(a *anchored) { a.ok(os.Mkdir(filepath.Join(a.dir, "data/anchor-resume"), 0o700)) }, []fsck.Code{fsck.NoteAnchorAlarm}, 3},
		{"without roots", func(a *anchored) { a.ok(os.Remove(a.path("anchor-roots.json"))) }, []fsck.Code{fsck.NoteAnchorAlarm, fsck.NoteUnproved}, 3},
		{"with roots that know another", func(a *anchored) {
			a.writeRoots(&proof.AnchorRoots{Chain: a.chain, Witnesses: []proof.NamedWitness{{Name: "other", Witness: a.witness}}})
		}, []fsck.Code{fsck.NoteAnchorAlarm, fsck.NoteUnproved}, 3},
		{"no store", func(a *anchored) { a.ok(os.RemoveAll(a.path("data/anchor"))) }, nil, 0},
		{"a store whose making was cut short", func(a *anchored) {
			for _, p := range []string{"*.log", "*.ldb", "CURRENT*"} {
				list, err := filepath.Glob(filepath.Join(a.dir, "data/anchor", p))
				a.ok(err)
				for _, path := range list {
					a.ok(os.Remove(path))
				}
			}
		}, []fsck.Code{fsck.NoteEmpty}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newAnchored(t)
			c.do(a)
			r := check(t, a.dir, vendor)
			if r.Result != fsck.Good || r.Counts.Anchors != c.n {
				t.Fatalf("%d receipts\n%s", r.Counts.Anchors, r.Text(false))
			}
			var got []fsck.Code
			for _, n := range r.Notes {
				got = append(got, n.Code)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("it says %v, want %v", got, c.want)
			}
		})
	}
}

// TestAnchorsDamaged changes the store as a disk does, and as somebody who puts the
// checksums right again.
func TestAnchorsDamaged(t *testing.T) {
	in := func(f func(*anchored, *leveldb.DB)) func(*anchored) {
		return func(a *anchored) { a.store("../anchor", func(db *leveldb.DB) { f(a, db) }) }
	}
	key := func(a *anchored, i int) []byte { return number('r', "outside", a.sizes[i]) }
	for _, c := range []struct {
		name string
		do   func(*anchored)
		code fsck.Code
	}{
		{"a receipt changed", in(func(a *anchored, db *leveldb.DB) { a.flip(db, key(a, 1), 100) }), fsck.CodeAnchor},
		{"a pending statement changed", in(func(a *anchored, db *leveldb.DB) { a.flip(db, []byte("poutside"), 50) }), fsck.CodeAnchor},
		{"an alarm changed", in(func(a *anchored, db *leveldb.DB) { a.flip(db, number('a', "outside", 1), -1) }), fsck.CodeAnchor},
		{"an alarm missing", in(func(a *anchored, db *leveldb.DB) {
			a.put(db, number('a', "outside", 3), parts(slices.Concat([]byte{1}, make([]byte, 32)), nil, nil, nil))
		}), fsck.CodeAnchor},
		{"two receipts swapped", in(func(a *anchored, db *leveldb.DB) { a.swapValues(db, string(key(a, 0)), string(key(a, 1))) }), fsck.CodeAnchor},
		{"a receipt missing", in(func(a *anchored, db *leveldb.DB) { a.ok(db.Delete(key(a, 1), nil)) }), fsck.CodeAnchor},
		{"a note of another size", in(func(a *anchored, db *leveldb.DB) { a.put(db, key(a, 1), a.receipt(a.sizes[0], a.notes[0])) }), fsck.CodeAnchor},
		{"a note without the witness", in(func(a *anchored, db *leveldb.DB) {
			note := a.notes[1]
			a.put(db, key(a, 1), a.receipt(a.sizes[0], note[:bytes.LastIndexByte(note[:len(note)-1], '\n')+1]))
		}), fsck.CodeAnchor},
		{"a note without its seals", in(func(a *anchored, db *leveldb.DB) {
			body, lines, _ := bytes.Cut(a.notes[1], []byte("\n\n"))
			line, _, _ := bytes.Cut(lines, []byte("\n"))
			a.put(db, key(a, 1), a.receipt(a.sizes[0], a.cosigned(slices.Concat(body, []byte("\n\n"), line, []byte("\n")))))
		}), fsck.CodeAnchor},
		{"another time", func(a *anchored) {
			a.at = a.at.Add(time.Second)
			in(func(a *anchored, db *leveldb.DB) { a.put(db, key(a, 1), a.receipt(a.sizes[0], a.notes[1])) })(a)
		}, fsck.CodeAnchor},
		{"another kind", in(func(a *anchored, db *leveldb.DB) {
			b := a.receipt(a.sizes[0], a.notes[1])
			b[1] = 2
			a.put(db, key(a, 1), b)
		}), fsck.CodeAnchor},
		{"something behind a receipt", in(func(a *anchored, db *leveldb.DB) {
			a.put(db, key(a, 1), append(a.receipt(a.sizes[0], a.notes[1]), 0))
		}), fsck.CodeAnchor},
		{"a key of no kind", in(func(a *anchored, db *leveldb.DB) { a.ok(db.Put([]byte("x"), nil, nil)) }), fsck.CodeAnchor},
		{"a name that is none", in(func(a *anchored, db *leveldb.DB) { a.put(db, []byte("pÄ"), nil) }), fsck.CodeAnchor},
		{"no version", in(func(a *anchored, db *leveldb.DB) { a.ok(db.Delete([]byte("v"), nil)) }), fsck.CodeAnchor},
		{"the store of another chain", in(func(a *anchored, db *leveldb.DB) {
			a.ok(db.Put([]byte("v"), []byte("qifeng-anchor/1\ndev-00000000"), nil))
		}), fsck.CodeAnchor},
		{"its files cut", func(a *anchored) {
			a.store("../anchor", func(*leveldb.DB) {}) // now they are tables
			a.edit("data/anchor/*.ldb", func(b []byte) []byte { return b[:len(b)/2] })
		}, fsck.CodeAnchor},
		{"a table missing", func(a *anchored) {
			a.store("../anchor", func(*leveldb.DB) {})
			a.ok(os.Remove(a.path("data/anchor/*.ldb")))
		}, fsck.CodeAnchor},
		{"roots changed", func(a *anchored) {
			a.edit("anchor-roots.json", func(b []byte) []byte { return bytes.Replace(b, []byte("outside"), []byte("OUTSIDE"), 1) })
		}, fsck.CodeAnchorRoots},
		{"roots of another chain", func(a *anchored) {
			a.writeRoots(&proof.AnchorRoots{Chain: "dev-00000000", Witnesses: []proof.NamedWitness{{Name: "outside", Witness: a.witness}}})
		}, fsck.CodeAnchorRoots},
		{"roots with another key", func(a *anchored) {
			k, err := gm.GenerateKey(gm.Ed25519)
			a.ok(err)
			a.writeRoots(&proof.AnchorRoots{Chain: a.chain, Witnesses: []proof.NamedWitness{{Name: "outside", Witness: checkpoint.Witness{Name: a.witness.Name, Key: k.Public()}}}})
		}, fsck.CodeAnchor},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newAnchored(t)
			c.do(a)
			file := "data/anchor"
			if c.code == fsck.CodeAnchorRoots {
				file = "anchor-roots.json"
			}
			a.wants(file, c.code)
		})
	}
}
