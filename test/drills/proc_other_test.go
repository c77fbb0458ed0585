//go:build !linux

package drills

import "syscall"

func dieWithTest() *syscall.SysProcAttr { return nil }
