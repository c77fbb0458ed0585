package anchor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"qifeng/anchor"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// childEnv makes the test binary run the anchors of one node instead of tests: the
// path of a child's file. It kills itself where that says.
const childEnv = "QIFENG_TEST_ANCHORS"

// child is what a process of its own needs; chain and witness are its parent's.
type child struct {
	Dir, Policy, Name, Witness string
	Parent                     string // URL
	Kill                       string // a place
	Pass                       int    // the time that it is passed
}

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		fmt.Fprintln(os.Stderr, runChild(path)) // it should have been killed
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func runChild(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var c child
	if err := json.Unmarshal(raw, &c); err != nil {
		return err
	}
	policy, err := checkpoint.ParsePolicy([]byte(c.Policy))
	if err != nil {
		return err
	}
	w, err := checkpoint.ParseWitness(c.Witness)
	if err != nil {
		return err
	}
	passed := 0
	anchor.SetPoint(func(name string) error {
		if name == c.Kill {
			if passed++; passed == c.Pass {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}
		return nil
	})
	s, err := anchor.Open(anchor.Config{Dir: c.Dir, Policy: policy, Source: remote(c.Parent), Logger: slog.New(slog.DiscardHandler),
		Roots:   &proof.AnchorRoots{Chain: policy.Chain, Witnesses: []proof.NamedWitness{{Name: c.Name, Witness: w}}},
		Anchors: []anchor.Named{{Name: c.Name, Every: time.Second, Timeout: 10 * time.Second, Anchor: remote(c.Parent)}}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s.Run(ctx)
	return s.Close()
}

// remote is the parent's chain and witness, by its URL.
type remote string

type message struct {
	Size, From uint64
	Root       merkle.Digest
	Note       []byte
	Path       []merkle.Digest
	Err        string
}

func (r remote) ask(what string, m message) (message, error) {
	raw, err := json.Marshal(m)
	if err != nil {
		return m, err
	}
	resp, err := http.Post(string(r)+what, "application/json", bytes.NewReader(raw))
	if err != nil {
		return m, err
	}
	defer resp.Body.Close()
	m = message{}
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		return m, err
	}
	if m.Err != "" {
		return m, errors.New(m.Err)
	}
	return m, nil
}

func (r remote) Kind() proof.AnchorKind   { return proof.AnchorWitness }
func (r remote) Close() error             { return nil }
func (r remote) Changed() <-chan struct{} { return nil } // it goes by the timer

func (r remote) Checkpoint() ([]byte, uint64, bool, error) {
	m, err := r.ask("/checkpoint", message{})
	return m.Note, m.Size, err == nil, err
}

func (r remote) Consistency(m, n uint64) ([]merkle.Digest, error) {
	got, err := r.ask("/consistency", message{From: m, Size: n})
	return got.Path, err
}

func (r remote) Put(_ context.Context, cp anchor.Checkpoint, _ anchor.Ledger) (anchor.Receipt, error) {
	m, err := r.ask("/put", message{Size: cp.Size, Root: cp.Root, Note: cp.Note})
	return anchor.Receipt{Note: m.Note}, err
}

// parent serves the chain, which grows each time that it is asked, and the witness.
func parent(l *life) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var m, out message
		err := json.NewDecoder(req.Body).Decode(&m)
		if err == nil {
			switch req.URL.Path {
			case "/checkpoint":
				l.chain.Grow(1)
				out.Note, out.Size, _, err = l.chain.Checkpoint()
			case "/consistency":
				out.Path, err = l.chain.Consistency(m.From, m.Size)
			case "/put":
				var r anchor.Receipt
				r, err = l.outside[0].Put(req.Context(), anchor.Checkpoint{Size: m.Size, Root: m.Root, Note: m.Note}, l.chain)
				out.Note = r.Note
			}
		}
		if err != nil {
			out.Err = err.Error()
		}
		_ = json.NewEncoder(w).Encode(out)
	})
}

// TestKill9 kills a process of its own at each place of an attempt, once when the
// store is new and once when it is not. The next life goes on with what it left.
func TestKill9(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts processes")
	}
	for _, at := range anchor.Points {
		for pass := 1; pass <= 2; pass++ {
			once := slices.Contains([]string{"anchor-created", "anchor-begun"}, at)
			if once && pass > 1 || strings.Contains(at, "alarm") || strings.Contains(at, "resum") || strings.Contains(at, "conflict") {
				continue // those of an alarm are in TestFaults
			}
			t.Run(at+"/"+strconv.Itoa(pass), func(t *testing.T) {
				t.Parallel()
				kill9(t, at, pass)
			})
		}
	}
}

func kill9(t *testing.T, at string, pass int) {
	l := newLife(t, "one")
	server := httptest.NewServer(parent(l))
	defer server.Close()
	policy, err := l.chain.Policy.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(child{Dir: l.dir, Policy: string(policy), Name: "one", Witness: l.outside[0].witness(t).Witness.String(),
		Parent: server.URL, Kill: at, Pass: pass})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "child.json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child was not killed: %v: %s", err, out)
	}

	// What it had told of would have been visible to a reader.
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	before := l.receipts("one")
	if want := pass - 1; len(before) != want && at != "anchor-stored" || at == "anchor-stored" && len(before) != pass {
		t.Errorf("%d receipts after the kill: %v", len(before), before)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	l.every = time.Second
	stored := make(chan uint64, 16)
	cfg := l.config()
	cfg.Observe = func(e anchor.Event) {
		if e.What == anchor.Succeeded {
			stored <- e.Size
		}
	}
	l.chain.Grow(1)
	last := l.chain.Size()
	if l.Service, err = anchor.Open(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx)
	}()
	for size := uint64(0); size < last; {
		select {
		case size = <-stored:
		case <-time.After(20 * time.Second):
			t.Fatalf("the newest is not anchored: %+v", l.of("one"))
		}
	}
	cancel()
	<-done
	after := l.receipts("one")
	if !slices.Equal(after, append(before, last)) {
		t.Errorf("receipts %v, want those of before %v, and %d", after, before, last)
	}
	for _, size := range after {
		if !slices.Contains(l.outside[0].taken, size) {
			t.Errorf("size %d was never taken", size)
		}
	}
	l.honest()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
