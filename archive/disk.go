package archive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// disk is the part of the operating system that the archive writes through; a
// test puts faults here. Nothing that returned nil without a sync is durable.
type disk interface {
	create(path string) (file, error) // read and write; must not exist
	open(path string, write bool) (file, error)
	rename(from, to string) error // replaces atomically; durable after syncDir of both folders
	remove(path string) error
	removeAll(path string) error // a folder and all that is in it
	syncDir(path string) error
	list(dir string) ([]string, error) // names, sorted
	mkdir(path string) error           // with parents, fine where it exists; durable on return
	free(path string) (uint64, error)  // bytes that this process may still write
}

// file is an open file.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
	Stat() (os.FileInfo, error)
}

// osDisk is the real one.
type osDisk struct{}

func (osDisk) create(path string) (file, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

func (osDisk) open(path string, write bool) (file, error) {
	if write {
		return os.OpenFile(path, os.O_RDWR, 0)
	}
	return os.Open(path)
}

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }
func (osDisk) remove(path string) error     { return os.Remove(path) }
func (osDisk) removeAll(path string) error  { return os.RemoveAll(path) }

func (osDisk) syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (osDisk) list(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	sort.Strings(names)
	return names, errors.Join(err, d.Close())
}

func (o osDisk) mkdir(path string) error {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return nil
	}
	if parent := filepath.Dir(path); parent != path {
		if err := o.mkdir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return o.syncDir(filepath.Dir(path))
}

func (osDisk) free(path string) (uint64, error) { return freeBytes(path) }

// moveFile renames a file durably. A crash leaves it under one of the names,
// or, on file systems that order badly, under both; recovery takes either. Where
// it failed half-way it can be called again.
func moveFile(d disk, from, to string) error {
	if err := d.rename(from, to); err != nil {
		f, moved := d.open(to, false)
		if !errors.Is(err, os.ErrNotExist) || moved != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	if f, err := d.open(from, false); err == nil {
		// A power cut left one file under both names: renaming does nothing then.
		if err := errors.Join(f.Close(), d.remove(from)); err != nil {
			return err
		}
	}
	if err := d.syncDir(filepath.Dir(to)); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(from))
}

// removeLeftovers removes the temporary files of an interrupted creation: what
// has no final name was never promised to anyone.
func removeLeftovers(d disk, dir string) error {
	names, err := d.list(dir)
	if err != nil {
		return fmt.Errorf("listing %s: %w", dir, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, tmpSuffix) {
			if err := d.remove(filepath.Join(dir, name)); err != nil {
				return fmt.Errorf("removing a leftover: %w", err)
			}
		}
	}
	return nil
}

const tmpSuffix = ".tmp"
