package anchor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qifeng/anchor"
	"qifeng/proof"
)

// kindly is a witness that says it is of another kind.
type kindly struct {
	*outside
	kind proof.AnchorKind
}

func (k kindly) Kind() proof.AnchorKind { return k.kind }

func TestOpenRefuses(t *testing.T) {
	o := newOutside(t, "one")
	good := anchor.Named{Name: "one", Every: time.Minute, Timeout: time.Second, Anchor: o}
	for _, test := range []struct {
		name   string
		change func(*anchor.Config)
		says   string
	}{
		{"nothing", func(c *anchor.Config) { *c = anchor.Config{Dir: c.Dir} }, "a trust policy and a source"},
		{"no roots", func(c *anchor.Config) { c.Roots = nil }, "anchor roots are needed"},
		{"twice", func(c *anchor.Config) { c.Anchors = append(c.Anchors, good) }, "two anchors are named one"},
		{"name", func(c *anchor.Config) { c.Anchors[0].Name = "One" }, `anchor name "One"`},
		{"no driver", func(c *anchor.Config) { c.Anchors[0].Anchor = nil }, "of no known kind"},
		{"kind", func(c *anchor.Config) { c.Anchors[0].Anchor = kindly{o, "oracle"} }, "of no known kind"},
		{"every", func(c *anchor.Config) { c.Anchors[0].Every = time.Second - 1 }, "every 999.999999ms"},
		{"every too long", func(c *anchor.Config) { c.Anchors[0].Every = 25 * time.Hour }, "every 25h"},
		{"timeout", func(c *anchor.Config) { c.Anchors[0].Timeout = 0 }, "timeout 0s"},
		{"timeout too long", func(c *anchor.Config) { c.Anchors[0].Timeout = time.Hour }, "timeout 1h"},
		{"too many", func(c *anchor.Config) {
			for i := range 40 {
				n := good
				n.Name = fmt.Sprintf("n%d", i)
				c.Anchors = append(c.Anchors, n)
			}
		}, "41 anchors, at most 32"},
		{"folder", func(c *anchor.Config) { c.Dir = "/dev/null/x" }, "folder of the anchor store"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := newLife(t, "one").config()
			cfg.Anchors = []anchor.Named{good}
			test.change(&cfg)
			s, err := anchor.Open(cfg)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Open: %v, %v, want an error that says %q", s, err, test.says)
			}
		})
	}
}

// Receipts come in the order in which a proof file takes them, and a name keeps
// its kind.
func TestKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, "a", "b", "c")
		stamp := time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC)
		cfg := l.config()
		cfg.Verify = func(a *proof.Anchor) (*proof.AnchorReport, error) {
			return &proof.AnchorReport{Kind: a.Kind, Name: a.Name, Time: stamp}, nil
		}
		for i, kind := range []proof.AnchorKind{proof.AnchorFabric, proof.AnchorWitness, proof.AnchorRFC3161} {
			o := l.outside[i]
			if kind != proof.AnchorWitness {
				o.spoil = func(r *anchor.Receipt) { r.Note, r.Data = o.note, []byte("receipt of "+o.name) }
			}
			cfg.Anchors[i].Name = []string{"fabric-a", "witness-a", "tsa-a"}[i]
			cfg.Anchors[i].Anchor = kindly{o, kind}
		}
		s, err := anchor.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go s.Run(ctx)
		synctest.Wait()
		all, err := s.Covering(1)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range all {
			got = append(got, fmt.Sprintf("%s %s %q %v", r.Name, r.Kind, r.Data, r.Time.Equal(stamp)))
		}
		equal(t, "order", strings.Join(got, "; "), `tsa-a rfc3161 "receipt of c" true; witness-a witness "" true; fabric-a fabric "receipt of a" true`)
		if st := s.Status(); st[0].Kind != proof.AnchorFabric || !st[2].Time.Equal(stamp) {
			t.Errorf("status: %+v", st)
		}
		cancel()
		synctest.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
	})
}

func TestKindIsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, "one")
		l.start()
		synctest.Wait()
		l.stop()
		cfg := l.config()
		cfg.Anchors[0].Anchor = kindly{l.outside[0], proof.AnchorFabric}
		if _, err := anchor.Open(cfg); err == nil || !strings.Contains(err.Error(), "a name of its own") {
			t.Errorf("Open: %v", err)
		}
		time.Sleep(2 * time.Second)
	})
}
