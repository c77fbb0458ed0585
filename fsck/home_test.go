package fsck_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"qifeng/fsck"
	"qifeng/node"
)

// asCommand makes this test binary the qifeng command.
const asCommand = "QIFENG_FSCK_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(node.Main())
	}
	code := m.Run()
	if dir := networksDir; dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

var networksDir string

// networks makes two chains once and stops them: the first with everything that
// a home can hold, the second for files of another chain. It returns the homes of
// their vendors.
var networks = sync.OnceValues(func() (homes [2]string, err error) {
	if networksDir, err = os.MkdirTemp("", "qifeng-fsck-"); err != nil {
		return homes, err
	}
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i := range homes {
		dir := filepath.Join(networksDir, fmt.Sprint(i))
		homes[i] = filepath.Join(dir, "net", "vendor-a")
		wg.Go(func() { errs[i] = makeHome(dir, i == 0) })
	}
	wg.Wait()
	return homes, errors.Join(errs...)
})

// manyRecords are in the third batch: more than one block of a tree.
const manyRecords = 40

func makeHome(dir string, full bool) error {
	net := filepath.Join(dir, "net")
	home := filepath.Join(net, "vendor-a")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	stop, err := background("network of four members is ready", "devnet", "--dir", net, "--port", "0")
	if err != nil {
		return err
	}
	defer stop()
	file := func(name string) string {
		path := filepath.Join(dir, name)
		err = errors.Join(err, os.WriteFile(path, []byte(name), 0o600))
		return path
	}
	for i := range 3 {
		files := []string{file(fmt.Sprintf("%d-a", i)), file(fmt.Sprintf("%d-b", i))}
		for j := 0; i == 2 && j < manyRecords-2; j++ {
			files = append(files, file(fmt.Sprintf("%d-%d", i, j)))
		}
		err = errors.Join(err, command(append([]string{"submit", "--home", home, "--wait"}, files...)...))
	}
	if err != nil || !full {
		return err
	}
	key := filepath.Join(dir, "extra.pem")
	err = errors.Join(command("key", "new", "extra", "--home", home, "--out", key),
		command("key", "register", key, "--home", home, "--purpose", "submit"),
		command("key", "revoke", "extra", "--home", home), atRest(home))
	stop()
	if err != nil {
		return err
	}
	if rest, err := addedNothing(home); err != nil {
		return err
	} else if !rest { // the machine was too slow for atRest; a second start would make tables of the logs
		return errors.Join(os.RemoveAll(dir), makeHome(dir, full))
	}
	// Alone, the vendor closes one batch that cannot get on the chain, and takes in
	// another record.
	if stop, err = background(`"node started"`, "start", "--home", home); err != nil {
		return err
	}
	defer stop()
	return errors.Join(err, command("submit", file("3-a"), "--home", home), command("submit", file("4-a"), "--home", home))
}

// addedNothing says whether the last block of a stopped home has added nothing to the
// ledger, as that of a chain at rest.
func addedNothing(home string) (bool, error) {
	db, err := leveldb.OpenFile(filepath.Join(home, filepath.FromSlash(ledgerDir)), &opt.Options{ReadOnly: true})
	if err != nil {
		return false, err
	}
	defer db.Close()
	head, err := db.Get([]byte("h"), nil)
	if err != nil {
		return false, err
	}
	it := db.NewIterator(util.BytesPrefix([]byte("z")), nil)
	defer it.Release()
	it.Last()
	return !bytes.Equal(it.Value()[:8], head[:8]), it.Error()
}

// atRest waits until no more blocks come.
func atRest(home string) error {
	last, same := "", 0
	for range 100 {
		cmd, err := qifeng("status", "--home", home, "--json")
		if err != nil {
			return err
		}
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("status: %w", err)
		}
		var st struct{ Ledger struct{ Height json.Number } }
		if err := json.Unmarshal(out, &st); err != nil || st.Ledger.Height == "" {
			return fmt.Errorf("status says no height: %w\n%s", err, out)
		}
		if same++; st.Ledger.Height.String() != last {
			last, same = st.Ledger.Height.String(), 0
		}
		if same == 4 {
			return nil
		}
	}
	return errors.New("blocks never stop coming")
}

func qifeng(args ...string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=en_US.UTF-8", asCommand+"=1")
	return cmd, nil
}

func command(args ...string) error {
	cmd, err := qifeng(args...)
	if err != nil {
		return err
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("qifeng %v: %w\n%s", args, err, out)
	}
	return nil
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// background runs a command until stop, and returns when it has said something.
func background(says string, args ...string) (stop func(), err error) {
	cmd, err := qifeng(args...)
	if err != nil {
		return nil, err
	}
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(90 * time.Second)
	for !strings.Contains(out.String(), says) {
		select {
		case <-ended:
			return nil, fmt.Errorf("qifeng %v ended:\n%s", args, out)
		case <-deadline:
			stop()
			return nil, fmt.Errorf("qifeng %v never said %q:\n%s", args, says, out)
		case <-tick.C:
		}
	}
	return stop, nil
}

const vendor = "vendor-a"

// copyHome copies a home of the first chain.
func copyHome(t testing.TB, member string) string {
	t.Helper()
	homes, err := networks()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "home")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(filepath.Dir(homes[0]), member))); err != nil {
		t.Fatal(err)
	}
	keys, err := filepath.Glob(filepath.Join(dir, "keys", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys { // CopyFS adds bits of the umask
		if err := os.Chmod(k, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// layout names the files of a home as qifeng.toml does by default.
func layout(dir, self string) fsck.Home {
	p := func(s string) string { return filepath.Join(dir, filepath.FromSlash(s)) }
	return fsck.Home{Dir: dir, Self: self, Lock: p("lock"), Genesis: p("genesis.json"), Policy: p("policy.txt"), Card: p("card.json"), Data: p("data"), AnchorRoots: p("anchor-roots.json"),
		Keys: fsck.Keys{Intake: p("keys/intake.pem"), SealSM2: p("keys/seal-sm2.pem"), SealEd25519: p("keys/seal-ed25519.pem"), Log: p("keys/log.pem"),
			Admin: p("keys/admin.pem"), Consensus: p("keys/consensus.json"), Node: p("keys/node.json"), Guard: p("keys/guard.json"),
			Users: []string{p("keys/submit.pem"), p("keys/read.pem")}}}
}

func check(t testing.TB, dir, self string) *fsck.Report {
	t.Helper()
	return fsck.Check(t.Context(), layout(dir, self), fsck.Options{})
}
