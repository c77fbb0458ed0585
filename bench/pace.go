package bench

import (
	"context"
	"sync/atomic"
	"time"
)

// clock is the time and the waiting for it, for tests.
type clock interface {
	now() time.Time
	until(ctx context.Context, t time.Time) error
}

type realClock struct{}

func (realClock) now() time.Time { return time.Now() }

func (realClock) until(ctx context.Context, t time.Time) error {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// pace says when requests are to be sent. In the open loop the times are fixed
// by the rate alone: request k is due at start + k·interval, whoever of the
// connections sends it and however late. In the closed loop, interval 0, a
// request is due when a connection asks for it.
type pace struct {
	clock    clock
	start    time.Time
	interval time.Duration
	end      time.Time
	most     int64 // requests, 0 for any number
	given    atomic.Int64
	sent     atomic.Int64 // of those given in the open loop
}

// next waits until the next request is due and returns when that was; ok is
// false when there is none any more. In the open loop it returns times that
// have passed at once: what is measured from them includes the delay.
func (p *pace) next(ctx context.Context) (due time.Time, ok bool) {
	k := p.given.Add(1) - 1
	if p.most > 0 && k >= p.most {
		return time.Time{}, false
	}
	if p.interval == 0 {
		due = p.clock.now()
		return due, due.Before(p.end) && ctx.Err() == nil
	}
	due = p.start.Add(time.Duration(k) * p.interval)
	if !due.Before(p.end) || !p.clock.now().Before(p.end.Add(overtime)) {
		return time.Time{}, false
	}
	if p.clock.until(ctx, due) != nil {
		return time.Time{}, false
	}
	p.sent.Add(1)
	return due, true
}

// unsent is how many requests came due in the open loop and were never sent,
// because the connections were busy until long after the end. Their latency is
// in no histogram: where there are any, the offered rate was not borne.
func (p *pace) unsent() int64 {
	if p.interval == 0 {
		return 0
	}
	due := int64((p.end.Sub(p.start) + p.interval - 1) / p.interval)
	if p.most > 0 {
		due = min(due, p.most)
	}
	return max(0, due-p.sent.Load())
}
