package proof

import (
	"strings"
	"testing"
	"time"

	"qifeng/evidence/canon"
	"qifeng/proof/merkle"
)

// TestBracketOfWitnesses: real cosignatures, before and after the seals that they
// stand beside and the record that they cover.
func TestBracketOfWitnesses(t *testing.T) {
	const seal = 100 * time.Second // of the anchor's checkpoint, after c.now
	for _, tt := range []struct {
		name       string
		at         time.Duration // of the cosignature, after c.now
		by         time.Duration // not later than
		source     string
		impossible string
		times      Outcome
	}{
		{"after the seals", 110 * time.Second, 111 * time.Second, "witness/wit-a", "", StepProved},
		{"at the seals", seal, seal + time.Second, "witness/wit-a", "", StepProved},
		{"60 s before the seals", 40 * time.Second, 41 * time.Second, "witness/wit-a", "", StepProved},
		{"61 s before the seals", 39 * time.Second, 4 * time.Second, "seals", "seal", StepNotPresent},
		{"an hour later", time.Hour, time.Hour + time.Second, "witness/wit-a", "", StepProved},
		{"before the record", -61 * time.Second, 4 * time.Second, "seals", "received_at seal", StepNotPresent},
	} {
		c := newConsortium(t)
		o := newOutsider(t, "wit-a")
		f := c.one(1)
		a := c.witnessed(c.later(f, 1, seal, all), o, tt.at)
		r := Verify(f, c.policy, nil, Options{Roots: c.roots(o), Anchors: []Anchor{a}})
		wantAnchors(t, tt.name, r, Proved, StepProved, StepProved)
		var impossible []string
		for _, d := range r.Bracket.Impossible {
			impossible = append(impossible, d.EarlierThan)
		}
		s, _ := r.Step(StepTimes)
		if !r.NotLaterThan().Equal(c.now.Add(tt.by)) || r.Bracket.Source != tt.source || strings.Join(impossible, " ") != tt.impossible || s.Outcome != tt.times {
			t.Errorf("%s: by %s (%s after), source %s, impossible %v, times %s", tt.name, r.NotLaterThan(), r.NotLaterThan().Sub(c.now), r.Bracket.Source, impossible, s.Outcome)
		}
		if flagged := strings.Contains(r.Text(Chinese), "次序不可能"); flagged != (tt.impossible != "") {
			t.Errorf("%s: flagged for people: %v", tt.name, flagged)
		}
		if !strings.Contains(r.Text(English), "not later than 2026-11-21T08:00:04Z: by then the quorum was met") {
			t.Errorf("%s: the quorum's word is missing:\n%s", tt.name, r.Text(English))
		}
	}
}

