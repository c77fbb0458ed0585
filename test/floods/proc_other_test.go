//go:build !linux

package floods

import "syscall"

func dieWithTest() *syscall.SysProcAttr { return nil }
