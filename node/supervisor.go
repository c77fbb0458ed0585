package node

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// supervisor keeps the members of a development network running, each as an
// operating-system process of its own, so that a crash of one is a crash of
// one only.
type supervisor struct {
	exe     string
	members []devMember
	dir     string
	// report is told of every death and start; it may be called from several
	// goroutines at once.
	report func(member, zh, en string)

	starts chan startRequest
}

type startRequest struct {
	cmd  *exec.Cmd
	done chan error
}

// run starts every member, starts again those that die, and returns when ctx
// is done and all have ended.
func (s *supervisor) run(ctx context.Context) {
	s.starts = make(chan startRequest)
	stopSpawn := make(chan struct{})
	var spawner, keepers sync.WaitGroup
	spawner.Add(1)
	go func() { defer spawner.Done(); s.spawn(stopSpawn) }()
	for _, m := range s.members {
		keepers.Add(1)
		go func() { defer keepers.Done(); s.keep(ctx, m) }()
	}
	keepers.Wait()
	close(stopSpawn)
	spawner.Wait()
}

// spawn starts children, all from one thread that lives until the last child
// has ended: Pdeathsig is sent when the *thread* that started a child ends,
// and Go may end a thread at any time unless a goroutine is locked to it.
func (s *supervisor) spawn(stop <-chan struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		select {
		case r := <-s.starts:
			r.done <- r.cmd.Start()
		case <-stop:
			return
		}
	}
}

// keep runs one member until ctx is done, with a growing pause between its
// deaths.
func (s *supervisor) keep(ctx context.Context, m devMember) {
	pause := restartMin
	for ctx.Err() == nil {
		began := time.Now()
		err := s.once(ctx, m)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > steadyAfter {
			pause = restartMin
		}
		s.report(m.ID,
			fmt.Sprintf("已退出（%v），%v 后重启，日志 %s", err, pause, m.logPath(s.dir)),
			fmt.Sprintf("ended (%v); starting it again in %v, its log is %s", err, pause, m.logPath(s.dir)))
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, restartMax)
	}
}

// once runs one life of a member. When ctx is done the member gets SIGTERM,
// and after stopGrace is killed.
func (s *supervisor) once(ctx context.Context, m devMember) error {
	log, err := os.OpenFile(m.logPath(s.dir), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.exe, "start", "--home", m.home(s.dir).path("."))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttr()
	r := startRequest{cmd: cmd, done: make(chan error, 1)}
	s.starts <- r
	if err := <-r.done; err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err == nil {
			return fmt.Errorf("exit code 0")
		}
		return err
	case <-ctx.Done():
	}
	// The error of a signal to a child that has just ended says nothing new.
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		return err
	case <-time.After(stopGrace):
		_ = cmd.Process.Kill()
		s.report(m.ID, "未在限期内停止，已强制结束", "did not stop in time and was killed")
		return <-ended
	}
}

// tail is the end of a file, for an error message.
func tail(path string, n int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil && fi.Size() > n {
		if _, err := f.Seek(-n, io.SeekEnd); err != nil {
			return ""
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, n))
	if err != nil {
		return ""
	}
	return string(b)
}
