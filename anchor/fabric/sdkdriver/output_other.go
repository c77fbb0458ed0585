//go:build !unix

package main

import "os"

// ownOutput keeps standard output for answers: the SDK logs to what os.Stdout is.
func ownOutput() (*os.File, error) {
	out := os.Stdout
	os.Stdout = os.Stderr
	return out, nil
}
