package backup

import (
	"bytes"
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
	"time"
	"unicode"

	"qifeng/archive"
	"qifeng/proof/merkle"
)

// Source is a home to be backed up. The node in it may run.
type Source struct {
	Home, Data  string // the two folders; Data may lie in Home
	Chain, Node string
	Files       []Item // of Home
	Skip        []string
}

// Item is a file of a home besides its data.
type Item struct {
	Path     string // below the home, with slashes
	Secret   bool   // a key
	Optional bool   // it need not be there
}

// Options of Take. The zero value copies keys and tells nobody.
type Options struct {
	WithoutKeys bool
	Progress    func(done, total int64) // bytes
	Now         func() time.Time
}

// Report says what a backup did.
type Report struct {
	*Manifest
	New      int // files copied, the others were there
	NewBytes int64
	Kept     int // batches of earlier backups that the home does not have any more
	Digest   merkle.Digest
}

// auditName is the log of look-ups in the data folder, which only grows.
const auditName = "audit.log"

// Target refuses a folder that lies in the home, or that holds anything but a
// backup of this node; one that is not there yet, or empty, is taken. It writes
// nothing.
func (s Source) Target(dir string) error {
	if err := apart(dir, s.Home, s.Data); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	raw, err := readBounded(root, identityName, maxIdentity)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if i := slices.IndexFunc(entries, func(e fs.DirEntry) bool { return e.Name() != "lock" && e.Name() != "lost+found" }); i >= 0 {
			return fmt.Errorf("%s holds %s and no backup: name an empty folder, or that of an earlier backup of this node", dir, entries[i].Name())
		}
		return nil
	case err != nil:
		return err
	case string(raw) != identity(s.Chain, s.Node):
		return fmt.Errorf("%s holds the backup of another node, and not of %s of chain %s:\n%s", dir, s.Node, s.Chain, bytes.TrimSpace(raw))
	}
	return nil
}

// taker is one run of Take.
type taker struct {
	ctx   context.Context
	src   Source
	opt   Options
	to    *os.Root
	dirs  *folders
	old   *Manifest // nil for the first
	m     *Manifest
	r     *Report
	meter meter
	seen  map[string]string // number of a batch -> its name
}

// Take backs a home up into a folder. Order:
//
//  1. BACKUP, which says whose folder it is;
//  2. what can change, into a new set; closed batches, where they are not there
//     yet, each under a temporary name first; every file and folder fsynced;
//  3. MANIFEST, under a temporary name, fsync, rename, fsync;
//  4. the sets before are removed.
//
// A crash before the rename leaves the earlier backup as it was, and a set that
// the next run removes.
func Take(ctx context.Context, src Source, dir string, opt Options) (*Report, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if err := src.Target(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm()&0o077 != 0 {
		return nil, errors.Join(err, fmt.Errorf("%s can be read by others: chmod 0700 it first", dir))
	}
	to, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	t := &taker{ctx: ctx, src: src, opt: opt, to: to, dirs: newFolders(to), seen: map[string]string{},
		m: &Manifest{Chain: src.Chain, Node: src.Node, Taken: opt.Now(), Keys: !opt.WithoutKeys, LeftOut: slices.Clone(src.Skip)}}
	t.meter.tell = opt.Progress
	t.r = &Report{Manifest: t.m}
	if err := t.run(); err != nil {
		return nil, fmt.Errorf("backing up %s: %w", src.Home, err)
	}
	return t.r, nil
}

// apart refuses a backup inside the home, and the other way round.
func apart(dir string, others ...string) error {
	resolve := func(p string) string {
		p, err := filepath.Abs(p)
		for rest := ""; err == nil; {
			if real, err := filepath.EvalSymlinks(p); err == nil {
				return filepath.Join(real, rest)
			}
			if p == filepath.Dir(p) {
				break
			}
			p, rest = filepath.Dir(p), filepath.Join(filepath.Base(p), rest)
		}
		return p
	}
	within := func(a, b string) bool {
		rel, err := filepath.Rel(b, a)
		return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
	}
	d := resolve(dir)
	for _, o := range others {
		if o := resolve(o); within(d, o) || within(o, d) {
			return fmt.Errorf("%s and %s lie in each other: a backup belongs on another disk", dir, o)
		}
	}
	return nil
}

func (t *taker) run() error {
	if err := t.begin(); err != nil {
		return err
	}
	if err := t.takeHome(); err != nil {
		return err
	}
	if err := t.takeData(); err != nil {
		return err
	}
	if err := t.keepOld(); err != nil {
		return err
	}
	t.m.sort()
	if err := t.dirs.sync(); err != nil {
		return err
	}
	for i, p := range t.m.LeftOut { // names out of a configuration
		t.m.LeftOut[i] = strings.Map(func(r rune) rune {
			if unicode.IsPrint(r) {
				return r
			}
			return '?'
		}, p)
	}
	raw := t.m.encode()
	if err := t.replace(manifestName, raw); err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	t.r.Digest = merkle.Sum(raw)
	return t.clear(t.m.Set)
}

// begin reads the earlier manifest, clears what a killed run left, and says whose
// folder this is.
func (t *taker) begin() error {
	raw, err := readBounded(t.to, manifestName, maxManifest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = t.replace(identityName, []byte(identity(t.src.Chain, t.src.Node)))
	case err == nil:
		t.old, err = parseManifest(raw)
		if err != nil {
			err = fmt.Errorf("%s: %w: keep this folder, and back up into another one", filepath.Join(t.to.Name(), manifestName), err)
		} else if t.old.Chain != t.src.Chain || t.old.Node != t.src.Node {
			err = fmt.Errorf("%s is of node %s of chain %s", filepath.Join(t.to.Name(), manifestName), t.old.Node, t.old.Chain)
		}
	}
	if err != nil {
		return err
	}
	set, last := "", 0
	if t.old != nil {
		set = t.old.Set
		if _, err := fmt.Sscanf(set, setPrefix+"%d", &last); err != nil {
			return fmt.Errorf("the name of the last set: %w", err)
		}
	}
	t.m.Set = fmt.Sprintf("%s%06d", setPrefix, last+1)
	return t.clear(set)
}

// replace writes a file of the folder atomically and durably.
func (t *taker) replace(name string, raw []byte) error {
	tmp := name + ".tmp"
	if err := t.to.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := create(t.to, tmp, 0o600, func(w io.Writer) error { _, err := w.Write(raw); return err })
	if err == nil {
		err = t.to.Rename(tmp, name)
	}
	if err == nil {
		err = syncDir(t.to, ".")
	}
	return err
}

// clear removes all sets but one.
func (t *taker) clear(but string) error {
	d, err := t.to.Open(".")
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, setPrefix) && name != but {
			if err := t.to.RemoveAll(name); err != nil {
				return fmt.Errorf("removing an old set: %w", err)
			}
		}
	}
	return nil
}

