package node

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"qifeng/api"
	"qifeng/api/apitest"
	"qifeng/api/monitor"
	"qifeng/internal/gm"
	"qifeng/proof"
)

// watched is a node over a ledger that can be exchanged, and what a monitor of
// it keeps.
type watched struct {
	*apitest.TestNode
	chain       *exchangedChain
	dir         string
	policy, key string
	state       string
}

type exchangedChain struct{ api.Chain }

func newWatched(t *testing.T) *watched {
	t.Helper()
	w := &watched{chain: &exchangedChain{}, dir: t.TempDir()}
	w.TestNode = apitest.NewNode(t, apitest.Options{Chain: func(c api.Chain) api.Chain { w.chain.Chain = c; return w.chain }})
	w.policy, w.key, w.state = filepath.Join(w.dir, "policy.txt"), filepath.Join(w.dir, "read.pem"), filepath.Join(w.dir, "state.json")
	text, err := w.Policy.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.policy, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := gm.SavePrivateKey(w.key, w.Keys[apitest.Court].Read, keyLine+apitest.Court+" "+apitest.ReadKeyName); err != nil {
		t.Fatal(err)
	}
	return w
}

// look runs monitor once more with what the runs before have left.
func (w *watched) look(t *testing.T, code int, want string, more ...string) string {
	t.Helper()
	args := append([]string{"monitor", w.HTTP.URL, "--policy", w.policy, "--state", w.state, "--read-key", w.key, "--once", "--home", w.dir}, more...)
	var out, errw bytes.Buffer
	a := &app{out: &out, errw: &errw, getenv: func(k string) string { return map[string]string{"LANG": "en_US.UTF-8"}[k] }}
	got := a.main(t.Context(), args)
	if got != code || !strings.Contains(out.String()+errw.String(), want) {
		t.Fatalf("exit code %d, want %d and %q:\n%s%s", got, code, want, out.String(), errw.String())
	}
	return out.String()
}

func TestMonitorOnce(t *testing.T) {
	w := newWatched(t)
	w.look(t, 3, "not sealed: ")
	if exists(w.state) {
		t.Error("a state without anything proved")
	}
	w.Ledger.Seal()
	w.look(t, 0, "first: 2 entries, from the genesis of the policy on; sealed by 4 of 4", "--entries")
	if fi, err := os.Stat(w.state); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi, err)
	}
	w.look(t, 0, "unchanged: 2 entries")
	w.Ledger.Grow(t, 300)
	w.Ledger.Seal()
	w.look(t, 0, "300 entries audited", "--entries")
	w.look(t, 0, "未变：总账 300 项；会签 4/4", "--lang", "zh")
	var line monitorJSON
	if err := json.Unmarshal([]byte(w.look(t, 0, "", "--json")), &line); err != nil || !line.Proved || line.Size != 300 || line.Outcome != "same" || line.Root == nil || line.Sealed == "" {
		t.Errorf("%+v, %v", line, err)
	}
	w.look(t, 3, "not proved: the node gives no path", "--read-key", w.submitKey(t), "--state", filepath.Join(w.dir, "new.json"))
	w.look(t, 3, "STALE", "--max-age", "1ns")
	w.chain.Chain = w.Ledger.Prefix(t, 2)
	w.look(t, 3, "behind: the node has 2 entries, 300 were seen before")
	w.chain.Chain = w.Ledger
	w.look(t, 0, "unchanged")
	w.HTTP.Close()
	w.look(t, 3, "no answer")
}

