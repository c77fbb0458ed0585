package monitor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"qifeng/api"
	"qifeng/api/apitest"
	"qifeng/api/client"
	"qifeng/api/monitor"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// node is a real API over a ledger that the test exchanges behind its back.
type node struct {
	*apitest.TestNode
	chain *exchanged
	state []byte // what the monitor has on its disk
}

type exchanged struct{ api.Chain }

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{chain: &exchanged{}}
	n.TestNode = apitest.NewNode(t, apitest.Options{Chain: func(c api.Chain) api.Chain { n.chain.Chain = c; return n.chain }})
	n.grow(t, n.Ledger, 5)
	return n
}

// grow lets time pass, adds entries and has them sealed.
func (n *node) grow(t *testing.T, l *apitest.Ledger, size uint64) {
	t.Helper()
	n.Clock.Forward(10 * time.Second)
	l.Grow(t, size)
	l.Seal()
}

// monitor begins a monitor anew, with what the one before has left on disk.
func (n *node) monitor(t *testing.T, change func(*monitor.Config)) *monitor.Monitor {
	t.Helper()
	cfg := monitor.Config{Policy: n.Policy, MaxAge: 2 * time.Minute, Now: n.Clock.Now}
	if n.state != nil {
		var err error
		if cfg.State, err = monitor.ParseState(n.state); err != nil {
			t.Fatal(err)
		}
	}
	if change != nil {
		change(&cfg)
	}
	m, err := monitor.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// round looks once, by a monitor that has just been started, and keeps its state.
func (n *node) round(t *testing.T, want monitor.Outcome) *monitor.Report {
	t.Helper()
	return n.roundWith(t, n.monitor(t, nil), n.Client, want)
}

func (n *node) roundWith(t *testing.T, m *monitor.Monitor, src monitor.Source, want monitor.Outcome) *monitor.Report {
	t.Helper()
	r := m.Round(t.Context(), src)
	if r.Outcome != want {
		t.Fatalf("outcome %s (%s), want %s", r.Outcome, r.Reason, want)
	}
	if (r.Alarm != nil) != (want == monitor.Contradiction) || (r.Reason == "") != slices.Contains([]monitor.Outcome{monitor.First, monitor.Advanced, monitor.Same}, want) {
		t.Errorf("%s: reason %q, alarm %+v", r.Outcome, r.Reason, r.Alarm)
	}
	if s := m.State(); s != nil {
		var err error
		if n.state, err = s.Marshal(); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestFollow(t *testing.T) {
	n := newNode(t)
	r := n.round(t, monitor.First)
	if r.Size != 5 || r.From != 0 || r.Seals != 4 || r.Of != 4 || !r.Proved() || r.False() {
		t.Errorf("%+v", r)
	}
	if r := n.round(t, monitor.Same); r.Size != 5 || r.From != 5 || !r.Proved() {
		t.Errorf("%+v", r)
	}
	for size := uint64(6); size < 70; size += 1 + size%7 {
		n.grow(t, n.Ledger, size)
		if r := n.round(t, monitor.Advanced); r.Size != size || !r.Proved() || r.Stale || r.Ahead {
			t.Fatalf("%+v", r)
		}
	}
	// The same size sealed again is fresher, and the state keeps that.
	n.Clock.Forward(90 * time.Second)
	n.Ledger.Seal()
	if r := n.round(t, monitor.Same); r.Age > 2*time.Second {
		t.Errorf("age %v", r.Age)
	}
	n.Clock.Forward(60 * time.Second)
	if r := n.round(t, monitor.Same); r.Age < 59*time.Second || r.Age > 62*time.Second || r.Stale {
		t.Errorf("age %v", r.Age)
	}
}

func TestStale(t *testing.T) {
	n := newNode(t)
	n.round(t, monitor.First)
	n.Clock.Forward(3 * time.Minute)
	if r := n.round(t, monitor.Same); !r.Stale || r.Proved() || r.False() || r.Age < 3*time.Minute {
		t.Errorf("%+v", r)
	}
	n.Ledger.SetAway("court-a", "notary-a") // seals that are no quorum are not fresh
	n.Ledger.Seal()
	if r := n.round(t, monitor.Same); !r.Stale {
		t.Errorf("%+v", r)
	}
	n.HTTP.Close() // what cannot be reached grows stale too
	if r := n.round(t, monitor.Unreachable); !r.Stale || r.Proved() {
		t.Errorf("%+v", r)
	}
	m := n.monitor(t, func(c *monitor.Config) { c.Now = func() time.Time { return time.Now().Add(-time.Hour) } })
	if r := m.Round(t.Context(), n.Client); !r.Ahead || r.Stale || r.Proved() {
		t.Errorf("a clock an hour behind: %+v", r)
	}
}

func TestNotProved(t *testing.T) {
	n := newNode(t)
	fresh := apitest.NewNode(t, apitest.Options{})
	m, err := monitor.New(monitor.Config{Policy: fresh.Policy})
	if err != nil {
		t.Fatal(err)
	}
	if r := m.Round(t.Context(), fresh.Client); r.Outcome != monitor.NotSealed || m.State() != nil {
		t.Errorf("%+v", r)
	}
	if r := m.Round(t.Context(), n.Client); r.Outcome != monitor.OtherChain || r.False() {
		t.Errorf("%+v", r)
	}
	// Without a read key a node shows its checkpoint and no path.
	stranger, err := client.New(n.HTTP.URL, client.Options{Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	n.roundWith(t, n.monitor(t, nil), stranger, monitor.Unproven)
	n.round(t, monitor.First)
	n.grow(t, n.Ledger, 9)
	r := n.roundWith(t, n.monitor(t, nil), stranger, monitor.Unproven)
	if !strings.Contains(r.Reason, "signature-missing") || r.Size != 9 {
		t.Errorf("%+v", r)
	}
	if r := n.round(t, monitor.Advanced); r.From != 5 {
		t.Errorf("what was not proved was remembered: %+v", r)
	}
}

// fork is another ledger of the same members from a size on, sealed as they
// should never do.
func (n *node) fork(t *testing.T, from, to uint64) *apitest.Ledger {
	t.Helper()
	l := n.Ledger.Prefix(t, from)
	n.grow(t, l, to)
	return l
}

func TestForkOfOneSize(t *testing.T) {
	n := newNode(t)
	n.round(t, monitor.First)
	n.chain.Chain = n.fork(t, 3, 5)
	before := n.state
	r := n.round(t, monitor.Contradiction)
	if r.Alarm.Kind != monitor.Fork || len(r.Alarm.Members) != 4 || !r.False() || r.Proved() {
		t.Errorf("%+v", r.Alarm)
	}
	if !bytes.Equal(n.state, before) {
		t.Error("the state has changed")
	}
	n.round(t, monitor.Contradiction) // and is found again
	checkAlarm(t, n, r.Alarm)
	frauds := r.Alarm.Frauds()
	if len(frauds) != 4 {
		t.Fatalf("%d fraud proofs", len(frauds))
	}
	for _, f := range frauds {
		text, err := f.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		back, err := proof.ParseFraud(text)
		if err != nil {
			t.Fatal(err)
		}
		if v := proof.VerifyFraud(back, n.Policy, proof.Options{Second: true}); v.Result != proof.Proved {
			t.Errorf("the fraud proof of %s: %+v", f.Member, v.Steps)
		}
	}
}

// checkAlarm: both notes are in the file, verify, and are of one chain.
func checkAlarm(t *testing.T, n *node, a *monitor.Alarm) {
	t.Helper()
	var file struct {
		Type, Kind, Chain, Detail, First, Second string
		Members                                  []string
		Path                                     []struct{ SHA256, SM3 string }
	}
	if err := json.Unmarshal(a.Marshal(), &file); err != nil {
		t.Fatal(err)
	}
	if file.Type != "qifeng-contradiction" || file.Kind != string(a.Kind) || file.Chain != n.Chain || file.Detail == "" {
		t.Errorf("%+v", file)
	}
	for _, note := range []string{file.First, file.Second} {
		if s, err := checkpoint.Open([]byte(note), n.Policy, checkpoint.Options{}); err != nil || !s.Met {
			t.Errorf("a note in the file: %v", err)
		}
	}
	if name := a.Name(); !strings.HasPrefix(name, "qifeng-"+string(a.Kind)+"-") || !strings.HasSuffix(name, ".json") {
		t.Error(name)
	}
}

func TestForkOfALargerSize(t *testing.T) {
	n := newNode(t)
	n.round(t, monitor.First)
	n.chain.Chain = n.fork(t, 3, 9) // size 5 was never sealed there
	r := n.round(t, monitor.Contradiction)
	if r.Alarm.Kind != monitor.Rewritten || r.Alarm.Path == nil || r.Alarm.Frauds() != nil {
		t.Errorf("%+v", r.Alarm)
	}
	checkAlarm(t, n, r.Alarm)
	l := n.fork(t, 3, 5) // here it was: two checkpoints of one size are the better evidence
	n.grow(t, l, 9)
	n.chain.Chain = l
	r = n.round(t, monitor.Contradiction)
	if r.Alarm.Kind != monitor.Fork || len(r.Alarm.Frauds()) != 4 {
		t.Errorf("%+v", r.Alarm)
	}
	checkAlarm(t, n, r.Alarm)
}

func TestAnotherGenesisBehindTheSeals(t *testing.T) {
	n := newNode(t)
	l := apitest.NewLedger(t, n.Consortium, n.Clock.Now)
	l.Rewrite(0, []byte("{}"))
	n.grow(t, l, 7)
	n.chain.Chain = l
	if r := n.round(t, monitor.Contradiction); r.Alarm.Kind != monitor.Genesis || n.state != nil {
		t.Errorf("%+v", r.Alarm)
	}
}

func TestPin(t *testing.T) {
	n := newNode(t)
	pinned := *n.Policy
	pinned.Epochs = slices.Clone(n.Policy.Epochs)
	pinned.Epochs[0].Pins = []checkpoint.Pin{{Size: 5, Root: merkle.Sum([]byte("another ledger"))}}
	m, err := monitor.New(monitor.Config{Policy: &pinned, Now: n.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	if r := m.Round(t.Context(), n.Client); r.Outcome != monitor.Contradiction || r.Alarm.Kind != monitor.Pin || len(r.Alarm.Second) == 0 {
		t.Errorf("%+v", r)
	}
}

// TestBehind: a node that is behind is no contradiction, and what it showed then
// is held against it once it has caught up.
func TestBehind(t *testing.T) {
	n := newNode(t)
	n.grow(t, n.Ledger, 8)
	n.grow(t, n.Ledger, 12)
	n.round(t, monitor.First)
	n.chain.Chain = n.Ledger.Prefix(t, 5)
	if r := n.round(t, monitor.Behind); r.Size != 5 || r.From != 12 || r.False() || r.Proved() {
		t.Errorf("%+v", r)
	}
	n.round(t, monitor.Behind) // the same again is kept once
	n.chain.Chain = n.Ledger.Prefix(t, 9)
	n.round(t, monitor.Behind)
	if s, err := monitor.ParseState(n.state); err != nil || len(s.Behind) != 2 {
		t.Fatalf("%d behind, %v", len(s.Behind), err)
	}
	n.chain.Chain = n.Ledger
	if r := n.round(t, monitor.Same); r.Size != 12 || !r.Proved() {
		t.Errorf("%+v", r)
	}
	if s, err := monitor.ParseState(n.state); err != nil || len(s.Behind) != 0 {
		t.Fatalf("%d behind, %v", len(s.Behind), err)
	}
}

// TestBehindOnAFork: the smaller ledger was another one.
func TestBehindOnAFork(t *testing.T) {
	for _, last := range []uint64{12, 20} {
		n := newNode(t)
		other := n.Ledger.Prefix(t, 3)
		other.Grow(t, 9)
		other.Seal()
		n.grow(t, n.Ledger, 12)
		n.round(t, monitor.First)
		n.chain.Chain = other
		n.round(t, monitor.Behind)
		if last > 12 {
			n.grow(t, n.Ledger, last)
		}
		n.chain.Chain = n.Ledger
		r := n.round(t, monitor.Contradiction)
		if r.Alarm.Kind != monitor.Rewritten || len(r.Alarm.Members) != 4 {
			t.Errorf("%+v", r.Alarm)
		}
		checkAlarm(t, n, r.Alarm)
		n.round(t, monitor.Contradiction)
	}
}

// TestTwoBehind: two checkpoints behind that contradict each other.
func TestTwoBehind(t *testing.T) {
	n := newNode(t)
	n.grow(t, n.Ledger, 9)
	fork := n.Ledger.Prefix(t, 3)
	fork.Grow(t, 9)
	fork.Seal()
	n.grow(t, n.Ledger, 12)
	n.round(t, monitor.First)
	n.chain.Chain = n.Ledger.Prefix(t, 9)
	n.round(t, monitor.Behind)
	n.chain.Chain = fork
	if r := n.round(t, monitor.Contradiction); r.Alarm.Kind != monitor.Fork {
		t.Errorf("%+v", r.Alarm)
	}
}

// TestRollback: the beginning of the same ledger, sealed again later than the
// whole: the members have forgotten what they sealed.
func TestRollback(t *testing.T) {
	n := newNode(t)
	n.grow(t, n.Ledger, 9)
	n.round(t, monitor.First)
	back := n.Ledger.Prefix(t, 5)
	n.Clock.Forward(time.Minute)
	back.SetAway("notary-a")
	back.Seal()
	n.chain.Chain = back
	r := n.round(t, monitor.Contradiction)
	if r.Alarm.Kind != monitor.Rollback || !slices.Equal(r.Alarm.Members, []string{"arbitration-a", "court-a", "vendor-a"}) {
		t.Errorf("%+v", r.Alarm)
	}
	checkAlarm(t, n, r.Alarm)
	// The other way round: the smaller one was seen first.
	m := n.monitor(t, func(c *monitor.Config) { c.State = nil })
	n.roundWith(t, m, n.Client, monitor.First)
	n.chain.Chain = n.Ledger
	if r := n.roundWith(t, m, n.Client, monitor.Contradiction); r.Alarm.Kind != monitor.Rollback {
		t.Errorf("%+v", r.Alarm)
	}
}

// liar changes what a node answers.
type liar struct {
	monitor.Source
	checkpoint  func([]byte) ([]byte, error)
	genesis     func([]byte) ([]byte, error)
	consistency func(*client.Consistency) (*client.Consistency, error)
	bundle      func(index uint64, b []byte) ([]byte, error)
}

func (l *liar) Checkpoint(ctx context.Context) ([]byte, error) {
	b, err := l.Source.Checkpoint(ctx)
	if err != nil || l.checkpoint == nil {
		return b, err
	}
	return l.checkpoint(b)
}

func (l *liar) Genesis(ctx context.Context) ([]byte, error) {
	b, err := l.Source.Genesis(ctx)
	if err != nil || l.genesis == nil {
		return b, err
	}
	return l.genesis(b)
}

func (l *liar) Consistency(ctx context.Context, from, to uint64) (*client.Consistency, error) {
	a, err := l.Source.Consistency(ctx, from, to)
	if err != nil || l.consistency == nil {
		return a, err
	}
	return l.consistency(a)
}

func (l *liar) EntryBundle(ctx context.Context, index uint64, width int) ([]byte, error) {
	b, err := l.Source.EntryBundle(ctx, index, width)
	if err != nil || l.bundle == nil {
		return b, err
	}
	return l.bundle(index, b)
}

func TestLies(t *testing.T) {
	n := newNode(t)
	n.round(t, monitor.First)
	n.grow(t, n.Ledger, 11)
	broken := errors.New("connection reset")
	for _, tt := range []struct {
		name  string
		liar  liar
		state bool
		want  monitor.Outcome
	}{
		{"a false signature", liar{checkpoint: func(b []byte) ([]byte, error) {
			return bytes.Replace(b, []byte("— vendor-a "), []byte("— vendor-a A"), 1), nil
		}}, true, monitor.Invalid},
		{"another size", liar{checkpoint: func(b []byte) ([]byte, error) {
			return bytes.Replace(b, []byte("\n11\n"), []byte("\n12\n"), 1), nil
		}}, true, monitor.Invalid},
		{"no note", liar{checkpoint: func([]byte) ([]byte, error) { return []byte("<html>"), nil }}, true, monitor.Invalid},
		{"seals taken away", liar{checkpoint: func(b []byte) ([]byte, error) {
			var out []string
			for line := range strings.Lines(string(b)) {
				if !strings.HasPrefix(line, "— court-a") && !strings.HasPrefix(line, "— notary-a") {
					out = append(out, line)
				}
			}
			return []byte(strings.Join(out, "")), nil
		}}, true, monitor.NotSealed},
		{"another genesis", liar{genesis: func(b []byte) ([]byte, error) { return append(b, ' '), nil }}, false, monitor.Invalid},
		{"no genesis", liar{genesis: func([]byte) ([]byte, error) { return nil, broken }}, false, monitor.Unreachable},
		{"a path with a flipped bit", liar{consistency: func(a *client.Consistency) (*client.Consistency, error) {
			a.Path[0].SM3 = flip(a.Path[0].SM3)
			return a, nil
		}}, true, monitor.Contradiction},
		{"a path too short", liar{consistency: func(a *client.Consistency) (*client.Consistency, error) {
			a.Path = a.Path[1:]
			return a, nil
		}}, true, monitor.Contradiction},
		{"an endless path", liar{consistency: func(a *client.Consistency) (*client.Consistency, error) {
			a.Path = slices.Repeat(a.Path, 100)
			return a, nil
		}}, true, monitor.Invalid},
		{"a path that is none", liar{consistency: func(a *client.Consistency) (*client.Consistency, error) {
			a.Path[0].SHA256 = "x"
			return a, nil
		}}, true, monitor.Invalid},
		{"the path of other sizes", liar{consistency: func(a *client.Consistency) (*client.Consistency, error) {
			a.From = 3
			return a, nil
		}}, true, monitor.Invalid},
		{"no path", liar{consistency: func(*client.Consistency) (*client.Consistency, error) { return nil, broken }}, true, monitor.Unreachable},
		{"a path refused", liar{consistency: func(*client.Consistency) (*client.Consistency, error) {
			return nil, &client.Problem{Status: http.StatusNotFound, Code: "not-found"}
		}}, true, monitor.Unproven},
		{"a path refused by a proxy", liar{consistency: func(*client.Consistency) (*client.Consistency, error) {
			return nil, &client.Problem{Status: http.StatusBadGateway, Code: "http"}
		}}, true, monitor.Unreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.liar.Source = n.Client
			m := n.monitor(t, func(c *monitor.Config) {
				if !tt.state {
					c.State = nil
				}
			})
			r := m.Round(t.Context(), &tt.liar)
			if r.Outcome != tt.want || r.Proved() || r.Reason == "" {
				t.Fatalf("%s (%s), want %s", r.Outcome, r.Reason, tt.want)
			}
			if r := m.Round(t.Context(), n.Client); !r.Proved() {
				t.Errorf("after the lie the truth is %s (%s)", r.Outcome, r.Reason)
			}
		})
	}
}

func flip(hex string) string {
	if hex[0] == '0' {
		return "1" + hex[1:]
	}
	return "0" + hex[1:]
}

func TestStateRefused(t *testing.T) {
	n := newNode(t)
	n.round(t, monitor.First)
	n.grow(t, n.Ledger, 7)
	n.round(t, monitor.Advanced)
	good, err := monitor.ParseState(n.state)
	if err != nil {
		t.Fatal(err)
	}
	other := newNode(t)
	unsealed := n.Ledger.Prefix(t, 6)
	unsealed.SetAway("court-a", "notary-a", "arbitration-a")
	unsealed.Seal()
	seals, cp, err := unsealed.Seals(6)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := checkpoint.Note(cp, seals, &n.Policy.Epochs[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*monitor.State)
		policy *checkpoint.Policy
	}{
		{"another chain's policy", func(*monitor.State) {}, other.Policy},
		{"no note", func(s *monitor.State) { s.Note = nil }, n.Policy},
		{"a spoiled note", func(s *monitor.State) { s.Note = bytes.Replace(s.Note, []byte("\n7\n"), []byte("\n8\n"), 1) }, n.Policy},
		{"a note without quorum", func(s *monitor.State) { s.Note = weak }, n.Policy},
		{"behind itself", func(s *monitor.State) { s.Behind = [][]byte{s.Note} }, n.Policy},
		{"a spoiled note behind", func(s *monitor.State) { s.Behind = [][]byte{[]byte("x")} }, n.Policy},
	} {
		s := *good
		tt.change(&s)
		if _, err := monitor.New(monitor.Config{Policy: tt.policy, State: &s}); !errors.Is(err, monitor.ErrState) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for _, text := range []string{"", "{}", "null", string(n.state[:len(n.state)/2]), strings.Replace(string(n.state), "qifeng-monitor", "qifeng-proof", 1),
		strings.Replace(string(n.state), `"v":`, `"v":1,"w":`, 1)} {
		if _, err := monitor.ParseState([]byte(text)); !errors.Is(err, monitor.ErrState) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// FuzzState: a state that is read is written the same, and none makes a panic.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"behind":["x\n"],"chain":"a-00000000","note":"y","policy":{"sha256":"` + strings.Repeat("0", 64) + `","sm3":"` + strings.Repeat("0", 64) +
		`"},"proved_at":"2026-11-21T08:00:00.000Z","type":"qifeng-monitor","v":1}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := monitor.ParseState(data)
		if err != nil {
			return
		}
		first, err := s.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := monitor.ParseState(first)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := again.Marshal(); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%v\n%s\n%s", err, first, second)
		}
	})
}
