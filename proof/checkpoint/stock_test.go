package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"qifeng/proof/merkle"
)

// TestStockProof: torchwood, which knows nothing of us, reads every stock
// policy and verifies every entry of a small ledger against every stock note.
func TestStockProof(t *testing.T) {
	c := fourMembers(t)
	var data [][]byte
	var leaves []merkle.Digest
	for i := range 7 {
		data = append(data, fmt.Appendf(nil, "ledger entry %d", i))
		leaves = append(leaves, merkle.LeafHash(data[i]))
	}
	cp := Checkpoint{Origin: Origin(c.policy.Chain), Size: 7, Root: merkle.Root(leaves)}
	full := c.note(t, cp, "arb-a", "court-a", "notary-a", "vendor-a")
	policies, err := StockPolicies(c.policy)
	if err != nil || len(policies) != 4 {
		t.Fatalf("%d policies, %v", len(policies), err)
	}
	for _, m := range c.epoch().Members {
		policy, err := torchwood.ParsePolicy(policies[StockPolicyName(c.epoch(), m.ID)])
		if err != nil {
			t.Fatalf("%s: torchwood reads the policy: %v", m.ID, err)
		}
		stock, err := StockNote(full, c.policy, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		for i := range data {
			path, err := merkle.Inclusion(leaves, uint64(i))
			if err != nil {
				t.Fatal(err)
			}
			var proof tlog.RecordProof
			for _, d := range path {
				proof = append(proof, tlog.Hash(d.SHA256))
			}
			text := torchwood.FormatProof(int64(i), proof, stock)
			if err := torchwood.VerifyProof(policy, tlog.RecordHash(data[i]), text); err != nil {
				t.Errorf("%s entry %d: %v", m.ID, i, err)
			}
			if err := torchwood.VerifyProof(policy, tlog.RecordHash([]byte("another")), text); err == nil {
				t.Errorf("%s entry %d: another record verifies", m.ID, i)
			}
		}
		// The policy that fits is the member's own.
		for _, other := range c.epoch().Members {
			otherPolicy, err := torchwood.ParsePolicy(policies[StockPolicyName(c.epoch(), other.ID)])
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := torchwood.VerifyCheckpoint(stock, otherPolicy); (err == nil) != (other.ID == m.ID) {
				t.Errorf("note of %s under the policy of %s: %v", m.ID, other.ID, err)
			}
		}
	}
}

// TestStockQuorum: a stock tool wants as many seals as we do.
func TestStockQuorum(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(7)
	stock, err := StockNote(c.note(t, cp, "court-a", "notary-a", "vendor-a"), c.policy, "court-a")
	if err != nil {
		t.Fatal(err)
	}
	policies, err := StockPolicies(c.policy)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := torchwood.ParsePolicy(policies["court-a.epoch-1.tlog-policy"])
	if err != nil {
		t.Fatal(err)
	}
	got, n, err := torchwood.VerifyCheckpoint(stock, policy)
	if err != nil || got.N != 7 || got.Origin != cp.Origin || got.Hash != tlog.Hash(cp.Root.SHA256) || len(n.Sigs) != 4 {
		t.Fatalf("three seals: %v", err)
	}
	for _, sig := range n.Sigs {
		if sig.Name == cp.Origin {
			continue
		}
		at, err := torchwood.CosignatureTimestamp(sig)
		if want := 1000 + int64(slices.Index([]string{"court-a", "notary-a", "vendor-a"}, sig.Name)); err != nil || at != want {
			t.Errorf("torchwood reads the time of %s as %d, want %d (%v)", sig.Name, at, want, err)
		}
	}
	// Any one line less, and torchwood refuses.
	body, lines := noteLines(t, stock)
	for i := range lines {
		less := joinLines(body, slices.Delete(slices.Clone(lines), i, i+1)...)
		if _, _, err := torchwood.VerifyCheckpoint(less, policy); err == nil {
			t.Errorf("without line %d torchwood accepts", i)
		}
	}
}

func TestStockNoteRefuses(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(7)
	body, lines := noteLines(t, c.note(t, cp, "arb-a", "court-a", "notary-a", "vendor-a"))
	for _, tt := range []struct {
		name   string
		note   []byte
		member string
		want   error
	}{
		{"quorum not met", c.note(t, cp, "court-a", "vendor-a"), "court-a", ErrNotSealed},
		{"a stranger", joinLines(body, lines...), "court-b", ErrNotSealed},
		{"no log line of the member", joinLines(body, slices.Delete(slices.Clone(lines), lineLogCourt, lineLogCourt+1)...), "court-a", ErrNotSealed},
		{"a false line elsewhere", joinLines(body, append(slices.Clone(lines[:lineVendorSM2]),
			mutateLine(t, lines[lineVendorSM2], func(raw []byte) []byte { raw[50] ^= 1; return raw }))...), "court-a", ErrTampered},
		{"no note", []byte("x"), "court-a", ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if n, err := StockNote(tt.note, c.policy, tt.member); !errors.Is(err, tt.want) {
				t.Errorf("%v\n%s", err, n)
			}
		})
	}
	// A member that does not count for us does not count there.
	stock, err := StockNote(joinLines(body, slices.Delete(slices.Clone(lines), lineVendorSM2, lineVendorSM2+1)...), c.policy, "court-a")
	if err != nil || bytes.Contains(stock, []byte("vendor-a")) || bytes.Count(stock, []byte("\n— ")) != 4 {
		t.Errorf("%v\n%s", err, stock)
	}
}

