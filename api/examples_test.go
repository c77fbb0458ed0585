package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qifeng/api"
	"qifeng/api/apitest"
	"qifeng/api/client"
	"qifeng/archive"
	"qifeng/chain"
	"qifeng/evidence"
	"qifeng/evidence/canon"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

var update = flag.Bool("update", false, "make the files in examples/ anew")

// exampleContent is the contract of the examples.
const exampleContent = "Hello, court.\n"

// TestExamples: the examples of the description are one true story. The request
// is signed by the key that the key entry registers, the proof is that of the
// request's record, and it verifies by the policy, which is the genesis's.
func TestExamples(t *testing.T) {
	if *update {
		makeExamples(t)
	}
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join("examples", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	g, err := evidence.ParseGenesis(read("genesis.json"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := proof.GenesisPolicy(g)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := checkpoint.ParsePolicy(read("policy.txt"))
	if err != nil || policy.Chain != want.Chain || policy.Genesis != want.Genesis {
		t.Fatalf("policy of %s, genesis of %s: %v", policy.Chain, want.Chain, err)
	}
	req, err := evidence.ParseRequest(read("request.json"))
	if err != nil {
		t.Fatal(err)
	}
	id := req.Submissions[0].ID()
	if string(id) != string(read("record-id.txt")) || string(req.Submissions[0].Dossier) != string(read("dossier.txt")) {
		t.Error("the parameters are not the request's")
	}
	f, err := proof.Parse(read("proof.json"))
	if err != nil {
		t.Fatal(err)
	}
	content := &proof.Content{Digest: merkle.Sum([]byte(exampleContent)), Size: uint64(len(exampleContent))}
	if r := proof.Verify(f, policy, content, proof.Options{Second: true}); r.Result != proof.Proved {
		t.Errorf("the proof is %s: %+v", r.Result, r.Steps)
	}
	if got := f.RecordOf().Submission.Nonce; got != req.Submissions[0].Nonce {
		t.Error("the proof is of another record")
	}
	roots, err := proof.ParseAnchorRoots(read("anchor-roots.json"))
	if err != nil {
		t.Fatal(err)
	}
	companion, err := proof.ParseAnchorFile(read("anchors.json"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := companion.For(f)
	if err != nil || len(more) == 0 {
		t.Fatalf("%d anchors for the proof: %v", len(more), err)
	}
	f.Anchors = nil
	if r := proof.Verify(f, policy, content, proof.Options{Roots: roots, Anchors: more}); r.Result != proof.Proved || r.Bracket == nil || !strings.HasPrefix(r.Bracket.Source, "witness/") {
		t.Errorf("with its companion the proof is %s, %+v", r.Result, r.Anchors)
	}
	if _, err := checkpoint.Open(read("checkpoint.txt"), policy, checkpoint.Options{}); err != nil {
		t.Error(err)
	}
	entry, err := evidence.ParseKeyEntry(read("key-entry.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := req.Statement.Signed.Verify(policy.Chain, entry.PublicKey); err != nil || entry.Key != req.Statement.Key {
		t.Errorf("the request is not signed by the key of the example: %v", err)
	}
}

// makeExamples asks a node for everything that the description shows.
func makeExamples(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{Archive: func(a api.Archive) api.Archive {
		return &statusArchive{Archive: a, change: func(st *archive.Status) { st.FreeBytes = 1 << 40 }}
	}})
	n.Ledger.Auto()
	n.Ledger.SetStatus(func(st *chain.Status) {
		st.Height, st.LastBlockTime = 41, time.Now()
		st.LastCommit = st.LastBlockTime
	})
	user, err := gm.GenerateKey(gm.SM2)
	if err != nil {
		t.Fatal(err)
	}
	n.Submit.KeyName, n.Submit.Signer = "contracts", user
	files := map[string][]byte{}
	get := func(name, method, path string, body []byte, head ...string) {
		resp, out := call(t, n, method, path, body, head...)
		if resp.StatusCode >= 300 {
			t.Fatalf("%s %s: %s", method, path, out)
		}
		if strings.HasSuffix(name, ".json") && name != "genesis.json" && name != "proof.json" && name != "anchors.json" && name != "anchor-roots.json" {
			var b bytes.Buffer
			if err := json.Compact(&b, out); err != nil {
				t.Fatal(err)
			}
			out = b.Bytes()
		}
		files[name] = out
	}
	entry := n.KeyEntry(t, apitest.Node, "contracts", user.Public(), evidence.Submit)
	files["key-entry.json"] = entry
	get("key-result.json", "POST", "/v1/keys", entry)
	sub := contract(n, exampleContent)
	sub.Dossier, sub.Step = client.NewDossier(), 1
	req := request(t, n, sub)
	files["request.json"] = req.Raw
	files["record-id.txt"] = []byte(req.Submissions[0].ID())
	files["dossier.txt"] = []byte(sub.Dossier)
	files["digest.txt"] = fmt.Appendf(nil, "sm3:%x", sub.Digest.SM3)
	get("compact.json", "POST", "/v1/records", req.Raw, "Prefer", "return=minimal, wait=10")
	get("submitted.json", "POST", "/v1/records", req.Raw, "Prefer", "wait=10")
	get("records.json", "GET", "/v1/records/"+string(req.Submissions[0].ID()), nil)
	n.Anchors.Anchor(t)
	get("proof.json", "GET", "/v1/records/"+string(req.Submissions[0].ID())+"/proof", nil)
	get("keys.json", "GET", "/v1/keys?member="+apitest.Node, nil)
	get("checkpoint.txt", "GET", "/v1/checkpoint", nil)
	get("consistency.json", "GET", "/v1/consistency?from=2", nil)
	get("seals.json", "GET", "/v1/seals", nil)
	get("anchors.json", "GET", "/v1/anchors?from=4", nil)
	get("anchor-roots.json", "GET", "/v1/anchor-roots", nil)
	get("policy.txt", "GET", "/v1/policy", nil)
	get("genesis.json", "GET", "/v1/genesis", nil)
	get("members.json", "GET", "/v1/members", nil)
	get("status.json", "GET", "/v1/status", nil)
	if canon.IsCanonical(files["request.json"]) != nil || canon.IsCanonical(files["genesis.json"]) != nil {
		t.Fatal("an example is not canonical")
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join("examples", name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
