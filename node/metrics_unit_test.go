package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"qifeng/archive"
	"qifeng/chain"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// TestWhereMetricsAre: on an address of their own, or on the API's if only this
// machine reaches it, and never outside by accident.
func TestWhereMetricsAre(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		onAPI  bool
		refuse string
	}{
		{"the default", func(*Config) {}, true, ""},
		{"the API on localhost", func(c *Config) { c.API.Listen = "localhost:8100" }, true, ""},
		{"the API outside", func(c *Config) { c.API.Listen, c.API.AllowRemote = "0.0.0.0:8100", true }, false, ""},
		{"an address of their own", func(c *Config) { c.Metrics.Listen = "127.0.0.1:8120" }, false, ""},
		{"outside, when allowed", func(c *Config) { c.Metrics.Listen, c.Metrics.AllowRemote = "0.0.0.0:8120", true }, false, ""},
		{"outside", func(c *Config) { c.Metrics.Listen = "0.0.0.0:8120" }, false, "[metrics] listen"},
		{"every address, short form", func(c *Config) { c.Metrics.Listen = ":8120" }, false, "allow_remote"},
		{"the API's own", func(c *Config) { c.Metrics.Listen = c.API.Listen }, false, "is the API's"},
		{"no port", func(c *Config) { c.Metrics.Listen = "127.0.0.1" }, false, "[metrics] listen"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := valid()
			tt.change(&c)
			err := c.Validate()
			if (err != nil) != (tt.refuse != "") || err != nil && !strings.Contains(err.Error(), tt.refuse) {
				t.Fatalf("error %v; want one that names %q", err, tt.refuse)
			}
			if got := newMetrics(&c, slog.New(slog.DiscardHandler)).onAPI() != nil; err == nil && got != tt.onAPI {
				t.Errorf("on the API: %v", got)
			}
		})
	}
}

// TestMetricsAddressInUse: the node does not start without the metrics that it
// was told to serve.
func TestMetricsAddressInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := valid()
	c.Metrics.Listen = ln.Addr().String()
	m := newMetrics(&c, slog.New(slog.DiscardHandler))
	if err := m.listen(); err == nil || !strings.Contains(err.Error(), "[metrics] listen") {
		t.Errorf("error %v", err)
	}
	if err := m.close(); err != nil {
		t.Error(err)
	}
}

// fakeLedger puts batch n at index n.
type fakeLedger struct {
	mu      sync.Mutex
	size    uint64 // sealed
	changed chan struct{}
}

func (f *fakeLedger) Batch(_ string, seq uint64) (uint64, bool, error) { return seq, true, nil }

func (f *fakeLedger) SealedHead() (uint64, merkle.Digest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size, merkle.Digest{}
}

func (f *fakeLedger) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

func (f *fakeLedger) seal(size uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.size = size
	close(f.changed)
	f.changed = make(chan struct{})
}

type observed struct {
	mu  sync.Mutex
	got []float64
}

func (o *observed) Observe(v float64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.got = append(o.got, v)
}

func (o *observed) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.got)
}

// TestSealWatch: a batch is measured once, when a sealed size covers it, whether
// the seal or the word of the archive comes first.
func TestSealWatch(t *testing.T) {
	l, took := &fakeLedger{changed: make(chan struct{})}, &observed{}
	w := newSealWatch(took)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.run(ctx, l, "court-a") }()
	defer func() { cancel(); <-done }()
	batch := func(seq uint64) {
		w.add(archive.BatchCommitted{Seq: seq, Records: 10, First: time.Now().Add(-time.Hour)})
	}
	batch(1)
	batch(2)
	if batches, records := w.unsealed(); batches != 2 || records != 20 || took.count() != 0 {
		t.Fatalf("%d batches, %d records wait, %d measured", batches, records, took.count())
	}
	l.seal(2) // covers batch 1
	poll(t, "one is measured", func() bool { n, _ := w.unsealed(); return n == 1 })
	l.seal(4) // covers 2 and 3
	poll(t, "the next is measured", func() bool { n, _ := w.unsealed(); return n == 0 })
	batch(3)
	poll(t, "one that was sealed before is measured", func() bool { n, records := w.unsealed(); return n == 0 && records == 0 })
	poll(t, "each is measured once", func() bool { return took.count() == 3 })
	for _, v := range took.got {
		if v < 3600 || v > 3700 {
			t.Errorf("measured %v s", v)
		}
	}
}

func TestSealWatchIsBounded(t *testing.T) {
	w := newSealWatch(&observed{})
	for seq := range uint64(maxUnsealed + 5) {
		w.add(archive.BatchCommitted{Seq: seq, Records: 1})
	}
	if batches, records := w.unsealed(); batches != maxUnsealed || records != maxUnsealed {
		t.Errorf("%d batches with %d records are kept", batches, records)
	}
}

// TestQuorumByRole: the numbers tell apart what is missing.
func TestQuorumByRole(t *testing.T) {
	p := &checkpoint.Policy{Epochs: []checkpoint.Epoch{{Quorum: checkpoint.Quorum{Members: 4, NeutralRoles: 2,
		Require: []checkpoint.Require{{Role: checkpoint.Court, Count: 1}}}}}}
	member := func(r checkpoint.Role, fresh bool) chain.MemberStatus {
		return chain.MemberStatus{Role: r, Fresh: fresh}
	}
	members := []chain.MemberStatus{member(checkpoint.Court, false), member(checkpoint.Notary, true), member(checkpoint.Notary, true),
		member(checkpoint.Arbitration, false), member(checkpoint.Vendor, true)}
	ch := make(chan prometheus.Metric, 100)
	emitter{ch}.quorum(members, p)
	close(ch)
	got := map[string]float64{}
	for m := range ch {
		var out dto.Metric
		if err := m.Write(&out); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(strings.Split(m.Desc().String(), `"`)[1], namespace+"_quorum_")
		for _, l := range out.Label {
			name += " " + l.GetValue()
		}
		got[name] = out.Gauge.GetValue()
	}
	for name, want := range map[string]float64{
		"members_needed": 4, "members_sealing": 3, "neutral_roles_needed": 2, "neutral_roles_sealing": 1,
		"role_members notary": 2, "role_sealing notary": 2, "role_needed notary": 0,
		"role_members court": 1, "role_sealing court": 0, "role_needed court": 1, "role_sealing vendor": 1,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
}

// TestScrapeLog: a failure of ours is logged, a monitor that hung up is not.
func TestScrapeLog(t *testing.T) {
	var out bytes.Buffer
	log := scrapeLog{slog.New(slog.NewJSONHandler(&out, nil))}
	log.Println("error gathering metrics:", context.Canceled)
	log.Println("error encoding:", &net.OpError{Op: "write", Addr: &net.TCPAddr{IP: net.IPv4(203, 0, 113, 9)}, Err: errors.New("broken pipe")})
	if out.Len() != 0 {
		t.Errorf("logged: %s", &out)
	}
	log.Println("error gathering metrics:", errors.New("collected twice"))
	if !strings.Contains(out.String(), "collected twice") {
		t.Errorf("logged: %s", &out)
	}
}
