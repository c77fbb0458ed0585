package drills

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"qifeng/api/client"
	"qifeng/evidence"
)

// TestFullDisk gives the vendor's data a small file system of its own and fills
// it, first below the room that the archive leaves for the others, then to the
// last byte. New records are refused with a problem that says so, what is there
// is read, the chain goes on without the full member, and all of it resumes when
// there is room again; every receipt is kept, and fsck finds nothing wrong.
func TestFullDisk(t *testing.T) {
	d := newSmallDisk(t)
	n := newNetwork(t, plain)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	n.stop(vendor)
	d.mount(filepath.Join(n.Home(vendor), "data"))
	n.start(vendor, plain)
	n.ready(vendor)
	first := n.sealed("before", 2)

	t.Log("less than 256 MiB are left")
	d.fill(200 << 20)
	_, err := n.submit(ctx, "refused")
	refusedFull(t, err)
	n.eventually(10*time.Second, "it is not ready, and says why", func() error {
		st, err := n.status(vendor)
		if err == nil && (st.Ready || len(st.Reasons) != 1 || st.Reasons[0].Code != "archive-full") {
			err = fmt.Errorf("ready %v, %+v", st.Ready, st.Reasons)
		}
		return err
	})
	for id := range first {
		n.holds(ctx, id) // reading goes on
	}
	before, err := n.status(vendor)
	if err != nil {
		t.Fatal(err)
	}
	n.eventually(60*time.Second, "the chain and this member's seals go on", func() error {
		st, err := n.status(steady)
		if err == nil && (st.Ledger.Height <= before.Ledger.Height || !of(st, vendor).Fresh) {
			err = fmt.Errorf("height %d after %d", st.Ledger.Height, before.Ledger.Height)
		}
		return err
	})

	t.Log("there is room again: nothing is restarted")
	d.fill(0)
	n.ready(vendor) // by itself: nothing may be sent to a node that is not ready
	second := n.sealed("room again", 2)

	t.Log("not a byte is left")
	d.fill(d.free())
	_, err = n.submit(ctx, "refused again")
	if err == nil {
		t.Error("a record was taken without any room")
	}
	ended := false
	n.goesOn(steady)
	select {
	case <-n.Nodes[vendor].Done:
		ended = true
		if code := n.Nodes[vendor].Cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("it ended with exit code %d", code)
		}
	default:
	}
	t.Logf("with a full disk the process has ended: %v", ended)
	if ended {
		n.logs(vendor, "no space left on device")
	}

	t.Log("there is room again, and it is started as systemd would")
	d.fill(0)
	if !ended {
		n.stop(vendor)
	}
	n.start(vendor, plain)
	n.seals(vendor)
	third := n.sealed("after", 2)
	for _, sealed := range []map[evidence.ID]bool{keys(first), keys(second), keys(third)} {
		for id := range sealed {
			n.holds(ctx, id)
		}
	}
	n.noAlarms()
	for _, m := range members {
		n.stop(m)
	}
	for _, m := range members {
		if said := n.qifeng(0, "fsck", "--home", n.Home(m)); m == vendor {
			t.Log(said)
		}
	}
}

func keys[V any](m map[evidence.ID]V) map[evidence.ID]bool {
	out := map[evidence.ID]bool{}
	for id := range m {
		out[id] = true
	}
	return out
}

func refusedFull(t *testing.T, err error) {
	t.Helper()
	var p *client.Problem
	if !errors.As(err, &p) || p.Status != 507 || p.Code != "storage-full" || p.Mend == "" {
		t.Errorf("a submission without room: %v", err)
	}
}

// smallDisk is a tmpfs, which only root can mount.
type smallDisk struct {
	t   *testing.T
	dir string
}

const smallDiskSize = 400 << 20

func newSmallDisk(t *testing.T) *smallDisk {
	t.Helper()
	probe := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", probe).CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED: a disk that is really full. Mounting a tmpfs was refused: %v: %s", err, out)
	}
	if err := exec.Command("umount", probe).Run(); err != nil {
		t.Fatal(err)
	}
	return &smallDisk{t: t}
}

// mount puts a folder on a disk of its own, with what is in it.
func (d *smallDisk) mount(dir string) {
	d.t.Helper()
	aside := dir + ".aside"
	if err := errors.Join(os.Rename(dir, aside), os.Mkdir(dir, 0o700)); err != nil {
		d.t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d,mode=700", smallDiskSize), "tmpfs", dir).CombinedOutput(); err != nil {
		d.t.Fatalf("%v: %s", err, out)
	}
	d.dir = dir
	d.t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			d.t.Errorf("unmounting: %v: %s", err, out)
		}
	})
	if out, err := exec.Command("cp", "-a", aside+"/.", dir).CombinedOutput(); err != nil {
		d.t.Fatalf("%v: %s", err, out)
	}
	if err := os.RemoveAll(aside); err != nil {
		d.t.Fatal(err)
	}
}

func (d *smallDisk) free() int64 {
	d.t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &st); err != nil {
		d.t.Fatal(err)
	}
	return int64(uint64(st.Bavail) * uint64(st.Bsize)) //nolint:unconvert // the types differ between systems
}

// fill puts a file of so many bytes there; 0 takes it away.
func (d *smallDisk) fill(n int64) {
	d.t.Helper()
	path := filepath.Join(d.dir, "ballast")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		d.t.Fatal(err)
	}
	if n == 0 {
		return
	}
	f, err := os.Create(path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); n > 0 && err == nil; n -= int64(len(block)) {
		_, err = f.Write(block[:min(n, int64(len(block)))])
	}
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatal(err)
	}
}
