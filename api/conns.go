package api

import (
	"container/list"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// door bounds the connections, in all and of one address. It accepts always:
// beyond a bound a connection on which nothing is being answered makes room, at
// first one of the same address, else the one that has been silent longest. So
// who keeps connections open and asks nothing keeps nobody out. Where every
// connection has a request under way the new one is closed, and so it is where
// its address has made others go too often of late: that is cheaper than to serve
// who connects again and again.
//
// It stands below TLS, so a connection counts from its first packet.
type door struct {
	net.Listener
	most, each int
	exempt     func(netip.Addr) bool
	pushes     *buckets[netip.Addr] // a token for each connection that has to go
	log        *slog.Logger
	sometimes  rate.Sometimes // bounds the log

	mu     sync.Mutex // guards what follows, and the fields of every conn
	open   int
	silent *list.List // of *conn, in all; the longest silent first
	from   map[netip.Addr]*caller
}

// caller is an address with its connections.
type caller struct {
	open   int
	silent *list.List // of *conn
}

// conn is a connection. It is silent while no request of it is being answered:
// idle, before its first byte, or in the middle of a header.
type conn struct {
	net.Conn
	d      *door
	addr   netip.Addr
	closed bool
	among  *list.Element // in door.silent, nil while a request is being answered
	own    *list.Element // in caller.silent
}

// Bound puts the bounds of connections on a listener. Serve is told of its
// connections by their states, also through TLS.
func (s *Server) Bound(ln net.Listener) net.Listener {
	return &door{Listener: ln, most: s.limits.Connections, each: s.limits.AddressConnections, exempt: s.exempt, log: s.log,
		pushes:    newBuckets[netip.Addr](pushRate, 0, maxAddresses, time.Now),
		sometimes: rate.Sometimes{First: 1, Interval: 10 * time.Second},
		silent:    list.New(), from: make(map[netip.Addr]*caller)}
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	for {
		raw, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: raw, d: d, addr: addressOf(raw.RemoteAddr().String())}
		ok, victim := d.admit(c)
		if victim != nil {
			abort(victim.Conn)
		}
		if ok {
			return c, nil
		}
		abort(raw)
	}
}

// abort closes without waiting for what the other side has not read.
func abort(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // only saves room in the kernel
	}
	_ = c.Close() // there is nobody to tell
}

// admit counts c in, and names a connection that has to go for it.
func (d *door) admit(c *conn) (ok bool, victim *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	who := d.from[c.addr]
	if who == nil {
		who = &caller{silent: list.New()}
	}
	crowded := who.open >= d.each && !d.exempt(c.addr)
	if full := d.open >= d.most; crowded || full {
		e := who.silent.Front()
		if e == nil && !crowded {
			e = d.silent.Front()
		}
		if d.pushes.debt(c.addr) > 0 && !d.exempt(c.addr) {
			e = nil
		}
		d.sometimes.Do(func() {
			d.log.Warn("too many connections: silent ones are closed", "open", d.open, "one_address", crowded, "closed", e != nil)
		})
		if e == nil {
			return false, nil
		}
		d.pushes.take(c.addr, 1)
		victim = e.Value.(*conn)
		d.leave(victim)
	}
	d.from[c.addr] = who
	who.open++
	d.open++
	d.hush(c)
	return true, victim
}

// hush makes c the connection that fell silent last. The lock is held.
func (d *door) hush(c *conn) {
	own := d.from[c.addr].silent
	if c.among != nil { // an idle one on which the next request begins
		d.silent.MoveToBack(c.among)
		own.MoveToBack(c.own)
		return
	}
	c.among, c.own = d.silent.PushBack(c), own.PushBack(c)
}

// speak takes c from the silent ones. The lock is held.
func (d *door) speak(c *conn) {
	if c.among != nil {
		d.silent.Remove(c.among)
		d.from[c.addr].silent.Remove(c.own)
		c.among, c.own = nil, nil
	}
}

// leave counts c out. The lock is held.
func (d *door) leave(c *conn) {
	d.speak(c)
	c.closed = true
	d.open--
	if who := d.from[c.addr]; who.open > 1 {
		who.open--
	} else {
		delete(d.from, c.addr)
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.d.mu.Lock()
	if !c.closed {
		c.d.leave(c)
	}
	c.d.mu.Unlock()
	return c.Conn.Close()
}

// mark notes that a request of c begins or has ended.
func (c *conn) mark(silent bool) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	switch {
	case c.closed:
	case silent:
		c.d.hush(c)
	default:
		c.d.speak(c)
	}
}

// connKey is where a request's context has its connection.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	if own := unwrap(c); own != nil {
		return context.WithValue(ctx, connKey{}, own)
	}
	return ctx
}

// busyConn notes that the header of a request is complete.
func busyConn(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		c.mark(false)
	}
}

// connState follows a connection from one request to the next: one that begins
// a header counts as the newest silent one until the header is complete.
func connState(c net.Conn, state http.ConnState) {
	if own := unwrap(c); own != nil && (state == http.StateIdle || state == http.StateActive) {
		own.mark(true)
	}
}

// unwrap finds our connection below TLS.
func unwrap(c net.Conn) *conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	own, _ := c.(*conn)
	return own
}
