package chain

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestObserve: every new size is told once per member and once sealed; seals
// given again and those of sizes that were caught up are not told.
func TestObserve(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, f.ids...)
	var told []string
	n.nodes["court-a"].ch.sealer.pace.observe = func(step Step, member string, took time.Duration) {
		if took < 0 || took > time.Minute {
			t.Errorf("%s took %s", step, took)
		}
		told = append(told, fmt.Sprint(step, " ", member))
	}
	want := []string{"arrive arbitration-a", "arrive court-a", "arrive notary-a", "arrive vendor-a", "guard ", "quorum ", "sign "}
	expect := func(when string, want []string) {
		t.Helper()
		if slices.Sort(told); !slices.Equal(told, want) {
			t.Errorf("%s: told %q, want %q", when, told, want)
		}
		told = nil
	}
	n.block()
	n.step(time.Second)
	expect("the first size", want)
	n.block(f.batch("vendor-a", 1, nil))
	n.step(time.Second)
	expect("a new size", want)
	n.step(defaultReseal)
	expect("sealed again", []string{"guard ", "sign "})
	n.nodes["court-a"].syncing = true
	n.block(f.batch("vendor-a", 2, nil))
	n.step(time.Second)
	n.nodes["court-a"].syncing = false
	n.step(defaultReseal)
	expect("caught up", []string{"guard ", "sign "})
	n.block(f.batch("vendor-a", 3, nil))
	n.step(time.Second)
	expect("in step again", want)
}

func TestPaceIsBounded(t *testing.T) {
	p := &pace{}
	for size := range uint64(3 * maxPace) {
		p.committed(size)
	}
	if len(p.sizes) != maxPace || p.sizes[maxPace-1].size != 3*maxPace-1 {
		t.Errorf("%d sizes, the newest %d", len(p.sizes), p.sizes[len(p.sizes)-1].size)
	}
	var none *pace
	none.committed(1)
	none.put(wireSeal{}, sealed)
	none.clear()
	none.since(StepCommit, time.Now())
}
