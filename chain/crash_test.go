package chain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/syndtr/goleveldb/leveldb/storage"

	"qifeng/internal/durable"
	"qifeng/proof/checkpoint"
)

var (
	errDied = errors.New("fault: the process has died")
	errDisk = errors.New("fault: input/output error")
)

// faultStore is goleveldb's storage in memory with a fault at one operation: an
// error there alone, or the death of the process there and then. What was not
// synced at the death is cut at a random byte.
type faultStore struct {
	mu        sync.Mutex
	ops, at   int
	err       error
	persisted bool
	dead      bool
	files     map[storage.FileDesc]*faultFile
	meta      storage.FileDesc
	before    storage.FileDesc // meta before it was last set
}

type faultFile struct {
	data   []byte
	synced int
}

func (s *faultStore) step() (do bool, err error) {
	if s.dead {
		return false, errDied
	}
	if s.ops++; s.ops != s.at {
		return true, nil
	}
	s.dead = errors.Is(s.err, errDied)
	return s.persisted, s.err
}

// again is what the next process finds.
func (s *faultStore) again(r *rand.Rand) *faultStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		if n := len(f.data) - f.synced; s.dead && n > 0 {
			f.data = f.data[:f.synced+r.IntN(n+1)]
		}
		f.synced = len(f.data)
	}
	return &faultStore{files: s.files, meta: s.meta, before: s.before}
}

type noLock struct{}

func (noLock) Unlock() {}

func (s *faultStore) Lock() (storage.Locker, error) { return noLock{}, nil }
func (s *faultStore) Log(string)                    {}
func (s *faultStore) Close() error                  { return nil }

func (s *faultStore) SetMeta(fd storage.FileDesc) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	do, err := s.step()
	if do {
		s.meta, s.before = fd, s.meta
	}
	return err
}

// GetMeta knows the one before too, as goleveldb's files do (CURRENT.bak).

func (s *faultStore) GetMeta() (storage.FileDesc, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.meta.Zero() {
		return s.meta, os.ErrNotExist
	}
	if s.files[s.meta] == nil {
		return s.before, nil
	}
	return s.meta, nil
}

func (s *faultStore) List(t storage.FileType) (out []storage.FileDesc, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for fd := range s.files {
		if fd.Type&t != 0 {
			out = append(out, fd)
		}
	}
	return out, nil
}

func (s *faultStore) Open(fd storage.FileDesc) (storage.Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[fd]
	if f == nil {
		return nil, os.ErrNotExist
	}
	return faultReader{bytes.NewReader(bytes.Clone(f.data))}, nil
}

type faultReader struct{ *bytes.Reader }

func (faultReader) Close() error { return nil }

func (s *faultStore) Create(fd storage.FileDesc) (storage.Writer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do, err := s.step()
	f := &faultFile{}
	if do {
		s.files[fd] = f
	}
	return &faultWriter{s, f}, err
}

func (s *faultStore) Remove(fd storage.FileDesc) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	do, err := s.step()
	if do {
		delete(s.files, fd)
	}
	return err
}

func (s *faultStore) Rename(from, to storage.FileDesc) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	do, err := s.step()
	if do {
		s.files[to] = s.files[from]
		delete(s.files, from)
	}
	return err
}

type faultWriter struct {
	s *faultStore
	f *faultFile
}

