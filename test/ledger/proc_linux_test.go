package ledger

import "syscall"

// dieWithTest ends the network with the test, however that ends.
func dieWithTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
