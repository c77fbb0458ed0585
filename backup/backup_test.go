package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qifeng/archive"
	"qifeng/internal/gm"
)

const (
	testChain = "test-0123abcd"
	testNode  = "vendor-a"
)

// noChain is a chain that has nothing and takes nothing.
type noChain struct{}

func (noChain) Batch(string, uint64) (uint64, bool, error)         { return 0, false, nil }
func (noChain) Entry(uint64) ([]byte, error)                       { return nil, errors.New("no entry") }
func (noChain) LastSeq(string) (uint64, time.Time, error)          { return 0, time.Time{}, nil }
func (noChain) Submit(context.Context, []byte) error               { return errors.New("no mempool") }
func (noChain) RegistrySize() uint64                               { return 3 }
func (noChain) Changed() <-chan struct{}                           { return nil }
func (noChain) SubmitKey(string, string) (k gm.PublicKey, _ error) { return k, archive.ErrUnknownKey }

func write(t *testing.T, name, text string, mode fs.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), mode), os.Chmod(name, mode)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func batchFile(seq int) string { return fmt.Sprintf("%016d-%064x.batch", seq, seq) }

// newSource makes a home with an archive that has a journal and three batches.
func newSource(t *testing.T) Source {
	t.Helper()
	home := filepath.Join(t.TempDir(), "home")
	data := filepath.Join(home, "data")
	write(t, filepath.Join(home, "qifeng.toml"), "the configuration", 0o600)
	write(t, filepath.Join(home, "genesis.json"), "the genesis", 0o644)
	write(t, filepath.Join(home, "keys/intake.pem"), "a secret", 0o600)
	write(t, filepath.Join(home, "keys/guard.json"), "the guard", 0o600)
	write(t, filepath.Join(data, "audit.log"), "line\nline\nhalf a li", 0o600)
	write(t, filepath.Join(data, "fraud/a.fraud.json"), "a fraud proof", 0o644)
	write(t, filepath.Join(data, "chain/ledger/1"), "not copied", 0o600)
	key, err := gm.GenerateKey(gm.SM2)
	if err != nil {
		t.Fatal(err)
	}
	a, err := archive.Open(archive.Config{Dir: filepath.Join(data, "archive"), Node: testNode, ChainID: testChain, Intake: key, Chain: noChain{}, Keys: noChain{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	for seq := 1; seq <= 2; seq++ {
		write(t, filepath.Join(data, "archive/batches/00000000000000", batchFile(seq+10)), strings.Repeat("x", seq), 0o600)
	}
	write(t, filepath.Join(data, "archive/outbox", batchFile(13)), "outbox", 0o600)
	return Source{Home: home, Data: data, Chain: testChain, Node: testNode, Files: []Item{
		{Path: "qifeng.toml"}, {Path: "genesis.json"}, {Path: "keys/guard.json"},
		{Path: "keys/intake.pem", Secret: true}, {Path: "keys/submit.pem", Secret: true, Optional: true},
	}}
}

func take(t *testing.T, s Source, dir string, o ...Options) *Report {
	t.Helper()
	r, err := Take(t.Context(), s, dir, append(o, Options{})[0])
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func restore(t *testing.T, dir, home string) error {
	t.Helper()
	b, err := Open(dir)
	if err != nil {
		return err
	}
	defer b.Close()
	return b.Restore(t.Context(), home, filepath.Join(home, "data"), homePart+"qifeng.toml", nil)
}

func TestBackupAndRestore(t *testing.T) {
	s := newSource(t)
	dir := filepath.Join(t.TempDir(), "backup")
	r := take(t, s, dir)
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Fatalf("%v, %v", st.Mode(), err)
	}
	home := filepath.Join(t.TempDir(), "new")
	if err := restore(t, dir, home); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		text string
		mode fs.FileMode
	}{
		"qifeng.toml": {"the configuration", 0o600}, "genesis.json": {"the genesis", 0o644},
		"keys/intake.pem": {"a secret", 0o600}, "keys/guard.json": {"the guard", 0o600},
		"data/audit.log": {"line\nline\n", 0o600}, "data/fraud/a.fraud.json": {"a fraud proof", 0o644},
		"data/restored": {"", 0o600}, "data/archive/RESTORED": {"", 0o600},
		"data/archive/batches/00000000000000/" + batchFile(12): {"xx", 0o600},
		"data/archive/outbox/" + batchFile(13):                 {"outbox", 0o600},
		"data/archive/journal/0000000000000001.journal":        {read(t, filepath.Join(s.Data, "archive/journal/0000000000000001.journal")), 0o600},
	} {
		if got := read(t, filepath.Join(home, name)); got != want.text {
			t.Errorf("%s: %q", name, got)
		}
		if st, err := os.Stat(filepath.Join(home, name)); err != nil || st.Mode() != want.mode {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
	for _, name := range []string{"data/chain", "data/archive/index", "data/archive/LOCK"} {
		if _, err := os.Stat(filepath.Join(home, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was put back: %v", name, err)
		}
	}
	if r.New != len(r.Files) || r.New != 10 || r.Digest.IsZero() {
		t.Errorf("%+v", r)
	}
	if err := restore(t, dir, home); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a home that exists: %v", err)
	}
}

// TestBackupIsIncremental: what is there is not copied again, and what the home
// has lost is not forgotten.
func TestBackupIsIncremental(t *testing.T) {
	s := newSource(t)
	dir := filepath.Join(t.TempDir(), "backup")
	take(t, s, dir)
	a := filepath.Join(s.Data, "archive")
	place := filepath.Join(dir, batchPlace(batchFile(11)))
	before, err := os.Stat(place)
	if err != nil {
		t.Fatal(err)
	}
	// 13 goes on, 14 is new, 11 is lost, the journal is closed.
	if err := errors.Join(os.Rename(filepath.Join(a, "outbox", batchFile(13)), filepath.Join(a, "batches/00000000000000", batchFile(13))),
		os.Remove(filepath.Join(a, "batches/00000000000000", batchFile(11)))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(a, "outbox", batchFile(14)), "new", 0o600)
	write(t, filepath.Join(a, "outbox", batchFile(1)), "the closed journal", 0o600)
	write(t, filepath.Join(s.Home, "qifeng.toml"), "changed", 0o600)
	r := take(t, s, dir)
	if r.Kept != 1 {
		t.Errorf("%d batches were kept", r.Kept)
	}
	if after, err := os.Stat(place); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("a batch was copied again: %v", err)
	}
	if sets, _ := filepath.Glob(filepath.Join(dir, "set-*")); len(sets) != 1 || filepath.Base(sets[0]) != "set-000002" {
		t.Errorf("sets %v", sets)
	}
	home := filepath.Join(t.TempDir(), "new")
	if err := restore(t, dir, home); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"qifeng.toml": "changed",
		"data/archive/batches/00000000000000/" + batchFile(11): "x",
		"data/archive/batches/00000000000000/" + batchFile(13): "outbox",
		"data/archive/outbox/" + batchFile(14):                 "new",
		"data/archive/outbox/" + batchFile(1):                  "the closed journal",
	} {
		if got := read(t, filepath.Join(home, name)); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if _, err := os.Stat(filepath.Join(home, "data/archive/journal/0000000000000001.journal")); err == nil {
		t.Error("a journal came back beside its closed batch")
	}
	if err := os.Rename(filepath.Join(a, "outbox", batchFile(14)), filepath.Join(a, "outbox", fmt.Sprintf("%016d-%064x.batch", 14, 99))); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(t.Context(), s, dir, Options{}); err == nil || !strings.Contains(err.Error(), "two closed batches of one number") {
		t.Errorf("another batch 14: %v", err)
	}
}

// TestKilledBackupLeavesTheLast: a backup that ends at any byte leaves the one
// before it.
func TestKilledBackupLeavesTheLast(t *testing.T) {
	s := newSource(t)
	dir := filepath.Join(t.TempDir(), "backup")
	take(t, s, dir)
	write(t, filepath.Join(s.Home, "qifeng.toml"), "changed", 0o600)
	write(t, filepath.Join(s.Data, "archive/outbox", batchFile(14)), "new", 0o600)
	for after := int64(0); ; after++ {
		ctx, cancel := context.WithCancel(t.Context())
		done := int64(0)
		_, err := Take(ctx, s, dir, Options{Progress: func(n, _ int64) {
			if done = n; n > after {
				cancel()
			}
		}})
		cancel()
		if err == nil {
			break
		}
		home := filepath.Join(t.TempDir(), "new")
		if err := restore(t, dir, home); err != nil {
			t.Fatalf("killed after %d bytes: %v", done, err)
		}
		if got := read(t, filepath.Join(home, "qifeng.toml")); got != "the configuration" {
			t.Fatalf("killed after %d bytes: %q", done, got)
		}
		after = done
	}
	home := filepath.Join(t.TempDir(), "new")
	if err := restore(t, dir, home); err != nil || read(t, filepath.Join(home, "qifeng.toml")) != "changed" {
		t.Fatal(err)
	}
}

func TestRestoreRefusesDamage(t *testing.T) {
	s := newSource(t)
	for _, c := range []struct {
		name, file string
		harm       func(path string) error
	}{
		{"a changed batch", batchPlace(batchFile(12)), func(p string) error { return os.WriteFile(p, []byte("xy"), 0o600) }},
		{"a truncated batch", batchPlace(batchFile(12)), func(p string) error { return os.Truncate(p, 1) }},
		{"a longer batch", batchPlace(batchFile(12)), func(p string) error { return os.WriteFile(p, []byte("xxx"), 0o600) }},
		{"a missing batch", batchPlace(batchFile(11)), os.Remove},
		{"a changed key", "set-000001/home/keys/intake.pem", func(p string) error { return os.WriteFile(p, []byte("A secret"), 0o600) }},
		{"a link", "set-000001/home/genesis.json", func(p string) error {
			return errors.Join(os.Rename(p, p+".x"), os.Symlink(p+".x", p))
		}},
		{"a changed manifest", "MANIFEST", func(p string) error {
			b, err := os.ReadFile(p)
			return errors.Join(err, os.WriteFile(p, bytes.Replace(b, []byte("file 0600"), []byte("file 0644"), 1), 0o600))
		}},
		{"a truncated manifest", "MANIFEST", func(p string) error { return os.Truncate(p, 700) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "backup")
			take(t, s, dir)
			if err := c.harm(filepath.Join(dir, c.file)); err != nil {
				t.Fatal(err)
			}
			home := filepath.Join(t.TempDir(), "new")
			err := restore(t, dir, home)
			var d *DamagedError
			if !errors.As(err, &d) || !strings.HasSuffix(d.File, c.file) || !strings.Contains(err.Error(), filepath.Join(dir, c.file)) {
				t.Fatalf("%v", err)
			}
			if _, err := os.Stat(home); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("something of the home stays: %v", err)
			}
			if c.file == manifestName {
				return
			}
			b, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if err := b.Check(t.Context(), nil); !errors.As(err, &d) {
				t.Errorf("check: %v", err)
			}
		})
	}
}

func TestTakeRefuses(t *testing.T) {
	s := newSource(t)
	dir := filepath.Join(t.TempDir(), "backup")
	take(t, s, dir)
	other := s
	other.Node = "vendor-b"
	if _, err := Take(t.Context(), other, dir, Options{}); err == nil || !strings.Contains(err.Error(), "another node") {
		t.Errorf("another node's: %v", err)
	}
	other = s
	other.Chain = "test-ffffffff"
	if _, err := Take(t.Context(), other, dir, Options{}); err == nil || !strings.Contains(err.Error(), "another node") {
		t.Errorf("another chain's: %v", err)
	}
	full := t.TempDir()
	write(t, filepath.Join(full, "something"), "", 0o600)
	if _, err := Take(t.Context(), s, full, Options{}); err == nil || !strings.Contains(err.Error(), "holds something and no backup") {
		t.Errorf("a folder of something else: %v", err)
	}
	for _, in := range []string{filepath.Join(s.Home, "backup"), filepath.Join(s.Data, "b"), s.Home, filepath.Dir(s.Home)} {
		if _, err := Take(t.Context(), s, in, Options{}); err == nil || !strings.Contains(err.Error(), "lie in each other") {
			t.Errorf("%s: %v", in, err)
		}
	}
	wide := t.TempDir()
	if err := os.Chmod(wide, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(t.Context(), s, wide, Options{}); err == nil || !strings.Contains(err.Error(), "chmod 0700") {
		t.Errorf("a folder open to others: %v", err)
	}
	if err := os.Remove(filepath.Join(s.Home, "genesis.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(t.Context(), s, dir, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a genesis: %v", err)
	}
}

func TestTakeFollowsNoLinks(t *testing.T) {
	s := newSource(t)
	secret := filepath.Join(t.TempDir(), "elsewhere")
	write(t, secret, "not of this home", 0o600)
	key := filepath.Join(s.Home, "keys/intake.pem")
	if err := errors.Join(os.Remove(key), os.Symlink(secret, key)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "backup")
	r := take(t, s, dir)
	if len(r.LeftOut) != 1 || r.LeftOut[0] != "home/keys/intake.pem" {
		t.Errorf("left out %v", r.LeftOut)
	}
	if err := os.Symlink(secret, filepath.Join(s.Data, "archive/outbox", batchFile(20))); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(t.Context(), s, dir, Options{}); !errors.Is(err, errLink) {
		t.Errorf("a link among the batches: %v", err)
	}
}

func TestWithoutKeys(t *testing.T) {
	s := newSource(t)
	dir := filepath.Join(t.TempDir(), "backup")
	r := take(t, s, dir, Options{WithoutKeys: true})
	if r.Keys || len(r.LeftOut) != 1 || r.LeftOut[0] != "home/keys/intake.pem" {
		t.Errorf("%+v", r.Manifest)
	}
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.Contains(read(t, p), "a secret") {
			t.Errorf("%s holds a secret", p)
		}
		return nil
	})
	home := filepath.Join(t.TempDir(), "new")
	if err := restore(t, dir, home); err != nil {
		t.Fatal(err)
	}
}

