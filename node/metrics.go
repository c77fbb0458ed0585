package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"qifeng/anchor/witness"
	"qifeng/api"
	"qifeng/archive"
	"qifeng/chain"
	"qifeng/evidence"
)

// metrics are the numbers of one node, in a registry of its own. What a room
// can be asked (its Status) is asked at the scrape; what only passes by is
// counted when the room tells of it. docs/metrics.md lists all of them.
//
// Labels are from closed lists: members, roles, routes, codes. Nothing that a
// caller writes becomes a label, so neither does personal data, and the number
// of series has a bound.
type metrics struct {
	cfg      *Config
	log      *slog.Logger
	registry *prometheus.Registry
	own      *scrapes // the listener of its own, nil without one

	// What is asked at the scrape, nil until it runs.
	chain   atomic.Pointer[chain.Chain]
	archive atomic.Pointer[archive.Archive]
	server  atomic.Pointer[api.Server]
	audit   atomic.Pointer[auditLog]
	anchors atomic.Pointer[anchors]
	witness atomic.Pointer[witness.Server]

	http   httpMetrics
	intake intakeMetrics
	batch  batchMetrics
	steps  *prometheus.HistogramVec // of the chain, by step
	seals  sealMetrics

	outside anchorMetrics
	sealed  *sealWatch
	stop    context.CancelFunc // of the seal watch, nil before it runs
	wg      sync.WaitGroup
}

type httpMetrics struct {
	requests *prometheus.CounterVec   // route, method, code
	problems *prometheus.CounterVec   // route, problem
	took     *prometheus.HistogramVec // route, method
}

type intakeMetrics struct {
	requests *prometheus.CounterVec // result
	records  *prometheus.CounterVec // result
	took     prometheus.Histogram
	sync     prometheus.Histogram
	group    prometheus.Histogram
	sharing  prometheus.Histogram
	written  prometheus.Counter
}

type batchMetrics struct {
	committed prometheus.Counter
	records   prometheus.Counter
	size      prometheus.Histogram
	delivery  prometheus.Histogram
	commit    prometheus.Histogram
	seal      prometheus.Histogram
}

type sealMetrics struct {
	arrival *prometheus.HistogramVec // member
	quorum  prometheus.Histogram
}

// Buckets, in seconds. quick are steps of one machine, from a group's fsync to
// a slow disk; a request may wait half a minute for a state; a record is sealed
// in well under a second, and after an outage in days.
var (
	quick   = []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
	request = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}
	whole   = []float64{0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400}
	numbers = []float64{1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10000, 50000, 262144}
)

// newMetrics makes the registry of one node. It starts nothing.
func newMetrics(cfg *Config, log *slog.Logger) *metrics {
	m := &metrics{cfg: cfg, log: log, registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(cfg.Member.ID), statusCollector{m})
	f := factory{m.registry}
	m.http = httpMetrics{
		requests: f.counters("http_requests_total", "Requests answered.", "route", "method", "code"),
		problems: f.counters("http_problems_total", "Requests answered with a problem document.", "route", "problem"),
		took:     f.histograms("http_request_duration_seconds", "Time to answer a request, waiting for a state included.", request, "route", "method"),
	}
	m.intake = intakeMetrics{
		requests: f.counters("intake_requests_total", "Requests with submissions that were well formed.", "result"),
		records:  f.counters("intake_records_total", "Submissions of those requests that were answered with receipts.", "result"),
		took:     f.histogram("intake_duration_seconds", "From a parsed request to its durable receipts.", quick),
		sync:     f.histogram("intake_sync_duration_seconds", "Writing and fsync of one group.", quick),
		group:    f.histogram("intake_group_records", "New records that shared one fsync.", numbers),
		sharing:  f.histogram("intake_group_requests", "Requests that shared one fsync.", numbers),
		written:  f.counter("intake_written_bytes_total", "Bytes written to the journal."),
	}
	m.batch = batchMetrics{
		committed: f.counter("batch_committed_total", "Own batches found on the chain."),
		records:   f.counter("batch_committed_records_total", "Records of own batches found on the chain."),
		size:      f.histogram("batch_records", "Records of a batch.", numbers),
		delivery:  f.histogram("batch_delivery_duration_seconds", "From the closing of a batch until it is on the chain.", request),
		commit:    f.histogram("record_commit_duration_seconds", "From the intake of a batch's first record until it is on the chain.", whole),
		seal:      f.histogram("record_seal_duration_seconds", "From the intake of a batch's first record until it is sealed.", whole),
	}
	m.steps = f.histograms("chain_step_duration_seconds", "Steps of a block and of the own seal on it.", quick, "step")
	m.seals = sealMetrics{
		arrival: f.histograms("seal_arrival_duration_seconds", "From the commit of a new size here until a member's first seal on it is here.", quick, "member"),
		quorum:  f.histogram("seal_quorum_duration_seconds", "From the commit of a new size here until it is sealed.", quick),
	}
	m.outside = newAnchorMetrics(f)
	m.sealed = newSealWatch(m.batch.seal)
	return m
}

