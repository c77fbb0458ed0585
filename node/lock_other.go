//go:build !unix

package node

import "errors"

var errLocked = errors.New("another qifeng process is using this folder")

// lockDir fails closed: without a lock two nodes could sign for one member.
func lockDir(string) (func(), error) {
	return nil, errors.New("running a node is supported on Unix systems only; verify and submit work here")
}