// TestBracketSources: which source is the strongest, how far they are apart, and
// what an accuracy adds. The anchors here are outcomes, as the receipts would
// have given them.
func TestBracketSources(t *testing.T) {
	c := newConsortium(t)
	f := c.one(1)
	at := func(kind AnchorKind, name string, after, accuracy time.Duration) AnchorReport {
		return AnchorReport{Kind: kind, Name: name, Outcome: StepProved, Time: c.now.Add(after), Accuracy: accuracy, lastSeal: c.now.Unix() + 4}
	}
	stated := func(a AnchorReport, o Outcome) AnchorReport { a.Outcome = o; return a }
	fab := AnchorReport{Kind: AnchorFabric, Name: "fab-a", Outcome: StepProved}
	const s, ms = time.Second, time.Millisecond
	for _, tt := range []struct {
		name    string
		anchors []AnchorReport
		by      time.Duration
		source  string
		spread  uint64
		flags   int
	}{
		{"Fabric alone", []AnchorReport{fab}, 4 * s, "seals", 0, 0},
		{"witness", []AnchorReport{fab, at(AnchorWitness, "a", 9*s, 0)}, 10 * s, "witness/a", 6000, 0},
		{"the earlier witness", []AnchorReport{at(AnchorWitness, "a", 9*s, 0), at(AnchorWitness, "b", 7*s, 0)}, 8 * s, "witness/b", 6000, 0},
		{"time-stamp before an earlier witness", []AnchorReport{at(AnchorRFC3161, "t", 20*s, 500*ms), at(AnchorWitness, "a", 9*s, 0)}, 20500 * ms, "rfc3161/t", 16500, 0},
		{"time-stamp without accuracy", []AnchorReport{at(AnchorRFC3161, "t", 20*s, 0)}, 21 * s, "rfc3161/t", 17000, 0},
		{"the earlier time-stamp", []AnchorReport{at(AnchorRFC3161, "t", 20*s, 3*s), at(AnchorRFC3161, "u", 21*s, s)}, 22 * s, "rfc3161/u", 19000, 0},
		{"two alike", []AnchorReport{at(AnchorRFC3161, "t", 20*s, s), at(AnchorRFC3161, "u", 20*s, s)}, 21 * s, "rfc3161/t", 17000, 0},
		{"microseconds are rounded up", []AnchorReport{at(AnchorRFC3161, "t", 20*s+100*time.Microsecond, s)}, 21001 * ms, "rfc3161/t", 17001, 0},
		{"one that failed", []AnchorReport{stated(at(AnchorRFC3161, "t", 20*s, s), StepFailed)}, 4 * s, "seals", 0, 0},
		{"one not judged", []AnchorReport{stated(at(AnchorRFC3161, "t", 20*s, s), StepNotPresent)}, 4 * s, "seals", 0, 0},
		{"before its seals, within bound and accuracy", []AnchorReport{at(AnchorRFC3161, "t", -57*s, s)}, -56 * s, "rfc3161/t", 60000, 0},
		{"before its seals", []AnchorReport{at(AnchorRFC3161, "t", -58*s, s), at(AnchorRFC3161, "u", 90*s, s)}, 91 * s, "rfc3161/u", 148000, 1},
		{"before its seals and the record", []AnchorReport{at(AnchorRFC3161, "t", -62*s, s)}, 4 * s, "seals", 65000, 2},
	} {
		r := &Report{Record: f.record, ID: f.record.ID(), Anchors: tt.anchors, SealedTime: c.now.Add(3 * s)}
		v := &verifier{f: f, r: r}
		v.bracket()
		b := r.Bracket
		if !b.NotLaterThan.Equal(c.now.Add(tt.by)) || b.Source != tt.source || b.Spread != tt.spread || len(b.Impossible) != tt.flags {
			t.Errorf("%s: not later than %s after, by %s, spread %d, impossible %v", tt.name, b.NotLaterThan.Sub(c.now), b.Source, b.Spread, b.Impossible)
		}
	}
	// A node's clock decides nothing: one that ran ahead leaves the source standing.
	v := &verifier{f: f, r: &Report{Record: f.record, SealedTime: c.now.Add(3 * s), Anchors: []AnchorReport{at(AnchorWitness, "a", -70*s, 0)}}}
	v.r.Anchors[0].lastSeal = c.now.Unix() - 80
	if v.bracket(); v.r.Bracket.Source != "witness/a" || len(v.r.Bracket.Impossible) != 1 {
		t.Errorf("a fast clock of the node: %+v", v.r.Bracket)
	}
}

func TestMillisBetween(t *testing.T) {
	zero := time.Unix(0, 0)
	for want, hi := range map[uint64]time.Time{0: zero, 1: time.UnixMilli(1), 1500: time.UnixMilli(1500), canon.MaxInt: time.Unix(1<<62, 0)} {
		if got := millisBetween(zero, hi); got != want {
			t.Errorf("%s: %d, want %d", hi, got, want)
		}
	}
}

// TestSecondRoots: the second library's way along a path ends at both roots, for
// every pair of small sizes.
func TestSecondRoots(t *testing.T) {
	var leaves []merkle.Digest
	roots := []merkle.Digest{merkle.EmptyRoot()}
	for i := range 40 {
		leaves = append(leaves, merkle.LeafHash([]byte{byte(i)}))
		roots = append(roots, merkle.Root(leaves))
	}
	for n := uint64(2); n <= 40; n++ {
		tree := merkle.NewTree(leaves[:n])
		for m := uint64(1); m < n; m++ {
			path := must(merkle.ConsistencyAt(m, n, tree))
			if old, now := secondRoots(m, n, roots[m].SM3, path); old != roots[m].SM3 || now != roots[n].SM3 {
				t.Errorf("from %d to %d: other roots", m, n)
			}
			for i := range path {
				path[i].SM3[0] ^= 1
				if old, now := secondRoots(m, n, roots[m].SM3, path); old == roots[m].SM3 && now == roots[n].SM3 {
					t.Errorf("from %d to %d: a false path leads there", m, n)
				}
				path[i].SM3[0] ^= 1
			}
		}
	}
}
