package archive

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"qifeng/evidence"
	"qifeng/fsck"
	"qifeng/internal/gm"
)

// life is what each run of the crash matrix does. It returns the receipts that
// it was given.
func life(w *world) (held []Stored) {
	try := func(n int) {
		got, err := stored(w.a.Submit(w.t.Context(), w.request(submissions(n)...)))
		if err == nil {
			held = append(held, got...)
		}
	}
	gone := func(st Status) bool { return !st.Accepting || len(st.Alarms) > 0 }
	try(2)
	until(w.t, "batch 1 is on the chain, or nothing works any more", func() bool {
		st := w.a.Status()
		return gone(st) || st.Queued.Batches == 0 && st.Open.Records == 0 || st.InFlight.Seq == 0 && st.Queued.Batches > 0
	})
	w.chain.set(func(c *fakeChain) { c.hold = true })
	for n := range 4 {
		try(n + 1)
	}
	w.chain.register()
	try(3)
	w.chain.set(func(c *fakeChain) { c.hold = false })
	w.chain.release()
	end := time.Now().Add(100 * time.Millisecond)
	for st := w.a.Status(); time.Now().Before(end) && (st.Queued.Batches > 0 || st.Open.Records > 0); st = w.a.Status() {
		if gone(st) {
			break
		}
		time.Sleep(100 * time.Microsecond)
	}
	return held
}

// afterwards opens the folder with a sound disk and sees every receipt kept.
func afterwards(w *world, held []Stored) error {
	w.cfg.disk = nil
	a, err := Open(w.cfg)
	if err != nil {
		return err
	}
	w.a = a
	held = append(held, w.submit(submissions(2)...)...)
	w.settled()
	for _, s := range held {
		w.checkPromise(s)
	}
	if st := a.Status(); len(st.Alarms) != 0 || !st.Accepting {
		return fmt.Errorf("afterwards: %+v", st)
	}
	sent := make(map[uint64]string)
	for _, tx := range w.chain.seen {
		b, err := evidence.ParseBatch(tx)
		if err != nil {
			return err
		}
		if first, ok := sent[b.Seq]; ok && first != string(tx) {
			return fmt.Errorf("two headers of batch %d were sent", b.Seq)
		}
		sent[b.Seq] = string(tx)
	}
	w.close()
	return w.fsck()
}

// fsck recomputes the closed archive by the code of another room.
func (w *world) fsck() error {
	r := fsck.CheckBare(w.t.Context(), fsck.Bare{Dir: w.dir, Node: testNode, ChainID: testChain, Intake: w.intake.Public(),
		Submit: map[string]gm.PublicKey{testKey: w.user.Public()}, Entries: w.chain.entries})
	if r.Result != fsck.Good {
		return fmt.Errorf("fsck:\n%s", r.Text(false))
	}
	return nil
}

func TestFaultAtEveryStep(t *testing.T) {
	count := &faultDisk{}
	w := newWorld(t, func(c *Config) { c.disk = count })
	w.dir = filepath.Join(w.dir, "archive")
	w.cfg.Dir = w.dir
	w.open()
	if held := life(w); len(held) != 15 {
		t.Fatalf("without a fault %d records are stored", len(held))
	}
	w.settled()
	w.close()
	if err := w.fsck(); err != nil {
		t.Fatal(err)
	}
	steps := count.ops
	if steps < 40 {
		t.Fatalf("only %d steps", steps)
	}
	eio := errors.New("fault: input/output error")
	faults := []struct {
		name      string
		err       error
		persisted bool
	}{
		{"crash, not done", errCrash, false},
		{"crash, done", errCrash, true},
		{"error, not done", eio, false},
		{"error, done", eio, true},
		{"full", syscall.ENOSPC, false},
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel() // they wait for the disk, not for the processor
			for at := 1; at <= steps; at++ {
				faultAt(t, at, f.err, f.persisted, 0)
			}
		})
		if !errors.Is(f.err, errCrash) {
			continue
		}
		t.Run(f.name+", a run for each group", func(t *testing.T) {
			t.Parallel()
			for at := 1; at <= steps+60; at++ { // the last ones may be beyond the end
				faultAt(t, at, f.err, f.persisted, 1)
			}
		})
	}
}

