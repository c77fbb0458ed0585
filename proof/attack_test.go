package proof

import (
	"math"
	"testing"
	"time"

	"qifeng/evidence/canon"
)

// TestFarTimes: a witness may state any second up to 2^63-1; the report of it is one
// that programs can read, and says nothing of it that is not so.
func TestFarTimes(t *testing.T) {
	for _, at := range []int64{1, 253402300799, 253402300800, 1 << 53, math.MaxInt64 - 62135596801, math.MaxInt64 - 62135596800, math.MaxInt64} {
		c := newConsortium(t)
		o := newOutsider(t, "wit-a")
		f := c.one(1)
		a := c.later(f, 1, time.Second, all)
		line := must(o.Witness.Cosign(o.key, at, must(noteState(a.Checkpoint)).Body()))
		a.Kind, a.Name, a.Checkpoint = AnchorWitness, o.Name, append(a.Checkpoint, line...)
		r := Verify(f, c.policy, nil, Options{Roots: c.roots(o), Anchors: []Anchor{a}})
		j := r.JSON()
		if err := canon.IsCanonical(j); err != nil {
			t.Errorf("%d: %v", at, err)
		}
		r.Text(Chinese)
		if late := at > c.now.Unix(); late == (len(r.Bracket.Impossible) > 0) || late == (r.Bracket.Source == sourceSeals) || late && r.NotLaterThan().Unix() < at {
			t.Errorf("%d: %+v", at, r.Bracket)
		}
	}
}
