package fsck

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/storage"

	"qifeng/evidence"
	"qifeng/internal/gm"
)

// Bare is an archive without the home around it, and what it is held against:
// the fault tests of the archive have no chain, and say themselves what theirs
// has agreed on.
type Bare struct {
	Dir     string // of the archive; its name is "archive"
	Node    string
	ChainID string
	Intake  gm.PublicKey
	Submit  map[string]gm.PublicKey // keys of the node's own submitters, by name
	Entries [][]byte                // signed batch headers that the chain has, of this node, in order
}

// CheckBare checks an archive as Check does the one of a home. Its keys count
// from the beginning, and no root of the ledger is known.
func CheckBare(ctx context.Context, b Bare) *Report {
	c := &checker{ctx: ctx, home: Home{Dir: filepath.Dir(b.Dir), Self: b.Node, Data: filepath.Dir(b.Dir)},
		opt:    Options{Workers: 1, Progress: func(Phase, int64, int64) {}},
		report: &Report{Home: b.Dir, Member: b.Node, Chain: b.ChainID, Skipped: []string{}}}
	return c.conclude(c.bare(b))
}

func (c *checker) bare(b Bare) error {
	if filepath.Base(b.Dir) != "archive" {
		return fmt.Errorf("%s is no folder archive", b.Dir)
	}
	unlock, err := lockShared(filepath.Join(b.Dir, "LOCK"))
	if err != nil {
		return err
	}
	defer unlock()
	c.cons = &consortium{chain: b.ChainID, ids: []string{b.Node}, cards: map[string]*evidence.Card{b.Node: {ID: b.Node, Intake: b.Intake}}}
	reg := newRegister(c.cons)
	for name, key := range b.Submit {
		reg.keys[b.Node][name] = &userKey{public: key, purpose: evidence.Submit}
	}
	db, err := leveldb.Open(storage.NewMemStorage(), nil)
	if err != nil {
		return err
	}
	c.book = &ledger{c: c, db: &database{c: c, dir: "the chain", db: db}, reg: reg, size: uint64(len(b.Entries)), seals: &sealReader{}}
	defer c.book.close()
	for i, raw := range b.Entries {
		h, err := evidence.ParseBatch(raw)
		if err != nil || h.Node != b.Node {
			return fmt.Errorf("entry %d is no batch of %s: %w", i, b.Node, err)
		}
		index := be8(uint64(i))
		if err := errors.Join(db.Put(batchKey(b.Node, h.Seq), index, nil), db.Put(append([]byte{'e'}, index...), raw, nil)); err != nil {
			return err
		}
		reg.cursors[b.Node] = cursorState{seq: h.Seq, last: h.LastReceivedAt}
	}
	return c.checkArchive()
}
