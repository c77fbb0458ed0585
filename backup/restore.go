package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"qifeng/archive"
	"qifeng/chain"
)

// DamagedError says which file of a backup is not what the manifest says.
type DamagedError struct {
	File string // in the backup
	What string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s: %s: this backup is damaged or was changed; use another one, or put this file back from a copy", e.File, e.What)
}

// Backup is a folder to restore from.
type Backup struct {
	*Manifest
	root *os.Root
}

// Open reads the manifest of a backup.
func Open(dir string) (*Backup, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	b := &Backup{root: root}
	raw, err := readBounded(root, manifestName, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s holds no whole backup: it has no %s", dir, manifestName)
	}
	if err == nil {
		if b.Manifest, err = parseManifest(raw); err != nil {
			err = &DamagedError{filepath.Join(dir, manifestName), err.Error()}
		}
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return b, nil
}

// Close ends the reading.
func (b *Backup) Close() error { return b.root.Close() }

// copy writes a file of the backup to w, which may be nil, and holds it against
// the manifest.
func (b *Backup) copy(ctx context.Context, w io.Writer, f File, m *meter) error {
	name := b.stored(f)
	damaged := func(format string, args ...any) error {
		return &DamagedError{filepath.Join(b.root.Name(), name), fmt.Sprintf(format, args...)}
	}
	in, size, err := openRegular(b.root, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return damaged("the file is missing")
	case errors.Is(err, errLink):
		return damaged("the file %v", errLink)
	case err != nil:
		return err
	}
	defer in.Close()
	if size != f.Size {
		return damaged("it has %d bytes, the manifest says %d", size, f.Size)
	}
	d, err := copyInto(ctx, w, in, size, m)
	if err != nil {
		return fmt.Errorf("reading %s: %w", filepath.Join(b.root.Name(), name), err)
	}
	if d != f.Digest {
		return damaged("it has SM3 %x, the manifest says %x (SHA-256 %x, %x)", d.SM3, f.Digest.SM3, d.SHA256, f.Digest.SHA256)
	}
	return nil
}

// Read returns a small file.
func (b *Backup) Read(p string) ([]byte, error) {
	f, ok := b.find(p)
	if !ok {
		return nil, &DamagedError{filepath.Join(b.root.Name(), manifestName), "it names no " + p}
	}
	raw := make(appender, 0, 4096)
	err := b.copy(context.Background(), &raw, f, &meter{})
	return raw, err
}

type appender []byte

func (a *appender) Write(p []byte) (int, error) { *a = append(*a, p...); return len(p), nil }

// Check holds every file against the manifest.
func (b *Backup) Check(ctx context.Context, progress func(done, total int64)) error {
	m := &meter{total: b.Bytes(), tell: progress}
	for _, f := range b.Files {
		if err := b.copy(ctx, nil, f, m); err != nil {
			return err
		}
	}
	return nil
}

// restorer is one run of Restore.
type restorer struct {
	b     *Backup
	ctx   context.Context
	parts []*part // the home, then its data
	meter meter
}

// part is one of the two folders.
type part struct {
	name string // homePart or dataPart
	root *os.Root
	dirs *folders
	made []string // files, for taking back
}

// markName is the chain's mark in the data folder (chain.Mark).
const markName = "restored"

// Restore puts a home back into a folder that is empty or not there; data is its
// data folder, which may lie in it; last is the path of the file without which no
// command takes a folder for a home. Order:
//
//  1. every file but last, with its mode, checked as it is copied, fsynced;
//  2. both marks: from here on the home keeps still and goes on behind;
//  3. all folders fsynced;
//  4. last.
//
// An error takes back what was made. A crash before 4 leaves a folder that every
// command refuses, this one too: nothing in it was used, so it can be deleted.
func (b *Backup) Restore(ctx context.Context, home, data, last string, progress func(done, total int64)) (err error) {
	r := &restorer{b: b, ctx: ctx, meter: meter{total: b.Bytes(), tell: progress}}
	defer func() {
		for _, p := range slices.Backward(r.parts) {
			if err != nil {
				err = errors.Join(err, p.takeBack())
			}
			err = errors.Join(err, p.root.Close())
		}
	}()
	for _, d := range []struct{ name, dir string }{{homePart, home}, {dataPart, data}} {
		if err := r.open(d.name, d.dir); err != nil {
			return err
		}
	}
	final, ok := b.find(last)
	if !ok {
		return &DamagedError{filepath.Join(b.root.Name(), manifestName), "it names no " + last}
	}
	for _, f := range b.Files {
		if f.Path == last {
			continue
		}
		if err := r.put(f); err != nil {
			return err
		}
	}
	if err := r.mark(data); err != nil {
		return err
	}
	for _, p := range r.parts {
		if err := p.dirs.sync(); err != nil {
			return err
		}
	}
	if err := r.put(final); err != nil {
		return err
	}
	for _, dir := range []string{home, filepath.Dir(home), filepath.Dir(data)} {
		if err := syncPath(dir); err != nil {
			return err
		}
	}
	return nil
}

// open makes one of the folders, or finds it empty.
func (r *restorer) open(name, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if i := slices.IndexFunc(entries, func(e fs.DirEntry) bool { return e.Name() != "lost+found" }); i >= 0 {
		return fmt.Errorf("%s is not empty (it has %s): a home is put back into a new folder, and nothing that exists is replaced", dir, entries[i].Name())
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	r.parts = append(r.parts, &part{name: name, root: root, dirs: newFolders(root)})
	return nil
}

func (r *restorer) put(f File) error {
	p := r.parts[0]
	name, ok := strings.CutPrefix(f.Path, p.name)
	if !ok {
		p = r.parts[1]
		name = strings.TrimPrefix(f.Path, p.name)
	}
	if err := p.dirs.need(name); err != nil {
		return err
	}
	err := create(p.root, name, f.Mode, func(w io.Writer) error {
		p.made = append(p.made, name)
		return r.b.copy(r.ctx, w, f, &r.meter)
	})
	if err != nil {
		return fmt.Errorf("putting back %s: %w", filepath.Join(p.root.Name(), name), err)
	}
	return nil
}

// mark sets the marks of a restored home.
func (r *restorer) mark(data string) error {
	p := r.parts[1]
	p.made = append(p.made, markName, "archive/RESTORED")
	for _, name := range []string{"archive/RESTORED", "archive/journal/x", "archive/outbox/x", "archive/batches/x"} {
		if err := p.dirs.need(name); err != nil { // so that they are taken back
			return err
		}
	}
	return errors.Join(chain.Mark(filepath.Join(data, markName)), archive.MarkRestored(filepath.Join(data, "archive")))
}

// takeBack removes the files that were made, and the folders that are empty then.
func (p *part) takeBack() error {
	var errs []error
	for _, name := range p.made {
		if err := p.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	dirs := make([]string, 0, len(p.dirs.dirty))
	for dir := range p.dirs.dirty {
		dirs = append(dirs, dir)
	}
	slices.SortFunc(dirs, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	for _, dir := range dirs {
		if dir != "." {
			_ = p.root.Remove(path.Clean(dir)) // not if something else is in it
		}
	}
	_ = os.Remove(p.root.Name())
	return errors.Join(errs...)
}

func syncPath(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
