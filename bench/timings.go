package bench

import (
	"encoding/base64"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// timings collect durations from many goroutines, in microseconds.
type timings struct {
	parts [shards]struct {
		mu sync.Mutex // guards h
		h  *hdrhistogram.Histogram
	}
}

func newTimings() *timings {
	t := &timings{}
	for i := range t.parts {
		t.parts[i].h = hdrhistogram.New(1, longest.Microseconds(), digits)
	}
	return t
}

// add records a duration; who is any number of the goroutine's own.
func (t *timings) add(who int, d time.Duration) {
	p := &t.parts[uint(who)%shards]
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.h.RecordValue(min(max(d, time.Microsecond), longest).Microseconds()) // within its bounds
}

// sum merges the parts.
func (t *timings) sum() *hdrhistogram.Histogram {
	all := hdrhistogram.New(1, longest.Microseconds(), digits)
	for i := range t.parts {
		p := &t.parts[i]
		p.mu.Lock()
		all.Merge(p.h)
		p.mu.Unlock()
	}
	return all
}

// Latency is a distribution in milliseconds. HDR is the whole histogram, in
// microseconds, as HdrHistogram's V2 compressed encoding in base64, which the
// tools of that project read.
type Latency struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
	HDR   string  `json:"hdr,omitempty"`
}

// latency sums up; nil where nothing was measured, so that nothing looks like 0.
func (t *timings) latency() (*Latency, error) {
	h := t.sum()
	if h.TotalCount() == 0 {
		return nil, nil
	}
	raw, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, fmt.Errorf("encoding a histogram: %w", err)
	}
	ms := func(us int64) float64 { return float64(us) / 1000 }
	return &Latency{
		Count: h.TotalCount(), Mean: h.Mean() / 1000,
		P50: ms(h.ValueAtQuantile(50)), P90: ms(h.ValueAtQuantile(90)), P99: ms(h.ValueAtQuantile(99)),
		P999: ms(h.ValueAtQuantile(99.9)), Max: ms(h.Max()), HDR: base64.StdEncoding.EncodeToString(raw),
	}, nil
}
