package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"qifeng/api/apitest"
	"qifeng/api/client"
	"qifeng/api/wire"
	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/merkle"
)

// contract makes the submission of a contract with this content.
func contract(n *apitest.TestNode, content string) *evidence.Submission {
	return n.Submit.NewContract(evidence.ContractFinal, merkle.Sum([]byte(content)), uint64(len(content)))
}

// request signs submissions.
func request(t testing.TB, n *apitest.TestNode, subs ...*evidence.Submission) *evidence.Request {
	t.Helper()
	req, err := n.Submit.NewRequest(subs...)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// call sends a request to the node, reads the whole answer and holds it against
// the description of the interface.
func call(t testing.TB, n *apitest.TestNode, method, path string, body []byte, head ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, n.HTTP.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if n.ReadAs != nil && method == http.MethodGet && !slices.Contains(head, unsigned[0]) {
		if err := n.ReadAs(req); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i+1 < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
		if head[i+1] == "" {
			req.Header.Del(head[i])
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	conforms(t, req, body, resp, out)
	return resp, out
}

// unsigned are the headers with which [call] sends no signature.
var unsigned = []string{"Signature-Input", "", "Signature", ""}

// problemOf reads a problem document and checks what all of them have.
func problemOf(t testing.TB, resp *http.Response, body []byte) wire.Problem {
	t.Helper()
	var p wire.Problem
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		t.Fatalf("status %d, no problem document: %v: %q", resp.StatusCode, err, body)
	}
	if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("content type %q", ct)
	}
	if p.Status != resp.StatusCode || p.Code == "" || p.Title == "" || p.Type != "urn:qifeng:problem:"+p.Code ||
		p.RequestID == "" || p.RequestID != resp.Header.Get("X-Request-Id") {
		t.Errorf("incomplete problem: %s", body)
	}
	return p
}

// stored counts what the archive holds or waits for.
func stored(n *apitest.TestNode) uint64 {
	st := n.Archive.Status()
	return st.Open.Records + st.Queued.Records + st.Pending
}

func submit(t testing.TB, n *apitest.TestNode, req *evidence.Request, wait time.Duration) *client.Submitted {
	t.Helper()
	out, err := n.Client.Submit(t.Context(), req.Raw, wait)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSubmitAllKinds(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Auto()
	root, pair := merkle.Sum([]byte("claims")), merkle.Sum([]byte("der"))
	dossier := client.NewDossier()
	first := n.Submit.Fill(&evidence.Submission{Kind: evidence.ContractOriginal, Digest: &pair, Dossier: dossier, Step: 1})
	subs := []*evidence.Submission{
		first, contract(n, "final"),
		n.Submit.Fill(&evidence.Submission{Kind: evidence.IdentityPerson, Claims: &root, Method: "phone", Result: "passed"}),
		n.Submit.Fill(&evidence.Submission{Kind: evidence.IdentityCompany, Claims: &root, Method: "licence", Result: "failed"}),
		n.Submit.Fill(&evidence.Submission{Kind: evidence.IdentityCertificate, Claims: &root, Certificate: &pair, Algorithm: "sm2", Result: "passed"}),
		n.Submit.Fill(&evidence.Submission{Kind: evidence.SigningIntent, Claims: &root, Method: "face", Result: "passed"}),
		n.Submit.Fill(&evidence.Submission{Kind: evidence.SigningSeal, Claims: &root, Certificate: &pair, Signature: &pair}),
		n.Submit.Fill(&evidence.Submission{Kind: evidence.DossierClose, Dossier: dossier, Count: 1, Root: &root}),
	}
	req := request(t, n, subs...)
	answer := submit(t, n, req, 10*time.Second)
	if answer.State != wire.Sealed {
		t.Fatalf("state %s after the wait, want sealed", answer.State)
	}
	if _, err := client.VerifySubmitted(answer, req, n.Policy, n.User.Public()); err != nil {
		t.Fatal(err)
	}
	for i := range req.Submissions {
		f, err := n.Client.Proof(t.Context(), req.Submissions[i].ID(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if r := proof.Verify(f, n.Policy, nil, proof.Options{Second: true}); r.Result != proof.Proved {
			t.Errorf("%s: the proof is %s", subs[i].Kind, r.Result)
		}
	}
}

// TestLadder follows one record through its states, by every door that tells them.
func TestLadder(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	req := request(t, n, contract(n, "one"))
	id := req.Submissions[0].ID()
	path := "/v1/records/" + string(id)

	answer := submit(t, n, req, 0)
	if answer.State != wire.Accepted || answer.Chain != n.Chain || answer.Records[0].ID != string(id) || answer.Records[0].Node != apitest.Node {
		t.Fatalf("answer %+v", answer)
	}
	expectUnsealed(t, n, path, wire.Accepted)

	waitFor(t, "the header at the chain", func() bool { return n.Ledger.Pending() > 0 })
	n.Ledger.Commit()
	expectUnsealed(t, n, path, wire.Committed)
	got, err := n.Client.Await(t.Context(), id, client.Committed, 10*time.Second)
	if err != nil || got[0].State != wire.Committed {
		t.Fatalf("awaiting committed: %+v, %v", got, err)
	}

	go n.Ledger.Seal()
	resp, body := call(t, n, "GET", path+"/proof", nil, "Prefer", "wait=10")
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Preference-Applied") != "wait=10" {
		t.Fatalf("proof: %d %s", resp.StatusCode, body)
	}
	f, err := proof.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	content := &proof.Content{Digest: merkle.Sum([]byte("one")), Size: 3}
	if r := proof.Verify(f, n.Policy, content, proof.Options{Second: true}); r.Result != proof.Proved {
		t.Fatalf("the proof is %s", r.Result)
	}
	if got, err := n.Client.Record(t.Context(), id); err != nil || got[0].State != wire.Sealed {
		t.Fatalf("record: %+v, %v", got, err)
	}
}

func expectUnsealed(t *testing.T, n *apitest.TestNode, path string, state wire.State) {
	t.Helper()
	resp, body := call(t, n, "GET", path+"/proof", nil)
	if p := problemOf(t, resp, body); p.Status != http.StatusConflict || p.Code != "not-sealed-yet" || p.State != state || resp.Header.Get("Retry-After") == "" {
		t.Errorf("proof of a record that is %s: %s", state, body)
	}
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("timed out waiting for %s", what)
		}
	}
}

func TestWaitEndsWithWhatIsReached(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	req := request(t, n, contract(n, "slow"))
	start := time.Now()
	resp, body := call(t, n, "POST", "/v1/records", req.Raw, "Prefer", "respond-async, wait=1")
	var answer wire.Submitted
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != http.StatusCreated || answer.State != wire.Accepted {
		t.Fatalf("%d %s: %v", resp.StatusCode, body, err)
	}
	if took := time.Since(start); took < time.Second || took > 8*time.Second {
		t.Errorf("waited %s, want about 1 s", took)
	}
	if got := resp.Header.Get("Preference-Applied"); got != "wait=1" {
		t.Errorf("Preference-Applied %q", got)
	}
}

func TestRetryStoresNothingTwice(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	sub, twin := contract(n, "same"), contract(n, "same")
	req := request(t, n, sub)
	resp, first := call(t, n, "POST", "/v1/records", req.Raw)
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", resp.StatusCode, first)
	}
	before := stored(n)

	n.Clock.Forward(3 * time.Hour) // far outside the replay window
	resp, again := call(t, n, "POST", "/v1/records", req.Raw)
	if resp.StatusCode != http.StatusOK || !bytes.Equal(first, again) {
		t.Errorf("same bytes again: %d, equal %t", resp.StatusCode, bytes.Equal(first, again))
	}
	later := request(t, n, sub)
	if bytes.Equal(later.Raw, req.Raw) {
		t.Fatal("the second statement is the first")
	}
	resp, again = call(t, n, "POST", "/v1/records", later.Raw)
	if resp.StatusCode != http.StatusOK || !bytes.Equal(first, again) {
		t.Errorf("under a new statement: %d, equal %t", resp.StatusCode, bytes.Equal(first, again))
	}
	if got := stored(n); got != before {
		t.Errorf("the archive holds %d, before the retries %d", got, before)
	}
	// A request with one old and one new submission stores the new one alone, and
	// equal content is another record.
	resp, body := call(t, n, "POST", "/v1/records", request(t, n, sub, twin).Raw)
	var answer wire.Submitted
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if answer.Records[0].ID == answer.Records[1].ID || stored(n) != before+1 {
		t.Errorf("ids %s and %s, archive holds %d, want %d", answer.Records[0].ID, answer.Records[1].ID, stored(n), before+1)
	}
}

