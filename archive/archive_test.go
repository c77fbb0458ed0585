package archive

import (
	"testing"

	"qifeng/evidence"
)

func TestSubmitReachesTheChain(t *testing.T) {
	w := newWorld(t)
	w.open()
	var all []Stored
	for _, n := range []int{1, 2, 3, 7, 100} {
		got := w.submit(submissions(n)...)
		if len(got) != n {
			t.Fatalf("%d answers for %d submissions", len(got), n)
		}
		for _, s := range got {
			if !s.New {
				t.Errorf("%s is not said to be new", s.ID)
			}
			w.checkReceipt(s)
		}
		all = append(all, got...)
	}
	w.settled()
	for _, s := range all {
		w.checkPromise(s)
	}
	w.reopen()
	for _, s := range all {
		w.checkPromise(s)
	}
	if _, err := evidence.ParseBatch(w.chain.entries[0]); err != nil {
		t.Fatal(err)
	}
}
