package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"qifeng/internal/durable"
)

// writeNew writes a file that must not exist yet. Order: write and fsync a
// temporary file in the same folder, link it under its name (which fails if
// the name is taken), fsync the folder. A crash leaves either nothing under
// the name or the whole file, and at worst a stray temporary file.
func writeNew(path string, data []byte, mode fs.FileMode) error {
	tmp, err := writeTemp(path, data, mode)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := os.Link(tmp, path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists already and is not replaced: %w", path, fs.ErrExist)
		}
		return err
	}
	return durable.SyncFolder(filepath.Dir(path))
}

// replaceFile writes a file whole, over one of the same name. Order: write
// and fsync a temporary file in the same folder, rename it over the name,
// fsync the folder. A crash leaves the old file or the new one, never a mix.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	tmp, err := writeTemp(path, data, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		os.Remove(tmp)
		return err
	}
	return durable.SyncFolder(filepath.Dir(path))
}

func writeTemp(path string, data []byte, mode fs.FileMode) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return "", err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := f.Chmod(mode); err != nil {
		return "", err
	}
	if _, err := f.Write(data); err != nil {
		return "", err
	}
	return f.Name(), f.Sync()
}

// exists reports whether something stands under the name, a broken link
// included: what is there is never written over by accident.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