// TestFaultAtEveryStepOfRecovery lets each operation fail by which Open mends what
// a crash, or a lost index, has left, and kills the process there. Between it and
// TestFaultAtEveryStep there is no operation of a disk that is not hit.
func TestFaultAtEveryStepOfRecovery(t *testing.T) {
	t.Parallel()
	first := &faultDisk{}
	w := newWorld(t, func(c *Config) { c.disk, c.indexRecords = first, 1 })
	w.dir = filepath.Join(memoryDir(t), "archive")
	w.cfg.Dir = w.dir
	w.open()
	life(w)
	w.settled()
	w.close()
	hit := first.names
	eio := errors.New("fault: input/output error")
	for crash := 20; crash <= first.ops; crash += 1 + first.ops/2 {
		dirty := newWorld(t, func(c *Config) { c.disk, c.indexRecords = &faultDisk{at: crash, err: errCrash}, 1 })
		dirty.dir = filepath.Join(memoryDir(t), "archive")
		dirty.cfg.Dir = dirty.dir
		dirty.open()
		held := life(dirty)
		dirty.a.Close() // what it says of a dead disk has no meaning
		dirty.a = nil
		if err := dirty.cfg.disk.(*faultDisk).lose(rand.New(rand.NewPCG(uint64(crash), 1))); err != nil {
			t.Fatal(err)
		}
		dirty.damage(crash)
		entries, seen := slices.Clone(dirty.chain.entries), slices.Clone(dirty.chain.seen)
		again := func(d *faultDisk) error {
			defer d.forget()
			w := *dirty
			w.chain = newChain()
			w.chain.entries, w.chain.seen, w.chain.registry = slices.Clone(entries), slices.Clone(seen), dirty.chain.registry
			w.dir = filepath.Join(memoryDir(t), "archive")
			defer os.RemoveAll(filepath.Dir(w.dir))
			if err := os.CopyFS(w.dir, os.DirFS(dirty.dir)); err != nil {
				return err
			}
			w.cfg.Dir, w.cfg.Chain, w.cfg.disk = w.dir, w.chain, d
			if a, err := Open(w.cfg); err == nil {
				a.Close()
			}
			if errors.Is(d.err, errCrash) {
				if err := d.lose(rand.New(rand.NewPCG(uint64(d.at), 2))); err != nil {
					return err
				}
			}
			return afterwards(&w, held)
		}
		count := &faultDisk{}
		if err := again(count); err != nil {
			t.Fatalf("after a crash at %d: %v", crash, err)
		}
		for name, n := range count.names {
			hit[name] += n
		}
		for at := 1; at <= count.ops; at++ {
			for _, d := range []*faultDisk{{at: at, err: errCrash}, {at: at, err: errCrash, persisted: true}, {at: at, err: eio}, {at: at, err: eio, persisted: true}} {
				if err := again(d); err != nil {
					t.Fatalf("after a crash at %d, %v (persisted: %v) at operation %d of the recovery: %v", crash, d.err, d.persisted, at, err)
				}
			}
		}
	}
	reads := map[string]bool{"open": true, "list": true, "free": true, "ReadAt": true, "Close": true, "Stat": true}
	for _, face := range []reflect.Type{reflect.TypeFor[disk](), reflect.TypeFor[file]()} {
		for i := range face.NumMethod() {
			if name := face.Method(i).Name; !reads[name] && hit[name] == 0 {
				t.Errorf("no test lets %s fail", name)
			}
		}
	}
}

