package anchor_test

import (
	"testing"

	"qifeng/anchor/anchortest"
	"qifeng/proof"
)

// The witness of these tests is held to the contract of real ones, and the suite
// is seen to pass.
func TestOutside(t *testing.T) {
	anchortest.Run(t, func(t *testing.T) anchortest.Fixture {
		o, c := newOutside(t, "outside"), anchortest.NewChain(t, "suite")
		return anchortest.Fixture{Anchor: o, Name: o.name, Chain: c,
			Roots: &proof.AnchorRoots{Chain: c.Policy.Chain, Witnesses: []proof.NamedWitness{o.witness(t)}},
			Stop:  func() { o.set(func(o *outside) { o.down = true }) },
			Start: func() { o.set(func(o *outside) { o.down = false }) },
			Hang:  func() { o.hang(false) }, Go: o.goOn}
	})
}
