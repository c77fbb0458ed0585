package witness

import "syscall"

// dieWithParent ends a child that a killed test would leave behind.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
