package client_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"qifeng/api/apitest"
	"qifeng/api/client"
	"qifeng/api/wire"
	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// several is a request of n contracts.
func several(tb testing.TB, n *apitest.TestNode, count int) *evidence.Request {
	tb.Helper()
	subs := make([]*evidence.Submission, count)
	for i := range subs {
		subs[i] = n.Submit.NewContract(evidence.ContractFinal, merkle.Sum(fmt.Append(nil, i)), 1)
	}
	req, err := n.Submit.NewRequest(subs...)
	if err != nil {
		tb.Fatal(err)
	}
	return req
}

// full is what the node answers without any preference.
func full(tb testing.TB, n *apitest.TestNode, req *evidence.Request) *client.Submitted {
	tb.Helper()
	resp, err := http.Post(n.HTTP.URL+"/v1/records", "application/json", bytes.NewReader(req.Raw))
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Preference-Applied") != "" {
		tb.Fatalf("%s: %s, %v", resp.Status, body, err)
	}
	out := &client.Submitted{}
	if err := json.Unmarshal(body, out); err != nil {
		tb.Fatal(err)
	}
	return out
}

// TestBothFormsAreTheSame sends requests at once, so that they share receipts,
// and compares what the client makes of each compact answer with what the node
// answers in full: byte for byte, states aside, which go on.
func TestBothFormsAreTheSame(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	sizes := []int{1, 2, 3, 7, 50, 1, 100, 5, 1000, 33, 1, 64}
	reqs := make([]*evidence.Request, len(sizes))
	answers := make([]*client.Answer, len(sizes))
	for i, size := range sizes {
		reqs[i] = several(t, n, size)
	}
	var wg sync.WaitGroup
	for i := range reqs {
		wg.Go(func() {
			var err error
			if answers[i], err = n.Client.SubmitCompact(t.Context(), reqs[i].Raw, 0); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, a := range answers {
		if a == nil || a.Range == nil || a.Full != nil {
			t.Fatalf("request %d: %+v, want a range", i, a)
		}
		if err := a.Range.Verify(reqs[i], n.Policy); err != nil {
			t.Errorf("request %d: %v", i, err)
		}
		made, err := a.Range.Submitted(reqs[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.VerifySubmitted(made, reqs[i], n.Policy, n.User.Public()); err != nil {
			t.Errorf("request %d: %v", i, err)
		}
		want := full(t, n, reqs[i])
		for _, s := range []*client.Submitted{made, want} {
			for j := range s.Records {
				s.Records[j].State = client.Accepted
			}
		}
		if !slices.EqualFunc(made.Records, want.Records, func(a, b client.Record) bool {
			return a.ID == b.ID && a.Node == b.Node && a.Seq == b.Seq && bytes.Equal(a.File, b.File)
		}) || made.Chain != want.Chain {
			t.Errorf("request %d: the two forms differ", i)
		}
	}
}

// TestSubmitTakesBothForms: a new request is answered compactly, its retry and
// one that is new in part in full, and the caller sees no difference.
func TestSubmitTakesBothForms(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	req := several(t, n, 3)
	mixed, err := n.Submit.NewRequest(req.Submissions[1].Submission, several(t, n, 1).Submissions[0].Submission)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		req  *evidence.Request
		full bool
	}{{"new", req, false}, {"again", req, true}, {"in part", mixed, true}} {
		a, err := n.Client.SubmitCompact(t.Context(), tt.req.Raw, 0)
		if err != nil || (a.Full != nil) != tt.full || (a.Range != nil) == tt.full {
			t.Fatalf("%s: %+v, %v", tt.name, a, err)
		}
		answer, err := n.Client.Submit(t.Context(), tt.req.Raw, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.VerifySubmitted(answer, tt.req, n.Policy, n.User.Public()); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// lying gives the node's answer to a request with something changed.
func lying(t *testing.T, honest *client.RangeReceipt, change func(*wire.Compact)) (*client.RangeReceipt, error) {
	t.Helper()
	w := wire.Compact{Chain: honest.Chain, Count: honest.Count, Node: honest.Node, Seq: honest.Seq, State: honest.State,
		Receipt: wire.RangeReceipt{First: honest.First, Head: string(honest.Head)}}
	for _, d := range honest.Path {
		w.Receipt.Path = append(w.Receipt.Path, wire.Digest{SHA256: hex.EncodeToString(d.SHA256[:]), SM3: hex.EncodeToString(d.SM3[:])})
	}
	if change != nil {
		change(&w)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(rw).Encode(w)
	}))
	defer srv.Close()
	c, err := client.New(srv.URL, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.SubmitCompact(t.Context(), []byte("{}"), 0)
	if err != nil {
		return nil, err
	}
	return a.Range, nil
}

// shared is a request whose receipt also covers others, so that it has a path.
func shared(t *testing.T, n *apitest.TestNode) (*evidence.Request, *client.RangeReceipt) {
	t.Helper()
	for range 50 {
		var wg sync.WaitGroup
		reqs := make([]*evidence.Request, 8)
		answers := make([]*client.Answer, len(reqs))
		for i := range reqs {
			reqs[i] = several(t, n, 3)
		}
		for i := range reqs {
			wg.Go(func() { answers[i], _ = n.Client.SubmitCompact(t.Context(), reqs[i].Raw, 0) })
		}
		wg.Wait()
		for i, a := range answers {
			if a != nil && a.Range != nil && len(a.Range.Path) > 0 {
				return reqs[i], a.Range
			}
		}
	}
	t.Fatal("no two requests ever shared a receipt")
	return nil, nil
}

func TestRangeReceiptOfALyingNode(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	req, honest := shared(t, n)
	foreign := apitest.NewConsortium(t)
	resign := func(w *wire.Compact, node string) {
		w.Receipt.Head = string(resigned(t, n, []byte(w.Receipt.Head), node, n.User))
		w.Node = node
	}
	for name, change := range map[string]func(*wire.Compact){
		"as it came":          nil,
		"another chain":       func(w *wire.Compact) { w.Chain = "other-00000000" },
		"too few":             func(w *wire.Compact) { w.Count-- },
		"too many":            func(w *wire.Compact) { w.Count++ },
		"another node":        func(w *wire.Compact) { w.Node = "court-a" },
		"another batch":       func(w *wire.Compact) { w.Seq++ },
		"another place":       func(w *wire.Compact) { w.Receipt.First ^= 1 },
		"no place":            func(w *wire.Compact) { w.Receipt.First = 1 << 63 },
		"no head":             func(w *wire.Compact) { w.Receipt.Head = "" },
		"half a head":         func(w *wire.Compact) { w.Receipt.Head = w.Receipt.Head[:100] },
		"a head of another":   func(w *wire.Compact) { resign(w, "court-a") },
		"a head of nobody":    func(w *wire.Compact) { resign(w, "vendor-z") },
		"a head by the user":  func(w *wire.Compact) { resign(w, apitest.Node) },
		"no path":             func(w *wire.Compact) { w.Receipt.Path = nil },
		"a path too long":     func(w *wire.Compact) { w.Receipt.Path = append(w.Receipt.Path, w.Receipt.Path[0]) },
		"an endless path":     func(w *wire.Compact) { w.Receipt.Path = make([]wire.Digest, 54) },
		"another SM3 half":    func(w *wire.Compact) { w.Receipt.Path[0].SM3 = strings.Repeat("0", 64) },
		"another SHA256 half": func(w *wire.Compact) { w.Receipt.Path[0].SHA256 = strings.Repeat("0", 64) },
		"no hex":              func(w *wire.Compact) { w.Receipt.Path[0].SM3 = strings.Repeat("x", 64) },
		"half a half":         func(w *wire.Compact) { w.Receipt.Path[0].SM3 = "00" },
	} {
		t.Run(name, func(t *testing.T) {
			r, err := lying(t, honest, change)
			if err == nil {
				err = r.Verify(req, n.Policy)
				_, again := client.NewRangeVerifier(n.Policy, 1).Verify(r, req)
				if (again == nil) != (err == nil) {
					t.Errorf("Verify says %v, the verifier %v", err, again)
				}
			}
			if change == nil {
				if err != nil {
					t.Fatal(err)
				}
				if err := r.Verify(req, foreign.Policy); !errors.Is(err, client.ErrReceipt) {
					t.Errorf("by the policy of another chain: %v", err)
				}
				if err := r.Verify(several(t, n, 3), n.Policy); !errors.Is(err, client.ErrReceipt) {
					t.Errorf("for another request: %v", err)
				}
				return
			}
			if !errors.Is(err, client.ErrReceipt) {
				t.Errorf("error %v, want ErrReceipt", err)
			}
		})
	}
}

// TestRangeVerifierSamples: of three receipts one is checked fully, and what is
// not in the sample must still speak of the request.
func TestRangeVerifierSamples(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	req, honest := shared(t, n)
	forged, err := lying(t, honest, func(w *wire.Compact) { w.Receipt.Path[0].SM3 = strings.Repeat("0", 64) })
	if err != nil {
		t.Fatal(err)
	}
	v := client.NewRangeVerifier(n.Policy, 3)
	for i := range 9 {
		sampled, err := v.Verify(forged, req)
		if sampled != (i%3 == 0) || sampled != errors.Is(err, client.ErrReceipt) {
			t.Errorf("receipt %d: sampled %t, %v", i, sampled, err)
		}
	}
	fewer, err := lying(t, honest, func(w *wire.Compact) { w.Count-- })
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := v.Verify(fewer, req); !errors.Is(err, client.ErrReceipt) {
			t.Errorf("a receipt for fewer records: %v", err)
		}
	}
}

// FuzzCompactAnswer: whatever a node answers, the client neither panics nor
// believes it, except for the truth.
func FuzzCompactAnswer(f *testing.F) {
	n := apitest.NewNode(f, apitest.Options{})
	req := several(f, n, 2)
	honest, err := n.Client.SubmitCompact(f.Context(), req.Raw, 0)
	if err != nil {
		f.Fatal(err)
	}
	r := honest.Range
	good := fmt.Appendf(nil, `{"chain":%q,"count":2,"node":%q,"receipt":{"first":0,"head":%q,"path":[]},"seq":%d,"state":"accepted"}`,
		r.Chain, r.Node, r.Head, r.Seq)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte(`{"records":[]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := client.ParseAnswer(raw)
		if err != nil || a.Range == nil {
			return
		}
		if err := a.Range.Verify(req, n.Policy); err == nil && (!bytes.Equal(a.Range.Head, r.Head) || a.Range.First != r.First) {
			t.Fatalf("believed: %s", raw)
		}
		_, _ = a.Range.Submitted(req)
	})
}

func BenchmarkRangeReceipt(b *testing.B) {
	n := apitest.NewNode(b, apitest.Options{})
	for _, count := range []int{1, 100} {
		req := several(b, n, count)
		a, err := n.Client.SubmitCompact(b.Context(), req.Raw, 0)
		if err != nil {
			b.Fatal(err)
		}
		v := client.NewRangeVerifier(n.Policy, 1)
		b.Run(fmt.Sprintf("verify/records=%d", count), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(a.Range, req); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/record")
		})
		b.Run(fmt.Sprintf("files/records=%d", count), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Range.Submitted(req); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/record")
		})
	}
}