func FuzzManifest(f *testing.F) {
	m := &Manifest{Chain: testChain, Node: testNode, Taken: time.Unix(1, 0), Set: "set-000001", Keys: true,
		Files: []File{{Path: "data/archive/outbox/" + batchFile(3), Mode: 0o600, Size: 7}, {Path: "home/密钥 1.pem", Mode: 0o600}}, LeftOut: []string{"home/x"}}
	f.Add(m.encode())
	f.Add([]byte(manifestHead))
	f.Add([]byte(manifestHead + "file 0600 1 00 00 home/../x\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parseManifest(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(m.encode(), raw) {
			t.Fatalf("%q is taken as %q", raw, m.encode())
		}
		for _, x := range m.Files {
			if !filepath.IsLocal(x.Path) || !filepath.IsLocal(m.stored(x)) {
				t.Fatalf("%q lies outside", x.Path)
			}
		}
	})
}

// TestTakeMissesNothingThatMoves: while the archive's files move on, each of them
// is found once.
func TestTakeMissesNothingThatMoves(t *testing.T) {
	s := newSource(t)
	a := filepath.Join(s.Data, "archive")
	const n = 200
	for seq := 100; seq < 100+n; seq++ {
		write(t, filepath.Join(a, "outbox", batchFile(seq)), "moving", 0o600)
	}
	done := make(chan error, 1)
	go func() {
		for seq := 100; seq < 100+n; seq++ {
			folder := filepath.Join(a, "batches", fmt.Sprintf("%014d", seq/256))
			if err := errors.Join(os.MkdirAll(folder, 0o700), os.Rename(filepath.Join(a, "outbox", batchFile(seq)), filepath.Join(folder, batchFile(seq)))); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	dir := filepath.Join(t.TempDir(), "backup")
	r := take(t, s, dir)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	names := map[string]int{}
	for _, f := range r.Files {
		if name := f.batchName(); name != "" {
			names[name]++
		}
	}
	for seq := 100; seq < 100+n; seq++ {
		if names[batchFile(seq)] != 1 {
			t.Errorf("batch %d is there %d times", seq, names[batchFile(seq)])
		}
	}
	if err := restore(t, dir, filepath.Join(t.TempDir(), "new")); err != nil {
		t.Error(err)
	}
}

// TestRestoreCutShort: wherever a restore ends early, no home is left, and none
// ever has its configuration before its marks.
func TestRestoreCutShort(t *testing.T) {
	s := newSource(t)
	dir := filepath.Join(t.TempDir(), "backup")
	take(t, s, dir)
	for after := int64(0); ; after++ {
		b, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		home := filepath.Join(t.TempDir(), "new")
		ctx, cancel := context.WithCancel(t.Context())
		err = b.Restore(ctx, home, filepath.Join(home, "data"), homePart+"qifeng.toml", func(done, total int64) {
			if _, err := os.Lstat(filepath.Join(home, "qifeng.toml")); err == nil {
				for _, mark := range []string{"data/restored", "data/archive/RESTORED"} {
					if _, err := os.Lstat(filepath.Join(home, mark)); err != nil {
						t.Errorf("after %d of %d bytes: the configuration is there, and a mark is not: %v", done, total, err)
					}
				}
			}
			if done > after {
				after = done
				cancel()
			}
		})
		cancel()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			return
		}
		if _, err := os.Lstat(home); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("cut short after %d bytes, and something stays: %v", after, err)
		}
	}
}
