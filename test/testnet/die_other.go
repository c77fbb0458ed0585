//go:build !linux

package testnet

import "syscall"

func dieWithTest() *syscall.SysProcAttr { return nil }