// whole is the end of a file that is copied as it is.
func whole(_ io.ReaderAt, size int64) (int64, error) { return size, nil }

// takeHome copies what the home has besides data.
func (t *taker) takeHome() error {
	root, err := os.OpenRoot(t.src.Home)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, item := range t.src.Files {
		p := homePart + item.Path
		if item.Secret && t.opt.WithoutKeys {
			if _, err := root.Lstat(item.Path); err == nil {
				t.m.LeftOut = append(t.m.LeftOut, p)
			}
			continue
		}
		err := t.copy(root, item.Path, p, whole)
		switch {
		case err == nil, item.Optional && errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, errLink):
			t.m.LeftOut = append(t.m.LeftOut, p)
		default:
			return err
		}
	}
	return nil
}

// takeData copies archive, audit log, fraud proofs and the receipts of anchors.
func (t *taker) takeData() error {
	root, err := os.OpenRoot(t.src.Data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a node that never ran
	}
	if err != nil {
		return err
	}
	defer root.Close()
	if err := t.copy(root, auditName, dataPart+auditName, wholeLines); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := t.takeFrauds(root); err != nil {
		return err
	}
	if err := t.takeAnchors(root); err != nil {
		return err
	}
	a, err := root.OpenRoot("archive")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer a.Close()
	if err := t.expect(a); err != nil {
		return err
	}
	return archive.CopyFiles(a, func(f archive.CopyFile) error { return t.archiveFile(a, f) })
}

func (t *taker) takeFrauds(root *os.Root) error {
	d, err := root.Open("fraud")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".tmp") {
			continue
		}
		if err := t.copy(root, path.Join("fraud", name), path.Join(dataPart+"fraud", name), whole); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// expect counts what there is to copy, for the progress.
func (t *taker) expect(root *os.Root) error {
	return archive.CopyFiles(root, func(f archive.CopyFile) error {
		if _, had := t.had(f); !had {
			if st, err := root.Lstat(f.Path); err == nil {
				t.meter.total += st.Size()
			}
		}
		return nil
	})
}

