package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// testNet is a network of four real nodes in this process, with the log of all
// of them at debug level.
type testNet struct {
	t      testing.TB
	dir    string
	state  *devnetState
	log    logBuffer
	ctx    context.Context
	stop   func() // ends all nodes
	nodes  sync.WaitGroup
	scrape string // address of the first member's own metrics listener

	planted []secret // of what was submitted
}

// logBuffer is written by many nodes.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newTestNet makes the homes and starts nothing. The first member has its
// metrics on an address of their own, the others on their API's.
func newTestNet(t testing.TB) *testNet {
	t.Helper()
	state, err := newDevnetState(0)
	if err != nil {
		t.Fatal(err)
	}
	n := &testNet{t: t, dir: t.TempDir(), state: state}
	if err := buildDevnet(n.dir, state); err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(state.Members[0].API)
	if err != nil {
		t.Fatal(err)
	}
	p, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	n.scrape = net.JoinHostPort(host, strconv.Itoa(p+len(state.Members)))
	ctx, cancel := context.WithCancel(context.Background())
	n.ctx, n.stop = ctx, func() { cancel(); n.nodes.Wait() }
	t.Cleanup(n.stop)
	return n
}

// home is the folder of member i.
func (n *testNet) home(i int) home { return n.state.Members[i].home(n.dir) }

// start runs member i until the test ends.
func (n *testNet) start(i int) {
	n.t.Helper()
	cfg, err := n.home(i).config()
	if err != nil {
		n.t.Fatal(err)
	}
	if i == 0 {
		cfg.Metrics.Listen = n.scrape
	}
	log := slog.New(slog.NewJSONHandler(&n.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	n.nodes.Go(func() {
		r, err := openNode(n.ctx, n.home(i), cfg, log)
		if err == nil {
			err = r.serve(n.ctx)
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			n.t.Errorf("%s: %v", n.state.Members[i].ID, err)
		}
	})
}

// command runs the command line in English and wants exit code 0.
func (n *testNet) command(args ...string) {
	n.t.Helper()
	var out, errw bytes.Buffer
	a := &app{in: bytes.NewReader(nil), out: &out, errw: &errw, getenv: func(string) string { return "" }}
	if code := a.main(n.t.Context(), append([]string{"--lang", "en"}, args...)); code != 0 {
		n.t.Fatalf("qifeng %v: exit code %d\n%s%s", args, code, &out, &errw)
	}
}

// get reads an answer, whatever its status; the body is empty where there is
// none.
func get(t testing.TB, url string, head ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// poll looks until ok or half a minute is over.
func poll(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(pollEvery) {
		if time.Now().After(deadline) {
			t.Fatalf("not within half a minute: %s", what)
		}
	}
}

func writeFile(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (n *testNet) url(i int, path string) string {
	return fmt.Sprintf("http://%s%s", n.state.Members[i].API, path)
}
