package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"qifeng/api"
	"qifeng/api/apitest"
	"qifeng/api/client"
	"qifeng/api/httpsig"
	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// TestWhatNeedsASignature: exactly the operations that the description says.
func TestWhatNeedsASignature(t *testing.T) {
	w := newWorld(t, 8)
	signed := 0
	for _, o := range w.gen.operations() {
		if o.method != http.MethodGet {
			continue
		}
		a := w.ask(o)
		resp, body := call(t, w.TestNode, o.method, a.target(), nil, append(a.head, unsigned...)...)
		want := o.def["security"] != nil
		if got := resp.StatusCode == http.StatusUnauthorized; got != want {
			t.Errorf("%s without a signature: %d %s", o, resp.StatusCode, body)
		}
		if !want {
			continue
		}
		signed++
		if p := problemOf(t, resp, body); p.Code != "signature-missing" || p.Mend == "" {
			t.Errorf("%s: %s", o, body)
		}
	}
	if signed != 7 {
		t.Errorf("%d operations are signed, want 7", signed)
	}
}

// TestSignedOnce: a request that was answered opens the door no second time,
// and one to another address never.
func TestSignedOnce(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Seal()
	var keep http.Header
	sign := n.ReadAs
	n.ReadAs = func(r *http.Request) error { err := sign(r); keep = r.Header.Clone(); return err }
	if resp, body := call(t, n, "GET", "/v1/seals", nil); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	n.ReadAs = func(r *http.Request) error { r.Header = keep; return nil }
	resp, body := call(t, n, "GET", "/v1/seals", nil)
	if p := problemOf(t, resp, body); p.Status != 401 || p.Code != "signature-replayed" {
		t.Errorf("again: %s", body)
	}
	n.ReadAs = func(r *http.Request) error { r.Host = "other.example"; return sign(r) }
	resp, body = call(t, n, "GET", "/v1/seals", nil)
	if p := problemOf(t, resp, body); p.Status != 401 || p.Code != "signature-authority" {
		t.Errorf("to another address: %s", body)
	}
}

