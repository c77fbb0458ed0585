package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"qifeng/api"
	"qifeng/api/apitest"
	"qifeng/archive"
	"qifeng/evidence"
	"qifeng/proof"
)

// liar is an archive of a node that fails its submitters.
type liar struct {
	api.Archive
	submit func(n int64, taken *archive.Taken, err error) (*archive.Taken, error)
	calls  atomic.Int64
}

func (l *liar) Submit(ctx context.Context, req *evidence.Request) (*archive.Taken, error) {
	n := l.calls.Add(1)
	if l.submit == nil {
		return l.Archive.Submit(ctx, req)
	}
	if taken, err := l.submit(n, nil, nil); taken != nil || err != nil {
		return taken, err
	}
	taken, err := l.Archive.Submit(ctx, req)
	return l.submit(n, taken, err)
}

func pass(_ int64, taken *archive.Taken, err error) (*archive.Taken, error) { return taken, err }

func config(n *apitest.TestNode, records int) Config {
	return Config{
		URL: n.HTTP.URL, Policy: n.Policy,
		By:        Submitter{Chain: n.Chain, Member: apitest.Node, Key: apitest.KeyName, Signer: n.User},
		ReadKeyID: apitest.Node + "/" + apitest.ReadKeyName, Reader: n.Keys[apitest.Node].Read,
		Records: records, Connections: 4, Duration: 300 * time.Millisecond, Warmup: 50 * time.Millisecond,
		Share: 1, Samples: 100, Lookups: 3, Processes: []int{os.Getpid()}, Head: NewHead("test", "c0ffee"),
	}
}

func TestRun(t *testing.T) {
	for _, tc := range []struct {
		name    string
		records int
		rate    float64
		total   int64
	}{{"closed loop", 3, 0, 0}, {"open loop", 10, 300, 0}, {"single records", 1, 0, 0}, {"until so many are sent", 5, 0, 40}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			n := apitest.NewNode(t, apitest.Options{})
			n.Ledger.Auto()
			cfg := config(n, tc.records)
			cfg.Rate, cfg.Total = tc.rate, tc.total
			if tc.total > 0 {
				cfg.Duration, cfg.Warmup = time.Minute, 0
			}
			r, err := Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if !r.OK() || r.Samples == 0 || r.SealedLatency == nil || r.AcceptedLatency == nil || len(r.Refused) > 0 || r.Lookups == nil {
				t.Errorf("%+v", r)
			}
			if tc.rate > 0 && (r.RecordsPerS > 1.5*tc.rate || r.Accepted.Records != 11*10) {
				t.Errorf("%v records a second, %d in all, at a rate of %v", r.RecordsPerS, r.Accepted.Records, tc.rate)
			}
			if tc.total > 0 && r.Accepted.Records != tc.total {
				t.Errorf("%d records, want %d", r.Accepted.Records, tc.total)
			}
			for _, l := range []string{"zh", "en"} {
				var b bytes.Buffer
				if err := r.Print(&b, l); err != nil || strings.Count(b.String(), "\n") < 8 {
					t.Errorf("%s: %s %v", l, b.String(), err)
				}
			}
		})
	}
}

// TestLies: a receipt that does not hold is counted, whatever the node says.
func TestLies(t *testing.T) {
	l := &liar{submit: func(_ int64, taken *archive.Taken, err error) (*archive.Taken, error) {
		if taken == nil || err != nil {
			return nil, err
		}
		stored, err := taken.Stored()
		if err != nil {
			return nil, err
		}
		stored = slices.Clone(stored)
		head := bytes.Clone(stored[0].ReceiptHead)
		at := bytes.Index(head, []byte(`"sig":"`)) + len(`"sig":"`) + 100
		head[at] = "10"[head[at]%2] // another digit
		for i := range stored {
			stored[i].ReceiptHead = head
		}
		return archive.TakenOf(stored...), nil
	}}
	n := apitest.NewNode(t, apitest.Options{Archive: func(a api.Archive) api.Archive { l.Archive = a; return l }})
	n.Ledger.Auto()
	r, err := Run(t.Context(), config(n, 2))
	if err != nil {
		t.Fatal(err)
	}
	if r.OK() || r.Samples == 0 || r.Unverified != r.Samples || len(r.Notes) == 0 {
		t.Errorf("%d of %d lies were found: %+v", r.Unverified, r.Samples, r.Notes)
	}
}

// TestRefusals: what is refused is counted, sent again, and is no failure; a
// node that fails is one.
func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		rate float64
		ok   bool
	}{
		{"busy, closed loop", &archive.BusyError{RetryAfter: time.Millisecond, Reason: "test"}, 0, true},
		{"busy, open loop", &archive.BusyError{RetryAfter: time.Millisecond, Reason: "test"}, 400, true},
		{"broken", os.ErrClosed, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := &liar{submit: func(n int64, taken *archive.Taken, err error) (*archive.Taken, error) {
				if taken == nil && err == nil && n <= 5 {
					return nil, tc.err
				}
				return pass(n, taken, err)
			}}
			n := apitest.NewNode(t, apitest.Options{Archive: func(a api.Archive) api.Archive { l.Archive = a; return l }})
			n.Ledger.Auto()
			cfg := config(n, 2)
			cfg.Rate, cfg.Duration = tc.rate, 1500*time.Millisecond // Retry-After has whole seconds
			r, err := Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			var refused int64
			for _, k := range []string{"429", "503"} {
				refused += r.Refused[k]
			}
			if r.OK() != tc.ok || tc.ok && (refused != 5 || r.NoWait != 0) || !tc.ok && r.Failed["500"] != 5 {
				t.Errorf("refused %v, failed %v, notes %v", r.Refused, r.Failed, r.Notes)
			}
		})
	}
}

