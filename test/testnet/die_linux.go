package testnet

import "syscall"

// dieWithTest ends a process when the test binary dies without a cleanup, as it
// does at its time limit.
func dieWithTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