// had finds a batch that an earlier backup has: it never changes.
func (t *taker) had(f archive.CopyFile) (File, bool) {
	if t.old == nil || f.Kind != archive.CopyBatch {
		return File{}, false
	}
	old, ok := t.old.find(archivePart + f.Path)
	if !ok { // it was in the outbox then
		old, ok = t.old.find(archivePart + "outbox/" + path.Base(f.Path))
	}
	return old, ok
}

// archiveFile copies a file of the archive as its kind allows.
func (t *taker) archiveFile(root *os.Root, f archive.CopyFile) error {
	p := archivePart + f.Path
	switch f.Kind {
	case archive.CopyJournal:
		err := t.copy(root, f.Path, p, func(r io.ReaderAt, size int64) (int64, error) {
			n, err := archive.WholeFrames(r, size, f.Seq)
			if err != nil {
				err = fmt.Errorf("%s: %w", filepath.Join(root.Name(), f.Path), err)
			}
			return n, err
		})
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it comes as a batch
		}
		return err
	case archive.CopyLost:
		return t.copy(root, f.Path, p, whole)
	}
	name := path.Base(f.Path)
	if other, twice := t.seen[batchSeq(name)]; twice && other == name {
		return nil // it was in the outbox a moment ago
	}
	old, had := t.had(f)
	st, err := t.to.Lstat(batchPlace(name))
	if had && err == nil && st.Size() == old.Size {
		now, err := root.Lstat(f.Path)
		if err == nil && now.Size() != old.Size {
			return fmt.Errorf("%s has %d bytes and had %d: a closed batch never changes, so one of the two is damaged", filepath.Join(root.Name(), f.Path), now.Size(), old.Size)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil {
			old.Path = p
			t.note(old)
		}
		return nil
	}
	err = t.copy(root, f.Path, p, whole)
	if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(f.Path, "outbox/") {
		return nil // it comes again in batches
	}
	return err
}

// note puts a file into the manifest.
func (t *taker) note(f File) {
	if name := f.batchName(); name != "" {
		t.seen[batchSeq(name)] = name
	}
	t.m.Files = append(t.m.Files, f)
}

// copy copies the bytes of a file up to an end that cut finds.
func (t *taker) copy(root *os.Root, rel, p string, cut func(r io.ReaderAt, size int64) (int64, error)) error {
	if err := checkPath(p); err != nil {
		return err
	}
	in, size, err := openRegular(root, rel)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	if size, err = cut(in, size); err != nil {
		return err
	}
	f := File{Path: p, Mode: st.Mode().Perm(), Size: size}
	place, batch := t.m.stored(f), f.batchName() != ""
	if err := t.dirs.need(place); err != nil {
		return err
	}
	name := place
	if batch { // what has its name is whole
		name += ".tmp"
		if err := t.to.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	err = create(t.to, name, 0o600, func(w io.Writer) error {
		f.Digest, err = copyInto(t.ctx, w, io.NewSectionReader(in, 0, size), size, &t.meter)
		return err
	})
	if err == nil && batch {
		err = t.to.Rename(name, place)
	}
	if err != nil {
		return fmt.Errorf("copying %s: %w", filepath.Join(root.Name(), rel), err)
	}
	t.r.New++
	t.r.NewBytes += size
	t.note(f)
	return nil
}

// keepOld takes over the batches that the home does not have any more, and leaves
// out journals that were closed while they were copied.
func (t *taker) keepOld() error {
	if t.old != nil {
		for _, f := range t.old.Files {
			name := f.batchName()
			if name == "" {
				continue
			}
			switch now, seen := t.seen[batchSeq(name)]; {
			case !seen:
				t.note(f)
				t.r.Kept++
			case now != name:
				return fmt.Errorf("the home has batch %s and the backup %s: two closed batches of one number; keep this backup, find out which one is on the ledger, and back up into another folder", now, name)
			}
		}
	}
	t.m.Files = slices.DeleteFunc(t.m.Files, func(f File) bool {
		name, ok := strings.CutPrefix(f.Path, archivePart+"journal/")
		_, closed := t.seen[strings.TrimSuffix(name, ".journal")]
		return ok && closed
	})
	return nil
}

// wholeLines is the end of the last line.
func wholeLines(r io.ReaderAt, size int64) (int64, error) {
	from := max(0, size-auditTail)
	buf := make([]byte, size-from)
	if _, err := r.ReadAt(buf, from); err != nil && err != io.EOF {
		return 0, err
	}
	if i := bytes.LastIndexByte(buf, '\n'); i >= 0 {
		return from + int64(i) + 1, nil
	}
	if from > 0 {
		return 0, fmt.Errorf("its last %d bytes are no line", auditTail)
	}
	return 0, nil
}
