package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// anchorDir is the store of the anchors' receipts, a goleveldb.
const anchorDir = "anchor"

// errMoved says that the database was reorganised while it was copied.
var errMoved = errors.New("the store of anchors was reorganised while it was copied")

// takeAnchors copies the receipts of the anchors, of which the outside witnesses
// keep no copy for us. The node may be writing:
//
//  1. CURRENT names the MANIFEST, whose records say which tables and journals make
//     the database; both are read, and the folder is listed;
//  2. the tables, which never change, the journals from the oldest on, which only
//     grow, and the MANIFEST up to the length that it had;
//  3. CURRENT and the length of the MANIFEST are looked at again.
//
// If neither has changed, tables came and went in no moment between, and the
// journals hold a beginning of what was written: the copy is the database as a
// power cut at that moment would have left it. Else the copy is thrown away and
// made again. A store that never rests long enough is left out, and said to be.
func (t *taker) takeAnchors(data *os.Root) error {
	db, err := data.OpenRoot(anchorDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer db.Close()
	for try := 1; ; try++ {
		mark, report := len(t.m.Files), *t.r
		err := t.copyStore(db)
		if err == nil || !errors.Is(err, errMoved) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		t.m.Files = t.m.Files[:mark]
		t.r.New, t.r.NewBytes = report.New, report.NewBytes
		if err := t.to.RemoveAll(t.m.Set + "/" + dataPart + anchorDir); err != nil {
			return err
		}
		if try == storeTries {
			t.m.LeftOut = append(t.m.LeftOut, dataPart+anchorDir)
			return nil
		}
		select {
		case <-t.ctx.Done():
			return t.ctx.Err()
		case <-time.After(storePause):
		}
	}
}

// storeState is what says which files make the database.
type storeState struct {
	manifest string
	size     int64
}

func readStore(db *os.Root) (s storeState, err error) {
	raw, err := readBounded(db, "CURRENT", maxIdentity)
	if err != nil {
		return s, err
	}
	name, ok := strings.CutSuffix(string(raw), "\n")
	if !ok || !strings.HasPrefix(name, "MANIFEST-") || name != path.Base(name) {
		return s, fmt.Errorf("the store of anchors: CURRENT names %q", raw)
	}
	st, err := db.Lstat(name)
	if err != nil {
		return s, err
	}
	return storeState{name, st.Size()}, nil
}

func (t *taker) copyStore(db *os.Root) error {
	before, err := readStore(db)
	if err != nil {
		return err
	}
	names, err := storeFiles(db)
	if err != nil {
		return err
	}
	put := func(name string, cut func(io.ReaderAt, int64) (int64, error)) error {
		return t.copy(db, name, dataPart+anchorDir+"/"+name, cut)
	}
	for _, name := range names {
		if err := put(name, whole); err != nil {
			return err
		}
	}
	err = put(before.manifest, func(_ io.ReaderAt, size int64) (int64, error) {
		if size < before.size {
			return 0, errMoved
		}
		return before.size, nil
	})
	if err == nil {
		err = put("CURRENT", whole)
	}
	if err != nil {
		return err
	}
	after, err := readStore(db)
	if err == nil && after != before {
		err = errMoved
	}
	return err
}

// storeFiles lists tables and then journals, each in the order of their numbers.
func storeFiles(db *os.Root) ([]string, error) {
	d, err := db.Open(".")
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, err
	}
	slices.Sort(names) // numbers have leading zeros
	var tables, journals []string
	for _, name := range names {
		switch path.Ext(name) {
		case ".ldb":
			tables = append(tables, name)
		case ".log":
			journals = append(journals, name)
		}
	}
	return append(tables, journals...), nil
}
