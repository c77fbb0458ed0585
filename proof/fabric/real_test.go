package fabric_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/merkle"
)

// real is a folder of testdata: what a real network gave.
type real struct {
	policy *checkpoint.Policy
	roots  *proof.AnchorRoots
	dir    string
}

func readReal(t testing.TB, name string) *real {
	t.Helper()
	r := &real{dir: filepath.Join("testdata", name)}
	var err error
	if r.policy, err = checkpoint.ParsePolicy(r.file(t, "policy.txt")); err != nil {
		t.Fatal(err)
	}
	if r.roots, err = proof.ParseAnchorRoots(r.file(t, "anchor-roots.json")); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *real) file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (r *real) anchor(t testing.TB, name string) *proof.Anchor {
	return &proof.Anchor{Kind: proof.AnchorFabric, Name: "fabric", Checkpoint: r.file(t, name+".note.txt"), Receipt: r.file(t, name+".json")}
}

// statement is what a receipt of the folder must prove.
func (r *real) statement(t testing.TB, name string) fabric.Statement {
	t.Helper()
	note := r.file(t, name+".note.txt")
	s, err := checkpoint.Open(note, r.policy, checkpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return fabric.Statement{Origin: s.Origin, Size: s.Size, Root: s.Root, Note: merkle.Sum(note)}
}

func TestRealReceipts(t *testing.T) {
	raft, bft := readReal(t, "raft"), readReal(t, "bft")
	for name, r := range map[string]*real{"raft": raft, "bft": bft} {
		t.Run(name, func(t *testing.T) {
			for _, file := range []string{"receipt", "race"} {
				rep, err := proof.VerifyAnchor(r.anchor(t, file), r.policy, r.roots)
				if err != nil {
					t.Errorf("%s: %v", file, err)
					continue
				}
				if e := rep.Endorsed; strings.Join(e.Organisations, " ") != "Org1MSP Org2MSP" || strings.Join(e.ReadBack, " ") != "Org1MSP Org2MSP" ||
					len(e.Orderers) != r.roots.Fabric[0].Orderers.Signatures {
					t.Errorf("%s: %+v", file, e)
				}
				again, err := fabric.ParseReceipt(r.file(t, file+".json"))
				if err != nil || !bytes.Equal(again.Marshal(), r.file(t, file+".json")) {
					t.Errorf("%s: written again it differs: %v", file, err)
				}
			}
			want := r.statement(t, "invalidated")
			bad := r.file(t, "invalidated.json")
			_, err := fabric.Verify(bad, want, &r.roots.Fabric[0])
			if code := new(fabric.CodeError); !errors.As(err, &code) || code.Code != 11 {
				t.Errorf("an invalidated transaction: %v", err)
			}
			lied := bytes.Replace(bad, []byte(`"code":11`), []byte(`"code":0`), 1)
			if _, err := fabric.Verify(lied, want, &r.roots.Fabric[0]); err == nil || !strings.Contains(err.Error(), "ours was not valid") {
				t.Errorf("an invalidated transaction that is said to be valid: %v", err)
			}
		})
	}
	if _, err := fabric.Verify(raft.file(t, "receipt.json"), raft.statement(t, "receipt"), &bft.roots.Fabric[0]); !errors.Is(err, fabric.ErrReceipt) {
		t.Errorf("by another network's channel: %v", err)
	}
	if _, err := fabric.Verify(raft.file(t, "receipt.json"), raft.statement(t, "race"), &raft.roots.Fabric[0]); !errors.Is(err, fabric.ErrReceipt) {
		t.Errorf("for another checkpoint: %v", err)
	}
}

// What a real network gave cannot be changed either; every fifth byte, since each
// costs a verification, and TestEveryByte tries all.
func TestRealEveryByte(t *testing.T) {
	for _, name := range []string{"raft", "bft"} {
		r := readReal(t, name)
		good, want := r.file(t, "receipt.json"), r.statement(t, "receipt")
		for i := 0; i < len(good); i += 5 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << (i % 7)
			if _, err := fabric.Verify(bad, want, &r.roots.Fabric[0]); err == nil {
				t.Errorf("%s: byte %d, %q for %q: verifies", name, i, bad[i], good[i])
			}
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, name := range []string{"raft", "bft"} {
		r := readReal(b, name)
		receipt, want := r.file(b, "receipt.json"), r.statement(b, "receipt")
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := fabric.Verify(receipt, want, &r.roots.Fabric[0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
