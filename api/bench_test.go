package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"qifeng/api/apitest"
	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/timestamp"
	"qifeng/test/tsa"
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

// BenchmarkSingle posts requests of one record over 64 connections that stay
// open, and the same to a server that does nothing: the difference is ours, and
// so is the ratio of the two rates.
func BenchmarkSingle(b *testing.B) {
	n := apitest.NewNode(b, apitest.Options{})
	const pool = 30_000
	posts := make([][]byte, pool)
	for i := range posts {
		raw := request(b, n, contract(n, "x")).Raw
		posts[i] = fmt.Appendf(nil, "POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nPrefer: return=minimal\r\nContent-Length: %d\r\n\r\n%s", len(raw), raw)
	}
	idle := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(posts[0][:800])
	})
	b.Run("idle", func(b *testing.B) {
		srv := httptest.NewServer(idle)
		defer srv.Close()
		benchmarkConns(b, srv.Listener.Addr().String(), posts)
	})
	b.Run("records", func(b *testing.B) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		ctx, stop := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- n.Server.Serve(ctx, n.Server.Bound(ln)) }()
		benchmarkConns(b, ln.Addr().String(), posts)
		stop()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	})
}

// benchmarkConns sends each of posts once, over and over where b.N is more.
func benchmarkConns(b *testing.B, addr string, posts [][]byte) {
	var next atomic.Int64
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		for pb.Next() {
			if _, err := conn.Write(posts[int(next.Add(1))%len(posts)]); err != nil {
				b.Error(err)
				return
			}
			resp, err := http.ReadResponse(in, nil)
			if err != nil || resp.StatusCode >= 300 {
				b.Errorf("%v, %v", resp, err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
		}
	})
	b.StopTimer()
}

// BenchmarkProof measures assembling, verifying and rendering a proof.
func BenchmarkProof(b *testing.B) {
	n := apitest.NewNode(b, apitest.Options{})
	n.Ledger.Auto()
	req := request(b, n, contract(n, "x"))
	path := "/v1/records/" + string(req.Submissions[0].ID()) + "/proof"
	submit(b, n, req, 10e9)
	get := func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			serveOne(b, n, http.MethodGet, path, nil, http.StatusOK)
		}
	}
	b.Run("plain", get)
	n.Anchors.Anchor(b)
	b.Run("witness", get)
	withToken(b, n)
	b.Run("witness+token", get)
	b.Run("companion", func(b *testing.B) {
		size, _ := n.Ledger.SealedHead()
		for b.Loop() {
			serveOne(b, n, http.MethodGet, fmt.Sprintf("/v1/anchors?from=%d", size), nil, http.StatusOK)
		}
	})
}

// withToken has a real authority stamp the newest checkpoint.
func withToken(b *testing.B, n *apitest.TestNode) {
	b.Helper()
	authority := tsa.Start(b, tsa.Config{Alg: tsa.RSA})
	note, size, _, err := n.Ledger.Checkpoint()
	if err != nil {
		b.Fatal(err)
	}
	token, err := authority.Token(note)
	if err != nil {
		b.Fatal(err)
	}
	roots := *n.Anchors.Roots
	roots.Timestamps = []timestamp.Authority{{Name: "tsa", Roots: [][]byte{authority.Root()}}}
	n.Server.TrustAnchors(&roots, func(a *proof.Anchor) error { _, err := proof.VerifyAnchor(a, n.Policy, &roots); return err })
	n.Anchors.Store(proof.Anchor{Kind: proof.AnchorRFC3161, Name: "tsa", Checkpoint: note, Receipt: token}, size)
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
	if method == http.MethodGet { // a little of what is measured is this
		req.Host = n.HTTP.Listener.Addr().String()
		if err := n.ReadAs(req); err != nil {
			b.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	n.Server.ServeHTTP(w, req)
	if w.Code != want {
		b.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.Len()
}
