package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"qifeng/api/client"
	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// Config says what is to be done to which node.
type Config struct {
	URL    string
	TLS    *tls.Config // nil for what the system trusts
	By     Submitter
	Policy *checkpoint.Policy
	// Reader signs what is read: a key of purpose read, "member/name".
	ReadKeyID string
	Reader    gm.Signer

	Records     int // a request
	Connections int
	Duration    time.Duration // of the measured window
	Warmup      time.Duration // before it, not measured
	Rate        float64       // records a second of the open loop; 0 for the closed loop
	Total       int64         // records after which to stop, 0 for none

	Share   float64 // of the requests of which one record is followed to its proof
	Samples int     // at most so many a second
	Lookups int     // of each kind, after the load

	Processes []int  // the node's first, then those of the other members
	Metrics   string // address of the node's metrics, where it is no process of this machine
	Chain     string // folder of the node's chain, to measure its growth
	Head      Head
}

// Validate says what of the numbers is wrong.
func (c *Config) Validate() error {
	switch {
	case c.Records < 1 || c.Records > evidence.MaxSubmissions:
		return fmt.Errorf("records: 1 to %d, not %d", evidence.MaxSubmissions, c.Records)
	case c.Connections < 1 || c.Connections > maxConnections:
		return fmt.Errorf("connections: 1 to %d, not %d", maxConnections, c.Connections)
	case c.Duration <= 0 || c.Warmup < 0:
		return errors.New("duration: must be positive, and the warm-up not negative")
	case c.Rate < 0 || c.Rate > 0 && c.Rate/float64(c.Records) > 1e6:
		return errors.New("rate: must be positive and below a million requests a second")
	case c.Share < 0 || c.Share > 1 || c.Samples < 0 || c.Lookups < 0 || c.Total < 0:
		return errors.New("sample: a share is 0 to 1; samples, look-ups and total are not negative")
	}
	return nil
}

// load is a run.
type load struct {
	cfg     Config
	target  *target
	reader  *client.Client
	pace    *pace
	metrics *scraper
	from    time.Time // of the measured window
	to      time.Time

	accepted, sealed        *timings
	inWindow, requests      atomic.Int64 // records in the window; requests there
	allRequests, allRecords atomic.Int64
	last                    atomic.Int64 // receipt, Unix nanoseconds
	noWait                  atomic.Int64
	samples, skipped        atomic.Int64
	unverified, unsealed    atomic.Int64
	budget                  budget
	waiting                 chan struct{}
	sampling                sync.WaitGroup
	judging                 sync.Mutex // one sample is checked at a time

	mu      sync.Mutex // guards what follows
	refused map[string]int64
	failed  map[string]int64
	notes   []string
	known   []known
	offered int64
	proofs  [][]byte
}

// Run loads a node until the time or the records are over, waits until all that
// was acknowledged is sealed, and says what happened. An error is that of the
// run; what the node did wrong stands in the result.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l, makers, err := prepare(cfg)
	if err != nil {
		return nil, err
	}
	defer l.target.close()
	before, err := l.chainSize()
	if err != nil {
		return nil, err
	}
	w, err := watch(ctx, append(slices.Clone(cfg.Processes), os.Getpid()))
	if err != nil {
		return nil, err
	}
	if l.metrics, err = scrape(ctx, cfg.Metrics); err != nil {
		return nil, err
	}
	l.run(ctx, makers, w)
	r := &Result{Head: cfg.Head, Records: cfg.Records, Connections: cfg.Connections, Rate: cfg.Rate, RecordBytes: makers[0].meanBytes()}
	l.settle(ctx, r)
	if err := l.lookups(ctx, r); err != nil {
		l.fail("look-up", err)
	}
	l.processes(w.finish(), r)
	if far := l.metrics.finish(); far != nil {
		r.Node = far
	}
	if err := l.growth(before, r); err != nil {
		return nil, err
	}
	return r, errors.Join(l.sum(r), ctx.Err())
}

