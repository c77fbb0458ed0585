package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"qifeng/api/client"
	"qifeng/api/httpsig"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

const (
	vendor   = "vendor-a"
	readyFor = 90 * time.Second
)

var members = []string{"court-a", "notary-a", "arbitration-a", vendor}

// program builds the command once for all tests of this package.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "qifeng-e2e-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "qifeng")
	out, err := exec.Command("go", "build", "-o", bin, "qifeng").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the command: %w\n%s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := program(); err == nil {
		os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// result is what a finished command left behind.
type result struct {
	code     int
	out, err string
}

// run runs the command to its end, in English.
func run(t testing.TB, args ...string) result {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=en_US.UTF-8")
	var out, errw bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errw
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errw.String()}
}

// must runs a command that has to end with the given exit code.
func must(t testing.TB, code int, args ...string) result {
	t.Helper()
	r := run(t, args...)
	if r.code != code {
		t.Fatalf("qifeng %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.code, code, r.out, r.err)
	}
	return r
}

// process is a command that runs on.
type process struct {
	cmd  *exec.Cmd
	out  *syncBuffer
	done chan struct{}
}

// syncBuffer is written by the process and read by the test.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func start(t testing.TB, args ...string) *process {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(bin, args...), out: &syncBuffer{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "LC_ALL=en_US.UTF-8")
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = dieWithTest()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() { p.end(t, syscall.SIGTERM) })
	return p
}

// end sends a signal and waits; it returns how long that took.
func (p *process) end(t testing.TB, sig syscall.Signal) time.Duration {
	t.Helper()
	began := time.Now()
	p.cmd.Process.Signal(sig) // one that has ended needs none
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		p.cmd.Process.Kill()
		<-p.done
		t.Errorf("%v had not ended 15 s after %v", p.cmd.Args[1:], sig)
	}
	return time.Since(began)
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// eventually polls until ok returns nil.
func eventually(t testing.TB, d time.Duration, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(d)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, d, err)
		}
		time.Sleep(25 * time.Millisecond) // between two looks, never for a result
	}
}

// devnet is a network in a folder.
type devnet struct {
	dir string
	sup *process // nil while no supervisor runs
}

// newDevnet makes a network on free ports and waits until it is ready.
func newDevnet(t testing.TB) *devnet {
	t.Helper()
	n := &devnet{dir: filepath.Join(t.TempDir(), "net")}
	n.up(t)
	return n
}

// up runs the supervisor and waits until it says that the network is ready.
func (n *devnet) up(t testing.TB) {
	t.Helper()
	n.sup = start(t, "devnet", "--dir", n.dir, "--port", "0")
	eventually(t, readyFor, "the network", func() error {
		if n.sup.ended() {
			t.Fatalf("devnet ended:\n%s", n.sup.out)
		}
		if !strings.Contains(n.sup.out.String(), "network of four members is ready") {
			return fmt.Errorf("devnet says:\n%s", n.sup.out)
		}
		return nil
	})
}

func (n *devnet) home(member string) string { return filepath.Join(n.dir, member) }
func (n *devnet) policyPath() string        { return filepath.Join(n.dir, "policy.txt") }

// pid is the process that holds a folder's lock.
func (n *devnet) pid(t testing.TB, member string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(n.home(member), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// url is the address of a member's API.
func (n *devnet) url(t testing.TB, member string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(n.dir, "devnet.json"))
	if err != nil {
		t.Fatal(err)
	}
	var state struct {
		Members []struct{ ID, API string }
	}
	if err := json.Unmarshal(b, &state); err != nil {
		t.Fatal(err)
	}
	for _, m := range state.Members {
		if m.ID == member {
			return "http://" + m.API
		}
	}
	t.Fatalf("no member %s in %s", member, b)
	return ""
}

// client signs what it reads with the member's read key.
func (n *devnet) client(t testing.TB, member string, o client.Options) *client.Client {
	t.Helper()
	key, err := gm.LoadPrivateKey(filepath.Join(n.home(member), "keys", "read.pem"))
	if err != nil {
		t.Fatal(err)
	}
	o.KeyID, o.Signer = httpsig.KeyID(member, "read"), key
	c, err := client.New(n.url(t, member), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (n *devnet) policy(t testing.TB) *checkpoint.Policy {
	t.Helper()
	b, err := os.ReadFile(n.policyPath())
	if err != nil {
		t.Fatal(err)
	}
	p, err := checkpoint.ParsePolicy(b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// submitter signs with the vendor's submit key.
func (n *devnet) submitter(t testing.TB) *client.Submitter {
	t.Helper()
	key, err := gm.LoadPrivateKey(filepath.Join(n.home(vendor), "keys", "submit.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s := &client.Submitter{ChainID: n.policy(t).Chain, Member: vendor, KeyName: "submit", Signer: key}
	s.Source.System, s.Source.Mechanism, s.Source.Environment = "vendor_platform", "automatic", "test"
	return s
}

// ready waits until a member says that it is ready.
func (n *devnet) ready(t testing.TB, member string) {
	t.Helper()
	c := n.client(t, member, client.Options{Attempts: 1, Timeout: 2 * time.Second})
	eventually(t, readyFor, member+" ready", func() error {
		r, err := c.Ready(context.Background())
		if err != nil {
			return err
		}
		if !r.Ready {
			return fmt.Errorf("reasons: %v", r.Reasons)
		}
		return nil
	})
}

// file writes a file of the test.
func file(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
