package node

import "syscall"

// childAttr puts a child in a process group of its own, so that the
// terminal's Ctrl-C reaches the supervisor alone, and has the kernel end it
// when the supervisor dies however it dies. The kernel ties that signal to
// the thread that started the child: see supervisor.spawn.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