func prepare(cfg Config) (*load, []*Maker, error) {
	l := &load{
		cfg: cfg, accepted: newTimings(), sealed: newTimings(), waiting: make(chan struct{}, maxWaiting),
		refused: map[string]int64{}, failed: map[string]int64{}, budget: budget{rate: float64(cfg.Samples)},
	}
	var err error
	if l.target, err = newTarget(cfg.URL, "/v1/records", cfg.Connections, cfg.TLS); err != nil {
		return nil, nil, err
	}
	l.reader, err = client.New(cfg.URL, client.Options{
		KeyID: cfg.ReadKeyID, Signer: cfg.Reader, UserAgent: "qifeng-bench",
		HTTP: &http.Client{Transport: &http.Transport{TLSClientConfig: cfg.TLS, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute}},
	})
	if err != nil {
		return nil, nil, err
	}
	// A submitter in bulk checks one receipt for the whole request (docs/spec/receipt.md).
	l.target.prefer = "return=minimal"
	makers := make([]*Maker, cfg.Connections)
	for i := range makers {
		if makers[i], err = NewMaker(cfg.By, cfg.Records); err != nil {
			return nil, nil, err
		}
	}
	return l, makers, nil
}

// run is the load with its warm-up, until the last answer.
func (l *load) run(ctx context.Context, makers []*Maker, w *watcher) {
	start := time.Now()
	l.from, l.to = start.Add(l.cfg.Warmup), start.Add(l.cfg.Warmup+l.cfg.Duration)
	l.pace = &pace{clock: realClock{}, start: start, end: l.to}
	if l.cfg.Rate > 0 {
		l.pace.interval = time.Duration(float64(l.cfg.Records) / l.cfg.Rate * float64(time.Second))
	}
	if l.cfg.Total > 0 {
		l.pace.most = (l.cfg.Total + int64(l.cfg.Records) - 1) / int64(l.cfg.Records)
	}
	var frame, senders sync.WaitGroup
	over := make(chan struct{})
	from, to := l.from, l.to
	frame.Go(func() {
		_ = realClock{}.until(ctx, from)
		w.begin()
		l.metrics.begin(ctx)
		if l.pace.most > 0 {
			<-over
		} else {
			_ = realClock{}.until(ctx, to)
		}
		w.end()
		l.metrics.end(ctx)
	})
	for i, m := range makers {
		senders.Go(func() { l.connection(ctx, i, m) })
	}
	senders.Wait()
	if now := time.Now(); now.Before(l.to) && (ctx.Err() != nil || l.pace.most > 0) {
		l.to = now // the window is shorter than it was meant to be
	}
	close(over)
	frame.Wait()
}

// connection sends one request after the other. The next one is made before it
// is due, so that making it is no part of its latency.
func (l *load) connection(ctx context.Context, who int, m *Maker) {
	x := l.target.exchange()
	for {
		raw, err := m.Next(time.Now())
		if err != nil {
			l.fail("making a request", err)
			return
		}
		sampled := l.cfg.Share > 0 && rand.Float64() < l.cfg.Share
		for first, answered := true, false; !answered; first = false {
			due, ok := l.pace.next(ctx)
			if !ok {
				return
			}
			if first && sampled {
				// By the time at which it is due: those that wait behind a slow one are as
				// likely to be chosen.
				sampled = l.budget.take(due)
			}
			if answered, ok = l.send(ctx, who, m, x, raw, due, sampled); !ok {
				return
			}
		}
	}
}

// send sends a request until it is answered. Where the node refuses it, the
// closed loop waits as it is told to and sends it again; the open loop does not
// wait, and the same bytes go when the next request is due: answered is false.
func (l *load) send(ctx context.Context, who int, m *Maker, x *exchange, raw []byte, due time.Time, sampled bool) (answered, ok bool) {
	for again := true; ; {
		a, err := x.post(raw)
		now := time.Now()
		switch {
		case err != nil:
			if again && lost(err) {
				again = false
				continue // nothing is stored twice
			}
			l.fail("network", err)
			return true, ctx.Err() == nil
		case a.good():
			l.accept(who, m, a, due, now, sampled)
			return true, true
		case a.refused():
			l.refuse(a)
			if l.pace.interval > 0 {
				return false, true
			}
			if (realClock{}).until(ctx, now.Add(max(a.after, 10*time.Millisecond))) != nil || !time.Now().Before(l.to) {
				return true, false
			}
		default:
			l.fail(strconv.Itoa(a.status), fmt.Errorf("%.300s", a.body))
			return true, true
		}
	}
}

