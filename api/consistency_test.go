package api_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"qifeng/api/apitest"
	"qifeng/api/wire"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// TestConsistency: every two sizes, with the notes of those that were sealed.
func TestConsistency(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	sealed := map[uint64]checkpoint.Checkpoint{}
	var newest uint64
	for size := uint64(2); size <= 20; size++ {
		n.Ledger.Grow(t, size)
		if size%3 != 0 {
			n.Ledger.Seal()
			note, at, _, _ := n.Ledger.Checkpoint()
			s, err := checkpoint.Open(note, n.Policy, checkpoint.Options{})
			if err != nil || at != size {
				t.Fatal(err)
			}
			sealed[size], newest = s.Checkpoint, size
		}
	}
	for from := uint64(1); from <= newest; from++ {
		for to := from; to <= newest; to++ {
			out := consistency(t, n, fmt.Sprintf("/v1/consistency?from=%d&to=%d", from, to))
			if out.Chain != n.Chain || out.From != from || out.To != to {
				t.Fatalf("%d to %d: %+v", from, to, out)
			}
			_, first := sealed[from]
			_, second := sealed[to]
			if (out.FromNote != "") != first || (out.ToNote != "") != second {
				t.Errorf("%d to %d: notes %t %t", from, to, out.FromNote != "", out.ToNote != "")
			}
			if !first || !second {
				continue
			}
			for size, note := range map[uint64]string{from: out.FromNote, to: out.ToNote} {
				if s, err := checkpoint.Open([]byte(note), n.Policy, checkpoint.Options{}); err != nil || !s.Met || s.Checkpoint != sealed[size] {
					t.Errorf("%d to %d: the note of %d: %v", from, to, size, err)
				}
			}
			if err := merkle.VerifyConsistency(from, to, sealed[from].Root, sealed[to].Root, digests(t, out.Path)); err != nil {
				t.Errorf("%d to %d: %v", from, to, err)
			}
		}
	}
	if out := consistency(t, n, "/v1/consistency?from=5"); out.To != newest {
		t.Errorf("by default to %d", out.To)
	}
	n.Ledger.Grow(t, 30)
	for query, want := range map[string]string{
		"": "400 from", "from=0": "400 from", "from=x": "400 from", "from=01": "400 from", "from=5&to=4": "400 from",
		"from=1&to=0": "400 to", "from=1&to=-1": "400 to", "to=5": "400 from", "from=21": "404 from", "from=1&to=21": "404 to",
		"from=30&to=30": "404 from", "from=1&from=2": "400 from", "from=1&x=2": "400 x", "from=9007199254740992": "400 from",
	} {
		resp, body := call(t, n, "GET", "/v1/consistency?"+query, nil)
		p := problemOf(t, resp, body)
		if got := fmt.Sprintf("%d %s", p.Status, p.Field); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
}

func consistency(t *testing.T, n *apitest.TestNode, path string) (out wire.Consistency) {
	t.Helper()
	if err := json.Unmarshal(get(t, n, path), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func digests(t *testing.T, path []wire.Pair) (out []merkle.Digest) {
	t.Helper()
	for _, p := range path {
		d, err := p.Digest()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}
