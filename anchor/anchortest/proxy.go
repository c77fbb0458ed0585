package anchortest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy carries TCP connections from its own address to a server. It is up when
// it is made. TLS goes through it untouched: the server's certificate must be
// good for the proxy's address, 127.0.0.1, or the driver expects its name.
type Proxy struct {
	Addr   string // host:port, the same for its whole life
	target string

	mu       sync.Mutex // guards what follows
	listener net.Listener
	hanging  chan struct{} // closed when it goes on; nil while it does not hang
	cutAfter int64         // bytes of answers, over all connections, until they are cut; below 0 for never
	conns    map[net.Conn]bool
	done     sync.WaitGroup
}

// NewProxy carries to target, host:port, until the test ends.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, cutAfter: -1, conns: make(map[net.Conn]bool)}
	p.serve(l)
	t.Cleanup(func() {
		p.Go()
		p.Stop()
		p.done.Wait()
	})
	return p
}

// Stop takes it down: connections are reset, new ones refused.
func (p *Proxy) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	p.cut()
}

// Start brings it up again.
func (p *Proxy) Start(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	p.serve(l)
}

// Hang keeps connections open and lets nothing through until Go.
func (p *Proxy) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hanging == nil {
		p.hanging = make(chan struct{})
	}
}

// Go ends Hang.
func (p *Proxy) Go() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hanging != nil {
		close(p.hanging)
		p.hanging = nil
	}
}

// CutAfter resets all connections, once, when so many more bytes of answers have
// come through: the server has heard, and the driver does not know it.
func (p *Proxy) CutAfter(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutAfter = bytes
}

// cut resets all connections; mu is held.
func (p *Proxy) cut() {
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			tcp.SetLinger(0) // a reset, as of a network that is gone
		}
		c.Close()
	}
	clear(p.conns)
}

func (p *Proxy) serve(l net.Listener) {
	p.mu.Lock()
	p.listener = l
	p.mu.Unlock()
	p.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.done.Go(func() { p.carry(c) })
		}
	})
}

func (p *Proxy) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	up := p.listener != nil
	if up {
		p.conns[client], p.conns[server] = true, true
	}
	p.mu.Unlock()
	if !up {
		return
	}
	defer func() {
		p.mu.Lock()
		delete(p.conns, client)
		delete(p.conns, server)
		p.mu.Unlock()
	}()
	both := make(chan struct{}, 2)
	go func() { p.copy(server, client, false); both <- struct{}{} }()
	go func() { p.copy(client, server, true); both <- struct{}{} }()
	<-both
	<-both
}

// copy carries one direction and closes the other end's half after it.
func (p *Proxy) copy(to, from net.Conn, answers bool) {
	buf := make([]byte, 4<<10)
	for {
		n, err := from.Read(buf)
		p.wait()
		if n > 0 && !p.pass(n, answers) {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				from.Close()
				return
			}
		}
		if err != nil {
			if half, ok := to.(*net.TCPConn); ok && err == io.EOF {
				half.CloseWrite()
			} else {
				to.Close()
			}
			return
		}
	}
}

func (p *Proxy) wait() {
	p.mu.Lock()
	hanging := p.hanging
	p.mu.Unlock()
	if hanging != nil {
		<-hanging
	}
}

// pass counts the bytes of answers, and cuts.
func (p *Proxy) pass(n int, answers bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !answers || p.cutAfter < 0 {
		return true
	}
	if p.cutAfter -= int64(n); p.cutAfter > 0 {
		return true
	}
	p.cutAfter = -1
	p.cut()
	return false
}
