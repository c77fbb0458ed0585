package client_test

import (
	"testing"

	"filippo.io/torchwood"

	"qifeng/api/apitest"
	"qifeng/api/client"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// TestLedgerCalls: paths and bundles come whole, compressed on the way or not.
func TestLedgerCalls(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Grow(t, 100)
	n.Ledger.Seal()
	first, _, _, _ := n.Ledger.Checkpoint()
	n.Ledger.Grow(t, 300)
	n.Ledger.Seal()
	second, err := n.Client.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	old, err := checkpoint.Open(first, n.Policy, checkpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	now, err := checkpoint.Open(second, n.Policy, checkpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []uint64{0, 300} {
		a, err := n.Client.Consistency(t.Context(), 100, to)
		if err != nil || a.From != 100 || a.To != 300 || a.Chain != n.Chain {
			t.Fatalf("%+v, %v", a, err)
		}
		path, err := client.PathOf(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := merkle.VerifyConsistency(100, 300, old.Root, now.Root, path); err != nil {
			t.Error(err)
		}
		a.Path[0].SM3 = a.Path[0].SM3[:62] + "zz"
		if _, err := client.PathOf(a); err == nil {
			t.Error("a pair that is no hex is read")
		}
	}
	for index, width := range []int{256, 44} {
		b, err := n.Client.EntryBundle(t.Context(), uint64(index), width)
		if err != nil {
			t.Fatal(err)
		}
		for i := range width {
			var entry []byte
			if entry, b, err = torchwood.ReadTileEntry(b); err != nil {
				t.Fatal(err)
			}
			if want, _ := n.Ledger.Entry(uint64(index*256 + i)); string(entry) != string(want) {
				t.Fatalf("entry %d differs", index*256+i)
			}
		}
		if len(b) != 0 {
			t.Errorf("%d bytes left over", len(b))
		}
	}
	if _, err := n.Client.EntryBundle(t.Context(), 1, 45); !client.HasCode(err, "not-found") {
		t.Error(err)
	}
	if _, err := n.Client.Consistency(t.Context(), 301, 0); !client.HasCode(err, "not-found") {
		t.Error(err)
	}
}
