//go:build !linux

package ledger

import "syscall"

func dieWithTest() *syscall.SysProcAttr { return nil }
