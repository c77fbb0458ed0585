package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// cutDisk is a disk in memory that knows what a power cut takes: of each file
// what it holds and what was synced of it, of each folder which names it has and
// which were there at its last sync. A file's sync makes no name durable, and a
// folder's sync no content: nothing more than that is promised by POSIX. After
// the cut every operation fails, and fall decides what is left:
//
//   - of a file what was synced, and of the writes and truncations since any
//     selection, in their order, each whole or torn;
//   - of a folder the names of its last sync and, in their order, any number of
//     the creations, renames and removals since; each folder for itself, but a
//     file that is renamed is never under neither name.
//
// The databases of the index write through it as well (cutStorage).
type cutDisk struct {
	root string // where the state before and after lies in the real file system

	mu    sync.Mutex // guards what follows
	r     *rand.Rand
	ops   int
	at    int   // the cut is at this operation
	fault error // what fails at it alone; nil for a cut
	dead  bool
	files map[*cutFile]bool
	dirs  map[string]*cutDir
}

type cutDir struct {
	now, durable map[string]*cutFile
	log          []cutName // since the last sync
}

// cutName is a name that came (file) or went (nil). A name that went by a rename
// is gone for good only if the one it got has come.
type cutName struct {
	name   string
	file   *cutFile
	gone   *cutFile // what went
	become string   // path of its new name, "" if it was removed
}

type cutFile struct {
	data, durable []byte
	ops           []cutWrite
}

// cutWrite is a write, or, without bytes, a truncation to at.
type cutWrite struct {
	at    int64
	bytes []byte
}

func (w cutWrite) apply(data []byte) []byte {
	end := w.at + int64(len(w.bytes))
	if w.bytes == nil {
		data = data[:min(int64(len(data)), end)]
	}
	if n := end - int64(len(data)); n > 0 {
		data = append(data, make([]byte, n)...)
	}
	copy(data[w.at:], w.bytes)
	return data
}

// newCutDisk takes up what lies in the folder.
func newCutDisk(root string, at int, r *rand.Rand) (*cutDisk, error) {
	d := &cutDisk{root: root, at: at, r: r, files: map[*cutFile]bool{}, dirs: map[string]*cutDir{}}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			d.dirs[path] = &cutDir{now: map[string]*cutFile{}, durable: map[string]*cutFile{}}
			return err
		}
		if e.Name() == lockName {
			return nil
		}
		b, err := os.ReadFile(path)
		f := &cutFile{data: b, durable: bytes.Clone(b)}
		dir := d.dirs[filepath.Dir(path)]
		dir.now[e.Name()], dir.durable[e.Name()], d.files[f] = f, f, true
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return d, err
}

// step counts an operation. The one at the cut may still take effect.
func (d *cutDisk) step() (do bool, err error) {
	if d.dead {
		return false, errCrash
	}
	if d.ops++; d.ops != d.at {
		return true, nil
	}
	if d.fault != nil {
		return d.r.IntN(2) == 0, d.fault
	}
	d.dead = true
	return d.r.IntN(2) == 0, errCrash
}

// cut cuts the power now.
func (d *cutDisk) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
}

