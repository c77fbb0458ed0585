// Package durable holds the steps on disk that several rooms need alike and that
// are easily got wrong. It is no store: what is written, in which order, and what a
// crash leaves is each room's own to say.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// SyncFolder makes names durable: files that were created in, renamed within or
// removed from the folder.
func SyncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// RemoveUnborn empties the folder of a goleveldb that was never opened to the
// end. goleveldb makes a database in two steps, the manifest and the file CURRENT
// that names it, and takes one that has the first and not the second for damaged:
// a crash between them would keep a new home from ever starting. Only when both
// are there does it make its first log, so where there is neither a log, a table
// nor a CURRENT, nothing was ever stored.
func RemoveUnborn(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at a database: %w", err)
	}
	manifest := false
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, "MANIFEST-"):
			manifest = true
		case name == "LOCK", name == "LOG", strings.HasPrefix(name, "CURRENT.") && name != "CURRENT.bak":
		default:
			return nil // it was opened before, or is none
		}
	}
	if !manifest {
		return nil
	}
	for _, e := range entries {
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("removing what a crash left of a database in the making: %w", err)
		}
	}
	return SyncFolder(dir)
}
