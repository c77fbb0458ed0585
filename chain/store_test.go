package chain

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	abci "github.com/cometbft/cometbft/abci/types"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestStoreRefuses(t *testing.T) {
	g, c := readGolden(t)
	other := newFixture(t).c
	cases := []struct {
		name  string
		c     *consortium
		spoil func(s *store) error
		text  string
	}{
		{"another chain's ledger", other, nil, "this node needs"},
		{"another format", c, func(s *store) error { return s.db.Put([]byte{kVersion}, []byte("qifeng-ledger/0\n"+c.chainID), nil) }, "this node needs"},
		{"no format version", c, func(s *store) error { return s.db.Delete([]byte{kVersion}, nil) }, "no format version"},
		{"no head", c, func(s *store) error { return s.db.Delete([]byte{kHead}, nil) }, "reading the head"},
		{"a short head", c, func(s *store) error { return s.db.Put([]byte{kHead}, []byte("x"), nil) }, "the head has 1 bytes"},
		{"another genesis", c, func(s *store) error { return s.db.Put(entryKey(0), []byte("{}"), nil) }, "another genesis"},
		{"no genesis", c, func(s *store) error { return s.db.Delete(entryKey(0), nil) }, "entry 0"},
		{"a lost node", c, func(s *store) error { return s.db.Delete(nodeKey(3, 0), nil) }, "tree node 3/0"},
		{"a changed node", c, func(s *store) error { return s.db.Put(nodeKey(3, 0), bytes.Repeat([]byte{1}, 64), nil) }, "damaged"},
		{"a short node", c, func(s *store) error { return s.db.Put(nodeKey(3, 0), []byte{1}, nil) }, "digest pair of 1 bytes"},
		{"a lost key", c, func(s *store) error { return s.db.Delete(keyKey("vendor-a", "clerk"), nil) }, "damaged"},
		{"a spoiled key", c, func(s *store) error { return s.db.Put(keyKey("vendor-a", "clerk"), []byte("x"), nil) }, "is damaged"},
		{"a moved cursor", c, func(s *store) error { return s.db.Put(cursorKey("vendor-a"), make([]byte, 16), nil) }, "damaged"},
		{"a short cursor", c, func(s *store) error { return s.db.Put(cursorKey("vendor-a"), []byte("x"), nil) }, "cursor of vendor-a"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			n := openGolden(t, c, dir)
			n.run(t, g, len(g.Blocks), true)
			if tc.spoil != nil {
				if err := tc.spoil(n.store); err != nil {
					t.Fatal(err)
				}
			}
			if err := n.store.close(); err != nil {
				t.Fatal(err)
			}
			if _, _, err := openStore(dir, tc.c); err == nil || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error %v, want %q", err, tc.text)
			}
		})
	}
}

// TestStoreTornJournal cuts the store's journal at every place, as a crash may:
// what opens is the state of some height, never one in between.
func TestStoreTornJournal(t *testing.T) {
	g, c := readGolden(t)
	dir := t.TempDir()
	n := openGolden(t, c, dir)
	heights := map[string]int64{g.AppHash: 0}
	for i, b := range g.Blocks {
		n.run(t, g, i+1, true)
		heights[b.AppHash] = int64(i + 1)
	}
	if err := n.store.close(); err != nil {
		t.Fatal(err)
	}
	logs := must[[]string](t)(filepath.Glob(filepath.Join(dir, "*.log")))
	if len(logs) != 1 {
		t.Fatalf("%d journals", len(logs))
	}
	whole := must[[]byte](t)(os.ReadFile(logs[0]))
	last := int64(-1)
	for cut := 0; cut <= len(whole); cut += max(1, len(whole)/60) {
		torn := t.TempDir()
		if err := os.CopyFS(torn, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(torn, filepath.Base(logs[0])), whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		s, st, err := openStore(torn, c)
		if err != nil {
			t.Fatalf("cut at %d of %d: %v", cut, len(whole), err)
		}
		if st.height < last {
			t.Errorf("cut at %d: height %d after %d", cut, st.height, last)
		}
		last = st.height
		again := &goldenNode{app: newApp(c, s, st, quiet()), store: s}
		again.run(t, g, len(g.Blocks), true)
		if got, want := again.app.state().appHash, n.app.state().appHash; got != want {
			t.Errorf("cut at %d: replay ends with %x, want %x", cut, got, want)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
	}
	if last < int64(len(g.Blocks))-1 {
		t.Errorf("the last cuts keep height %d only", last)
	}
}

func TestCommitAfterClose(t *testing.T) {
	g, c := readGolden(t)
	n := openGolden(t, c, t.TempDir())
	n.run(t, g, 2, false)
	if err := n.store.close(); err != nil {
		t.Fatal(err)
	}
	before := n.app.state()
	if _, err := n.app.Commit(context.Background(), &abci.RequestCommit{}); err == nil {
		t.Error("a commit that cannot be written succeeded")
	}
	if n.app.state() != before {
		t.Error("the state moved on without the store")
	}
}

func TestOneProcessPerStore(t *testing.T) {
	_, c := readGolden(t)
	dir := t.TempDir()
	openGolden(t, c, dir)
	if _, _, err := openStore(dir, c); err == nil {
		t.Error("the store was opened twice")
	}
}

func TestFinalizeOutOfOrder(t *testing.T) {
	_, c := readGolden(t)
	n := openGolden(t, c, t.TempDir())
	for _, h := range []int64{0, 2, -1} {
		if _, err := n.app.FinalizeBlock(t.Context(), &abci.RequestFinalizeBlock{Height: h}); err == nil {
			t.Errorf("height %d after 0 was executed", h)
		}
	}
	if _, err := n.app.Commit(t.Context(), &abci.RequestCommit{}); err == nil {
		t.Error("a height that was not executed was committed")
	}
	if _, err := n.store.entry(5); !errors.Is(err, errNotFound) {
		t.Errorf("an entry that is not there: %v", err)
	}
}
