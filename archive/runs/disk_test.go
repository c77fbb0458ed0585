package runs

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
)

var errDead = errors.New("fault: the process has died")

// testDisk is the real disk without syncs, which dies at an operation.
type testDisk struct {
	left  atomic.Int64 // operations until it dies; below 0 it never does
	steps atomic.Int64
	reads atomic.Int64
	none  atomic.Bool // there is no room
}

func sound() *testDisk {
	d := new(testDisk)
	d.left.Store(-1)
	return d
}

func (d *testDisk) step() error {
	d.steps.Add(1)
	for {
		n := d.left.Load()
		if n == 0 {
			return errDead
		}
		if n < 0 || d.left.CompareAndSwap(n, n-1) {
			return nil
		}
	}
}

func (d *testDisk) Create(path string) (File, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return testFile{f, d}, err
}

func (d *testDisk) Open(path string) (File, error) {
	f, err := os.Open(path)
	return testFile{f, d}, err
}

func (d *testDisk) Move(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	return os.Rename(from, to)
}

func (d *testDisk) Remove(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	return os.Remove(path)
}

func (d *testDisk) List(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (d *testDisk) Free(string) (uint64, error) {
	if d.none.Load() {
		return 0, nil
	}
	return 1 << 40, nil
}

type testFile struct {
	*os.File
	d *testDisk
}

func (f testFile) WriteAt(p []byte, at int64) (int, error) {
	if err := f.d.step(); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], at)
		return n, err
	}
	return f.File.WriteAt(p, at)
}

func (f testFile) ReadAt(p []byte, at int64) (int, error) {
	f.d.reads.Add(1)
	return f.File.ReadAt(p, at)
}

func (f testFile) Sync() error { return f.d.step() }

func runFiles(dir string) []string {
	names, _ := filepath.Glob(filepath.Join(dir, "*"+runSuffix))
	return names
}
