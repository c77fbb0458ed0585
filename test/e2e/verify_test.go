package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/merkle"
	"qifeng/test/testnet"
	"qifeng/test/verifier2"
)

// report is what verify --json prints, as far as the tests look.
type report struct {
	Exit   int
	Result string
	Steps  []struct{ Name, Outcome string }
}

func verified(t *testing.T, code int, args ...string) report {
	t.Helper()
	r := testnet.Must(t, code, append([]string{"verify", "--json"}, args...)...)
	verifier2.Agrees(t, r.Code, []byte(r.Out), args...)
	var out report
	if err := json.Unmarshal([]byte(r.Out), &out); err != nil {
		t.Fatalf("%v in %s", err, r.Out)
	}
	if out.Exit != code {
		t.Fatalf("the report says exit %d, the process ended with %d", out.Exit, code)
	}
	return out
}

func (r report) outcome(step string) string {
	for _, s := range r.Steps {
		if s.Name == step {
			return s.Outcome
		}
	}
	return ""
}

// verifyMatrix is what a court may be given: true, false, foreign, unreadable.
func verifyMatrix(t *testing.T, n *testnet.Devnet, contract string) {
	work := t.TempDir()
	good, policy := contract+".qifeng.json", n.PolicyPath()
	text := testnet.Read(t, good)
	other := file(t, work, "other.pdf", "another contract")
	other2 := otherChain(t, work)
	strangers := file(t, work, "policy-strangers.txt", string(strangersPolicy(t, n)))
	truncated := file(t, work, "truncated.json", string(text[:len(text)/2]))
	record := strings.Replace(string(text), `contract.final`, `contract.original`, 1)
	noQuorum := file(t, work, "policy-no-quorum.txt", strings.Replace(string(testnet.Read(t, policy)), "quorum 3 of 4", "quorum 1 of 4", 1))

	verified(t, 0, contract, "--policy", policy)
	verified(t, 0, contract, "--proof", good, "--policy", policy, "--lang", "en")
	if r := verified(t, 0, good, "--policy", policy); r.outcome("content") != "not present" {
		t.Errorf("without content the step is %q", r.outcome("content"))
	}
	if r := verified(t, 1, other, "--proof", good, "--policy", policy); r.outcome("content") != "failed" {
		t.Errorf("with another file the content is %q", r.outcome("content"))
	}
	verified(t, 1, contract, "--proof", file(t, work, "kind.json", record), "--policy", policy)
	if r := verified(t, 3, contract, "--policy", other2); r.outcome("chain") != "failed" {
		t.Errorf("with a policy of another chain the chain is %q", r.outcome("chain"))
	}
	if r := verified(t, 3, contract, "--policy", strangers); r.outcome("quorum") != "failed" {
		t.Errorf("with a policy of strangers the quorum is %q", r.outcome("quorum"))
	}
	for name, args := range map[string][]string{
		"truncated proof":       {contract, "--proof", truncated, "--policy", policy},
		"no proof file":         {other, "--policy", policy},
		"missing content":       {filepath.Join(work, "none"), "--policy", policy},
		"content is a folder":   {work, "--proof", good, "--policy", policy},
		"proof is a folder":     {contract, "--proof", work, "--policy", policy},
		"proof is the contract": {contract, "--proof", contract, "--policy", policy},
		"policy is a proof":     {contract, "--policy", good},
		"policy without quorum": {contract, "--policy", noQuorum},
		"missing policy":        {contract, "--policy", filepath.Join(work, "none")},
		"no policy":             {contract},
		"unknown flag":          {contract, "--policy", policy, "--api", "http://127.0.0.1:1"},
	} {
		if r := testnet.Run(t, append([]string{"verify"}, args...)...); r.Code != 2 || r.Err == "" || strings.Contains(r.Err, "panic") {
			t.Errorf("%s: exit code %d, want 2 and a reason: %s%s", name, r.Code, r.Out, r.Err)
		}
	}
	flips(t, n, contract, text)
}

// otherChain founds another consortium and returns its policy.
func otherChain(t *testing.T, work string) string {
	t.Helper()
	cards := []string{}
	for i, role := range []string{"court", "notary", "arbitration", "vendor"} {
		h := filepath.Join(work, role)
		testnet.Must(t, 0, "init", "--home", h, "--id", role+"-b", "--role", role, "--name", role,
			"--peer-address", fmt.Sprintf("127.0.0.1:%d", 20000+i))
		cards = append(cards, filepath.Join(h, "card.json"))
	}
	out := filepath.Join(work, "genesis")
	testnet.Must(t, 0, append([]string{"genesis", "build", "--name", "other", "--out", out}, cards...)...)
	return filepath.Join(out, "policy.txt")
}

// flips changes single bytes all over the proof: none of them may be proved.
func flips(t *testing.T, n *testnet.Devnet, contract string, text []byte) {
	content := merkle.Sum(testnet.Read(t, contract))
	p := testnet.Policy(t, n.PolicyPath())
	for i := 0; i < len(text); i += 7 {
		b := bytes.Clone(text)
		b[i] ^= 1
		f, err := proof.Parse(b)
		if err != nil {
			continue
		}
		if bytes.Equal(mustMarshal(t, f), text) {
			continue // the byte is layout, which is free
		}
		r := proof.Verify(f, p, &proof.Content{Digest: content, Size: uint64(len(testnet.Read(t, contract)))}, proof.Options{})
		if r.Result == proof.Proved && sameEvidence(f, text) {
			continue // what changed is a line that the policy does not know
		}
		if r.Result == proof.Proved {
			t.Errorf("byte %d changed and the proof still verifies", i)
		}
	}
}

func mustMarshal(t *testing.T, f *proof.File) []byte {
	t.Helper()
	b, err := f.Marshal()
	if err != nil {
		return nil
	}
	return b
}

// sameEvidence reports whether only the note's signature lines differ: a line
// whose name or key id is changed belongs to nobody, and C2SP has verifiers
// ignore it; the quorum was met without it.
func sameEvidence(f *proof.File, text []byte) bool {
	was, err := proof.Parse(text)
	if err != nil {
		return false
	}
	f.Checkpoint = was.Checkpoint
	a, err1 := f.Marshal()
	b, err2 := was.Marshal()
	return err1 == nil && err2 == nil && bytes.Equal(a, b)
}

// strangersPolicy is the network's policy with seal keys that no member has.
func strangersPolicy(t *testing.T, n *testnet.Devnet) []byte {
	t.Helper()
	p := testnet.Policy(t, n.PolicyPath())
	for i := range p.Epochs[0].Members {
		m := &p.Epochs[0].Members[i]
		for alg, key := range map[*gm.PublicKey]gm.Alg{&m.SealSM2: gm.SM2, &m.SealEd25519: gm.Ed25519, &m.Log: gm.Ed25519} {
			k, err := gm.GenerateKey(key)
			if err != nil {
				t.Fatal(err)
			}
			*alg = k.Public()
		}
	}
	text, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return text
}
