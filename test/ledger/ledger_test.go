package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filippo.io/torchwood"

	"qifeng/api/client"
	"qifeng/api/httpsig"
	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// TestLedgerForOthers: four members run, records and keys come in, and whoever
// looks from outside sees one ledger: torchwood reads and verifies every entry of
// it at every member, and a monitor that goes from one to the next proves each
// step and audits all.
func TestLedgerForOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a network of four processes")
	}
	n := newNetwork(t)
	file := filepath.Join(t.TempDir(), "contract.txt")
	for i := range 3 {
		if err := os.WriteFile(file, fmt.Appendf(nil, "contract %d", i), 0o600); err != nil {
			t.Fatal(err)
		}
		n.must(t, 0, "submit", file, "--home", n.home("vendor-a"), "--wait")
		if err := os.Remove(file + ".qifeng.json"); err != nil {
			t.Fatal(err)
		}
		for _, id := range n.members {
			state := filepath.Join(n.dir, "seen.json")
			n.eventually(t, 10*time.Second, id+" is proved", func() error {
				r := n.run(t, "monitor", n.url[id], "--policy", n.policy, "--home", n.home(id), "--state", state, "--once", "--entries", "--json")
				var line struct {
					Proved  bool
					Audited uint64
					Size    uint64
					Seals   int
				}
				if err := json.Unmarshal(r.out, &line); err != nil {
					t.Fatalf("%v\n%s%s", err, r.out, r.err)
				}
				if r.code == 1 || r.code == 2 {
					t.Fatalf("exit code %d\n%s%s", r.code, r.out, r.err)
				}
				if r.code != 0 || line.Audited != line.Size || line.Size < uint64(2+i) {
					return fmt.Errorf("%s%s", r.out, r.err) // a member that is a moment behind
				}
				return nil
			})
		}
	}
	for _, id := range n.members {
		n.stockTool(t, id)
	}
}

// stockTool reads a member's ledger with torchwood, which knows its stock policy
// and, by its transport, how to sign.
func (n *network) stockTool(t *testing.T, id string) {
	t.Helper()
	key, err := gm.LoadPrivateKey(filepath.Join(n.home(id), "keys", "read.pem"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(n.policy)
	if err != nil {
		t.Fatal(err)
	}
	p, err := checkpoint.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	stock, err := checkpoint.StockPolicies(p)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := torchwood.ParsePolicy(stock[checkpoint.StockPolicyName(&p.Epochs[0], id)])
	if err != nil {
		t.Fatal(err)
	}
	reader, err := torchwood.NewTileFetcher(n.url[id]+"/tlog", torchwood.WithHTTPClient(&http.Client{Transport: signing{id + "/read", key}}))
	if err != nil {
		t.Fatal(err)
	}
	var cp torchwood.Checkpoint
	n.eventually(t, 10*time.Second, "the checkpoint of "+id, func() error { // its own seal may be the last to come
		note, err := reader.ReadEndpoint(t.Context(), "checkpoint")
		if err == nil {
			cp, _, err = torchwood.VerifyCheckpoint(note, policy)
		}
		return err
	})
	c, err := torchwood.NewClient(reader)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[evidence.Type]int{}
	count := int64(0)
	for i, entry := range c.AllEntries(t.Context(), cp.Tree, 0) {
		if i != count {
			t.Fatalf("entry %d after %d", i, count)
		}
		kinds[evidence.PeekType(entry)]++
		count++
	}
	if err := c.Err(); err != nil || count != cp.N || kinds[evidence.TypeBatch] < 3 || kinds[evidence.TypeKey] == 0 {
		t.Errorf("%s: %d entries of %d, %v, %v", id, count, cp.N, kinds, err)
	}
}

// signing signs what a stock tool asks for.
type signing struct {
	keyID string
	key   gm.Signer
}

func (s signing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if err := httpsig.Sign(r, s.keyID, s.key, time.Now()); err != nil {
		return nil, err
	}
	return http.DefaultTransport.RoundTrip(r)
}

// network is a devnet in a folder.
type network struct {
	bin, dir, policy string
	members          []string
	url              map[string]string
}

func (n *network) home(id string) string { return filepath.Join(n.dir, id) }

func newNetwork(t *testing.T) *network {
	t.Helper()
	tmp := t.TempDir()
	n := &network{bin: filepath.Join(tmp, "qifeng"), dir: filepath.Join(tmp, "net"), url: map[string]string{}}
	n.policy = filepath.Join(n.dir, "policy.txt")
	if out, err := exec.Command("go", "build", "-o", n.bin, "qifeng").CombinedOutput(); err != nil {
		t.Fatalf("building the command: %v\n%s", err, out)
	}
	out := &lockedBuffer{}
	cmd := exec.Command(n.bin, "devnet", "--dir", n.dir, "--port", "0")
	cmd.Env = append(os.Environ(), "LC_ALL=en_US.UTF-8")
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, out, dieWithTest()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(15 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
			t.Error("the network had not ended 15 s after SIGTERM")
		}
	})
	n.eventually(t, 90*time.Second, "the network", func() error {
		select {
		case <-ended:
			t.Fatalf("it has ended:\n%s", out)
		default:
		}
		if text := out.String(); !strings.Contains(text, "network of four members is ready") {
			return errors.New(text)
		}
		return nil
	})
	var state struct{ Members []struct{ ID, API string } }
	b, err := os.ReadFile(filepath.Join(n.dir, "devnet.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &state); err != nil {
		t.Fatal(err)
	}
	for _, m := range state.Members {
		n.members, n.url[m.ID] = append(n.members, m.ID), "http://"+m.API
		c, err := client.New(n.url[m.ID], client.Options{Attempts: 1})
		if err != nil {
			t.Fatal(err)
		}
		n.eventually(t, 30*time.Second, m.ID, func() error {
			if r, err := c.Ready(t.Context()); err != nil || !r.Ready {
				return fmt.Errorf("%+v, %v", r, err)
			}
			return nil
		})
	}
	return n
}

// result is what a finished command left behind.
type result struct {
	code     int
	out, err []byte
}

func (n *network) run(t *testing.T, args ...string) result {
	t.Helper()
	cmd := exec.Command(n.bin, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=en_US.UTF-8")
	var out, errw bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errw
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.Bytes(), errw.Bytes()}
}

func (n *network) must(t *testing.T, code int, args ...string) {
	t.Helper()
	if r := n.run(t, args...); r.code != code {
		t.Fatalf("qifeng %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.code, code, r.out, r.err)
	}
}

func (n *network) eventually(t *testing.T, d time.Duration, what string, ok func() error) {
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
		time.Sleep(50 * time.Millisecond) // between two looks, never for a result
	}
}

// lockedBuffer is written by the network and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