// fall leaves in the real folder what the cut has left.
func (d *cutDisk) fall() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := map[string]map[string]*cutFile{}
	came := map[string]int{} // how many of a folder's changes have come
	for path, dir := range d.dirs {
		came[path] = d.r.IntN(len(dir.log) + 1)
		names := map[string]*cutFile{}
		for name, f := range dir.durable {
			names[name] = f
		}
		left[path] = names
	}
	for path, dir := range d.dirs {
		for _, c := range dir.log[:came[path]] {
			if c.file != nil {
				left[path][c.name] = c.file
			} else if c.become == "" || d.has(c, came) {
				delete(left[path], c.name)
			}
		}
	}
	if err := os.RemoveAll(d.root); err != nil {
		return err
	}
	for path := range d.dirs {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
	}
	content := map[*cutFile][]byte{} // one, though it may be under two names
	for path, names := range left {
		for name, f := range names {
			if _, done := content[f]; !done {
				content[f] = f.fall(d.r)
			}
			if err := os.WriteFile(filepath.Join(path, name), content[f], 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// has says whether the new name of what was renamed is durable, or has come.
func (d *cutDisk) has(c cutName, came map[string]int) bool {
	dir, name := filepath.Dir(c.become), filepath.Base(c.become)
	if d.dirs[dir].durable[name] == c.gone {
		return true
	}
	// Synced and renamed on, or removed: the folder's later changes say so.
	pending := slices.ContainsFunc(d.dirs[dir].log, func(n cutName) bool { return n.file == c.gone && n.name == name })
	return !pending || slices.ContainsFunc(d.dirs[dir].log[:came[dir]], func(n cutName) bool { return n.file == c.gone && n.name == name })
}

// fall is what is left of a file.
func (f *cutFile) fall(r *rand.Rand) []byte {
	data := bytes.Clone(f.durable)
	mode, upTo := r.IntN(4), r.IntN(len(f.ops)+1)
	for i, w := range f.ops {
		switch {
		case mode == 0, mode == 1 && i > upTo, mode == 2 && r.IntN(2) == 0:
			continue
		case (mode == 1 && i == upTo || mode == 2 && r.IntN(4) == 0) && w.bytes != nil:
			w.bytes = w.bytes[:r.IntN(len(w.bytes)+1)]
			if len(w.bytes) == 0 {
				continue
			}
		}
		data = w.apply(data)
	}
	return data
}

func (d *cutDisk) in(path string) (*cutDir, string, error) {
	dir := d.dirs[filepath.Dir(path)]
	if dir == nil {
		return nil, "", &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return dir, filepath.Base(path), nil
}

func (d *cutDisk) find(path string) (*cutFile, error) {
	dir, name, err := d.in(path)
	if err == nil && dir.now[name] == nil {
		err = &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	if err != nil {
		return nil, err
	}
	return dir.now[name], nil
}

func (d *cutDisk) create(path string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, name, err := d.in(path)
	if err != nil {
		return nil, err
	}
	do, fault := d.step()
	if dir.now[name] != nil && fault == nil {
		return nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	f := &cutFile{}
	if do {
		d.files[f] = true
		dir.now[name] = f
		dir.log = append(dir.log, cutName{name: name, file: f})
	}
	if fault != nil {
		return nil, fault
	}
	return cutHandle{d, f, path}, nil
}

func (d *cutDisk) open(path string, _ bool) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := d.find(path)
	if err != nil {
		return nil, err
	}
	return cutHandle{d, f, path}, nil
}

func (d *cutDisk) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := d.find(from)
	if err != nil {
		return err
	}
	target, name, err := d.in(to)
	if err != nil {
		return err
	}
	do, fault := d.step()
	if do {
		dir := d.dirs[filepath.Dir(from)]
		old := filepath.Base(from)
		delete(dir.now, old)
		target.now[name] = f
		target.log = append(target.log, cutName{name: name, file: f})
		dir.log = append(dir.log, cutName{name: old, gone: f, become: to})
	}
	return fault
}

func (d *cutDisk) remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := d.find(path)
	if err != nil {
		return err
	}
	do, fault := d.step()
	if do {
		dir, name, _ := d.in(path)
		delete(dir.now, name)
		dir.log = append(dir.log, cutName{name: name, gone: f})
	}
	return fault
}

func (d *cutDisk) removeAll(path string) error {
	for _, file := range d.below(path) {
		if err := d.remove(file); err != nil {
			return err
		}
	}
	return nil
}

func (d *cutDisk) below(path string) (out []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for p, dir := range d.dirs {
		if p == path || strings.HasPrefix(p, path+string(filepath.Separator)) {
			for name := range dir.now {
				out = append(out, filepath.Join(p, name))
			}
		}
	}
	slices.Sort(out)
	return out
}

func (d *cutDisk) syncDir(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir := d.dirs[path]
	if dir == nil {
		return &fs.PathError{Op: "sync", Path: path, Err: fs.ErrNotExist}
	}
	do, fault := d.step()
	if do {
		dir.durable, dir.log = map[string]*cutFile{}, nil
		for name, f := range dir.now {
			dir.durable[name] = f
		}
	}
	return fault
}

func (d *cutDisk) list(path string) (names []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir := d.dirs[path]
	if dir == nil {
		return nil, &fs.PathError{Op: "list", Path: path, Err: fs.ErrNotExist}
	}
	for name := range dir.now {
		names = append(names, name)
	}
	for p := range d.dirs {
		if p != path && filepath.Dir(p) == path {
			names = append(names, filepath.Base(p))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (d *cutDisk) mkdir(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dirs[path] != nil {
		return nil
	}
	do, fault := d.step()
	if do {
		if err := os.MkdirAll(path, 0o700); err != nil { // for the lock file, and the names above it
			return err
		}
		for p := path; d.dirs[p] == nil && len(p) >= len(d.root); p = filepath.Dir(p) {
			d.dirs[p] = &cutDir{now: map[string]*cutFile{}, durable: map[string]*cutFile{}}
		}
	}
	return fault
}

func (d *cutDisk) free(string) (uint64, error) { return 1 << 40, nil }

// cutHandle is an open file.
type cutHandle struct {
	d    *cutDisk
	f    *cutFile
	path string
}

func (h cutHandle) ReadAt(p []byte, at int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if at >= int64(len(h.f.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.f.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h cutHandle) WriteAt(p []byte, at int64) (int, error) {
	return len(p), h.change(cutWrite{at, append([]byte{}, p...)})
}

func (h cutHandle) Truncate(size int64) error { return h.change(cutWrite{at: size}) }

func (h cutHandle) change(w cutWrite) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	do, fault := h.d.step()
	if do {
		h.f.data = w.apply(h.f.data)
		h.f.ops = append(h.f.ops, w)
	}
	return fault
}

func (h cutHandle) Sync() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	do, fault := h.d.step()
	if do {
		h.f.durable, h.f.ops = bytes.Clone(h.f.data), nil
	}
	return fault
}

func (h cutHandle) Stat() (os.FileInfo, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return cutInfo{filepath.Base(h.path), int64(len(h.f.data))}, nil
}

func (h cutHandle) Close() error { return nil }

type cutInfo struct {
	name string
	size int64
}

func (i cutInfo) Name() string     { return i.name }
func (i cutInfo) Size() int64      { return i.size }
func (cutInfo) Mode() fs.FileMode  { return 0o600 }
func (cutInfo) ModTime() time.Time { return time.Time{} }
func (cutInfo) IsDir() bool        { return false }
func (cutInfo) Sys() any           { return nil }

// cutStorage is goleveldb's file storage on a cutDisk, with the same files,
// syncs and renames. goleveldb counts on one thing more than POSIX promises, and
// ext4, XFS and Btrfs keep it: the sync of a new file makes its name durable.
type cutStorage struct {
	d   *cutDisk
	dir string
	set bool // SetMeta was called
}

type nopLock struct{}

func (nopLock) Unlock() {}

func (s *cutStorage) Lock() (storage.Locker, error)    { return nopLock{}, nil }
func (s *cutStorage) Log(string)                       {}
func (s *cutStorage) Close() error                     { return nil }
func (s *cutStorage) path(fd storage.FileDesc) string  { return filepath.Join(s.dir, fd.String()) }
func (s *cutStorage) Remove(fd storage.FileDesc) error { return s.d.remove(s.path(fd)) }
func (s *cutStorage) Rename(from, to storage.FileDesc) error {
	return s.d.rename(s.path(from), s.path(to))
}

func (s *cutStorage) List(want storage.FileType) (out []storage.FileDesc, err error) {
	names, err := s.d.list(s.dir)
	for _, name := range names {
		for _, t := range []storage.FileType{storage.TypeManifest, storage.TypeJournal, storage.TypeTable, storage.TypeTemp} {
			fd := storage.FileDesc{Type: t}
			form := map[storage.FileType]string{storage.TypeManifest: "MANIFEST-%d", storage.TypeJournal: "%d.log", storage.TypeTable: "%d.ldb", storage.TypeTemp: "%d.tmp"}[t]
			if n, err := fmt.Sscanf(name, form, &fd.Num); n == 1 && err == nil && fd.String() == name && t&want != 0 {
				out = append(out, fd)
			}
		}
	}
	return out, err
}

func (s *cutStorage) Open(fd storage.FileDesc) (storage.Reader, error) {
	f, err := s.d.open(s.path(fd), false)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	return &cutReader{io.NewSectionReader(f, 0, st.Size())}, err
}

// anew creates a file, in the place of another if there is one.
func (d *cutDisk) anew(path string) (file, error) {
	if _, err := d.open(path, true); err == nil {
		if err := d.remove(path); err != nil {
			return nil, err
		}
	}
	return d.create(path)
}

type cutReader struct{ *io.SectionReader }

func (cutReader) Close() error { return nil }

func (s *cutStorage) Create(fd storage.FileDesc) (storage.Writer, error) {
	f, err := s.d.anew(s.path(fd))
	if err != nil {
		return nil, err
	}
	return &cutWriter{s: s, fd: fd, h: f.(cutHandle)}, nil
}

type cutWriter struct {
	s  *cutStorage
	fd storage.FileDesc
	h  cutHandle
	at int64
}

func (w *cutWriter) Write(p []byte) (int, error) {
	n, err := w.h.WriteAt(p, w.at)
	w.at += int64(n)
	return n, err
}

func (w *cutWriter) Sync() error {
	if err := w.h.Sync(); err != nil {
		return err
	}
	if w.fd.Type == storage.TypeManifest {
		return w.s.d.syncDir(w.s.dir)
	}
	w.s.d.mu.Lock()
	defer w.s.d.mu.Unlock()
	dir, name, err := w.s.d.in(w.h.path)
	if err == nil && dir.now[name] == w.h.f {
		dir.durable[name] = w.h.f
	}
	return err
}

func (w *cutWriter) Close() error { return nil }

// SetMeta writes a new CURRENT beside the old one, as goleveldb does.
func (s *cutStorage) SetMeta(fd storage.FileDesc) error {
	s.set = true
	current := filepath.Join(s.dir, "CURRENT")
	next := fmt.Sprintf("%s.%d", current, fd.Num)
	f, err := s.d.anew(next)
	if err == nil {
		_, err = f.WriteAt([]byte(fd.String()+"\n"), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = s.d.rename(next, current)
	}
	if err == nil {
		err = s.d.syncDir(s.dir)
	}
	return err
}

// GetMeta lets goleveldb itself find its way in what the last cut has left.
func (s *cutStorage) GetMeta() (storage.FileDesc, error) {
	names, err := s.d.list(s.dir)
	if err != nil {
		return storage.FileDesc{}, err
	}
	if !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "CURRENT") }) {
		return storage.FileDesc{}, os.ErrNotExist // as it is: goleveldb does not unwrap
	}
	if s.set {
		return storage.FileDesc{}, errors.New("cut storage: asked again")
	}
	stor, err := storage.OpenFile(s.dir, true)
	if err != nil {
		return storage.FileDesc{}, err
	}
	defer stor.Close()
	return stor.GetMeta()
}
