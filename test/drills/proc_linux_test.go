package drills

import "syscall"

// dieWithTest ends a network when the test binary dies without a cleanup, as
// it does at its time limit.
func dieWithTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