func (w *faultWriter) Write(p []byte) (int, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	do, err := w.s.step()
	if !do && err != nil && !w.s.dead {
		p, do = p[:len(p)/2], true // a short write
	}
	if do {
		w.f.data = append(w.f.data, p...)
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *faultWriter) Sync() error {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	do, err := w.s.step()
	if do {
		w.f.synced = len(w.f.data)
	}
	return err
}

func (w *faultWriter) Close() error { return nil }

var _ io.Closer = (*faultWriter)(nil)

// storeLife is a script of heights that a store is led through.
type storeLife struct {
	*fixture
	heights [][][]byte
	seals   []wireSeal // each of the size after a height
	hashes  [][64]byte
}

func newStoreLife(t *testing.T) *storeLife {
	l := &storeLife{fixture: newFixture(t)}
	l.heights = [][][]byte{nil, {l.register("vendor-a", "one"), l.batch("vendor-a", 1, nil)}, nil,
		{l.batch("vendor-a", 2, nil), l.batch("court-a", 1, nil)}, {l.revoke("vendor-a", "one")}, {l.batch("notary-a", 1, nil)}}
	return l
}

// live runs twice: at its second start goleveldb makes a table of its log.
func (l *storeLife) live(stor storage.Storage) (height int64, err error) {
	height, err = l.run(stor, len(l.heights)/2)
	if err == nil {
		var more int64
		more, err = l.run(stor, len(l.heights))
		height = max(height, more)
	}
	return height, err
}

// run goes on from what the store holds up to a height, or until an error.
func (l *storeLife) run(stor storage.Storage, to int) (height int64, err error) {
	s, st, err := openStoreOn(stor, l.c)
	if err != nil {
		return 0, err
	}
	defer s.close() // its error says nothing new of a store that failed
	b, err := openBook(l.c, s, time.Now)
	if err != nil {
		return 0, err
	}
	a := newApp(l.c, s, st, quiet())
	if n := int(st.height); n > 0 && len(l.hashes) >= n && st.appHash != l.hashes[n-1] {
		return 0, fmt.Errorf("height %d has another AppHash than before", n)
	}
	for _, txs := range l.heights[st.height:max(int(st.height), to)] {
		h := a.state().height + 1
		res, err := a.FinalizeBlock(context.Background(), &abci.RequestFinalizeBlock{Height: h,
			Time: l.c.genesis.CreatedAt.Add(time.Duration(h) * time.Second), Txs: txs})
		if err == nil {
			_, err = a.Commit(context.Background(), &abci.RequestCommit{})
		}
		if err != nil {
			return a.state().height, err
		}
		if int(h) > len(l.hashes) {
			l.hashes = append(l.hashes, [64]byte(res.AppHash))
		} else if l.hashes[h-1] != [64]byte(res.AppHash) {
			return h, fmt.Errorf("height %d gives another AppHash", h)
		}
		size := a.state().size
		if _, err := b.put(l.sealOf(size, a.state()), true, size); err != nil {
			return h, err
		}
	}
	return a.state().height, nil
}

// sealOf makes a member's seal of a size once.
func (l *storeLife) sealOf(size uint64, st *state) wireSeal {
	for _, w := range l.seals {
		if w.size == size {
			return w
		}
	}
	seal, err := checkpoint.Sign(l.c.checkpoint(size, st.root), "court-a", time.Now().Unix(), l.parties["court-a"].seals)
	if err != nil {
		l.tb.Fatal(err)
	}
	w := wireSeal{size: size, root: st.root, seal: seal}
	l.seals = append(l.seals, w)
	return w
}

// TestStoreAtEveryStep lets every operation of the ledger's database fail, and
// kills the process there. The next start has the height before or the one that
// was being committed, and never less than was acknowledged; the rest of the
// blocks gives the same AppHashes.
func TestStoreAtEveryStep(t *testing.T) {
	l := newStoreLife(t)
	count := &faultStore{files: map[storage.FileDesc]*faultFile{}}
	if h, err := l.live(count); err != nil || int(h) != len(l.heights) {
		t.Fatalf("without a fault: height %d, %v", h, err)
	}
	if count.ops < 30 {
		t.Fatalf("only %d steps: the test tests little", count.ops)
	}
	for _, f := range []struct {
		name      string
		err       error
		persisted bool
	}{{"killed, not done", errDied, false}, {"killed, done", errDied, true}, {"failed, not done", errDisk, false}, {"failed, done", errDisk, true}} {
		t.Run(f.name, func(t *testing.T) {
			for at := 1; at <= count.ops; at++ {
				s := &faultStore{at: at, err: f.err, persisted: f.persisted, files: map[storage.FileDesc]*faultFile{}}
				had, err := l.live(s)
				if err == nil && s.ops < at {
					t.Errorf("step %d was not reached", at)
				}
				next := s.again(rand.New(rand.NewPCG(uint64(at), 1)))
				if next.meta.Zero() { // RemoveUnborn, which needs a folder
					next.files = map[storage.FileDesc]*faultFile{}
				}
				st, state, err := openStoreOn(next, l.c)
				if err != nil {
					t.Fatalf("step %d: the next start: %v", at, err)
				}
				if state.height < had || state.height > had+1 {
					t.Errorf("step %d: height %d was acknowledged, height %d is there", at, had, state.height)
				}
				if err := st.close(); err != nil {
					t.Fatal(err)
				}
				if h, err := l.run(next, len(l.heights)); err != nil || int(h) != len(l.heights) {
					t.Fatalf("step %d: going on: height %d, %v", at, h, err)
				}
			}
		})
	}
}

// TestRemoveUnborn makes a database and stops in the middle.
func TestRemoveUnborn(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files []string
		kept  bool
	}{
		{"nothing", nil, false},
		{"a manifest", []string{"LOCK", "LOG", "MANIFEST-000000"}, false},
		{"and a pending CURRENT", []string{"LOCK", "LOG", "MANIFEST-000000", "CURRENT.0"}, false},
		{"a lost CURRENT", []string{"LOCK", "LOG", "MANIFEST-000000", "000001.log"}, true},
		{"only its copy", []string{"LOCK", "LOG", "MANIFEST-000000", "CURRENT.bak"}, true},
		{"no database", []string{"LOCK", "LOG", "MANIFEST-000000", "notes"}, true},
		{"no manifest", []string{"LOCK", "LOG"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "db")
			if tc.files != nil {
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for _, f := range tc.files {
				if err := os.WriteFile(filepath.Join(dir, f), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := durable.RemoveUnborn(dir); err != nil {
				t.Fatal(err)
			}
			left, _ := os.ReadDir(dir)
			if kept := len(left) == len(tc.files) && len(left) > 0; kept != tc.kept {
				t.Errorf("%v are left", left)
			}
		})
	}
}

// TestPointsAreKnown: a place in the program is in the list that the crash
// matrix goes through, once, and nothing else is.
func TestPointsAreKnown(t *testing.T) {
	consts, used := map[string]string{}, map[string]int{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				if lit, ok := firstLit(n); ok && strings.HasPrefix(n.Names[0].Name, "point") {
					consts[n.Names[0].Name] = strings.Trim(lit, `"`)
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "point" {
					name := "a place without a name"
					if id, ok := n.Args[0].(*ast.Ident); ok {
						name = id.Name
					}
					used[name]++
				}
			}
			return true
		})
	}
	if len(points) < 12 || len(consts) != len(points) {
		t.Errorf("%d places have names, %d are listed", len(consts), len(points))
	}
	for name, text := range consts {
		if used[name] != 1 || !slices.Contains(points, text) {
			t.Errorf("%s (%s) is passed in %d places of the program; listed: %v", name, text, used[name], slices.Contains(points, text))
		}
	}
	for name := range used {
		if consts[name] == "" {
			t.Errorf("point(%s): %s", name, "not one of the named places")
		}
	}
}

func firstLit(v *ast.ValueSpec) (string, bool) {
	if len(v.Values) != 1 {
		return "", false
	}
	lit, ok := v.Values[0].(*ast.BasicLit)
	if !ok {
		return "", false
	}
	return lit.Value, true
}
