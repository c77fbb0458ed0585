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

	"qifeng/proof/merkle"
)

// readBounded reads a regular file of a root whole.
func readBounded(root *os.Root, name string, max int64) ([]byte, error) {
	f, size, err := openRegular(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > max {
		return nil, fmt.Errorf("%s has %d bytes, more than such a file has", filepath.Join(root.Name(), name), size)
	}
	return io.ReadAll(io.LimitReader(f, max))
}

// errLink says that a name is no regular file.
var errLink = errors.New("is no regular file, and links are not followed")

// openRegular opens a regular file and nothing else: a link is not followed, even
// where it stays inside.
func openRegular(root *os.Root, name string) (*os.File, int64, error) {
	seen, err := root.Lstat(name)
	if err != nil {
		return nil, 0, err
	}
	if !seen.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s %w", filepath.Join(root.Name(), name), errLink)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, 0, errors.Join(fmt.Errorf("%s %w", filepath.Join(root.Name(), name), errLink), err)
	}
	return f, st.Size(), nil
}

// meter tells of the progress.
type meter struct {
	done, total int64
	tell        func(done, total int64)
}

func (m *meter) add(n int) {
	m.done += int64(n)
	if m.tell != nil {
		m.tell(m.done, max(m.total, m.done))
	}
}

// copyInto writes n bytes of r into a file of root that does not exist yet, and
// syncs it; the folder is the caller's. w may be nil: then it is only read. What
// is missing from r is an error.
func copyInto(ctx context.Context, w io.Writer, r io.Reader, n int64, m *meter) (merkle.Digest, error) {
	h := merkle.NewHash()
	buf := make([]byte, min(copyBuffer, max(n, 1)))
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return merkle.Digest{}, err
		}
		k, err := r.Read(buf[:min(int64(len(buf)), n)])
		if k > 0 {
			h.Write(buf[:k]) // a hash takes everything
			if w != nil {
				if _, err := w.Write(buf[:k]); err != nil {
					return merkle.Digest{}, err
				}
			}
			m.add(k)
			n -= int64(k)
		}
		if err == io.EOF && n > 0 {
			return merkle.Digest{}, io.ErrUnexpectedEOF
		}
		if err != nil && err != io.EOF {
			return merkle.Digest{}, err
		}
	}
	return h.Sum(), nil
}

// create makes a new file of root, writes it by fill and syncs it.
func create(root *os.Root, name string, mode fs.FileMode, fill func(w io.Writer) error) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode.Perm())
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil {
		err = f.Chmod(mode.Perm()) // the umask may have taken some
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir makes the names in a folder of root durable.
func syncDir(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// folders makes folders of a root and remembers which names are to be synced.
type folders struct {
	root  *os.Root
	dirty map[string]bool
}

func newFolders(root *os.Root) *folders { return &folders{root, map[string]bool{}} }

// need makes the folder of a file.
func (f *folders) need(file string) error {
	dir := path.Dir(file)
	if err := f.root.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for ; !f.dirty[dir]; dir = path.Dir(dir) {
		if f.dirty[dir] = true; dir == "." {
			break
		}
	}
	return nil
}

// sync makes everything below durable that need has made.
func (f *folders) sync() error {
	for dir := range f.dirty {
		if err := syncDir(f.root, dir); err != nil {
			return fmt.Errorf("syncing %s: %w", filepath.Join(f.root.Name(), dir), err)
		}
	}
	return nil
}
