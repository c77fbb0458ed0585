package chain

import (
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qifeng/internal/gm"
)

// slowSigner takes longer to sign by what delay says.
type slowSigner struct {
	gm.Signer
	delay *atomic.Int64
}

func (s slowSigner) Sign(msg []byte) ([]byte, error) {
	if d := time.Duration(s.delay.Load()); d > 0 {
		time.Sleep(d) // the slowness itself, not a wait for anything
	}
	return s.Signer.Sign(msg)
}

// link is a TCP proxy to one node that delays both directions.
type link struct {
	tb    testing.TB
	to    string
	delay *atomic.Int64
	ln    net.Listener

	mu    sync.Mutex
	conns []net.Conn
}

func newLink(tb testing.TB, to string, delay *atomic.Int64) *link {
	tb.Helper()
	l := &link{tb: tb, to: to, delay: delay, ln: must[net.Listener](tb)(net.Listen("tcp", "127.0.0.1:0"))}
	go l.accept()
	tb.Cleanup(func() {
		_ = l.ln.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, c := range l.conns {
			_ = c.Close()
		}
	})
	return l
}

func (l *link) addr() string { return l.ln.Addr().String() }

func (l *link) accept() {
	for {
		in, err := l.ln.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", l.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		l.mu.Lock()
		l.conns = append(l.conns, in, out)
		l.mu.Unlock()
		go l.carry(in, out)
		go l.carry(out, in)
	}
}

// carry hands bytes on, each delay after it came, without holding back those
// behind it: a long line and not a narrow one.
func (l *link) carry(from, to net.Conn) {
	type piece struct {
		b   []byte
		due time.Time
	}
	queue := make(chan piece, 4096)
	go func() {
		defer to.Close()
		for p := range queue {
			if wait := time.Until(p.due); wait > 0 {
				time.Sleep(wait) // the length of the line
			}
			if _, err := to.Write(p.b); err != nil {
				break
			}
		}
		for range queue {
		}
	}()
	defer close(queue)
	for {
		b := make([]byte, 32<<10)
		n, err := from.Read(b)
		if n > 0 {
			queue <- piece{b[:n], time.Now().Add(time.Duration(l.delay.Load()))}
		}
		if err != nil {
			if err != io.EOF {
				_ = from.Close()
			}
			return
		}
	}
}

// lateness is, of some sizes, how long after its first quorum a member's seal
// was at court-a; none after that long.
type lateness struct {
	took    []time.Duration
	missing int
}

func (l lateness) within(d time.Duration) (n int) {
	for _, t := range l.took {
		if t <= d {
			n++
		}
	}
	return n
}

func (l lateness) String() string {
	slices.Sort(l.took)
	if len(l.took) == 0 {
		return "no seal"
	}
	ms := func(q float64) time.Duration {
		return l.took[int(q*float64(len(l.took)-1))].Round(time.Millisecond)
	}
	return fmt.Sprintf("median %s, p90 %s, slowest %s, %d missing", ms(0.5), ms(0.9), ms(1), l.missing)
}

// measure seals n sizes one after the other and watches, at court-a, when each
// is sealed and when the member's seal is there.
func (d *drill) measure(member string, n int) lateness {
	d.tb.Helper()
	ch := d.nodes["court-a"]
	var out lateness
	for range n {
		size := d.next() + 1
		var sealedAt, there time.Time
		deadline := time.Now().Add(20 * time.Second)
		for sealedAt.IsZero() || there.IsZero() && time.Since(sealedAt) < 2*time.Second {
			if sealedAt.IsZero() {
				if ok, err := ch.book.isSealed(size); err != nil {
					d.tb.Fatal(err)
				} else if ok {
					sealedAt = time.Now()
				}
			}
			if there.IsZero() {
				if _, ok, err := ch.book.first(size, member); err != nil {
					d.tb.Fatal(err)
				} else if ok {
					there = time.Now()
				}
			}
			if time.Now().After(deadline) {
				d.tb.Fatalf("size %d is not sealed", size)
			}
			time.Sleep(time.Millisecond) // between two looks
		}
		if there.IsZero() {
			out.missing++
		} else {
			out.took = append(out.took, max(0, there.Sub(sealedAt)))
		}
	}
	return out
}

// TestSlowAndFar: a member whose signing takes 50 ms longer, and one whose line
// takes 100 ms each way, are in nine of ten checkpoints within a second of their
// first quorum. One that was away for long catches up and seals the newest.
func TestSlowAndFar(t *testing.T) {
	t.Parallel()
	const sizes, far = 20, "notary-a"
	f := newFixture(t)
	var signing, line atomic.Int64
	links := map[string]*link{} // to a node, from or to the far one
	for _, id := range f.ids {
		links[id] = newLink(t, f.parties[id].card.Peer, &line)
	}
	d := &drill{running: startNetworkOf(t, f, func(c *Config) {
		c.Heartbeat = 30 * time.Second
		c.Reseal = defaultReseal
		c.Peers = nil
		for _, id := range f.ids {
			addr := f.parties[id].card.Peer
			if c.Self == far || id == far {
				addr = links[id].addr()
			}
			if id != c.Self {
				c.Peers = append(c.Peers, f.parties[id].card.NodeID+"@"+addr)
			}
		}
		if c.Self == victim {
			c.Keys.SM2 = slowSigner{c.Keys.SM2, &signing}
		}
	})}
	d.goesOn()
	check := func(what, member string) {
		t.Helper()
		var l lateness
		for try := range 3 { // a busy machine is given another chance
			l = d.measure(member, sizes)
			t.Logf("%s: %s", what, l)
			if l.within(time.Second) >= sizes*9/10 || try == 2 {
				break
			}
		}
		if n := l.within(time.Second); n < sizes*9/10 {
			t.Errorf("%s: in %d of %d checkpoints within 1 s of their quorum", what, n, sizes)
		}
	}
	check("vendor-a like the others", victim)
	signing.Store(int64(50 * time.Millisecond))
	check("vendor-a signs 50 ms slower", victim)
	signing.Store(0)
	line.Store(int64(100 * time.Millisecond))
	check("notary-a behind 100 ms each way", far)
	line.Store(0)

	t.Log("vendor-a is away for many heights")
	d.stop(victim)
	before := d.nodes["court-a"].Status().Height
	const away = 25
	for range away {
		d.next()
	}
	begin := time.Now()
	d.start(victim)
	size := d.nodes["court-a"].Size()
	wait(t, "it catches up and seals the newest", 60*time.Second, func() bool {
		_, ok, err := d.nodes["court-a"].book.first(size, victim)
		return err == nil && ok
	})
	t.Logf("%d heights away, sealed the newest %s after its start", d.nodes["court-a"].Status().Height-before, time.Since(begin).Round(time.Millisecond))
	skipped := 0
	for s := size - away + 1; s < size; s++ {
		if _, ok, err := d.nodes["court-a"].book.first(s, victim); err == nil && !ok {
			skipped++
		}
	}
	// Before it knows where the others are, and within lateBy of them, it seals
	// like anybody.
	if sealed := away - 1 - skipped; sealed > away/2 {
		t.Errorf("it sealed %d of %d sizes that it had missed, not the newest alone", sealed, away-1)
	}
	d.truthful()
}
