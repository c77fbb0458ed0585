package node

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// TestVerifyFraud: a fraud proof is told from a content by what stands in it,
// and judged with the codes of every verification.
func TestVerifyFraud(t *testing.T) {
	key := func(alg gm.Alg) *gm.PrivateKey {
		k, err := gm.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	keys := checkpoint.SealKeys{Log: key(gm.Ed25519), Ed25519: key(gm.Ed25519), SM2: key(gm.SM2)}
	policy := func(genesis string) []byte {
		p := checkpoint.Policy{Genesis: merkle.Sum([]byte(genesis)), Epochs: []checkpoint.Epoch{{First: 1,
			Quorum: checkpoint.Quorum{Members: 1, NeutralRoles: 1},
			Members: []checkpoint.Member{{ID: "court-a", Role: checkpoint.Court, SealSM2: keys.SM2.Public(), SealEd25519: keys.Ed25519.Public(),
				Log: keys.Log.Public(), Intake: key(gm.SM2).Public(), Admin: key(gm.SM2).Public()}}}}}
		p.Chain = checkpoint.ChainID("test", p.Genesis)
		text, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	p, err := checkpoint.ParsePolicy(policy("ours"))
	if err != nil {
		t.Fatal(err)
	}
	note := func(root string) []byte {
		c := checkpoint.Checkpoint{Origin: checkpoint.Origin(p.Chain), Size: 5, Root: merkle.LeafHash([]byte(root))}
		s, err := checkpoint.Sign(c, "court-a", 1_800_000_000, keys)
		if err != nil {
			t.Fatal(err)
		}
		out, err := checkpoint.Note(c, []checkpoint.Seal{s}, &p.Epochs[0])
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	fraud := func(a, b string) []byte {
		raw, err := (&proof.Fraud{Chain: p.Chain, Kind: proof.SplitView, Member: "court-a", First: note(a), Second: note(b)}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, strange := fraud("x", "y"), write("other.txt", policy("another"))
	ours, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	own := write("policy.txt", ours)
	preserved := write("kept.json", good)
	write("kept.json.qifeng.json", []byte("{}"))
	tests := []struct {
		name string
		args []string
		code int
		text string
	}{
		{"proved", []string{write("fraud.json", good), "--policy", own}, 0, "PROVED: court-a sealed two different histories"},
		{"in Chinese", []string{write("fraud.json", good), "--policy", own, "--lang", "zh"}, 0, "成立：成员 court-a"},
		{"for programs", []string{write("fraud.json", good), "--policy", own, "--json"}, 0, `"result":"proved"`},
		{"false", []string{write("same.json", fraud("x", "x")), "--policy", own}, 1, "FALSE"},
		{"another chain", []string{write("fraud.json", good), "--policy", strange}, 3, "NOT PROVED"},
		{"damaged", []string{write("bad.json", bytes.Replace(good, []byte("split-view"), []byte("split"), 1)), "--policy", own}, 2, "bad.json"},
		{"a content with a proof of its own", []string{preserved, "--policy", own}, 2, "proof file"},
		{"no policy", []string{write("fraud.json", good)}, 2, "policy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, errw bytes.Buffer
			a := &app{out: &out, errw: &errw, getenv: func(k string) string { return map[string]string{"LANG": "en_US.UTF-8"}[k] }}
			code := a.main(t.Context(), append([]string{"verify"}, tt.args...))
			if text := out.String() + errw.String(); code != tt.code || !strings.Contains(text, tt.text) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, tt.code, tt.text, text)
			}
		})
	}
}