// accept counts an acknowledged request, and follows one of its records if it
// was chosen before anything was known of it.
func (l *load) accept(who int, m *Maker, a answer, due, now time.Time, sampled bool) {
	n := int64(l.cfg.Records)
	l.allRequests.Add(1)
	l.allRecords.Add(n)
	for {
		old := l.last.Load()
		if now.UnixNano() <= old || l.last.CompareAndSwap(old, now.UnixNano()) {
			break
		}
	}
	if !now.Before(l.from) && now.Before(l.to) {
		l.inWindow.Add(n)
		l.requests.Add(1)
	}
	if !due.Before(l.from) {
		l.accepted.add(who, now.Sub(due))
	}
	i := rand.IntN(l.cfg.Records)
	if l.cfg.Lookups > 0 {
		l.remember(m, i)
	}
	if !sampled {
		return
	}
	select {
	case l.waiting <- struct{}{}:
	default:
		l.skipped.Add(1)
		return
	}
	s := &sample{due: due, index: i, submission: bytes.Clone(m.Submission(i)), id: evidence.IDOf(m.Pair(i)),
		request: bytes.Clone(m.made().raw), answer: bytes.Clone(a.body)}
	l.samples.Add(1)
	l.sampling.Go(func() {
		defer func() { <-l.waiting }()
		l.follow(s)
	})
}

func (l *load) refuse(a answer) {
	if a.after == 0 {
		l.noWait.Add(1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[strconv.Itoa(a.status)]++
}

// fail counts what should not happen, and keeps the first few of it in words.
func (l *load) fail(what string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed[what]++
	l.note(fmt.Sprintf("%s: %v", what, err))
}

// note needs l.mu.
func (l *load) note(text string) {
	if len(l.notes) < maxNotes {
		l.notes = append(l.notes, text)
	}
}

// sum fills in what was counted.
func (l *load) sum(r *Result) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Window = max(0, l.to.Sub(l.from).Seconds())
	if r.Window > 0 {
		r.RecordsPerS, r.RequestsPerS = float64(l.inWindow.Load())/r.Window, float64(l.requests.Load())/r.Window
	}
	r.Accepted = Count{l.allRequests.Load(), l.allRecords.Load()}
	r.Refused, r.NoWait, r.Failed, r.Notes = l.refused, l.noWait.Load(), l.failed, l.notes
	r.Unsent = l.pace.unsent()
	r.Samples, r.Skipped = l.samples.Load(), l.skipped.Load()
	r.Unverified, r.Unsealed = l.unverified.Load(), r.Unsealed+l.unsealed.Load()
	if r.AcceptedLatency, err = l.accepted.latency(); err != nil {
		return err
	}
	r.SealedLatency, err = l.sealed.latency()
	return err
}

func (l *load) processes(seen []Process, r *Result) {
	r.Generator = seen[len(seen)-1]
	if n := len(seen) - 1; n > 0 {
		r.Node, r.Others = &seen[0], seen[1:n]
	}
}

func (l *load) chainSize() (map[string]int64, error) {
	if l.cfg.Chain == "" {
		return nil, nil
	}
	return folderBytes(l.cfg.Chain)
}

func (l *load) growth(before map[string]int64, r *Result) error {
	after, err := l.chainSize()
	if err != nil || after == nil || l.allRecords.Load() == 0 {
		return err
	}
	r.Chain = map[string]float64{}
	for name, size := range after {
		grown := float64(size-before[name]) / float64(l.allRecords.Load())
		r.Chain[name] = grown
		r.Chain["all"] += grown
	}
	return nil
}

func (m *Maker) meanBytes() float64 {
	var bytes, entries int
	for _, f := range m.forms {
		for _, e := range f.entries {
			bytes += len(e)
		}
		entries += len(f.entries)
	}
	return float64(bytes) / float64(entries)
}
