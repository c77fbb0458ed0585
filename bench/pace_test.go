package bench

import (
	"context"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// still is a clock that only moves when it is waited for or told to.
type still struct{ t time.Time }

func (c *still) now() time.Time { return c.t }

func (c *still) until(ctx context.Context, t time.Time) error {
	if t.After(c.t) {
		c.t = t
	}
	return ctx.Err()
}

// TestOpenLoop: with one connection, and a server that stands still for a second
// and is quick otherwise, every request that came due meanwhile is charged with
// what was left of that second, and none is left out.
func TestOpenLoop(t *testing.T) {
	c := &still{time.Unix(1000, 0)}
	p := &pace{clock: c, start: c.t, interval: 100 * time.Millisecond, end: c.t.Add(3 * time.Second)}
	var took []time.Duration
	for {
		due, ok := p.next(t.Context())
		if !ok {
			break
		}
		if want := p.start.Add(time.Duration(len(took)) * p.interval); !due.Equal(want) {
			t.Fatalf("request %d is due at %v, want %v", len(took), due, want)
		}
		serve := time.Millisecond
		if len(took) == 5 {
			serve = time.Second
		}
		c.t = c.t.Add(serve)
		took = append(took, c.t.Sub(due))
	}
	if len(took) != 30 {
		t.Fatalf("%d requests in 3 s at 10 a second", len(took))
	}
	for i, d := range took {
		want := time.Millisecond
		if i >= 5 && i <= 15 {
			want = max(time.Second-time.Duration(i-5)*99*time.Millisecond, time.Millisecond)
		}
		if d != want {
			t.Errorf("request %d took %v, want %v", i, d, want)
		}
	}
}

// TestUnsent: what could not be sent until long after the end is counted.
func TestUnsent(t *testing.T) {
	c := &still{time.Unix(1000, 0)}
	p := &pace{clock: c, start: c.t, interval: 100 * time.Millisecond, end: c.t.Add(3 * time.Second)}
	n := int64(0)
	for {
		if _, ok := p.next(t.Context()); !ok {
			break
		}
		n++
		c.t = c.t.Add(time.Second) // ten times too slow
	}
	if n != 5 || p.unsent() != 25 {
		t.Errorf("%d sent, %d not", n, p.unsent())
	}
}

func TestPaceEnds(t *testing.T) {
	c := &still{time.Unix(1000, 0)}
	closed := &pace{clock: c, end: c.t.Add(time.Second)}
	if due, ok := closed.next(t.Context()); !ok || !due.Equal(c.t) {
		t.Errorf("the closed loop is due at %v, %v", due, ok)
	}
	c.t = c.t.Add(time.Second)
	if _, ok := closed.next(t.Context()); ok {
		t.Error("the closed loop goes on after its end")
	}
	most := &pace{clock: c, end: c.t.Add(time.Hour), most: 2}
	for want := range 3 {
		if _, ok := most.next(t.Context()); ok != (want < 2) {
			t.Errorf("request %d of at most 2: %v", want, ok)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, p := range []*pace{{clock: c, end: c.t.Add(time.Hour)}, {clock: c, start: c.t, interval: time.Second, end: c.t.Add(time.Hour)}} {
		if _, ok := p.next(ctx); ok {
			t.Error("goes on after the context has ended")
		}
	}
}

// TestTimings: what is recorded in parts is what one histogram would hold.
func TestTimings(t *testing.T) {
	parts, one := newTimings(), hdrhistogram.New(1, longest.Microseconds(), digits)
	if l, err := parts.latency(); l != nil || err != nil {
		t.Fatalf("of nothing: %v, %v", l, err)
	}
	for i := range 10_000 {
		d := time.Duration(i*i) * time.Microsecond
		parts.add(i, d)
		if err := one.RecordValue(max(d, time.Microsecond).Microseconds()); err != nil {
			t.Fatal(err)
		}
	}
	if !parts.sum().Equals(one) {
		t.Error("the sum of the parts is another")
	}
	parts.add(-1, 2*longest)
	parts.add(1, -time.Second)
	l, err := parts.latency()
	if err != nil || l.Count != 10_002 || l.Max < float64(longest.Milliseconds()) || l.P50 < 24_900 || l.P50 > 25_100 {
		t.Errorf("%+v, %v", l, err)
	}
}
