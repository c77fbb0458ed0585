package fsck

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
)

// readSmall reads a whole small file. A missing one is a Problem, everything
// else that keeps it from being read is an error of reading.
func (c *checker) readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, wrong(CodeMissing, c.rel(path), "there is no such file")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err == nil && len(b) > maxDocument {
		return nil, wrong(CodeForeign, c.rel(path), "it has more than %d bytes", maxDocument)
	}
	return b, err
}

// opened opens a file and asks for its size.
func opened(path string) (f *os.File, size int64, err error) {
	if f, err = os.Open(path); err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, st.Size(), nil
}

// rel names a file as a report does.
func (c *checker) rel(path string) string {
	if r, err := filepath.Rel(c.home.Dir, path); err == nil && filepath.IsLocal(r) {
		return filepath.ToSlash(r)
	}
	return path
}

// names lists a folder, sorted; exists is false where there is none.
func names(dir string) (list []string, exists bool, err error) {
	d, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer d.Close()
	list, err = d.Readdirnames(-1)
	sort.Strings(list)
	return list, true, err
}

const sector = 512

// lostSector says whether a sector of the file, as far as it lies within
// [from, to), holds nothing but zeros: what a disk leaves of bytes that were
// never synced.
func lostSector(r io.ReaderAt, from, to int64) (bool, error) {
	var buf [sector]byte
	for from < to {
		n := min(sector-from%sector, to-from)
		if _, err := r.ReadAt(buf[:n], from); err != nil {
			return false, err
		}
		if len(bytes.TrimLeft(buf[:n], "\x00")) == 0 {
			return true, nil
		}
		from += n
	}
	return false, nil
}

// caught turns a panic of a library that was given this file into a Problem.
func caught(err *error, code Code, file string) {
	if r := recover(); r != nil {
		*err = wrong(code, file, "the library that reads it gives up: %v", r)
	}
}

// reading names what was read when an error of reading came up.
func reading(path string, err error) error {
	if err == nil {
		return nil
	}
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	return fmt.Errorf("reading %s: %w", path, err)
}
