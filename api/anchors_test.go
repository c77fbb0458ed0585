package api_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"qifeng/api/apitest"
	"qifeng/api/wire"
	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/timestamp"
)

// sealedRecord is a node with one sealed record, and its id.
func sealedRecord(t *testing.T, opt apitest.Options) (*apitest.TestNode, evidence.ID) {
	t.Helper()
	n := apitest.NewNode(t, opt)
	n.Ledger.Auto()
	req := request(t, n, contract(n, "anchored"))
	if _, err := n.Client.Submit(t.Context(), req.Raw, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	return n, req.Submissions[0].ID()
}

// grow puts another record on the ledger and has it sealed.
func grow(t *testing.T, n *apitest.TestNode, content string) {
	t.Helper()
	answer, err := n.Client.Submit(t.Context(), request(t, n, contract(n, content)).Raw, 10*time.Second)
	if err != nil || answer.State != wire.Sealed {
		t.Fatalf("%+v, %v", answer, err)
	}
}

// TestAnchoredIsAState: a record is sealed until a witness holds a checkpoint
// over it; a wait ends at sealed unless it is asked to go on.
func TestAnchoredIsAState(t *testing.T) {
	n, id := sealedRecord(t, apitest.Options{})
	records, err := n.Client.Await(t.Context(), id, "", 5*time.Second)
	if err != nil || records[0].State != wire.Sealed {
		t.Fatalf("%+v, %v", records, err)
	}
	if records, err = n.Client.Await(t.Context(), id, wire.Anchored, time.Second); err != nil || records[0].State != wire.Sealed {
		t.Fatalf("before it is anchored: %+v, %v", records, err)
	}
	told := make(chan wire.State, 1)
	began := time.Now()
	go func() {
		records, err := n.Client.Await(t.Context(), id, wire.Anchored, 20*time.Second)
		if err != nil || len(records) == 0 {
			told <- ""
			return
		}
		told <- records[0].State
	}()
	waitFor(t, "the wait", func() bool { _, waiting := n.Server.Load(); return waiting == 1 })
	n.Anchors.Anchor(t)
	if got := <-told; got != wire.Anchored || time.Since(began) > 15*time.Second {
		t.Errorf("the wait ended with %q after %v", got, time.Since(began))
	}
	// One anchor over the ledger anchors what came before it, and not what comes after.
	grow(t, n, "later")
	if records, err = n.Client.Record(t.Context(), id); err != nil || records[0].State != wire.Anchored {
		t.Errorf("%+v, %v", records, err)
	}
}

// TestProofsCarryAnchors: a proof that is fetched after its checkpoint was
// anchored verifies offline with what the witness said, by a path where the
// witness holds a later checkpoint.
func TestProofsCarryAnchors(t *testing.T) {
	n, id := sealedRecord(t, apitest.Options{})
	plain, err := n.Client.Proof(t.Context(), id, 0)
	if err != nil || len(plain.Anchors) != 0 {
		t.Fatalf("%+v, %v", plain, err)
	}
	grow(t, n, "2")
	grow(t, n, "3")
	n.Anchors.Anchor(t)
	f, left, err := n.Client.ProofLeft(t.Context(), id, 0)
	if err != nil || len(f.Anchors) != 1 || len(left) != 0 {
		t.Fatalf("%+v, left %v, %v", f, left, err)
	}
	if len(f.Anchors[0].Path) == 0 || !bytes.Equal(f.Checkpoint, plain.Checkpoint) {
		t.Error("the anchor has no path, or the checkpoint of the proof is another one")
	}
	r := proof.Verify(f, n.Policy, nil, proof.Options{Roots: n.Anchors.Roots, Second: true})
	if r.Result != proof.Proved || len(r.Anchors) != 1 || r.Anchors[0].Outcome != proof.StepProved {
		t.Errorf("%s, %+v", r.Result, r.Anchors)
	}
	// The companion file says the same, for the old file.
	size := r.LedgerSize
	companion, err := n.Client.Anchors(t.Context(), size)
	if err != nil {
		t.Fatal(err)
	}
	more, err := companion.For(plain)
	if err != nil {
		t.Fatal(err)
	}
	r = proof.Verify(plain, n.Policy, nil, proof.Options{Roots: n.Anchors.Roots, Anchors: more})
	if r.Result != proof.Proved || len(r.Anchors) != 1 || r.Anchors[0].Outcome != proof.StepProved {
		t.Errorf("with its companion: %s, %+v", r.Result, r.Anchors)
	}
	roots, err := n.Client.AnchorRoots(t.Context())
	if err != nil || !bytes.Equal(roots, n.Anchors.File) {
		t.Errorf("the anchor roots are not the file: %v", err)
	}
}

// TestBadReceiptsCostNoProof: what does not verify is told to the operator and is
// not given out; the proof is.
func TestBadReceiptsCostNoProof(t *testing.T) {
	n, id := sealedRecord(t, apitest.Options{})
	f, err := n.Client.Proof(t.Context(), id, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Another key's line under the name that the roots know.
	key, err := gm.GenerateKey(gm.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	foreign := checkpoint.Witness{Name: "witness.example", Key: key.Public()}
	body := f.Checkpoint[:bytes.LastIndex(f.Checkpoint, []byte("\n\n"))+1]
	line, err := foreign.Cosign(key, time.Now().Unix(), body)
	if err != nil {
		t.Fatal(err)
	}
	note, err := checkpoint.AddLines(f.Checkpoint, line)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := n.Ledger.SealedHead()
	n.Anchors.Store(proof.Anchor{Kind: proof.AnchorWitness, Name: "unknown", Checkpoint: note}, size)
	if f, left, err := n.Client.ProofLeft(t.Context(), id, 0); err != nil || len(f.Anchors) != 0 || len(left) != 0 {
		t.Errorf("one that the roots do not know: %+v, left %v, %v", f.Anchors, left, err)
	}
	if strings.Contains(n.Log.String(), "TAMPERED") {
		t.Error("one that the roots do not know is no tampering")
	}
	n.Anchors.Store(proof.Anchor{Kind: proof.AnchorWitness, Name: apitest.AnchorName, Checkpoint: note}, size)
	f, left, err := n.Client.ProofLeft(t.Context(), id, 0)
	if err != nil || len(f.Anchors) != 0 || len(left) != 1 || left[0] != apitest.AnchorName {
		t.Errorf("a false one: %+v, left %v, %v", f, left, err)
	}
	if !strings.Contains(n.Log.String(), "TAMPERED") {
		t.Error("the operator is not told")
	}
	for range 5 {
		if _, _, err := n.Client.ProofLeft(t.Context(), id, 0); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(n.Log.String(), "does not verify and is not given out"); got != 1 {
		t.Errorf("the operator is told %d times within a minute", got)
	}
	resp, out := call(t, n, "GET", "/v1/anchors?from=2", nil)
	if p := problemOf(t, resp, out); p.Code != "tampered" {
		t.Errorf("%s", out)
	}
	// A good one beside it is given.
	key2, err := gm.GenerateKey(gm.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	second := checkpoint.Witness{Name: "second.example", Key: key2.Public()}
	if line, err = second.Cosign(key2, time.Now().Unix(), body); err != nil {
		t.Fatal(err)
	}
	if note, err = checkpoint.AddLines(f.Checkpoint, line); err != nil {
		t.Fatal(err)
	}
	roots := *n.Anchors.Roots
	roots.Witnesses = append(slices.Clone(roots.Witnesses), proof.NamedWitness{Name: "witness-b", Witness: second})
	n.Server.TrustAnchors(&roots, func(a *proof.Anchor) error { _, err := proof.VerifyAnchor(a, n.Policy, &roots); return err })
	n.Anchors.Store(proof.Anchor{Kind: proof.AnchorWitness, Name: "witness-b", Checkpoint: note}, size)
	f, left, err = n.Client.ProofLeft(t.Context(), id, 0)
	if err != nil || len(f.Anchors) != 1 || f.Anchors[0].Name != "witness-b" || !slices.Equal(left, []string{apitest.AnchorName}) {
		t.Errorf("a good one beside a false one: %+v, left %v, %v", f.Anchors, left, err)
	}
	// A store that cannot be read costs no proof either.
	n.Anchors.Fail(errors.New("the disk is gone"))
	if f, err := n.Client.Proof(t.Context(), id, 0); err != nil || len(f.Anchors) != 0 {
		t.Errorf("%+v, %v", f, err)
	}
}

// TestCompanionOfManyKinds: the file has what verifies and fits, in its order; the
// header names the rest.
func TestCompanionOfManyKinds(t *testing.T) {
	n, _ := sealedRecord(t, apitest.Options{})
	note, size, _, err := n.Ledger.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	roots := &proof.AnchorRoots{Chain: n.Chain}
	store := func(kind proof.AnchorKind, name string, receipt int) {
		switch kind {
		case proof.AnchorFabric:
			roots.Fabric = append(roots.Fabric, fabric.Channel{Name: name})
		case proof.AnchorRFC3161:
			roots.Timestamps = append(roots.Timestamps, timestamp.Authority{Name: name})
		default:
			roots.Witnesses = append(roots.Witnesses, proof.NamedWitness{Name: name})
		}
		n.Anchors.Store(proof.Anchor{Kind: kind, Name: name, Checkpoint: note, Receipt: bytes.Repeat([]byte("r"), receipt)}, size)
	}
	// In the order in which the store gives them: by what they are worth.
	store(proof.AnchorRFC3161, "tsa", 5000)
	store(proof.AnchorRFC3161, "rotten", 5000)
	store(proof.AnchorWitness, "lite", 0)
	store(proof.AnchorFabric, "channel", 20000)
	n.Server.TrustAnchors(roots, func(a *proof.Anchor) error {
		if a.Name == "rotten" {
			return errors.New("it is")
		}
		return nil
	})
	names := func() (in []string, left string) {
		resp, body := call(t, n, "GET", "/v1/anchors?from=2", nil)
		f, err := proof.ParseAnchorFile(body)
		if err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		for _, a := range f.Anchors {
			in = append(in, a.Name)
		}
		return in, resp.Header.Get(wire.AnchorsLeft)
	}
	if in, left := names(); strings.Join(in, " ") != "channel tsa lite" || left != "rotten" {
		t.Errorf("in it %v, left %q", in, left)
	}
	for _, name := range []string{"ch-1", "ch-2", "ch-3", "ch-4", "ch-5"} {
		store(proof.AnchorFabric, name, 32<<10)
	}
	in, left := names()
	if !slices.Contains(in, "tsa") || !slices.Contains(in, "lite") || !slices.Contains(in, "channel") || !strings.HasPrefix(left, "rotten,ch-") {
		t.Errorf("without room for all: in it %v, left %q", in, left)
	}
}

// TestAnAlarmLeavesTheNodeReady: it is told, and nothing stops for it.
func TestAnAlarmLeavesTheNodeReady(t *testing.T) {
	n, _ := sealedRecord(t, apitest.Options{})
	n.Anchors.SetAlarm("the witness holds another state of the ledger at size 3")
	st, err := n.Client.Status(t.Context())
	if err != nil || !st.Ready || len(st.Anchors) != 1 || !strings.Contains(st.Anchors[0].Alarm, "another state") {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestWithoutAnchors: a node that runs none says so, and works.
func TestWithoutAnchors(t *testing.T) {
	n, id := sealedRecord(t, apitest.Options{NoAnchors: true})
	if f, err := n.Client.Proof(t.Context(), id, 0); err != nil || len(f.Anchors) != 0 {
		t.Errorf("%+v, %v", f, err)
	}
	for _, path := range []string{"/v1/anchors?from=1", "/v1/anchor-roots"} {
		resp, body := call(t, n, "GET", path, nil)
		if p := problemOf(t, resp, body); p.Code != "not-found" {
			t.Errorf("%s: %s", path, body)
		}
	}
	if st, err := n.Client.Status(t.Context()); err != nil || st.Anchors == nil || len(st.Anchors) != 0 {
		t.Errorf("%+v, %v", st, err)
	}
}
