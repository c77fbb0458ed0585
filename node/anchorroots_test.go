package node

import (
	"reflect"
	"testing"

	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/timestamp"
)

// TestLostRoots: who makes the roots anew is told whose receipts they make void.
func TestLostRoots(t *testing.T) {
	witness := func(n byte) checkpoint.Witness {
		key, err := gm.NewPublicKey(gm.Ed25519, append(make([]byte, 31), n))
		if err != nil {
			t.Fatal(err)
		}
		return checkpoint.Witness{Name: "w.example", Key: key}
	}
	old := proof.AnchorRoots{
		Timestamps: []timestamp.Authority{{Name: "tsa", Roots: [][]byte{{1}}}},
		Witnesses:  []proof.NamedWitness{{Name: "witness", Witness: witness(1)}},
		Fabric:     []fabric.Channel{{Name: "fabric", Endorsements: 2}},
	}
	for _, c := range []struct {
		what string
		now  proof.AnchorRoots
		lost []string
	}{
		{"the same", old, nil},
		{"none of the names", proof.AnchorRoots{}, nil},
		{"a root more", proof.AnchorRoots{Timestamps: []timestamp.Authority{{Name: "tsa", Roots: [][]byte{{2}, {1}}}}}, nil},
		{"another root", proof.AnchorRoots{Timestamps: []timestamp.Authority{{Name: "tsa", Roots: [][]byte{{2}}}}}, []string{"tsa"}},
		{"another key", proof.AnchorRoots{Witnesses: []proof.NamedWitness{{Name: "witness", Witness: witness(2)}}}, []string{"witness"}},
		{"another quorum", proof.AnchorRoots{Fabric: []fabric.Channel{{Name: "fabric", Endorsements: 1}}}, []string{"fabric"}},
	} {
		if got := lostRoots(&c.now, &old); !reflect.DeepEqual(got, c.lost) {
			t.Errorf("%s: %q, want %q", c.what, got, c.lost)
		}
	}
}

// TestRootsKnow: what no proof could show is not called anchored.
func TestRootsKnow(t *testing.T) {
	r := &proof.AnchorRoots{Timestamps: []timestamp.Authority{{Name: "a"}}, Witnesses: []proof.NamedWitness{{Name: "b"}}, Fabric: []fabric.Channel{{Name: "c"}}}
	for name, kind := range map[string]proof.AnchorKind{"a": proof.AnchorRFC3161, "b": proof.AnchorWitness, "c": proof.AnchorFabric} {
		if !rootsKnow(r, kind, name) || rootsKnow(r, kind, "d") || rootsKnow(r, "", name) {
			t.Errorf("%s %s", kind, name)
		}
	}
	if rootsKnow(r, proof.AnchorFabric, "a") {
		t.Error("a name of another kind")
	}
}
