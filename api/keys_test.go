package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"qifeng/api/apitest"
	"qifeng/api/wire"
	"qifeng/chain"
	"qifeng/evidence"
	"qifeng/internal/gm"
)

func publicKey(t *testing.T, alg gm.Alg) gm.PublicKey {
	t.Helper()
	k, err := gm.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

func TestKeyRegistration(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Auto()
	k := publicKey(t, gm.Ed25519)
	entry := n.KeyEntry(t, "notary-a", "desk-1", k, evidence.Read)
	resp, body := call(t, n, "POST", "/v1/keys", entry)
	var out wire.KeyResult
	if err := json.Unmarshal(body, &out); err != nil || resp.StatusCode != http.StatusCreated || !out.Committed {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if out.Key == nil || out.Key.PublicKey != k.String() || out.Key.Purpose != "read" || out.Key.Index != 2 {
		t.Errorf("key %s", body)
	}
	if resp, body := call(t, n, "POST", "/v1/keys", entry); resp.StatusCode != http.StatusOK {
		t.Errorf("the same entry again: %d %s", resp.StatusCode, body)
	}
	keys, err := n.Client.Keys(t.Context(), "notary-a")
	if err != nil || len(keys) != 1 || keys[0].Name != "desk-1" {
		t.Errorf("keys of the notary: %+v, %v", keys, err)
	}
	if keys, err = n.Client.Keys(t.Context(), ""); err != nil || len(keys) != 2 {
		t.Errorf("all keys: %+v, %v", keys, err)
	}
	if keys, err = n.Client.Keys(t.Context(), "court-a"); err != nil || len(keys) != 0 {
		t.Errorf("keys of the court: %+v, %v", keys, err)
	}

	revoke := n.Revocation(t, "notary-a", "desk-1")
	res, err := n.Client.RegisterKey(t.Context(), revoke)
	if err != nil || !res.Committed || res.Key.RevokedAt == nil || *res.Key.RevokedAt != 3 {
		t.Fatalf("revocation: %+v, %v", res, err)
	}
	for name, raw := range map[string][]byte{
		"registering the revoked name again": entry,
		"taking a name that is taken":        n.KeyEntry(t, apitest.Node, apitest.KeyName, k, evidence.Submit),
		"revoking what is not there":         n.Revocation(t, "court-a", "nobody"),
	} {
		resp, body := call(t, n, "POST", "/v1/keys", raw)
		if p := problemOf(t, resp, body); p.Status != http.StatusConflict || p.Code != "conflict" || p.Field != "key" {
			t.Errorf("%s: %s", name, body)
		}
	}
	if got := n.Ledger.Size(); got != 4 {
		t.Errorf("ledger of %d entries, want 4", got)
	}
}

func TestKeyWaitIsBounded(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	entry := n.KeyEntry(t, "notary-a", "desk-1", publicKey(t, gm.SM2), evidence.Submit)
	resp, body := call(t, n, "POST", "/v1/keys", entry, "Prefer", "wait=1")
	if resp.StatusCode != http.StatusAccepted || strings.TrimSpace(string(body)) != `{"committed":false}` {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestKeyRefusals(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	good := string(n.KeyEntry(t, "notary-a", "desk-1", publicKey(t, gm.SM2), evidence.Submit))
	elsewhere := *n.Consortium
	elsewhere.Chain = "other-00000000"
	for _, tc := range []struct {
		name, body  string
		status      int
		code, field string
	}{
		{"empty", "", 400, "invalid", ""},
		{"a submission", `{"v":1}`, 400, "invalid", "*"},
		{"unknown field", strings.Replace(good, `"member":`, `"nember":`, 1), 400, "invalid", "*"},
		{"upper-case name", strings.Replace(good, "desk-1", "Desk-1", 1), 400, "invalid", "key"},
		{"unknown purpose", strings.Replace(good, `"purpose":"submit"`, `"purpose":"write"`, 1), 400, "invalid", "purpose"},
		{"point off the curve", strings.Replace(good, `"public_key":"sm2:04`, `"public_key":"sm2:05`, 1), 400, "invalid", "public_key"},
		{"no member", strings.Replace(good, "notary-a", "notary-b", 1), 400, "invalid", "member"},
		{"changed after signing", strings.Replace(good, "desk-1", "desk-2", 1), 403, "bad-signature", "sig"},
		{"signed by another admin", strings.Replace(good, "notary-a", "court-a", 1), 403, "bad-signature", "sig"},
		{"for another chain", string(elsewhere.KeyEntry(t, "notary-a", "desk-1", publicKey(t, gm.SM2), evidence.Submit)), 403, "bad-signature", "sig"},
		{"too long", good + strings.Repeat(" ", 8<<10), 413, "body-too-large", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, body := call(t, n, "POST", "/v1/keys", []byte(tc.body))
			p := problemOf(t, resp, body)
			if p.Status != tc.status || p.Code != tc.code || (tc.field != "*" && p.Field != tc.field) {
				t.Errorf("%s, want %d %s %q", body, tc.status, tc.code, tc.field)
			}
			if n.Ledger.Pending() != 0 {
				t.Error("the entry reached the chain")
			}
		})
	}
}

func TestChainRefusesKey(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	entry := n.KeyEntry(t, "notary-a", "desk-1", publicKey(t, gm.SM2), evidence.Submit)
	for _, tc := range []struct {
		err    error
		status int
		code   string
	}{
		{chain.ErrBusy, 503, "busy"},
		{&chain.RefusedError{Text: "no"}, 409, "conflict"},
	} {
		n.Ledger.SetRefusal(tc.err)
		resp, body := call(t, n, "POST", "/v1/keys", entry)
		if p := problemOf(t, resp, body); p.Status != tc.status || p.Code != tc.code {
			t.Errorf("%v: %s", tc.err, body)
		}
	}
}
