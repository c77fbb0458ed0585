package vectors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
)

func writeAll() {
	if err := os.RemoveAll("files"); err != nil {
		panic(err)
	}
	w := newWorld("vectors")
	write("files/genesis.json", w.genesis)
	writeJSON("proofs.json", w.proofs())
	writeJSON("canonical-json.json", canonicalVectors())
	writeJSON("merkle.json", merkleVectors())
	writeJSON("policy.json", w.policyVectors())
	writeJSON("note.json", w.noteFileVectors())
}

func write(name string, b []byte) {
	name = filepath.FromSlash(name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		panic(err)
	}
	if err := os.WriteFile(name, b, 0o644); err != nil {
		panic(err)
	}
}

func writeJSON(name string, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	write(name, b.Bytes())
}

// proofs plays all scenarios and writes their files.
func (w *world) proofs() (out []proofCase) {
	for _, v := range table(w) {
		c := proofCase{Name: v.name, Change: v.change, Proof: "files/proofs/" + v.name + ".qifeng.json"}
		file := w.play(v.s)
		write(c.Proof, file)
		policy := v.policy
		if policy == "" {
			policy = "trust"
		}
		c.Policy = "files/policies/" + policy + ".policy"
		write(c.Policy, w.policyText(policy, file))
		content := writeContent(&c, v)
		r, err := judge(content, file, must(os.ReadFile(c.Policy)))
		c.Exit, c.FirstFailed, c.Steps = outcomes(r, err)
		if got := strings.Join(failed(c.Steps), " "); c.Exit != v.exit || got != v.fails {
			panic(fmt.Sprintf("%s: exit code %d, steps %q fail; the table says %d, %q (%v)", v.name, c.Exit, got, v.exit, v.fails, err))
		}
		out = append(out, c)
	}
	return out
}

// writeContent writes what the case is judged with and returns it.
func writeContent(c *proofCase, v vector) []byte {
	right := contentOf(v.s.kind)
	content, name := v.content, "files/content/"+v.name+".bin"
	if content == nil {
		content, name = right, "files/content/"+string(v.s.kind)+".claims.json"
		if v.s.kind.Stream() == evidence.Contract {
			name = "files/content/contract.txt"
		}
	}
	if v.noContent || content == nil {
		return nil
	}
	write(name, content)
	c.Content = &name
	return content
}

// policyText is the text of a policy by its name; file is the proof that it
// will judge, whose root the pinned ones pin.
func (w *world) policyText(name string, file []byte) []byte {
	p := checkpoint.Policy{Chain: w.policy.Chain, Genesis: w.policy.Genesis, Epochs: slices.Clone(w.policy.Epochs)}
	e := &p.Epochs[0]
	e.Members = slices.Clone(e.Members)
	setRoles := func(roles ...checkpoint.Role) {
		for i, r := range roles {
			e.Members[i].Role = r
		}
	}
	switch name {
	case "trust":
	case "pinned", "pinned-sm3", "pinned-sha256":
		s := must(checkpoint.Open(must(proof.Parse(file)).Checkpoint, w.policy, checkpoint.Options{}))
		pin := checkpoint.Pin{Size: s.Size, Root: s.Root}
		if name == "pinned-sm3" {
			pin.Root.SM3[0] ^= 1
		}
		if name == "pinned-sha256" {
			pin.Root.SHA256[0] ^= 1
		}
		e.Pins = []checkpoint.Pin{{Size: 2, Root: pin.Root}, pin}
	case "two-epochs":
		second := *e
		second.First, second.Quorum = 8, checkpoint.Quorum{Members: 4, NeutralRoles: 3}
		p.Epochs = append(p.Epochs, second)
	case "four-of-four":
		e.Quorum.Members = 4
	case "three-courts":
		setRoles(checkpoint.Court, checkpoint.Court, checkpoint.Court, checkpoint.Notary)
	case "require-court":
		e.Quorum.Require = []checkpoint.Require{{Role: checkpoint.Court, Count: 1}}
	case "require-two-courts":
		setRoles(checkpoint.Arbitration, checkpoint.Court, checkpoint.Court, checkpoint.Vendor)
		e.Quorum.Require = []checkpoint.Require{{Role: checkpoint.Court, Count: 2}}
	case "other-seal-keys":
		for i := range e.Members {
			m := &e.Members[i]
			m.SealSM2, m.SealEd25519 = keyOf(gm.SM2, "other seal "+m.ID).Public(), keyOf(gm.Ed25519, "other seal "+m.ID).Public()
			m.Log = keyOf(gm.Ed25519, "other log "+m.ID).Public()
		}
	case "other-chain":
		p = *newWorld("other").policy
	case "without-vendor":
		e.Members, e.Quorum.Members = e.Members[:3], 3
	case "unsound":
		return bytes.Replace(must(p.Marshal()), []byte("quorum 3 of 4"), []byte("quorum 2 of 4"), 1)
	case "not-a-policy":
		return file
	default:
		panic("no policy " + name)
	}
	return append([]byte("# Made from published keys: this policy protects nothing.\n"), must(p.Marshal())...)
}
