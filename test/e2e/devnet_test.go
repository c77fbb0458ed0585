package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"qifeng/api/client"
	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/merkle"
	"qifeng/test/testnet"
)

// TestDevnet is one life of a development network under its supervisor, from
// its making to its deletion.
func TestDevnet(t *testing.T) {
	n := testnet.NewDevnet(t)
	work := t.TempDir()
	contract := filepath.Join(work, "合同.pdf")
	if err := os.WriteFile(contract, testnet.Read(t, "../testdata/contract-zh.pdf"), 0o600); err != nil {
		t.Fatal(err)
	}
	testnet.Must(t, 0, "submit", contract, "--home", n.Home(vendor), "--wait")

	t.Run("every kind", func(t *testing.T) { everyKind(t, n) })
	t.Run("a session", func(t *testing.T) { session(t, n) })
	t.Run("verify", func(t *testing.T) { verifyMatrix(t, n, contract) })
	t.Run("a proof is not replaced", func(t *testing.T) { keepsProofs(t, n, contract) })
	t.Run("proof get", func(t *testing.T) { proofGet(t, n) })
	t.Run("retry", func(t *testing.T) { retry(t, n) })
	t.Run("keys", func(t *testing.T) { keys(t, n) })
	t.Run("reads", func(t *testing.T) { reads(t, n) })
	t.Run("status and lock", func(t *testing.T) { statusAndLock(t, n) })
	t.Run("kill a member", func(t *testing.T) { killMember(t, n, work) })
	t.Run("stop, resume, reset", func(t *testing.T) { stopResumeReset(t, n, contract) })
}

// certificate makes a self-signed certificate in PEM, and its DER.
func certificate(t *testing.T) (pemText string, der []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	if der, err = x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key); err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), der
}

// everyKind preserves one record of each kind in one dossier, closes it, and
// verifies each offline.
func everyKind(t *testing.T, n *testnet.Devnet) {
	work := t.TempDir()
	certPEM, certDER := certificate(t)
	cert := file(t, work, "cert.pem", certPEM)
	sig := file(t, work, "sig.bin", "the signature value")
	facts := func(name string) string {
		return file(t, work, name, `{"姓名": "林晓", "证件号码": "110101199003070038"}`)
	}
	text := func(name string) string { return file(t, work, name, "content of "+name) }
	dossier := string(client.NewDossier())
	kinds := []struct {
		kind, path string
		flags      []string
	}{
		{"contract.original", text("original.txt"), nil},
		{"contract.attachment", text("attachment.txt"), nil},
		{"identity.person", facts("person.json"), []string{"--method", "id_card", "--result", "passed"}},
		{"identity.company", facts("company.json"), []string{"--method", "licence", "--result", "inconclusive"}},
		{"identity.certificate", facts("certificate.json"), []string{"--certificate", cert, "--algorithm", "ecdsa", "--result", "passed"}},
		{"signing.intent", facts("intent.json"), []string{"--method", "sms_code", "--result", "passed"}},
		{"signing.signature", facts("signature.json"), []string{"--certificate", cert, "--signature", sig}},
		{"signing.seal", facts("seal.json"), []string{"--certificate", cert, "--signature", sig}},
		{"contract.final", text("final.txt"), nil},
	}
	var proofs []string
	for i, k := range kinds {
		args := append([]string{"submit", k.path, "--kind", k.kind, "--dossier", dossier, "--step", fmt.Sprint(i + 1),
			"--home", n.Home(vendor), "--wait"}, k.flags...)
		if i > 0 {
			args = append(args, "--prev", proofs[i-1])
		}
		testnet.Must(t, 0, args...)
		content := k.path
		if !strings.HasPrefix(k.kind, "contract.") {
			content += ".claims.json"
			if fi, err := os.Stat(content); err != nil || fi.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, want a file of mode 0600", content, err)
			}
		}
		proofs = append(proofs, content+".qifeng.json")
		if r := verified(t, 0, content, "--policy", n.PolicyPath()); r.outcome("content") != "proved" {
			t.Errorf("%s: content is %q", k.kind, r.outcome("content"))
		}
	}
	closing := filepath.Join(work, "closing.qifeng.json")
	testnet.Must(t, 0, append([]string{"submit", "--kind", "dossier.close", "--dossier", dossier, "--out", closing,
		"--home", n.Home(vendor), "--wait"}, proofs...)...)
	verified(t, 0, closing, "--policy", n.PolicyPath())

	f := parse(t, closing)
	if s := f.RecordOf().Submission; s.Count != uint64(len(kinds)) {
		t.Errorf("the closing counts %d submissions, want %d", s.Count, len(kinds))
	}
	if s := parse(t, proofs[4]).RecordOf().Submission; *s.Certificate != merkle.Sum(certDER) {
		t.Error("the certificate's digest is not over its DER")
	}
	if s := parse(t, proofs[1]).RecordOf().Submission; *s.Prev != parse(t, proofs[0]).RecordOf().Pair() {
		t.Error("prev is not the pair of the submission before")
	}
}

