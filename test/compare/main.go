// Command compare makes the signing key of a log for the time of a comparison:
// the private key on standard output, as golang.org/x/mod/sumdb/note writes it.
//
// Its module is one of its own, so that what is compared with Qifeng (see its
// tool directive, and scripts/bench.sh --compare) is no dependency of Qifeng's.
package main

import (
	"crypto/rand"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/note"
)

func main() {
	key, _, err := note.GenerateKey(rand.Reader, "example.com/compare")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(key)
}
