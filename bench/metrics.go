package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// scraper reads memory and processor time of a node elsewhere from its metrics
// endpoint (docs/metrics.md). There the node itself says it.
type scraper struct {
	url    string
	client *http.Client

	mu     sync.Mutex // guards what follows
	seen   Process
	before float64
	stop   context.CancelFunc
	done   chan struct{}
}

// scrape begins to look at a node; nil where no address is given.
func scrape(ctx context.Context, url string) (*scraper, error) {
	if url == "" {
		return nil, nil
	}
	s := &scraper{url: url, client: &http.Client{Timeout: requestTimeout}, done: make(chan struct{})}
	if _, err := s.look(ctx); err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	ctx, s.stop = context.WithCancel(ctx)
	go func() {
		defer close(s.done)
		tick := time.NewTicker(scrapeEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_, _ = s.look(ctx) // a node that does not answer shows in the figures of the load
			}
		}
	}()
	return s, nil
}

// look reads the metrics once and returns the processor time.
func (s *scraper) look(ctx context.Context) (cpu float64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, errors.New(resp.Status)
	}
	rss := 0.0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		switch name {
		case "process_resident_memory_bytes":
			rss, err = strconv.ParseFloat(value, 64)
		case "process_cpu_seconds_total":
			cpu, err = strconv.ParseFloat(value, 64)
		}
		if err != nil {
			return 0, err
		}
	}
	if rss == 0 {
		return 0, errors.New("no process_resident_memory_bytes there")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.PeakRSS = max(s.seen.PeakRSS, rss/(1<<20))
	s.seen.HighWater = s.seen.PeakRSS
	s.seen.Series = append(s.seen.Series, rss/(1<<20))
	return cpu, nil
}

// begin and end frame the window that processor time is measured in.
func (s *scraper) begin(ctx context.Context) {
	if s != nil {
		s.before, _ = s.look(ctx)
	}
}

func (s *scraper) end(ctx context.Context) {
	if s == nil {
		return
	}
	after, err := s.look(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.before > 0 {
		s.seen.CPU = after - s.before
	}
}

func (s *scraper) finish() *Process {
	if s == nil {
		return nil
	}
	s.stop()
	<-s.done
	return &s.seen
}