func parse(t *testing.T, path string) *proof.File {
	t.Helper()
	f, err := proof.Parse(testnet.Read(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func keepsProofs(t *testing.T, n *testnet.Devnet, contract string) {
	before := testnet.Read(t, contract+".qifeng.json")
	testnet.Must(t, 2, "submit", contract, "--home", n.Home(vendor), "--wait")
	if !bytes.Equal(testnet.Read(t, contract+".qifeng.json"), before) {
		t.Fatal("an existing proof was replaced")
	}
	testnet.Must(t, 0, "submit", contract, "--home", n.Home(vendor), "--wait", "--force")
	if bytes.Equal(testnet.Read(t, contract+".qifeng.json"), before) {
		t.Fatal("--force did not replace the proof")
	}
	if exists(contract + ".qifeng.pending") {
		t.Fatal("the kept request was not removed")
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// proofGet first has a receipt, then the proof in its place.
func proofGet(t *testing.T, n *testnet.Devnet) {
	work := t.TempDir()
	a, b := file(t, work, "a.txt", "a"), file(t, work, "b.txt", "b")
	r := testnet.Must(t, 0, "submit", a, b, "--home", n.Home(vendor), "--json")
	var lines []struct{ ID, State, Out string }
	if err := json.Unmarshal([]byte(r.Out), &lines); err != nil || len(lines) != 2 {
		t.Fatalf("%v in %s", err, r.Out)
	}
	if lines[0].State != "accepted" {
		t.Errorf("without --wait the state is %q", lines[0].State)
	}
	if rep := verified(t, 3, a, "--policy", n.PolicyPath()); rep.outcome("receipt") != "proved" {
		t.Errorf("the receipt is %q", rep.outcome("receipt"))
	}
	testnet.Must(t, 0, "proof", "get", lines[0].Out, "--home", n.Home(vendor))
	verified(t, 0, a, "--policy", n.PolicyPath())
	byID := filepath.Join(work, "by-id.json")
	testnet.Must(t, 0, "proof", "get", lines[1].ID, "--home", n.Home(vendor), "--out", byID)
	verified(t, 0, b, "--proof", byID, "--policy", n.PolicyPath())
	testnet.Must(t, 2, "proof", "get", lines[1].ID, "--home", n.Home(vendor), "--out", lines[0].Out)
	testnet.Must(t, 1, "proof", "get", strings.Repeat("0", 64), "--home", n.Home(vendor))

	exported := testnet.Must(t, 0, "proof", "export", byID, "--format", "tlog-proof", "--policy", n.PolicyPath())
	if !strings.HasPrefix(exported.Out, "c2sp.org/tlog-proof@v1\n") {
		t.Errorf("the export begins %.40q", exported.Out)
	}
	name := strings.TrimSpace(exported.Err[strings.LastIndex(exported.Err, "stock-policies/"):])
	policy, err := torchwood.ParsePolicy(testnet.Read(t, filepath.Join(n.Dir, name)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := torchwood.VerifyProof(policy, tlog.RecordHash(parse(t, byID).Batch.Entry), []byte(exported.Out)); err != nil {
		t.Errorf("torchwood refuses the export: %v", err)
	}
}

// session submits several files as one dossier, from a machine that has no
// home: only the key, and the node's own word for the policy.
func session(t *testing.T, n *testnet.Devnet) {
	work := t.TempDir()
	a, b, c := file(t, work, "a.txt", "first"), file(t, work, "b.txt", "second"), file(t, work, "c.txt", "third")
	remote := []string{"--home", work, "--api", n.URL(t, vendor), "--key", filepath.Join(n.Home(vendor), "keys", "submit.pem"),
		"--read-key", filepath.Join(n.Home(vendor), "keys", "read.pem"), "--wait"}
	r := testnet.Must(t, 0, append([]string{"submit", a, b, "--dossier", "new"}, remote...)...)
	if !strings.Contains(r.Err, "WARNING: no --policy") {
		t.Errorf("a policy taken from the node is not warned of: %s", r.Err)
	}
	first, second := parse(t, a+".qifeng.json").RecordOf(), parse(t, b+".qifeng.json").RecordOf()
	s1, s2 := first.Submission, second.Submission
	if s1.Dossier == "" || s1.Dossier != s2.Dossier || s1.Step != 1 || s2.Step != 2 || s1.Prev != nil || s2.Prev == nil || *s2.Prev != first.Pair() {
		t.Errorf("the dossier's story is %+v, then %+v", s1, s2)
	}
	testnet.Must(t, 0, append([]string{"submit", c, "--dossier", string(s1.Dossier), "--step", "3", "--prev", string(second.ID()), "--ref", string(first.ID())}, remote...)...)
	if s3 := parse(t, c+".qifeng.json").RecordOf().Submission; *s3.Prev != second.Pair() || len(s3.Refs) != 1 || s3.Refs[0] != first.Pair() {
		t.Errorf("prev and refs by id: %+v", s3)
	}
	testnet.Must(t, 1, append([]string{"submit", file(t, work, "d.txt", "d"), "--prev", strings.Repeat("0", 64)}, remote...)...)
	for _, path := range []string{a, b, c} {
		verified(t, 0, path, "--policy", n.PolicyPath())
	}
}

// retry sends the same bytes again, and the same submissions under a new
// statement: the stored receipt answers both, byte for byte.
func retry(t *testing.T, n *testnet.Devnet) {
	ctx := context.Background()
	c, s := n.Client(t, vendor, client.Options{}), testnet.Submitter(t, n.Home(vendor))
	sub := s.NewContract(evidence.ContractFinal, merkle.Sum([]byte("retried")), 7)
	req, err := s.NewRequest(sub)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.NewRequest(sub)
	if err != nil {
		t.Fatal(err)
	}
	var first json.RawMessage
	for i, raw := range [][]byte{req.Raw, req.Raw, again.Raw} {
		answer, err := c.Submit(ctx, raw, 0)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = answer.Records[0].File
		}
		if !bytes.Equal(answer.Records[0].File, first) {
			t.Errorf("answer %d is another one:\n%s\nfirst:\n%s", i, answer.Records[0].File, first)
		}
	}
	records, err := c.Record(ctx, req.Submissions[0].ID())
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records of one submission, %v", len(records), err)
	}
	// Equal content, another submission: another id.
	twin, err := s.NewRequest(s.NewContract(evidence.ContractFinal, merkle.Sum([]byte("retried")), 7))
	if err != nil {
		t.Fatal(err)
	}
	if twin.Submissions[0].ID() == req.Submissions[0].ID() {
		t.Error("two submissions of equal content have one id")
	}
}

// keys registers a second key, submits with it, revokes it, and is refused.
func keys(t *testing.T, n *testnet.Devnet) {
	work := t.TempDir()
	key := filepath.Join(work, "orders.pem")
	testnet.Must(t, 0, "key", "new", "orders", "--home", n.Home(vendor), "--out", key, "--alg", "ed25519")
	doc := file(t, work, "doc.txt", "signed with another key")
	if r := testnet.Must(t, 1, "submit", doc, "--home", n.Home(vendor), "--key", key); !strings.Contains(r.Err, "unknown-key") {
		t.Errorf("an unregistered key is refused with: %s", r.Err)
	}
	if exists(doc + ".qifeng.pending") {
		t.Error("a refused request was kept")
	}
	testnet.Must(t, 0, "key", "register", key, "--home", n.Home(vendor))
	testnet.Must(t, 0, "submit", doc, "--home", n.Home(vendor), "--key", key, "--wait")
	verified(t, 0, doc, "--policy", n.PolicyPath())
	testnet.Must(t, 0, "key", "revoke", "orders", "--home", n.Home(vendor))
	if r := testnet.Must(t, 0, "key", "list", "--home", n.Home(vendor)); !strings.Contains(r.Out, "revoked at ledger") {
		t.Errorf("key list does not show the revocation: %s", r.Out)
	}
	if r := testnet.Must(t, 1, "submit", file(t, work, "late.txt", "late"), "--home", n.Home(vendor), "--key", key); !strings.Contains(r.Err, "revoked-key") {
		t.Errorf("a revoked key is refused with: %s", r.Err)
	}
	verified(t, 0, doc, "--policy", n.PolicyPath()) // what was sealed before stays proved
	if r := testnet.Must(t, 0, "proof", "get", doc+".qifeng.json", "--home", n.Home(vendor)); !strings.Contains(r.Out, "was revoked at ledger") {
		t.Errorf("proof get does not tell of the revocation: %s", r.Out)
	}
	verified(t, 0, doc, "--policy", n.PolicyPath())
}

// reads asks by the keys of other members: a neutral one reads what the vendor
// submitted and is audited, a vendor does not see what is another's, and a
// revoked key reads nothing.
func reads(t *testing.T, n *testnet.Devnet) {
	work := t.TempDir()
	doc := file(t, work, "read.txt", "who reads this")
	testnet.Must(t, 0, "submit", doc, "--home", n.Home(vendor), "--wait")
	id := string(parse(t, doc+".qifeng.json").RecordOf().ID())
	// Each record lies on the node that took it in: the court asks the vendor's,
	// with the key and the policy of its own home.
	court := []string{"--home", n.Home("court-a"), "--api", n.URL(t, vendor)}
	testnet.Must(t, 0, append([]string{"proof", "get", id, "--out", filepath.Join(work, "court.json")}, court...)...)
	verified(t, 0, doc, "--proof", filepath.Join(work, "court.json"), "--policy", n.PolicyPath())
	if log := string(testnet.Read(t, filepath.Join(n.Home(vendor), "data", "audit.log"))); !strings.Contains(log, id) || !strings.Contains(log, "court-a") {
		t.Errorf("the court's reading is not in the audit log:\n%s", log)
	}

	key := filepath.Join(work, "notary.pem")
	testnet.Must(t, 0, "key", "new", "intake-1", "--home", n.Home("notary-a"), "--out", key)
	testnet.Must(t, 0, "key", "register", key, "--home", n.Home("notary-a"), "--api", n.URL(t, vendor))
	theirs := file(t, work, "theirs.txt", "the notary's own")
	testnet.Must(t, 0, "submit", theirs, "--home", n.Home("notary-a"), "--api", n.URL(t, vendor), "--key", key, "--wait")
	foreign := string(parse(t, theirs+".qifeng.json").RecordOf().ID())
	for _, id := range []string{foreign, strings.Repeat("0", 64)} {
		if r := testnet.Must(t, 1, "proof", "get", id, "--home", n.Home(vendor), "--out", filepath.Join(work, "x.json")); !strings.Contains(r.Err, "404 not-found") {
			t.Errorf("%s: %s", id, r.Err)
		}
	}

	desk := filepath.Join(work, "desk.pem")
	get := append([]string{"proof", "get", id, "--force", "--read-key", desk, "--out", filepath.Join(work, "desk.json")}, court...)
	testnet.Must(t, 0, "key", "new", "desk-1", "--home", n.Home("court-a"), "--out", desk, "--alg", "ed25519")
	if r := testnet.Must(t, 1, get...); !strings.Contains(r.Err, "signature-key") {
		t.Errorf("an unregistered read key is refused with: %s", r.Err)
	}
	if r := testnet.Must(t, 2, "submit", file(t, work, "y.txt", "y"), "--home", n.Home(vendor), "--wait", "--read-key", desk); !strings.Contains(r.Err, "--purpose read") || exists(filepath.Join(work, "y.txt.qifeng.pending")) {
		t.Errorf("submitting with an unregistered read key: %s", r.Err)
	}
	testnet.Must(t, 0, append([]string{"key", "register", desk, "--purpose", "read"}, court...)...)
	testnet.Must(t, 0, get...)
	testnet.Must(t, 0, append([]string{"key", "revoke", "desk-1"}, court...)...)
	if r := testnet.Must(t, 1, get...); !strings.Contains(r.Err, "signature-key") {
		t.Errorf("a revoked read key is refused with: %s", r.Err)
	}
}

func statusAndLock(t *testing.T, n *testnet.Devnet) {
	for _, m := range testnet.Members {
		n.Ready(t, m)
		r := testnet.Must(t, 0, "status", "--home", n.Home(m), "--json")
		var st client.Status
		if err := json.Unmarshal([]byte(r.Out), &st); err != nil || !st.Ready || len(st.Members) != 4 {
			t.Errorf("%s: %v in %s", m, err, r.Out)
		}
	}
	if r := testnet.Must(t, 0, "status", "--home", n.Home("court-a")); !strings.Contains(r.Out, "arbitration-a") {
		t.Errorf("status does not name the members: %s", r.Out)
	}
	testnet.Must(t, 1, "start", "--home", n.Home(vendor))
	testnet.Must(t, 1, "devnet", "--dir", n.Dir)
	testnet.Must(t, 1, "devnet", "reset", "--dir", n.Dir, "--yes")
}

// killMember kills one with kill -9: the others go on, it comes back, and it
// catches up.
func killMember(t *testing.T, n *testnet.Devnet, work string) {
	old := pid(t, n, "notary-a")
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	doc := file(t, work, "while-one-is-down.txt", "three are enough")
	testnet.Must(t, 0, "submit", doc, "--home", n.Home(vendor), "--wait")
	verified(t, 0, doc, "--policy", n.PolicyPath())
	want := parse(t, doc+".qifeng.json").Batch.Index
	c := n.Client(t, "notary-a", client.Options{Attempts: 1, Timeout: 2 * time.Second})
	testnet.Eventually(t, testnet.ReadyFor, "notary-a back and caught up", func() error {
		st, err := c.Status(context.Background())
		if err != nil {
			return err
		}
		if !st.Ready || st.Ledger.SealedSize <= want {
			return fmt.Errorf("ready %v, sealed %d, want more than %d; %v", st.Ready, st.Ledger.SealedSize, want, st.Reasons)
		}
		return nil
	})
	if pid(t, n, "notary-a") == old {
		t.Error("notary-a is the same process")
	}
}

// stopResumeReset ends the network in every way there is.
func stopResumeReset(t *testing.T, n *testnet.Devnet, contract string) {
	ids := map[string]int{}
	for _, m := range testnet.Members {
		ids[m] = pid(t, n, m)
	}
	if took := n.Sup.End(t, syscall.SIGINT); took > 6*time.Second {
		t.Errorf("Ctrl-C took %v", took)
	}
	gone(t, ids)
	verified(t, 0, contract, "--policy", n.PolicyPath()) // with every server stopped
	testnet.Must(t, 1, "status", "--home", n.Home(vendor), "--timeout", "1s")
	testnet.Must(t, 0, "config", "check", "--home", n.Home(vendor))

	url := n.URL(t, vendor)
	n.Up(t)
	if n.URL(t, vendor) != url {
		t.Error("a resumed network has other ports")
	}
	byID := filepath.Join(t.TempDir(), "again.json")
	testnet.Must(t, 0, "proof", "get", string(parse(t, contract+".qifeng.json").RecordOf().ID()), "--home", n.Home(vendor), "--out", byID)
	verified(t, 0, contract, "--proof", byID, "--policy", n.PolicyPath())

	// The supervisor killed: the kernel stops its members, nothing stays locked.
	for _, m := range testnet.Members {
		ids[m] = pid(t, n, m)
	}
	n.Sup.End(t, syscall.SIGKILL)
	gone(t, ids)
	keep := file(t, n.Dir, "mine.txt", "not the network's")
	testnet.Must(t, 2, "devnet", "reset", "--dir", n.Dir)
	testnet.Must(t, 0, "devnet", "reset", "--dir", n.Dir, "--yes")
	if !exists(keep) || exists(n.Home(vendor)) {
		t.Error("reset deleted too much or too little")
	}
	testnet.Must(t, 2, "devnet", "reset", "--dir", n.Dir, "--yes")
	testnet.Must(t, 2, "devnet", "--dir", n.Dir) // holds another's file now
}

// gone waits until processes have ended.
func gone(t *testing.T, pids map[string]int) {
	t.Helper()
	for m, pid := range pids {
		testnet.Eventually(t, 10*time.Second, m+" ended", func() error {
			if err := syscall.Kill(pid, 0); err == nil {
				return fmt.Errorf("process %d lives", pid)
			}
			return nil
		})
	}
}