// damage adds to what a crash has left what needs more to be mended: a torn tail
// of the open journal, a file without its name, and every other time a lost index.
func (w *world) damage(n int) {
	w.t.Helper()
	journals, err := filepath.Glob(filepath.Join(w.dir, journalDir, "*.journal"))
	if err != nil || len(journals) == 0 {
		w.t.Fatalf("no journal: %v", err)
	}
	newest := journals[len(journals)-1]
	b, err := os.ReadFile(newest)
	if err == nil {
		err = errors.Join(os.WriteFile(newest, append(b, 0xff, 'Q', 'F', 0xf7, 0, 0), 0o600),
			os.WriteFile(filepath.Join(w.dir, journalDir, journalName(999)+tmpSuffix), []byte("QF"), 0o600))
	}
	if err == nil && n%2 == 0 { // one of a version before
		err = os.WriteFile(filepath.Join(w.dir, indexDir, "CURRENT"), []byte("MANIFEST-000000\n"), 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// memoryDir is a folder where syncing costs nothing, where there is one: the
// faults here are made by faultDisk and by kill, which no sync helps against.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "qifeng-archive-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func faultAt(t *testing.T, at int, fault error, persisted bool, indexRecords int) {
	t.Helper()
	d := &faultDisk{at: at, err: fault, persisted: persisted}
	defer d.forget()
	dir := memoryDir(t)
	defer os.RemoveAll(dir)
	w := newWorld(t, func(c *Config) { c.disk, c.indexRecords = d, indexRecords })
	w.dir = filepath.Join(dir, "archive")
	w.cfg.Dir = w.dir
	var held []Stored
	a, err := Open(w.cfg)
	if err == nil {
		w.a = a
		held = life(w)
		// Either nothing is wrong, or the status says what is.
		if st := a.Status(); !st.Accepting && st.Reason == "" {
			t.Errorf("step %d: refuses without a reason", at)
		}
		a.Close()
		w.a = nil
	}
	if errors.Is(fault, errCrash) {
		if err := d.lose(rand.New(rand.NewPCG(uint64(at), 1))); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.fsck(), afterwards(w, held)); err != nil {
		t.Fatalf("step %d, %d receipts held: %v", at, len(held), err)
	}
}

func TestFailedFsyncStopsAndNamesTheMend(t *testing.T) {
	d := &faultDisk{}
	w := newWorld(t, func(c *Config) { c.disk = d })
	w.chain.hold = true
	w.open()
	held := w.submit(submission(evidence.ContractFinal))
	until(t, "batch 1 is in flight", func() bool { return w.a.Status().InFlight.Sent > 0 })
	d.mu.Lock()
	d.at, d.err = d.ops+2, errors.New("fault: input/output error") // the write, then the fsync
	d.mu.Unlock()
	lost := submission(evidence.ContractFinal)
	_, err := w.a.Submit(t.Context(), w.request(lost))
	if !errors.Is(err, ErrStopped) {
		t.Fatalf("a failed fsync: %v", err)
	}
	for _, word := range []string{"syncing", "check the disk and start the node again"} {
		if !contains(err, word) {
			t.Errorf("%v does not say %q", err, word)
		}
	}
	if _, err := w.a.Submit(t.Context(), w.request(submission(evidence.ContractFinal))); !errors.Is(err, ErrStopped) {
		t.Fatalf("after it: %v", err)
	}
	if got, err := w.a.ByID(held[0].ID); err != nil || len(got) != 1 {
		t.Fatalf("what is stored cannot be read: %v", err)
	}
	if !w.alarmed(AlarmFailed) {
		t.Error("no alarm")
	}
	w.chain.set(func(c *fakeChain) { c.hold = false })
	until(t, "the closed batch still reaches the chain", func() bool { return w.a.Status().Committed == 1 })
	w.close()
	// The group may have become durable: then the retry gets its receipt.
	w.cfg.disk = nil
	w.open()
	held = append(held, w.submit(lost)...)
	w.settled()
	for _, s := range held {
		w.checkPromise(s)
	}
}

func TestWriteThatMeetsTheEndOfTheDiskIsTakenBack(t *testing.T) {
	d := &faultDisk{}
	w := newWorld(t, func(c *Config) { c.disk = d })
	w.chain.hold = true
	w.open()
	held := w.submit(submission(evidence.ContractFinal))
	until(t, "batch 1 is in flight", func() bool { return w.a.Status().InFlight.Sent > 0 })
	held = append(held, w.submit(submissions(3)...)...)
	size := w.a.Status().Open.Bytes
	d.mu.Lock()
	d.at, d.err = d.ops+1, syscall.ENOSPC
	d.mu.Unlock()
	refused := w.request(submissions(2)...)
	if _, err := w.a.Submit(t.Context(), refused); !errors.Is(err, ErrFull) {
		t.Fatalf("a write without room: %v", err)
	}
	st, err := os.Stat(filepath.Join(w.dir, journalDir, journalName(2)))
	if err != nil || uint64(st.Size()) != size {
		t.Fatalf("the journal has %d bytes where %d were good: %v", st.Size(), size, err)
	}
	if got, err := w.a.ByID(refused.Submissions[0].ID()); err != nil || len(got) != 0 {
		t.Fatalf("half of it is stored: %v", err)
	}
	got, err := stored(w.a.Submit(t.Context(), refused)) // room came back
	if err != nil || !got[0].New {
		t.Fatal(err)
	}
	if alarms := w.a.Status().Alarms; len(alarms) != 0 {
		t.Errorf("%+v", alarms)
	}
	w.chain.set(func(c *fakeChain) { c.hold = false })
	w.settled()
	w.reopen()
	for _, s := range append(held, got...) {
		w.checkPromise(s)
	}
}

func contains(err error, word string) bool {
	return err != nil && len(word) > 0 && strings.Contains(err.Error(), word)
}

// The kill test: this process starts itself as a child that submits, and kills
// it. The child's environment names the folder.
const killEnv = "QIFENG_ARCHIVE_KILL_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killEnv); dir != "" {
		if err := killChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// worldIn is a world on disk: archive, chain and keys in one folder.
func worldIn(t testing.TB, dir string) *world {
	load := func(name string) gm.Signer {
		path := filepath.Join(dir, name)
		k, err := gm.LoadPrivateKey(path)
		if errors.Is(err, os.ErrNotExist) {
			if k, err = gm.GenerateKey(gm.SM2); err == nil {
				err = gm.SavePrivateKey(path, k, "")
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	w := newWorld(t)
	w.user, w.intake = load("user.pem"), load("intake.pem")
	w.keys.key = w.user.Public()
	w.chain = openChain(t, filepath.Join(dir, "chain"))
	w.dir = filepath.Join(dir, "archive")
	w.cfg.Dir, w.cfg.Intake, w.cfg.Chain = w.dir, w.intake, w.chain
	return w
}

// childT is the testing.TB of the child, which has none.
type childT struct {
	testing.TB
	dir string
}

func (c childT) Helper()                  {}
func (c childT) Cleanup(func())           {}
func (c childT) TempDir() string          { return c.dir }
func (c childT) Context() context.Context { return context.Background() }
func (c childT) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }
func (c childT) Fatalf(f string, args ...any) {
	panic(fmt.Sprintf(f, args...))
}

// killChild submits from four goroutines until it is killed, and writes every
// receipt to standard output before it goes on.
func killChild(dir string) error {
	w := worldIn(childT{dir: dir}, dir)
	a, err := Open(w.cfg)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := 0; ; n++ {
				if n%7 == 6 {
					w.chain.register()
				}
				got, err := stored(a.Submit(context.Background(), w.request(submissions(1+(n+g)%5)...)))
				if err != nil {
					panic(err)
				}
				line, err := json.Marshal(got)
				if err != nil {
					panic(err)
				}
				os.Stdout.Write(append(line, '\n'))
			}
		}()
	}
	wg.Wait()
	return nil
}

func TestKilledAtRandom(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := memoryDir(t)
	worldIn(t, dir) // makes the keys
	var held []Stored
	for round := range 20 {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), killEnv+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReaderSize(out, 1<<20)
		if first, err := lines.ReadString('\n'); err != nil || first != "ready\n" {
			t.Fatalf("round %d: the child says %q, %v", round, first, err)
		}
		kill := time.AfterFunc(time.Duration(rand.IntN(120))*time.Millisecond, func() { cmd.Process.Kill() })
		acknowledged := 0
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				break // what is cut off was not acknowledged to anyone
			}
			var got []Stored
			if err := json.Unmarshal(line, &got); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			held = append(held, got...)
			acknowledged += len(got)
		}
		kill.Stop()
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("round %d: the child ended with %v", round, err)
		}
		t.Logf("round %d: %d records acknowledged", round, acknowledged)
	}
	w := worldIn(t, dir)
	w.open()
	w.submit(submission(evidence.ContractFinal))
	w.settled()
	for _, s := range held {
		w.checkPromise(s)
	}
	if len(held) < 100 {
		t.Errorf("only %d receipts were tried", len(held))
	}
	if st := w.a.Status(); len(st.Alarms) != 0 {
		t.Errorf("%+v", st.Alarms)
	}
	w.close()
	if err := w.fsck(); err != nil {
		t.Error(err)
	}
}
