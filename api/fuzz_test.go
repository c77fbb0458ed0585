package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"qifeng/api/apitest"
	"qifeng/api/wire"
)

// FuzzPostRecords: whatever is sent is answered with 200, 201 or a problem
// document, never with a 5xx, and nothing is stored unless it is answered with 201.
func FuzzPostRecords(f *testing.F) {
	n := apitest.NewNode(f, apitest.Options{})
	good := request(f, n, contract(n, "a"), contract(n, "b")).Raw
	f.Add(good, "application/json", "wait=0")
	f.Add(good[:len(good)/2], "application/json; charset=utf-8", "")
	f.Add(bytes.Replace(good, []byte(`"v":1`), []byte(`"v":1,"v":1`), 1), "application/json", "")
	f.Add([]byte(`{"statement":null,"submissions":[]}`), "application/json", "x,,=")
	f.Add([]byte{}, "", "")
	f.Fuzz(func(t *testing.T, body []byte, contentType, prefer string) {
		if bytes.Contains([]byte(prefer), []byte("wait")) {
			prefer = "" // a fuzzer has no time to wait
		}
		before := stored(n)
		req := httptest.NewRequest(http.MethodPost, "/v1/records", bytes.NewReader(body))
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Prefer", prefer)
		w := httptest.NewRecorder()
		n.Server.ServeHTTP(w, req)
		if w.Code != http.StatusCreated && stored(n) != before {
			t.Fatalf("status %d, and something was stored", w.Code)
		}
		if w.Code == http.StatusOK || w.Code == http.StatusCreated {
			return
		}
		var p wire.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Code == "" || w.Code >= 500 {
			t.Fatalf("status %d: %q: %v", w.Code, w.Body, err)
		}
	})
}

// FuzzRead: whatever path and query are asked for, the answer is never a 5xx.
func FuzzRead(f *testing.F) {
	n := apitest.NewNode(f, apitest.Options{})
	n.Ledger.Auto()
	for _, seed := range []string{
		"/v1/records?digest=sm3:00", "/v1/records/x/proof", "/v1/seals?size=2", "/v1/keys?member=court-a",
		"/v1/records?dossier=00112233445566778899aabbccddeeff&cursor=x&limit=3", "/healthz", "/%zz", "//", "/v1/../v1/status",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		req, err := http.NewRequest(http.MethodGet, target, nil)
		if err != nil || len(target) == 0 || target[0] != '/' {
			return
		}
		w := httptest.NewRecorder()
		n.Server.ServeHTTP(w, req)
		if w.Code >= 500 {
			t.Fatalf("%q: status %d: %q", target, w.Code, w.Body)
		}
		if w.Code != 200 && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%q: status %d without a problem document: %q", target, w.Code, w.Body)
		}
	})
}
