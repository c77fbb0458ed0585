package drills

import (
	"io"
	"net"
	"sync"
	"testing"
)

// links carries the connections between members, one way in each direction, so
// that they can be cut: then what stands is reset and what comes is refused.
type links struct {
	t    *testing.T
	mu   sync.Mutex // guards what follows
	ways map[[2]string]*way
}

type way struct {
	addr  string // where it listens
	to    string
	cut   bool
	conns map[net.Conn]bool
}

func newLinks(t *testing.T) *links {
	l := &links{t: t, ways: map[[2]string]*way{}}
	t.Cleanup(func() {
		for pair := range l.ways {
			l.cut(pair[0], pair[1])
		}
	})
	return l
}

// to is the address by which from reaches a member that listens at addr.
func (l *links) to(from, to, addr string) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	w := &way{addr: ln.Addr().String(), to: addr, conns: map[net.Conn]bool{}}
	l.mu.Lock()
	l.ways[[2]string{from, to}] = w
	l.mu.Unlock()
	l.t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			go l.carry(w, in)
		}
	}()
	return w.addr
}

func (l *links) carry(w *way, in net.Conn) {
	out, err := net.Dial("tcp", w.to)
	if err != nil {
		in.Close()
		return
	}
	l.mu.Lock()
	if w.cut {
		in.Close()
		out.Close()
	}
	w.conns[in], w.conns[out] = true, true
	l.mu.Unlock()
	var both sync.WaitGroup
	for _, c := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			_, _ = io.Copy(c[1], c[0]) // ends with the connection
			c[0].Close()
			c[1].Close()
		})
	}
	both.Wait()
	l.mu.Lock()
	delete(w.conns, in)
	delete(w.conns, out)
	l.mu.Unlock()
}

// cut cuts both ways between two members.
func (l *links) cut(a, b string) { l.set(a, b, true) }

func (l *links) mend(a, b string) { l.set(a, b, false) }

func (l *links) set(a, b string, cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		if w := l.ways[pair]; w != nil {
			w.cut = cut
			for c := range w.conns {
				if cut {
					c.Close()
				}
			}
		}
	}
}
