package archive

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
)

// errCrash is what a dead process would never see.
var errCrash = errors.New("fault: the process has died")

// faultDisk is the real disk with a fault at one operation.
//
// A crash at operation n: it fails, either after having taken effect or not,
// and every later one fails without effect. What was not synced by then is cut
// at a random point (a file's new bytes) or undone (a rename without syncDir).
// What stays is what the next start finds.
//
// An error at operation n: only that one fails.
type faultDisk struct {
	osDisk
	mu        sync.Mutex
	names     map[string]int // how often each operation was asked for
	ops       int            // changes so far
	at        int            // the one that fails, 0 for none
	err       error          // errCrash: the process dies there
	persisted bool           // the failing operation takes effect all the same
	dead      bool
	files     map[*faultFile]bool
	renames   []renamed // not durable yet

	freeBytes *uint64       // what free says
	gate      chan struct{} // each sync of a file takes one from it
	started   chan struct{} // and says so before
}

type renamed struct {
	from, to string
	before   []byte // what to held, nil where there was no such file
	fromSync bool
	toSync   bool
}

// step counts an operation. do says whether it takes effect, err what it returns.
func (d *faultDisk) step(name string) (do bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names == nil {
		d.names = map[string]int{}
	}
	d.names[name]++
	if d.dead {
		return false, errCrash
	}
	d.ops++
	if d.at == 0 || d.ops != d.at {
		return true, nil
	}
	if errors.Is(d.err, errCrash) {
		d.dead = true
	}
	return d.persisted, d.err
}

// lose drops what was not durable when the process died.
func (d *faultDisk) lose(r *rand.Rand) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := len(d.renames) - 1; i >= 0; i-- {
		n, undo := d.renames[i], r.IntN(2) == 0
		_, err := os.Stat(n.to)
		switch {
		case !undo || errors.Is(err, fs.ErrNotExist): // moved on
		case n.toSync: // it is durable under both names
			if err := os.Link(n.to, n.from); err != nil {
				return err
			}
		default:
			err := d.osDisk.rename(n.to, n.from)
			if err == nil && n.before != nil {
				err = os.WriteFile(n.to, n.before, 0o600)
			}
			if err != nil {
				return err
			}
		}
	}
	for f := range d.files {
		if f.size > f.synced {
			if err := f.file.Truncate(f.synced + r.Int64N(f.size-f.synced+1)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *faultDisk) create(path string) (file, error) {
	do, fault := d.step("create")
	if !do {
		return nil, fault
	}
	f, err := d.osDisk.create(path)
	if err != nil {
		return nil, err
	}
	return d.track(f, 0), fault
}

func (d *faultDisk) track(f file, size int64) file {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files == nil {
		d.files = make(map[*faultFile]bool)
	}
	ff := &faultFile{file: f, d: d, size: size, synced: size}
	d.files[ff] = true
	return ff
}

func (d *faultDisk) open(path string, write bool) (file, error) {
	f, err := d.osDisk.open(path, write)
	if err != nil || !write {
		return f, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return d.track(f, st.Size()), nil
}

func (d *faultDisk) rename(from, to string) error {
	do, fault := d.step("rename")
	if do {
		before, err := os.ReadFile(to)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := d.osDisk.rename(from, to); err != nil {
			return err
		}
		d.mu.Lock()
		d.renames = append(d.renames, renamed{from: from, to: to, before: before})
		d.mu.Unlock()
	}
	return fault
}

func (d *faultDisk) remove(path string) error {
	do, fault := d.step("remove")
	if do {
		if err := d.osDisk.remove(path); err != nil {
			return err
		}
	}
	return fault
}

func (d *faultDisk) removeAll(path string) error {
	do, fault := d.step("removeAll")
	if do {
		if err := d.osDisk.removeAll(path); err != nil {
			return err
		}
	}
	return fault
}

func (d *faultDisk) mkdir(path string) error {
	do, fault := d.step("mkdir")
	if do {
		if err := d.osDisk.mkdir(path); err != nil {
			return err
		}
	}
	return fault
}

func (d *faultDisk) syncDir(path string) error {
	do, fault := d.step("syncDir")
	if do {
		if err := d.osDisk.syncDir(path); err != nil {
			return err
		}
		d.mu.Lock()
		kept := d.renames[:0]
		for _, n := range d.renames {
			n.fromSync = n.fromSync || filepath.Dir(n.from) == path
			n.toSync = n.toSync || filepath.Dir(n.to) == path
			if !n.fromSync || !n.toSync {
				kept = append(kept, n)
			}
		}
		d.renames = kept
		d.mu.Unlock()
	}
	return fault
}

func (d *faultDisk) free(path string) (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.freeBytes != nil {
		return *d.freeBytes, nil
	}
	return d.osDisk.free(path)
}

func (d *faultDisk) setFree(n uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.freeBytes = &n
}

type faultFile struct {
	file
	d            *faultDisk
	size, synced int64
}

func (f *faultFile) WriteAt(p []byte, at int64) (int, error) {
	do, fault := f.d.step("WriteAt")
	if fault != nil && !do && !errors.Is(fault, errCrash) {
		p = p[:len(p)/2] // a short write
		do = true
	}
	if do {
		n, err := f.file.WriteAt(p, at)
		f.d.mu.Lock()
		f.size = max(f.size, at+int64(n))
		f.d.mu.Unlock()
		if err != nil {
			return n, err
		}
	}
	return len(p), fault
}

func (f *faultFile) Truncate(size int64) error {
	do, fault := f.d.step("Truncate")
	if do {
		if err := f.file.Truncate(size); err != nil {
			return err
		}
		f.d.mu.Lock()
		f.size, f.synced = size, min(f.synced, size)
		f.d.mu.Unlock()
	}
	return fault
}

func (f *faultFile) Sync() error {
	f.d.mu.Lock()
	gate, started := f.d.gate, f.d.started
	f.d.mu.Unlock()
	if gate != nil {
		started <- struct{}{}
		<-gate
	}
	do, fault := f.d.step("Sync")
	if do {
		if err := f.file.Sync(); err != nil {
			return err
		}
		f.d.mu.Lock()
		f.synced = f.size
		f.d.mu.Unlock()
	}
	return fault
}

// forget closes what Close kept open.
func (d *faultDisk) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for f := range d.files {
		f.file.Close()
	}
	d.files = nil
}

// Close drops the handle but keeps the file in mind: lose may cut it.
func (f *faultFile) Close() error { return nil }