// notary makes n submit by a key of the notary, which another member's reader
// must not see.
func notary(t *testing.T, n *apitest.TestNode) client.Submitter {
	t.Helper()
	k, err := gm.GenerateKey(gm.SM2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Client.RegisterKey(t.Context(), n.KeyEntry(t, "notary-a", "intake", k.Public(), evidence.Submit)); err != nil {
		t.Fatal(err)
	}
	s := n.Submit
	s.Member, s.KeyName, s.Signer = "notary-a", "intake", k
	return s
}

// TestForeignIsAbsent: to a vendor, another's record is answered like one that
// does not exist, at once and byte for byte.
func TestForeignIsAbsent(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Auto()
	other := notary(t, n)
	req, err := other.NewRequest(other.NewContract(evidence.ContractFinal, merkle.Sum([]byte("x")), 1))
	if err != nil {
		t.Fatal(err)
	}
	submit(t, n, req, 5*time.Second)
	foreign, absent := string(req.Submissions[0].ID()), strings.Repeat("ab", 32)
	n.ReadAs = n.Signs(apitest.Node)
	n.Audit.Take()
	for _, tail := range []string{"", "/proof", "?until=accepted"} {
		var answers []string
		for _, id := range []string{foreign, absent} {
			start := time.Now()
			resp, body := call(t, n, "GET", "/v1/records/"+id+tail, nil, "Prefer", "wait=20")
			p := problemOf(t, resp, body)
			if p.Status != 404 || p.Code != "not-found" || time.Since(start) > 5*time.Second {
				t.Errorf("%s after %s", body, time.Since(start))
			}
			answers = append(answers, strings.Replace(string(body), p.RequestID, "", 1))
			for _, name := range []string{"X-Request-Id", "Date"} {
				resp.Header.Del(name)
			}
			if len(resp.Header) != 4 {
				t.Errorf("headers %v", resp.Header)
			}
		}
		if answers[0] != answers[1] {
			t.Errorf("foreign %s\nabsent %s", answers[0], answers[1])
		}
	}
	if got := n.Audit.Take(); len(got) != 0 {
		t.Errorf("a vendor was audited: %+v", got)
	}
	if _, err := n.As(t, "arbitration-a").Proof(t.Context(), req.Submissions[0].ID(), 0); err != nil {
		t.Errorf("a neutral member does not get it: %v", err)
	}
	if _, err := n.As(t, "notary-a").Record(t.Context(), req.Submissions[0].ID()); err != nil {
		t.Errorf("its submitter does not get it: %v", err)
	}
}

// TestFindShowsNoOthers: pages of a vendor are full, and end, as if the records
// of others between were not there.
func TestFindShowsNoOthers(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Auto()
	other, pair, dossier := notary(t, n), merkle.Sum([]byte("same")), client.NewDossier()
	var own []string
	// 130 of another come between the 4th and the 5th own record, more than a page
	// of the archive, and some at the beginning and the end.
	for _, part := range []struct {
		s     client.Submitter
		count int
	}{{other, 3}, {n.Submit, 4}, {other, 130}, {n.Submit, 3}, {other, 2}} {
		var subs []*evidence.Submission
		for range part.count {
			subs = append(subs, part.s.Fill(&evidence.Submission{Kind: evidence.ContractFinal, Digest: &pair, Dossier: dossier}))
		}
		req, err := part.s.NewRequest(subs...)
		if err != nil {
			t.Fatal(err)
		}
		submit(t, n, req, 0)
		for i := range req.Submissions {
			if part.s.Member == apitest.Node {
				own = append(own, string(req.Submissions[i].ID()))
			}
		}
	}
	vendor := n.As(t, apitest.Node)
	for name, find := range map[string]func(client.Page) (*client.Records, error){
		"digest": func(p client.Page) (*client.Records, error) {
			return vendor.FindByDigest(t.Context(), "sm3", pair.SM3, p)
		},
		"dossier": func(p client.Page) (*client.Records, error) { return vendor.FindByDossier(t.Context(), dossier, p) },
	} {
		for limit := 1; limit <= 8; limit++ {
			var got []string
			pages, page := 0, client.Page{Limit: limit}
			for {
				out, err := find(page)
				if err != nil {
					t.Fatal(err)
				}
				pages++
				for _, r := range out.Records {
					got = append(got, r.ID)
				}
				if out.Next == "" {
					break
				}
				if len(out.Records) != limit {
					t.Errorf("%s, limit %d: a page of %d that is not the last", name, limit, len(out.Records))
				}
				page.Cursor = out.Next
			}
			if want := (len(own) + limit - 1) / limit; !slices.Equal(got, own) || pages != want {
				t.Errorf("%s, limit %d: %d records on %d pages, want %d on %d", name, limit, len(got), pages, len(own), want)
			}
		}
	}
	if out, err := n.Client.FindByDigest(t.Context(), "sm3", pair.SM3, client.Page{Limit: 100}); err != nil || len(out.Records) != 100 || out.Next == "" {
		t.Errorf("the court's page: %v", err)
	}
}

// TestAudit: each reading by a neutral member is written down before it is
// answered, and not answered where it cannot be.
func TestAudit(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Auto()
	sub := contract(n, "x")
	sub.Dossier = client.NewDossier()
	req := request(t, n, sub)
	submit(t, n, req, 5*time.Second)
	id, absent := string(req.Submissions[0].ID()), strings.Repeat("ab", 32)
	digest := fmt.Sprintf("sm3:%x", sub.Digest.SM3)
	for _, tc := range []struct {
		path string
		want api.Lookup
	}{
		{"/v1/records/" + id, api.Lookup{Kind: api.RecordLookup, Subject: id, Results: 1}},
		{"/v1/records/" + id + "/proof", api.Lookup{Kind: api.ProofLookup, Subject: id, Results: 1}},
		{"/v1/records/" + absent, api.Lookup{Kind: api.RecordLookup, Subject: absent}},
		{"/v1/records?digest=" + digest, api.Lookup{Kind: api.DigestLookup, Subject: digest, Results: 1}},
		{"/v1/records?dossier=" + string(sub.Dossier), api.Lookup{Kind: api.DossierLookup, Subject: string(sub.Dossier), Results: 1}},
	} {
		n.Audit.Take()
		resp, _ := call(t, n, "GET", tc.path, nil)
		got := n.Audit.Take()
		if len(got) != 1 || got[0].Time.IsZero() || got[0].Request != resp.Header.Get("X-Request-Id") {
			t.Errorf("%s: audited %+v", tc.path, got)
			continue
		}
		tc.want.Member, tc.want.Key = apitest.Court, apitest.ReadKeyName
		tc.want.Time, tc.want.Request = got[0].Time, got[0].Request
		if got[0] != tc.want {
			t.Errorf("%s: audited %+v, want %+v", tc.path, got[0], tc.want)
		}
		n.Audit.Fail(errors.New(secret))
		resp, body := call(t, n, "GET", tc.path, nil)
		if p := problemOf(t, resp, body); p.Status != 503 || p.Code != "audit-unavailable" || strings.Contains(string(body), secret) {
			t.Errorf("%s without an audit log: %s", tc.path, body)
		}
		n.ReadAs = n.Signs(apitest.Node)
		if resp, body := call(t, n, "GET", tc.path, nil); resp.StatusCode != 200 && !strings.Contains(tc.path, absent) {
			t.Errorf("%s by the vendor without an audit log: %s", tc.path, body)
		}
		n.Audit.Fail(nil)
		n.ReadAs = n.Signs(apitest.Court)
	}
}

// TestRevokedSubmitKey: what a key submitted stays what it was and goes on
// verifying, and says that the key is revoked; the key submits no more.
func TestRevokedSubmitKey(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Auto()
	req := request(t, n, contract(n, "before"))
	id := req.Submissions[0].ID()
	submit(t, n, req, 5*time.Second)
	if got, err := n.Client.Record(t.Context(), id); err != nil || got[0].KeyRevokedAt != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	res, err := n.Client.RegisterKey(t.Context(), n.Revocation(t, apitest.Node, apitest.KeyName))
	if err != nil || !res.Committed {
		t.Fatalf("%+v, %v", res, err)
	}
	got, err := n.Client.Record(t.Context(), id)
	if err != nil || got[0].KeyRevokedAt == nil || *got[0].KeyRevokedAt != *res.Key.RevokedAt {
		t.Errorf("the record does not tell of the revocation: %+v, %v", got, err)
	}
	f, err := n.Client.Proof(t.Context(), id, 0)
	if err != nil {
		t.Fatal(err)
	}
	if r := proof.Verify(f, n.Policy, nil, proof.Options{Second: true}); r.Result != proof.Proved {
		t.Errorf("the proof is %s", r.Result)
	}
	resp, body := call(t, n, "POST", "/v1/records", request(t, n, contract(n, "after")).Raw)
	if p := problemOf(t, resp, body); p.Status != 403 || p.Code != "revoked-key" || p.Field != "statement.body.key" || p.Mend == "" {
		t.Errorf("a new submission: %s", body)
	}
}

// TestRevokedReadKey: reading ends with the revocation, at once.
func TestRevokedReadKey(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Auto()
	k, err := gm.GenerateKey(gm.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	n.ReadAs = func(r *http.Request) error {
		return httpsig.Sign(r, httpsig.KeyID("notary-a", "desk"), k, n.Clock.Now())
	}
	ask := func(status int, code string) {
		t.Helper()
		resp, body := call(t, n, "GET", "/v1/seals", nil)
		if resp.StatusCode != status {
			t.Errorf("%d %s, want %d", resp.StatusCode, body, status)
		} else if code != "" && problemOf(t, resp, body).Code != code {
			t.Errorf("%s, want %s", body, code)
		}
	}
	ask(401, "signature-key")
	if _, err := n.Client.RegisterKey(t.Context(), n.KeyEntry(t, "notary-a", "desk", k.Public(), evidence.Read)); err != nil {
		t.Fatal(err)
	}
	ask(200, "")
	if _, err := n.Client.RegisterKey(t.Context(), n.Revocation(t, "notary-a", "desk")); err != nil {
		t.Fatal(err)
	}
	ask(401, "signature-key")
}

// expelled is a chain whose newest epoch has lost a member.
type expelled struct{ api.Chain }

func (e expelled) Policy() *checkpoint.Policy {
	p := *e.Chain.Policy()
	epoch := p.Epochs[0]
	epoch.Members = slices.DeleteFunc(slices.Clone(epoch.Members), func(m checkpoint.Member) bool { return m.ID == apitest.Court })
	p.Epochs = []checkpoint.Epoch{epoch}
	return &p
}

// TestNoMemberAnyMore: the keys of who has left open nothing.
func TestNoMemberAnyMore(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{Chain: func(c api.Chain) api.Chain { return expelled{c} }})
	n.Ledger.Seal()
	resp, body := call(t, n, "GET", "/v1/seals", nil)
	if p := problemOf(t, resp, body); p.Status != 401 || p.Code != "signature-key" {
		t.Errorf("%s", body)
	}
	n.ReadAs = n.Signs("notary-a")
	if resp, body := call(t, n, "GET", "/v1/seals", nil); resp.StatusCode != 200 {
		t.Errorf("who is still one: %s", body)
	}
}
