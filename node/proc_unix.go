//go:build unix && !linux

package node

import "syscall"

// childAttr puts a child in a process group of its own. This system cannot
// tie the child's life to the supervisor's: after a kill -9 of the supervisor
// the members go on until they are stopped by hand, and hold their locks.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
