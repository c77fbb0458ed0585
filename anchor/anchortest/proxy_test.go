package anchortest

import (
	"bufio"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// echo answers each line with itself.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for in := bufio.NewScanner(c); in.Scan(); {
					if _, err := c.Write(append(in.Bytes(), '\n')); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, p *Proxy) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, bufio.NewReader(c)
}

func ask(c net.Conn, r *bufio.Reader, line string) (string, error) {
	if _, err := c.Write([]byte(line + "\n")); err != nil {
		return "", err
	}
	return r.ReadString('\n')
}

func TestProxy(t *testing.T) {
	p := NewProxy(t, echo(t))
	c, r := dial(t, p)
	if got, err := ask(c, r, "one"); got != "one\n" || err != nil {
		t.Fatalf("through it: %q, %v", got, err)
	}

	p.Hang()
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if got, err := ask(c, r, "two"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("while it hangs: %q, %v", got, err)
	}
	p.Go()
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if got, err := r.ReadString('\n'); got != "two\n" || err != nil {
		t.Errorf("afterwards: %q, %v", got, err)
	}

	p.CutAfter(100)
	if got, err := ask(c, r, strings.Repeat("x", 50)); len(got) != 51 || err != nil {
		t.Errorf("before the cut: %q, %v", got, err)
	}
	if got, err := ask(c, r, strings.Repeat("x", 50)); err == nil {
		t.Errorf("at the cut: %q", got)
	}
	c, r = dial(t, p)
	if got, err := ask(c, r, strings.Repeat("x", 500)); len(got) != 501 || err != nil {
		t.Errorf("after the cut: %q, %v", got, err)
	}

	p.Stop()
	if got, err := ask(c, r, "four"); err == nil {
		t.Errorf("while it is down: %q", got)
	}
	if c, err := net.Dial("tcp", p.Addr); err == nil {
		t.Errorf("a connection while it is down: %v", c.LocalAddr())
	}
	p.Start(t)
	c, r = dial(t, p)
	if got, err := ask(c, r, "five"); got != "five\n" || err != nil {
		t.Errorf("after it is up again: %q, %v", got, err)
	}
}

// The chain's checkpoints are what a court takes, and its fork is not.
func TestChain(t *testing.T) {
	c := NewChain(t, "demo")
	size := c.Grow(5)
	if size != 6 || c.Size() != 6 {
		t.Fatalf("size %d, %d", size, c.Size())
	}
	f := c.Fork(t, 3)
	if a, b := c.At(t, 3), f.At(t, 3); a.Root != b.Root {
		t.Error("the fork has another root before it")
	}
	if a, b := c.At(t, 4), f.At(t, 4); a.Root == b.Root {
		t.Error("the fork has the same root after it")
	}
	if a, b := c.At(t, 4), c.At(t, 4); string(a.Note) != string(b.Note) {
		t.Error("a checkpoint has two notes")
	}
	changed := c.Changed()
	c.Grow(1)
	select {
	case <-changed:
	default:
		t.Error("nobody is told of a change")
	}
	c.Hide(true)
	if _, _, ok, err := c.Checkpoint(); ok || err != nil {
		t.Errorf("hidden: %v, %v", ok, err)
	}
	c.Hide(false)
	if _, size, ok, err := c.Checkpoint(); !ok || size != 7 || err != nil {
		t.Errorf("Checkpoint: %d, %v, %v", size, ok, err)
	}
}
