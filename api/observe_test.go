package api_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"qifeng/api"
	"qifeng/api/apitest"
)

// answers collects what the server tells of its answers.
type answers struct {
	mu  sync.Mutex
	got []api.Answer
}

func (a *answers) add(x api.Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = append(a.got, x)
}

// TestObserve: each answer is told once, with route and code and never with
// what the caller wrote.
func TestObserve(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	var told answers
	handler := observed(t, n, &told, nil)
	for _, r := range []*http.Request{
		httptest.NewRequest("GET", "/healthz", nil),
		httptest.NewRequest("GET", "/v1/records/"+strings.Repeat("ab", 32), nil),
		httptest.NewRequest("GET", "/v1/keys?secret=secret", nil),
		httptest.NewRequest("GET", "/secret", nil),
		httptest.NewRequest("SECRET", "/v1/status", nil),
		httptest.NewRequest("POST", "/v1/records", strings.NewReader("{}")),
		httptest.NewRequest("GET", "/metrics", nil),
	} {
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	want := []api.Answer{
		{Method: "GET", Route: "/healthz", Status: 200},
		{Method: "GET", Route: "/v1/records/:id", Status: 401, Problem: "signature-missing"},
		{Method: "GET", Route: "/v1/keys", Status: 400, Problem: "bad-parameter"},
		{Method: "GET", Route: "none", Status: 404, Problem: "not-found"},
		{Method: "other", Route: "none", Status: 405, Problem: "method-not-allowed"},
		{Method: "POST", Route: "/v1/records", Status: 415, Problem: "unsupported-media-type"},
		{Method: "GET", Route: "none", Status: 404, Problem: "not-found"},
	}
	got := slices.Clone(told.got)
	for i := range got {
		if got[i].Took <= 0 || got[i].Bytes == 0 {
			t.Errorf("%+v", got[i])
		}
		got[i].Took, got[i].Bytes = 0, 0
	}
	if !slices.Equal(got, want) {
		t.Errorf("told\n%+v\nwant\n%+v", got, want)
	}
}

// TestMetricsRoute: the route is there if the node has something for it.
func TestMetricsRoute(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	handler := observed(t, n, &answers{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("x 1\n")) }))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 || w.Body.String() != "x 1\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// observed is another server over the same rooms, which tells of its answers.
func observed(t *testing.T, n *apitest.TestNode, told *answers, metrics http.Handler) http.Handler {
	t.Helper()
	s, err := api.New(api.Config{Node: apitest.Node, Genesis: n.Genesis.Raw, Archive: n.Archive, Chain: n.Ledger, Logger: slog.New(slog.DiscardHandler),
		Origins: []string{n.HTTP.URL}, Audit: n.Audit, Now: n.Clock.Now, Observe: told.add, Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUnreadyAndLoad(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Auto()
	if got := n.Server.Unready(); len(got) != 0 {
		t.Errorf("unready: %v", got)
	}
	n.Server.Drain()
	if got := n.Server.Unready(); !slices.Equal(got, []string{"stopping"}) {
		t.Errorf("unready: %v", got)
	}
	if a, b := n.Server.Load(); a != 0 || b != 0 {
		t.Errorf("load %d %d", a, b)
	}
}

func TestHideAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"http: TLS handshake error from 203.0.113.9:4711: EOF":     "http: TLS handshake error from …: EOF",
		"http: TLS handshake error from [2001:db8::1]:4711: EOF":   "http: TLS handshake error from …: EOF",
		"from [fe80::1%eth0]:80: x":                                "from …: x",
		"dial 10.0.0.1: no":                                        "dial …: no",
		"http: Accept error: accept tcp 127.0.0.1:8100: too many":  "http: Accept error: accept tcp …: too many",
		"tls: client offered only unsupported versions: [302 301]": "tls: client offered only unsupported versions: [302 301]",
		errors.ErrUnsupported.Error():                              errors.ErrUnsupported.Error(),
	} {
		if got := api.HideAddresses(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
