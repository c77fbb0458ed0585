package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// PlainConfig is a load of unsigned bodies on any HTTP server: what machine,
// loopback and client can do at most, and how another log fares under the same
// client.
type PlainConfig struct {
	URL         string
	Bytes       int // of a body, random and printable
	Connections int
	Duration    time.Duration
	Warmup      time.Duration
	Processes   []int
	Head        Head
}

// PlainResult is what such a load gave.
type PlainResult struct {
	Head
	URL          string           `json:"url"`
	Bytes        int              `json:"body_bytes"`
	Connections  int              `json:"connections"`
	Window       float64          `json:"window_s"`
	RequestsPerS float64          `json:"requests_per_s"`
	Latency      *Latency         `json:"latency,omitempty"`
	Failed       map[string]int64 `json:"failed"`
	Server       *Process         `json:"server,omitempty"`
	Generator    Process          `json:"generator"`
}

// Plain posts bodies in the closed loop. Every answer of 2xx counts.
func Plain(ctx context.Context, cfg PlainConfig) (*PlainResult, error) {
	if cfg.Bytes < 16 || cfg.Connections < 1 || cfg.Connections > maxConnections || cfg.Duration <= 0 || cfg.Warmup < 0 {
		return nil, fmt.Errorf("bodies of 16 bytes or more, 1 to %d connections, a duration", maxConnections)
	}
	to, err := newTarget(cfg.URL, "", cfg.Connections, nil)
	if err != nil {
		return nil, err
	}
	defer to.close()
	w, err := watch(ctx, append(append([]int{}, cfg.Processes...), os.Getpid()))
	if err != nil {
		return nil, err
	}
	p := &plain{took: newTimings(), failed: map[string]int64{}}
	start := time.Now()
	p.from, p.to = start.Add(cfg.Warmup), start.Add(cfg.Warmup+cfg.Duration)
	var all sync.WaitGroup
	for i := range cfg.Connections {
		all.Go(func() { p.connection(ctx, i, to.exchange(), cfg.Bytes) })
	}
	_ = realClock{}.until(ctx, p.from)
	w.begin()
	_ = realClock{}.until(ctx, p.to)
	w.end()
	all.Wait()
	seen := w.finish()
	r := &PlainResult{Head: cfg.Head, URL: cfg.URL, Bytes: cfg.Bytes, Connections: cfg.Connections, Window: cfg.Duration.Seconds(),
		RequestsPerS: float64(p.good.Load()) / cfg.Duration.Seconds(), Failed: p.failed, Generator: seen[len(seen)-1]}
	if len(seen) > 1 {
		r.Server = &seen[0]
	}
	if r.Latency, err = p.took.latency(); err != nil {
		return nil, err
	}
	if p.good.Load() == 0 {
		return r, fmt.Errorf("no request was answered with success: %s", counts(p.failed))
	}
	return r, ctx.Err()
}

type plain struct {
	from, to time.Time
	good     atomic.Int64
	took     *timings
	mu       sync.Mutex // guards failed
	failed   map[string]int64
}

func (p *plain) connection(ctx context.Context, who int, x *exchange, size int) {
	m := &Maker{random: rand.NewChaCha8([32]byte{byte(who), byte(who >> 8), 1, byte(time.Now().UnixNano())})}
	body := bytes.Repeat([]byte{'.'}, size)
	for ctx.Err() == nil {
		began := time.Now()
		if !began.Before(p.to) {
			return
		}
		m.fill(body[:size/16*16])
		a, err := x.post(body)
		now := time.Now()
		switch {
		case err != nil:
			p.fail("network")
		case !a.good():
			p.fail(strconv.Itoa(a.status))
		case !now.Before(p.from) && now.Before(p.to):
			p.good.Add(1)
			p.took.add(who, now.Sub(began))
		}
	}
}

func (p *plain) fail(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed[what]++
}

// Echo serves the bare net/http echo server that others are measured against,
// until ctx ends. ready is told its URL.
func Echo(ctx context.Context, listen string, ready func(url string)) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	srv := &http.Server{ReadHeaderTimeout: requestTimeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
		if err != nil {
			http.Error(w, "", http.StatusBadRequest)
			return
		}
		_, _ = w.Write(body) // who does not listen is not answered
	})}
	ready("http://" + ln.Addr().String())
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}
