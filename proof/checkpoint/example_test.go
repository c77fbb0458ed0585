package checkpoint_test

import (
	"fmt"
	"os"
	"time"

	"qifeng/proof/checkpoint"
)

// A court opens a note by the policy it holds. Both are files here; the
// package itself reads none.
func Example() {
	text, err := os.ReadFile("testdata/policy.txt")
	if err != nil {
		fmt.Println(err)
		return
	}
	policy, err := checkpoint.ParsePolicy(text)
	if err != nil {
		fmt.Println(err)
		return
	}
	note, err := os.ReadFile("testdata/note.txt")
	if err != nil {
		fmt.Println(err)
		return
	}
	sealed, err := checkpoint.Open(note, policy, checkpoint.Options{Second: true})
	if err != nil {
		fmt.Println("the note is false:", err)
		return
	}
	fmt.Println("size", sealed.Size, "sealed:", sealed.Met, "at", time.Unix(sealed.SealedTime, 0).UTC().Format(time.RFC3339))
	for _, o := range sealed.Outcomes {
		fmt.Println(o.Member, o.State)
	}
	// Output:
	// size 42 sealed: true at 1970-01-01T00:16:42Z
	// arb-a sealed
	// court-a sealed
	// notary-a sealed
	// vendor-a no seal
}
