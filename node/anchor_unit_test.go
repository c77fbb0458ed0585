package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"qifeng/anchor"
	"qifeng/api"
	"qifeng/api/apitest"
	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/merkle"
)

var _ api.Anchors = (*anchors)(nil)

// memorySource is a ledger in memory as anchors see it.
type memorySource struct{ *apitest.Ledger }

func (s memorySource) Consistency(m, n uint64) ([]merkle.Digest, error) {
	return merkle.ConsistencyAt(m, n, s.Ledger)
}

// moodyAnchor contradicts until it is told to agree.
type moodyAnchor struct {
	mu     sync.Mutex
	agrees bool
	puts   int
}

func (m *moodyAnchor) Kind() proof.AnchorKind { return proof.AnchorRFC3161 }
func (m *moodyAnchor) Close() error           { return nil }
func (m *moodyAnchor) Put(_ context.Context, cp anchor.Checkpoint, _ anchor.Ledger) (anchor.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.puts++
	if !m.agrees {
		return anchor.Receipt{}, &anchor.Conflict{Size: cp.Size, Ours: cp.Note, Theirs: []byte("another root"), Err: errors.New("CONFLICT")}
	}
	return anchor.Receipt{Note: cp.Note, Data: []byte("a receipt")}, nil
}

func (m *moodyAnchor) agree() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.agrees = true
}

func (m *moodyAnchor) asked() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.puts
}