// TestProofs: a proof counts only if it verifies and is of what was sent.
func TestProofs(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Auto()
	l, makers, err := prepare(config(n, 2))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := makers[0].Next(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	req, err := evidence.ParseRequest(bytes.Clone(raw))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Client.Submit(t.Context(), req.Raw, 0); err != nil {
		t.Fatal(err)
	}
	f, err := n.Client.WaitProof(t.Context(), req.Submissions[0].ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.checkProof(&sample{submission: req.Submissions[0].Bytes}, f, proof.Options{Second: true}); err != nil {
		t.Error(err)
	}
	if err := l.checkProof(&sample{submission: req.Submissions[1].Bytes}, f, proof.Options{}); err == nil {
		t.Error("the proof of another submission is taken")
	}
	text, err := f.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{{`"checkpoint": "`, `"checkpoint": "x`}, {`\"step\":1`, `\"step\":2`}} {
		changed, err := proof.Parse(bytes.Replace(text, []byte(change[0]), []byte(change[1]), 1))
		if err == nil {
			err = l.checkProof(nil, changed, proof.Options{})
		}
		if err == nil {
			t.Errorf("%s is taken", change[1])
		}
	}
}

// TestMetrics: a node elsewhere tells of its memory by itself; what is no such
// page is an error and not a figure.
func TestMetrics(t *testing.T) {
	page := "# HELP x\nprocess_cpu_seconds_total 1.5\nprocess_resident_memory_bytes 1.048576e+08\nother{a=\"b\"} 1\n"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(page))
	}))
	defer srv.Close()
	s, err := scrape(t.Context(), srv.URL+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	s.begin(t.Context())
	s.end(t.Context())
	if p := s.finish(); p.PeakRSS != 100 || p.CPU != 0 {
		t.Errorf("%+v", p)
	}
	if _, err := scrape(t.Context(), srv.URL+"/elsewhere"); err == nil {
		t.Error("a page that is not there is taken")
	}
	page = "process_resident_memory_bytes none\n"
	if _, err := scrape(t.Context(), srv.URL+"/metrics"); err == nil {
		t.Error("no number is taken")
	}
	if s, err := scrape(t.Context(), ""); s.finish() != nil || err != nil {
		t.Error("without an address there is nothing to look at")
	}
}

func TestConfig(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	for name, change := range map[string]func(*Config){
		"connections": func(c *Config) { c.Connections = 0 },
		"records":     func(c *Config) { c.Records = 1001 },
		"duration":    func(c *Config) { c.Duration = 0 },
		"rate":        func(c *Config) { c.Rate = -1 },
		"share":       func(c *Config) { c.Share = 1.5 },
		"address":     func(c *Config) { c.URL = "127.0.0.1" },
		"process":     func(c *Config) { c.Processes = []int{1 << 30} },
		"chain":       func(c *Config) { c.Chain = filepath.Join(t.TempDir(), "none") },
	} {
		cfg := config(n, 2)
		change(&cfg)
		if _, err := Run(t.Context(), cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPlainAndTable(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer srv.Close()
	p, err := Plain(t.Context(), PlainConfig{URL: srv.URL, Bytes: 100, Connections: 2, Duration: 50 * time.Millisecond, Head: NewHead("echo", "c0ffee")})
	if err != nil || p.RequestsPerS == 0 || len(p.Failed) > 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	m, err := Measure(t.Context(), t.TempDir(), 10*time.Millisecond, NewHead("limits", "c0ffee"))
	if err != nil || m.Hash == 0 || m.Verify == 0 || m.Sign == 0 || m.Sync == 0 || m.Make == 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Auto()
	r, err := Run(t.Context(), config(n, 2))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, v any) {
		b, err := json.Marshal(v)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".json"), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(echoName, p)
	write(limitsName, m)
	for _, name := range required {
		write(name, r)
	}
	table, err := ReadTable(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := table.Figures(true)
	if err != nil || !f.OK {
		t.Fatal(err)
	}
	raw, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(raw, &keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"batch100_records_per_s", "batch1000_records_per_s", "single_requests_per_s", "sealed_p50_ms",
		"sealed_p99_ms", "unverified", "peak_rss_mib", "echo_requests_per_s", "accepted_p99_ms", "hash_only_records_per_s"} {
		if v, ok := keys[k].(float64); !ok || v == 0 && k != "unverified" {
			t.Errorf("%s is %v", k, keys[k])
		}
	}
	for _, markdown := range []bool{true, false} {
		var b bytes.Buffer
		table.Print(&b, "en", markdown)
		if !strings.Contains(b.String(), "c0ffee") || !strings.Contains(b.String(), Batch1000) {
			t.Error(b.String())
		}
	}
	// What was not measured is absent and an error, never a number.
	if err := os.Remove(filepath.Join(dir, Single+".json")); err != nil {
		t.Fatal(err)
	}
	r.Unverified = 2
	write(Batch100, r)
	if table, err = ReadTable(dir); err != nil {
		t.Fatal(err)
	}
	if f, err = table.Figures(true); err == nil || f.OK || f.Single != nil || f.SingleEcho != nil || *f.Unverified != 2 {
		t.Errorf("%+v, %v", f, err)
	}
}
