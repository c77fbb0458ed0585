package archive

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// TestPowerCut cuts the power under a random load at a random operation, again
// and again under one archive: what is not durable may be gone, in part or as a
// whole. Then fsck finds nothing wrong, before and after the restart, and every
// receipt is kept. scripts/powercut.sh asks for a thousand cuts.
func TestPowerCut(t *testing.T) {
	cuts := 40
	if s := os.Getenv("QIFENG_POWERCUTS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		cuts = n
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("QIFENG_POWERCUT_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("seed %d (QIFENG_POWERCUT_SEED)", seed)
	const workers = 2
	var sum powerCuts
	t.Run("cuts", func(t *testing.T) {
		for i := range workers {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(seed, uint64(i)))
				for n := i; n < cuts && !t.Failed(); {
					n += workers * powerCutsOf(t, r, (cuts-n+workers-1)/workers, &sum)
				}
			})
		}
	})
	t.Logf("seed %d: %d cuts in %d archives, %d of them while it recovered, %d after a failed operation; %d receipts held", seed, sum.cuts, sum.archives, sum.recovering, sum.faults, sum.receipts)
	if cuts >= 40 && !t.Failed() && (sum.receipts < 3*cuts || sum.lost == 0 || sum.recovering == 0) {
		t.Errorf("the test tests little: %d receipts, %d cuts lost something, %d were in recovery", sum.receipts, sum.lost, sum.recovering)
	}
}

// powerCuts counts what the cuts were.
type powerCuts struct {
	mu                                                 sync.Mutex
	cuts, archives, recovering, receipts, lost, faults int
}

// powerCutsOf cuts up to ten times under one archive, and no more often than most.
func powerCutsOf(t *testing.T, r *rand.Rand, most int, sum *powerCuts) (cuts int) {
	w := newWorld(t)
	base := memoryDir(t)
	defer os.RemoveAll(base)
	w.dir = filepath.Join(base, "archive")
	w.cfg.Dir = w.dir
	w.cfg.indexRecords = 1 + r.IntN(40)
	w.cfg.Limits.BatchRecords = 3 + r.IntN(60)
	var held []Stored
	faults := 0
	for range min(most, 1+r.IntN(10)) {
		// While it recovers, soon, or late; a life that ends before is cut at its end.
		at := 1 + r.IntN([]int{25, 120, 120, 400}[r.IntN(4)])
		d, err := newCutDisk(w.dir, at, r)
		if err != nil {
			t.Fatal(err)
		}
		if n := r.IntN(8); n < 2 { // an error first, and the cut when it has had its effect
			d.fault = []error{errors.New("fault: input/output error"), syscall.ENOSPC}[n]
			faults++
		}
		w.cfg.disk, w.cfg.storage = d, func(dir string) (storage.Storage, error) { return &cutStorage{d: d, dir: dir}, d.mkdir(dir) }
		a, err := Open(w.cfg)
		if err == nil {
			w.a = a
			held = append(held, randomLife(w, d)...)
			d.cut()
			a.Close() // what it says has no meaning any more
			w.a = nil
		} else if d.cut(); !d.fell(at) {
			t.Fatalf("cut %d at operation %d: %v", cuts, at, err)
		}
		before := d.size()
		if err := d.fall(); err != nil {
			t.Fatal(err)
		}
		cuts++
		sum.mu.Lock()
		sum.cuts++
		if w.a == nil && err != nil {
			sum.recovering++
		}
		if before != folderSize(t, w.dir) {
			sum.lost++
		}
		sum.mu.Unlock()
		if err := w.fsck(); err != nil {
			t.Fatalf("cut %d at operation %d of %d, before the restart: %v\n%s", cuts, at, d.ops, err, tree(w.dir))
		}
		if r.IntN(3) == 0 {
			continue // the next start meets the next cut
		}
		w.cfg.storage = nil
		if err := afterwards(w, held); err != nil {
			t.Fatalf("cut %d at operation %d of %d, %d receipts held: %v\n%s", cuts, at, d.ops, len(held), err, tree(w.dir))
		}
	}
	w.cfg.storage = nil
	if err := afterwards(w, held); err != nil {
		t.Fatalf("after %d cuts, %d receipts held: %v\n%s", cuts, len(held), err, tree(w.dir))
	}
	sum.mu.Lock()
	defer sum.mu.Unlock()
	sum.archives++
	sum.faults += faults
	sum.receipts += len(held)
	return cuts
}

// randomLife loads the archive until the power is cut, or for a while.
func randomLife(w *world, d *cutDisk) (held []Stored) {
	r := rand.New(rand.NewPCG(d.number(), 1)) // the disk has its own, used by other goroutines
	var mu sync.Mutex                         // guards held
	submit := func(records int) {
		got, err := stored(w.a.Submit(w.t.Context(), w.request(submissions(records)...)))
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			held = append(held, got...)
		}
	}
	gone := func() bool { st := w.a.Status(); return !st.Accepting || len(st.Alarms) > 0 }
	for range 2 + r.IntN(12) {
		if gone() {
			break
		}
		switch r.IntN(8) {
		case 0:
			w.chain.register()
		case 1:
			w.chain.set(func(c *fakeChain) { c.hold = true })
		case 2:
			w.chain.set(func(c *fakeChain) { c.hold = false })
			w.chain.release()
		case 3:
			var several sync.WaitGroup
			for range 2 + r.IntN(8) {
				n := 1 + r.IntN(5)
				several.Go(func() { submit(n) })
			}
			several.Wait()
		case 4:
			end := time.Now().Add(10 * time.Millisecond)
			for st := w.a.Status(); time.Now().Before(end) && !gone() && (st.Queued.Batches > 0 || st.Open.Records > 0); st = w.a.Status() {
				time.Sleep(100 * time.Microsecond)
			}
		default:
			submit(1 + r.IntN(8))
		}
	}
	w.chain.set(func(c *fakeChain) { c.hold = false })
	w.chain.release()
	return held
}

// fell says whether the operation of the cut was reached.
func (d *cutDisk) fell(at int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops >= at
}

func (d *cutDisk) number() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.Uint64()
}

// size adds up what the disk held when the power was cut.
func (d *cutDisk) size() (n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, dir := range d.dirs {
		for _, f := range dir.now {
			n += int64(len(f.data))
		}
	}
	return n
}

func folderSize(t *testing.T, dir string) (n int64) {
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		st, err := e.Info()
		if err == nil {
			n += st.Size()
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return n
}

// tree lists what is in a folder.
func tree(dir string) string {
	var b strings.Builder
	_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			if st, err := e.Info(); err == nil {
				fmt.Fprintf(&b, "%8d %s\n", st.Size(), strings.TrimPrefix(path, dir))
			}
		}
		return err
	})
	return b.String()
}
