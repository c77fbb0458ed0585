//go:build unix

package witness

import (
	"syscall"
	"testing"
)

// Hang stops the process without ending it: it takes connections and answers none.
func (l *Lite) Hang(t testing.TB) { l.signal(t, syscall.SIGSTOP) }

// Go ends Hang.
func (l *Lite) Go(t testing.TB) { l.signal(t, syscall.SIGCONT) }

func (l *Lite) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cmd == nil {
		t.Fatal("litewitness does not run")
	}
	if err := l.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}
