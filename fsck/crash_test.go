package fsck_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	cmtstate "github.com/cometbft/cometbft/proto/tendermint/state"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/journal"

	"qifeng/fsck"
)

// setBack puts CometBFT's state back by some heights.
func (d *damaged) setBack(by int64) {
	d.t.Helper()
	var st cmtstate.State
	d.store("comet/data/state.db", func(db *leveldb.DB) { d.ok(st.Unmarshal(d.get(db, []byte("stateKey")))) })
	var meta cmtproto.BlockMeta // a block states the AppHash before it
	d.store("comet/data/blockstore.db", func(db *leveldb.DB) {
		d.ok(meta.Unmarshal(d.get(db, fmt.Appendf(nil, "H:%d", st.LastBlockHeight-by+1))))
	})
	st.LastBlockHeight -= by
	st.AppHash = meta.Header.AppHash
	raw, err := st.Marshal()
	d.ok(err)
	d.store("comet/data/state.db", func(db *leveldb.DB) { d.ok(db.Put([]byte("stateKey"), raw, nil)) })
}

// ledgerBack puts the ledger's head back by one height, if that height added
// nothing: the last block that a chain at rest makes.
func (d *damaged) ledgerBack() {
	d.t.Helper()
	d.ledger(func(db *leveldb.DB) {
		head := d.get(db, []byte("h"))
		height := binary.BigEndian.Uint64(head)
		sizes := d.keys(db, "z")
		if binary.BigEndian.Uint64(d.get(db, sizes[len(sizes)-1])) == height {
			d.t.Fatal("the last height added something: the network was not at rest")
		}
		binary.BigEndian.PutUint64(head, height-1)
		d.ok(db.Put([]byte("h"), head, nil))
	})
}

// secondJournal adds a journal to a database, with a batch that puts a key which is
// there once more. A node that is killed while a table is written out leaves two.
func (d *damaged) secondJournal(name string) {
	d.t.Helper()
	var b leveldb.Batch
	d.store(name, func(db *leveldb.DB) {
		for _, prefix := range []string{"h", "blockStore", "stateKey"} {
			if v, err := db.Get([]byte(prefix), nil); err == nil {
				b.Put([]byte(prefix), v)
			}
		}
	})
	list, err := filepath.Glob(filepath.Join(d.dir, "data/chain", name, "*.log"))
	d.ok(err)
	if len(list) != 1 || b.Len() != 1 {
		d.t.Fatalf("%d journals, %d keys", len(list), b.Len())
	}
	var n int
	_, err = fmt.Sscanf(filepath.Base(list[0]), "%d.log", &n)
	d.ok(err)
	f, err := os.Create(filepath.Join(filepath.Dir(list[0]), fmt.Sprintf("%06d.log", n+7)))
	d.ok(err)
	w := journal.NewWriter(f)
	rec, err := w.Next()
	d.ok(err)
	_, err = rec.Write(append(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(nil, 1<<40), 1), b.Dump()...)) // sequence number, count
	d.ok(err, w.Close(), f.Close())
}

// TestBetweenStores is a home whose node was killed between the steps of a commit:
// the block is stored, then the ledger, then CometBFT's state.
func TestBetweenStores(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*damaged)
		good bool
	}{
		{"ledger committed and state not saved", func(d *damaged) { d.setBack(1) }, true},
		{"block stored and not executed", func(d *damaged) { d.ledgerBack(); d.setBack(1) }, true},
		{"killed while the ledger wrote a table", func(d *damaged) { d.secondJournal("ledger") }, true},
		{"killed while the blocks wrote a table", func(d *damaged) { d.secondJournal("comet/data/blockstore.db") }, true},
		{"state two heights behind", func(d *damaged) { d.setBack(2) }, false},
		{"ledger behind the state", func(d *damaged) { d.ledgerBack() }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDamaged(t, vendor)
			c.do(d)
			if !c.good {
				d.wants("data/chain/", fsck.CodeComet)
			} else if r := check(t, d.dir, vendor); r.Result != fsck.Good {
				t.Errorf("%s", r.Text(false))
			}
		})
	}
}
