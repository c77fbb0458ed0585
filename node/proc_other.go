//go:build !unix

package node

import "syscall"

func childAttr() *syscall.SysProcAttr { return nil }
