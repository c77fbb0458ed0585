package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"qifeng/api/apitest"
	"qifeng/evidence"
)

// BenchmarkPostRecords measures the whole way of a request into the archive,
// fsync and receipts included, without a network.
func BenchmarkPostRecords(b *testing.B) {
	for _, records := range []int{1, 1000} {
		b.Run(fmt.Sprintf("records=%d", records), func(b *testing.B) {
			n := apitest.NewNode(b, apitest.Options{})
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				subs := make([]*evidence.Submission, records)
				for i := range subs {
					subs[i] = contract(n, "x")
				}
				body := strings.NewReader(string(request(b, n, subs...).Raw))
				b.StartTimer()
				serveOne(b, n, http.MethodPost, "/v1/records", body, http.StatusCreated)
			}
		})
	}
}

// BenchmarkProof measures assembling, verifying and rendering a proof.
func BenchmarkProof(b *testing.B) {
	n := apitest.NewNode(b, apitest.Options{})
	n.Ledger.Auto()
	req := request(b, n, contract(n, "x"))
	path := "/v1/records/" + string(req.Submissions[0].ID()) + "/proof"
	submit(b, n, req, 10e9)
	b.ReportAllocs()
	for b.Loop() {
		serveOne(b, n, http.MethodGet, path, nil, http.StatusOK)
	}
}

func serveOne(b *testing.B, n *apitest.TestNode, method, path string, body *strings.Reader, want int) {
	b.Helper()
	req := httptest.NewRequest(method, path, http.NoBody)
	if body != nil {
		req = httptest.NewRequest(method, path, body)
		req.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	n.Server.ServeHTTP(w, req)
	if w.Code != want {
		b.Fatalf("%d %s", w.Code, w.Body)
	}
}
