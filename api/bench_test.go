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
// fsync and receipts included, without a network, in both forms of the answer.
func BenchmarkPostRecords(b *testing.B) {
	for _, prefer := range []string{"return=representation", "return=minimal"} {
		for _, records := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("%s/records=%d", prefer[len("return="):], records), func(b *testing.B) {
				benchmarkPost(b, records, prefer)
			})
		}
	}
}

func benchmarkPost(b *testing.B, records int, prefer string) {
	n := apitest.NewNode(b, apitest.Options{})
	b.ReportAllocs()
	bytes := 0
	for b.Loop() {
		b.StopTimer()
		subs := make([]*evidence.Submission, records)
		for i := range subs {
			subs[i] = contract(n, "x")
		}
		body := strings.NewReader(string(request(b, n, subs...).Raw))
		b.StartTimer()
		bytes += serveOne(b, n, http.MethodPost, "/v1/records", body, http.StatusCreated, "Prefer", prefer)
	}
	all := float64(b.N * records)
	b.ReportMetric(float64(bytes)/all, "answer-B/record")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/all, "ns/record")
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

// serveOne answers one request and returns the length of the answer.
func serveOne(b *testing.B, n *apitest.TestNode, method, path string, body *strings.Reader, want int, head ...string) int {
	b.Helper()
	req := httptest.NewRequest(method, path, http.NoBody)
	if body != nil {
		req = httptest.NewRequest(method, path, body)
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	w := httptest.NewRecorder()
	n.Server.ServeHTTP(w, req)
	if w.Code != want {
		b.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.Len()
}