// factory registers metrics under the program's name.
type factory struct{ registry *prometheus.Registry }

const namespace = "qifeng"

func (f factory) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	f.registry.MustRegister(c)
	return c
}

func (f factory) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	f.registry.MustRegister(c)
	return c
}

func (f factory) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
	f.registry.MustRegister(h)
	return h
}

func (f factory) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	f.registry.MustRegister(h)
	return h
}

func buildInfo(self string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info",
		Help:        "1, with the version of the program and the member whose node it is.",
		ConstLabels: prometheus.Labels{"version": strings.TrimPrefix(version(), "qifeng "), "go_version": runtime.Version(), "member": self}},
		func() float64 { return 1 })
}

// measure is the archive as the API is to see it.
func (m *metrics) measure(a *archive.Archive) measured {
	m.archive.Store(a)
	return measured{a, m}
}

// watch begins to measure how long records wait for their seal.
func (m *metrics) watch(c *chain.Chain, s *api.Server) {
	m.server.Store(s)
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	m.wg.Go(func() { m.sealed.run(ctx, c, m.cfg.Member.ID) })
}

// close ends what was started.
func (m *metrics) close() error {
	if m.stop != nil {
		m.stop()
	}
	m.wg.Wait()
	return m.own.close()
}

// handler answers a scrape.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: scrapeLog{m.log}, MaxRequestsInFlight: maxScrapes, Timeout: scrapeTimeout,
	})
}

// scrapeLog is where a failed scrape is told.
type scrapeLog struct{ log *slog.Logger }

// Println takes what promhttp says: words and an error. Who asked and is gone is
// no failure, and its address is not for the log.
func (s scrapeLog) Println(v ...any) {
	for _, x := range v {
		err, ok := x.(error)
		var gone *net.OpError
		if !ok || errors.Is(err, context.Canceled) || errors.As(err, &gone) {
			continue
		}
		s.log.Warn("metrics could not be collected", "error", err)
	}
}

// answered counts one answer of the API.
func (m *metrics) answered(a api.Answer) {
	m.http.requests.WithLabelValues(a.Route, a.Method, strconv.Itoa(a.Status)).Inc()
	m.http.took.WithLabelValues(a.Route, a.Method).Observe(a.Took.Seconds())
	if a.Problem != "" {
		m.http.problems.WithLabelValues(a.Route, a.Problem).Inc()
	}
}

// stepped takes a duration of the chain.
func (m *metrics) stepped(step chain.Step, member string, took time.Duration) {
	switch step {
	case chain.StepArrive:
		m.seals.arrival.WithLabelValues(member).Observe(took.Seconds())
	case chain.StepQuorum:
		m.seals.quorum.Observe(took.Seconds())
	default:
		m.steps.WithLabelValues(string(step)).Observe(took.Seconds())
	}
}

// GroupStored implements archive.Meter.
func (m *metrics) GroupStored(g archive.GroupStored) {
	m.intake.sync.Observe(g.Write.Seconds())
	m.intake.group.Observe(float64(g.Records))
	m.intake.sharing.Observe(float64(g.Requests))
	m.intake.written.Add(float64(g.Bytes))
}

// BatchCommitted implements archive.Meter.
func (m *metrics) BatchCommitted(b archive.BatchCommitted) {
	m.batch.committed.Inc()
	m.batch.records.Add(float64(b.Records))
	m.batch.size.Observe(float64(b.Records))
	m.batch.commit.Observe(max(time.Since(b.First).Seconds(), 0))
	if b.Delivery > 0 {
		m.batch.delivery.Observe(b.Delivery.Seconds())
	}
	m.sealed.add(b)
}

// measured is the archive as the API sees it, with its intake measured.
type measured struct {
	*archive.Archive
	m *metrics
}

// Submit stores a request and counts what became of it. What was refused is
// counted by problem code where it is answered.
func (a measured) Submit(ctx context.Context, req *evidence.Request) (*archive.Taken, error) {
	began := time.Now()
	taken, err := a.Archive.Submit(ctx, req)
	if err != nil {
		a.m.intake.requests.WithLabelValues("refused").Inc()
		return nil, err
	}
	a.m.intake.took.Observe(time.Since(began).Seconds())
	all, fresh := taken.Count()
	result := "known"
	if fresh > 0 {
		result = "stored"
	}
	a.m.intake.requests.WithLabelValues(result).Inc()
	a.m.intake.records.WithLabelValues("stored").Add(float64(fresh))
	a.m.intake.records.WithLabelValues("known").Add(float64(all - fresh))
	return taken, nil
}