func TestStockPolicies(t *testing.T) {
	p := goldenPolicy(t)
	policies, err := StockPolicies(p)
	if err != nil || len(policies) != 9 {
		t.Fatalf("%d policies, %v; want 4 and 5", len(policies), err)
	}
	golden(t, "court-a.epoch-100.tlog-policy", policies["court-a.epoch-100.tlog-policy"])
	for name, text := range policies {
		if _, err := torchwood.ParsePolicy(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.HasPrefix(string(text), "# ") || !bytes.Contains(text, []byte("APPROXIMATION")) || bytes.Count(text, []byte("\nlog ")) != 1 {
			t.Errorf("%s:\n%s", name, text)
		}
	}
	if _, err := StockPolicies(&Policy{}); err == nil {
		t.Error("an invalid policy is exported")
	}
	many := newConsortium(t, DefaultQuorum(MaxMembers), manyMembers(MaxMembers)...)
	policies, err = StockPolicies(many.policy)
	if err != nil || len(policies) != MaxMembers {
		t.Fatal(err)
	}
	for name, text := range policies {
		if _, err := torchwood.ParsePolicy(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSecondImplementation opens full notes with golang.org/x/mod/sumdb/note:
// it verifies our log lines, torchwood's verifier our 0x04 lines, and both
// leave the SM2 lines alone as unknown.
func TestSecondImplementation(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(7)
	full := c.note(t, cp, "arb-a", "court-a", "notary-a", "vendor-a")
	var known []note.Verifier
	for _, m := range c.epoch().Members {
		v, err := note.NewVerifier(vkey(cp.Origin, typeLog, m.Log))
		if err != nil {
			t.Fatal(err)
		}
		w, err := torchwood.NewCosignatureVerifier(vkey(m.ID, typeCosignature, m.SealEd25519))
		if err != nil {
			t.Fatal(err)
		}
		known = append(known, v, w)
	}
	n, err := note.Open(full, note.VerifierList(known...))
	if err != nil || len(n.Sigs) != 8 || len(n.UnverifiedSigs) != 4 || n.Text != string(cp.Body()) {
		t.Fatalf("%v: %+v", err, n)
	}
	// What our Open refuses of these lines, note.Open refuses too.
	body, lines := noteLines(t, full)
	for _, i := range []int{lineLogArb, lineLogVendor, lineArbEd, lineVendorEd} {
		l := slices.Clone(lines)
		l[i] = mutateLine(t, l[i], func(raw []byte) []byte { raw[33] ^= 1; return raw })
		bad := joinLines(body, l...)
		_, theirs := note.Open(bad, note.VerifierList(known...))
		_, ours := Open(bad, c.policy, Options{})
		if theirs == nil || !errors.Is(ours, ErrTampered) {
			t.Errorf("line %d: they say %v, we say %v", i, theirs, ours)
		}
	}
}