// submitKey is a key file of another purpose.
func (w *watched) submitKey(t *testing.T) string {
	t.Helper()
	path := filepath.Join(w.dir, "submit.pem")
	if err := gm.SavePrivateKey(path, w.User, keyLine+apitest.Node+" "+apitest.KeyName); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMonitorFindsAFork(t *testing.T) {
	w := newWatched(t)
	w.Ledger.Grow(t, 5)
	w.Ledger.Seal()
	w.look(t, 0, "first: 5 entries")
	fork := w.Ledger.Prefix(t, 3)
	fork.Grow(t, 5)
	fork.Seal()
	w.chain.Chain = fork
	before, err := os.ReadFile(w.state)
	if err != nil {
		t.Fatal(err)
	}
	out := w.look(t, 1, "ALARM: the ledger contradicts itself (fork)")
	w.look(t, 1, "警报", "--lang", "zh") // and again, into the same files
	var line monitorJSON
	if err := json.Unmarshal([]byte(w.look(t, 1, "", "--json")), &line); err != nil || line.Alarm == nil || line.Alarm.Kind != "fork" || len(line.Alarm.Files) != 5 {
		t.Fatalf("%+v, %v", line, err)
	}
	if after, err := os.ReadFile(w.state); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the state has changed: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(w.dir, "qifeng-fork-*.json"))
	if err != nil || len(files) != 5 {
		t.Fatalf("%q, %v", files, err)
	}
	frauds := 0
	for _, name := range files {
		if !strings.Contains(out, name) {
			t.Errorf("%s is not named in\n%s", name, out)
		}
		if strings.HasSuffix(name, ".fraud.json") {
			frauds++
			var text bytes.Buffer
			a := &app{out: &text, errw: &text, getenv: func(string) string { return "" }}
			if code := a.main(t.Context(), []string{"verify", name, "--policy", w.policy}); code != 0 {
				t.Errorf("verify %s: %s", name, &text)
			}
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil || proof.IsFraud(b) || !bytes.Contains(b, []byte(`"second": "qifeng/`)) && !bytes.Contains(b, []byte(`"second":"qifeng/`)) {
			t.Errorf("%v\n%s", err, b)
		}
	}
	if frauds != 4 {
		t.Errorf("%d fraud proofs", frauds)
	}
}

func TestMonitorUsage(t *testing.T) {
	w := newWatched(t)
	w.Ledger.Seal()
	other := newWatched(t)
	w.look(t, 2, "of another chain than the policy", "--policy", other.policy)
	w.look(t, 2, "--interval", "--interval", "1ms")
	w.look(t, 2, "--read-key", "--read-key", filepath.Join(w.dir, "none.pem"))
	w.look(t, 2, "none.txt", "--policy", filepath.Join(w.dir, "none.txt"))
	w.look(t, 2, "--ca", "--ca", w.policy)
	if err := os.WriteFile(w.state, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.look(t, 2, "the monitor's state does not hold")
	if b, err := os.ReadFile(w.state); err != nil || string(b) != "{}" {
		t.Error("a damaged state was replaced")
	}
	if err := os.Remove(w.state); err != nil {
		t.Fatal(err)
	}
	w.look(t, 0, "first")
	w.state = filepath.Join(w.dir, "another", "state.json")
	w.look(t, 1, "what was seen cannot be kept")
}

// TestMonitorByTheNodesPolicy: without a policy the node's word is taken with a
// warning, and not for another one later.
func TestMonitorByTheNodesPolicy(t *testing.T) {
	w := newWatched(t)
	w.Ledger.Seal()
	w.policy = ""
	if err := os.Remove(filepath.Join(w.dir, "policy.txt")); err != nil {
		t.Fatal(err)
	}
	w.look(t, 0, "WARNING: no --policy")
	b, err := os.ReadFile(w.state)
	if err != nil {
		t.Fatal(err)
	}
	state, err := monitor.ParseState(b)
	if err != nil {
		t.Fatal(err)
	}
	state.Policy.SM3[0] ^= 1
	if b, err = state.Marshal(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.state, b, 0o600); err != nil {
		t.Fatal(err)
	}
	w.look(t, 2, "under another policy")
	w.HTTP.Close()
	w.look(t, 3, "asking the node for its policy")
}

// syncedBuffer is written by the command and read by the test.
type syncedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncedBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncedBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestMonitorFollows: it goes on through failures, ends when told to, and by
// itself at a contradiction.
func TestMonitorFollows(t *testing.T) {
	w := newWatched(t)
	w.Ledger.Seal()
	begin := func(ctx context.Context) (*syncedBuffer, chan int) {
		out, code := &syncedBuffer{}, make(chan int, 1)
		a := &app{out: out, errw: out, getenv: func(k string) string { return map[string]string{"LANG": "en_US.UTF-8"}[k] }}
		go func() {
			code <- a.main(ctx, []string{"monitor", w.HTTP.URL, "--policy", w.policy, "--state", w.state, "--read-key", w.key, "--interval", "100ms"})
		}()
		return out, code
	}
	says := func(out *syncedBuffer, want string) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for !strings.Contains(out.String(), want) {
			if time.Now().After(deadline) {
				t.Fatalf("no %q in\n%s", want, out)
			}
			time.Sleep(5 * time.Millisecond) // between two looks at the output
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	out, code := begin(ctx)
	says(out, "first: 2 entries")
	says(out, "unchanged: 2 entries")
	w.Ledger.Grow(t, 40)
	w.Ledger.Seal()
	says(out, "consistent: 2 → 40 entries")
	cancel()
	if c := <-code; c != 0 {
		t.Errorf("told to end: exit code %d\n%s", c, out)
	}
	out, code = begin(t.Context())
	says(out, "unchanged: 40 entries")
	fork := w.Ledger.Prefix(t, 3)
	fork.Grow(t, 50)
	fork.Seal()
	w.Ledger.Become(fork)
	if c := <-code; c != 1 {
		t.Errorf("a contradiction: exit code %d\n%s", c, out)
	}
	says(out, "(rewritten)")
}