// TestConflictIsSeenAndResumed: an alarm stops the anchor and is shown; it goes on
// only after the request of an operator, and then wakes who waits.
func TestConflictIsSeenAndResumed(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{NoAnchors: true})
	n.Ledger.Auto()
	dir := t.TempDir()
	c := valid()
	c.Anchor = map[string]AnchorConfig{"tsa": {Kind: "rfc3161", Every: Duration(time.Second)}}
	m := newMetrics(&c, slog.New(slog.DiscardHandler))
	moody := &moodyAnchor{}
	a := &anchors{log: slog.New(slog.DiscardHandler), resume: filepath.Join(dir, resumeDir), changed: make(chan struct{})}
	var err error
	a.service, err = anchor.Open(anchor.Config{Dir: filepath.Join(dir, anchorsDir), Policy: n.Policy, Source: memorySource{n.Ledger}, Logger: a.log,
		Anchors: []anchor.Named{{Name: "tsa", Every: time.Second, Timeout: time.Second, Anchor: moody}},
		Observe: func(e anchor.Event) { a.observe(e); m.anchored(e) },
		Verify: func(x *proof.Anchor) (*proof.AnchorReport, error) {
			return &proof.AnchorReport{Kind: x.Kind, Name: x.Name, Time: time.Now()}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	m.anchors.Store(a)
	a.run()
	defer func() {
		if err := a.close(); err != nil {
			t.Error(err)
		}
	}()
	poll(t, "the alarm", func() bool { return a.Status()[0].Alarm != "" })
	if st := a.Status()[0]; !strings.Contains(st.Alarm, "CONFLICT") || st.Size != 0 || a.Head() != 0 {
		t.Errorf("%+v", st)
	}
	if v, ok := gathered(t, m).value("qifeng_anchor_alarm", "anchor", "tsa"); !ok || v != 1 {
		t.Errorf("the alarm's metric is %v (%v)", v, ok)
	}
	if v, _ := gathered(t, m).value("qifeng_anchor_attempts_total", "result", "conflict"); v != 1 {
		t.Errorf("%v conflicts", v)
	}
	if st := a.Status()[0]; st.NextTry != "" || moody.asked() != 1 {
		t.Errorf("it is to be asked again though nobody has looked: %+v", st)
	}
	moody.agree()
	changed := a.Changed()
	if err := os.MkdirAll(a.resume, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tsa", "unknown", "NOT-A-NAME"} {
		if err := os.WriteFile(filepath.Join(a.resume, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-changed:
	case <-time.After(20 * time.Second):
		t.Fatal("who waits is not woken")
	}
	size, _ := n.Ledger.SealedHead()
	list, err := a.Covering(size)
	if a.Head() != size || err != nil || len(list) != 1 || string(list[0].Receipt) != "a receipt" || a.Status()[0].Alarm != "" {
		t.Errorf("head %d of %d, %+v, %v", a.Head(), size, list, err)
	}
	poll(t, "the requests are taken", func() bool {
		return !exists(filepath.Join(a.resume, "tsa")) && !exists(filepath.Join(a.resume, "unknown"))
	})
	if !exists(filepath.Join(a.resume, "NOT-A-NAME")) {
		t.Error("a file that is no request was removed")
	}
}

func gathered(t *testing.T, m *metrics) families {
	t.Helper()
	list, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	f := families{}
	for _, fam := range list {
		f[fam.GetName()] = fam
	}
	return f
}

// TestFaultsAreToldSeldom: who asks for proofs, or a request that cannot be done,
// does not fill the log.
func TestFaultsAreToldSeldom(t *testing.T) {
	var a anchors
	for i, want := range []bool{true, false, false} {
		if a.due("x") != want {
			t.Errorf("time %d: not %v", i, want)
		}
	}
	if !a.due("y") {
		t.Error("another fault is not told of")
	}
	a.told["x"] = time.Now().Add(-2 * tellAgain)
	if !a.due("x") {
		t.Error("a fault that lasts is not told of again")
	}
}

// TestOneLine: words that came from afar fit a line of a status.
func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{"a\nb\x00": "a b ", "\xff": "?", "": ""} {
		if got := oneLine(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	if got := oneLine(strings.Repeat("界", maxAnchorText)); len(got) > maxAnchorText+8 {
		t.Errorf("%d bytes", len(got))
	}
}

// TestWaitingForAnAnchorEnds: submit --anchored that is not anchored in time keeps
// the sealed proof, says so, and can be finished later; a node without anchors is
// not waited for.
func TestWaitingForAnAnchorEnds(t *testing.T) {
	for _, anchored := range []bool{true, false} {
		n := apitest.NewNode(t, apitest.Options{NoAnchors: !anchored})
		n.Ledger.Auto()
		// The read keys of the test's consortium are good without an entry; the command
		// looks into the register first.
		if err := n.Ledger.Submit(t.Context(), n.KeyEntry(t, apitest.Node, apitest.ReadKeyName, n.Keys[apitest.Node].Read.Public(), evidence.Read)); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		keyFile := func(k *gm.PrivateKey, name string) string {
			path := filepath.Join(dir, name+".pem")
			if err := gm.SavePrivateKey(path, k, keyLine+apitest.Node+" "+name); err != nil {
				t.Fatal(err)
			}
			return path
		}
		policy, err := n.Policy.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		common := []string{"--api", n.HTTP.URL, "--policy", writeFile(t, dir, "policy.txt", string(policy)), "--home", dir,
			"--read-key", keyFile(n.Keys[apitest.Node].Read, apitest.ReadKeyName)}
		content := writeFile(t, dir, "contract.txt", "x")
		submit := append([]string{"submit", content, "--anchored", "--timeout", "3s", "--key", keyFile(n.User, apitest.KeyName)}, common...)
		net := &testNet{t: t}
		if !anchored {
			if got := net.exits(2, submit...); !strings.Contains(got, "runs no anchor") {
				t.Errorf("%s", got)
			}
			continue
		}
		if got := net.exits(3, submit...); !strings.Contains(got, "not anchored in time") {
			t.Errorf("%s", got)
		}
		file := content + proofSuffix
		if f := parsed(t, file); !f.Sealed() || len(f.Anchors) != 0 {
			t.Error("the sealed proof is not there")
		}
		writeFile(t, dir, "anchor-roots.json", string(n.Anchors.File))
		if got := net.exits(0, append([]string{"proof", "get", file}, common...)...); !strings.Contains(got, "no anchor came") {
			t.Errorf("%s", got)
		}
		upgrade := []string{"proof", "upgrade", file, "--api", n.HTTP.URL, "--policy", filepath.Join(dir, "policy.txt"), "--home", dir}
		net.exits(3, upgrade...)
		n.Anchors.Anchor(t)
		net.exits(0, upgrade...)
		if len(parsed(t, file).Anchors) != 1 {
			t.Error("the anchor was not added")
		}
		// Without roots of one's own the node's are taken, with a warning.
		if err := os.Remove(filepath.Join(dir, "anchor-roots.json")); err != nil {
			t.Fatal(err)
		}
		if got := net.exits(0, upgrade...); !strings.Contains(got, "WARNING: no --anchor-roots") || !strings.Contains(got, "0 anchors added") {
			t.Errorf("%s", got)
		}
	}
}