// TestMinimalAnswer asks for the compact form and gets it where all is new, and
// the full form, told by the header, where it is not.
func TestMinimalAnswer(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	post := func(req *evidence.Request, prefer string, status int, told string) []byte {
		t.Helper()
		resp, body := call(t, n, "POST", "/v1/records", req.Raw, "Prefer", prefer)
		if got := resp.Header.Get("Preference-Applied"); resp.StatusCode != status || got != told {
			t.Fatalf("Prefer %q: %d, applied %q: %s", prefer, resp.StatusCode, got, body)
		}
		return body
	}
	decode := func(body []byte, out any) {
		t.Helper()
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		if err := dec.Decode(out); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
	}
	req := request(t, n, contract(n, "a"), contract(n, "b"), contract(n, "c"))
	var short wire.Compact
	decode(post(req, "return=minimal", http.StatusCreated, "return=minimal"), &short)
	if short.Chain != n.Chain || short.State != wire.Accepted || short.Node != apitest.Node || short.Seq == 0 || short.Count != 3 {
		t.Errorf("answer %+v", short)
	}
	head, err := evidence.ParseReceiptHead([]byte(short.Receipt.Head))
	if err != nil || head.Count != 3 || short.Receipt.First != 0 || len(short.Receipt.Path) != 0 {
		t.Errorf("receipt %+v: %v", short.Receipt, err)
	}
	var long wire.Submitted
	decode(post(req, "return=minimal", http.StatusOK, ""), &long)
	if len(long.Records) != 3 || parseFile(t, long.Records[1].File).Receipt.Index != 1 {
		t.Errorf("the retry is answered with %+v", long)
	}
	decode(post(request(t, n, req.Submissions[0].Submission, contract(n, "d")), "return=minimal", http.StatusCreated, ""), &long)
	if len(long.Records) != 2 {
		t.Errorf("what is new in part is answered with %+v", long)
	}
	n.Ledger.Auto()
	decode(post(request(t, n, contract(n, "e")), "return=minimal, wait=10", http.StatusCreated, "return=minimal, wait=10"), &short)
	if short.State != wire.Sealed {
		t.Errorf("state %s after the wait", short.State)
	}
	decode(post(request(t, n, contract(n, "f")), "return=representation", http.StatusCreated, ""), &long)
}

func parseFile(t *testing.T, raw []byte) *proof.File {
	t.Helper()
	f, err := proof.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFullRequest(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Auto()
	subs := make([]*evidence.Submission, evidence.MaxSubmissions)
	for i := range subs {
		subs[i] = contract(n, strings.Repeat("x", i))
	}
	req := request(t, n, subs...)
	answer := submit(t, n, req, 20*time.Second)
	if answer.State != wire.Sealed {
		t.Fatalf("state %s", answer.State)
	}
	files, err := client.VerifySubmitted(answer, req, n.Policy, n.User.Public())
	if err != nil || len(files) != len(subs) {
		t.Fatalf("%d files, %v", len(files), err)
	}
}
