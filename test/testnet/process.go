package testnet

import (
	"bytes"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a command that runs on.
type Process struct {
	Cmd  *exec.Cmd
	Done chan struct{} // closed when it has ended
	Out  *Buffer       // what it has said, if Background started it
}

// Background starts a command of the plain program.
func Background(t testing.TB, args ...string) *Process {
	t.Helper()
	out := &Buffer{}
	cmd := Command(t, args...)
	cmd.Stdout, cmd.Stderr = out, out
	p := Start(t, cmd)
	p.Out = out
	return p
}

// Start starts a command, which ends with the test, however that ends.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Cmd: cmd, Done: make(chan struct{})}
	cmd.SysProcAttr = dieWithTest()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait(); close(p.Done) }() // its exit code stands in ProcessState
	t.Cleanup(func() { p.End(t, syscall.SIGTERM) })
	return p
}

// End sends a signal and waits; it returns how long that took.
func (p *Process) End(t testing.TB, sig syscall.Signal) time.Duration {
	t.Helper()
	began := time.Now()
	_ = p.Cmd.Process.Signal(sig) // one that has ended needs none
	select {
	case <-p.Done:
	case <-time.After(15 * time.Second):
		_ = p.Cmd.Process.Kill()
		<-p.Done
		t.Errorf("%v had not ended 15 s after %v", p.Cmd.Args[1:], sig)
	}
	return time.Since(began)
}

// Ended says whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.Done:
		return true
	default:
		return false
	}
}

// Buffer is written by a process and read by the test.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (s *Buffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// String is what was written so far.
func (s *Buffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Eventually looks until ok returns nil.
func Eventually(t testing.TB, d time.Duration, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(d)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, d, err)
		}
		time.Sleep(25 * time.Millisecond) // between two looks, never for a result
	}
}
