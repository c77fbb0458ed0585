package witness

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"qifeng/anchor"
	"qifeng/anchor/anchortest"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	lite "qifeng/test/witness"
)

func suiteFixture(t *testing.T, c *anchortest.Chain, url string, w checkpoint.Witness) anchortest.Fixture {
	t.Helper()
	a, err := New(Config{URL: url, Witness: w, Policy: c.Policy})
	if err != nil {
		t.Fatal(err)
	}
	return anchortest.Fixture{Anchor: a, Name: "witness-a", Chain: c,
		Roots: &proof.AnchorRoots{Chain: c.Policy.Chain, Witnesses: []proof.NamedWitness{{Name: "witness-a", Witness: w}}}}
}

// TestSuiteLitewitness: the contract of anchors, with a real witness that is really
// killed and really stopped.
func TestSuiteLitewitness(t *testing.T) {
	anchortest.Run(t, func(t *testing.T) anchortest.Fixture {
		c := anchortest.NewChain(t, "demo")
		w := lite.Start(t, "witness.example/lite", c.Policy.WitnessLogKeys(&c.Policy.Epochs[0])...)
		f := suiteFixture(t, c, w.URL, w.Key)
		f.Stop, f.Start = w.Stop, func() { w.Run(t) }
		f.Hang, f.Go = func() { w.Hang(t) }, func() { w.Go(t) }
		return f
	})
}

// TestSuiteOwnServer: the same with a node of another consortium as the witness.
func TestSuiteOwnServer(t *testing.T) {
	anchortest.Run(t, func(t *testing.T) anchortest.Fixture {
		c := anchortest.NewChain(t, "demo")
		logs, err := ParseLogs([]byte(strings.Join(c.Policy.WitnessLogKeys(&c.Policy.Epochs[0]), "\n")))
		if err != nil {
			t.Fatal(err)
		}
		s := ownServer(t, logs)
		srv := httptest.NewServer(s)
		t.Cleanup(srv.Close)
		p := anchortest.NewProxy(t, strings.TrimPrefix(srv.URL, "http://"))
		f := suiteFixture(t, c, "http://"+p.Addr, s.Witness())
		f.Stop, f.Start, f.Hang, f.Go = p.Stop, func() { p.Start(t) }, p.Hang, p.Go
		return f
	})
}

// TestCutAnswers: the network is cut after each byte of an answer; the next attempt
// finds the witness where it is, and it is no conflict.
func TestCutAnswers(t *testing.T) {
	c := anchortest.NewChain(t, "demo")
	w := lite.Start(t, "witness.example/lite", c.Policy.WitnessLogKeys(&c.Policy.Epochs[0])...)
	p := anchortest.NewProxy(t, strings.TrimPrefix(w.URL, "http://"))
	f := suiteFixture(t, c, "http://"+p.Addr, w.Key)
	t.Cleanup(func() { _ = f.Anchor.Close() })
	failed := 0
	for after := int64(0); after < 400; after += 13 {
		cp := c.At(t, c.Grow(1))
		p.CutAfter(after)
		r, err := f.Anchor.Put(t.Context(), cp, c)
		if err != nil {
			failed++
			if errors.As(err, new(*anchor.Conflict)) || errors.Is(err, anchor.ErrRefused) {
				t.Fatalf("cut after %d bytes: %v", after, err)
			}
			p.CutAfter(-1)
			if r, err = f.Anchor.Put(t.Context(), cp, c); err != nil {
				t.Fatalf("after a cut after %d bytes: %v", after, err)
			}
		}
		if _, err := checkpoint.Witnessed(r.Note, w.Key); err != nil {
			t.Error(err)
		}
	}
	if failed == 0 {
		t.Error("nothing was cut: the test tests nothing")
	}
}
