package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"qifeng/api"
	"qifeng/api/apitest"
	"qifeng/api/client"
	"qifeng/api/wire"
)

func TestNewRefuses(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	good := api.Config{Node: apitest.Node, Genesis: n.Genesis.Raw, Archive: n.Archive, Chain: n.Ledger,
		Origins: []string{n.HTTP.URL}, Audit: n.Audit}
	if _, err := api.New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*api.Config){
		"no node":     func(c *api.Config) { c.Node = "" },
		"no archive":  func(c *api.Config) { c.Archive = nil },
		"no chain":    func(c *api.Config) { c.Chain = nil },
		"no origins":  func(c *api.Config) { c.Origins = nil },
		"bad origin":  func(c *api.Config) { c.Origins = []string{"https://court.example/api"} },
		"no audit":    func(c *api.Config) { c.Audit = nil },
		"no genesis":  func(c *api.Config) { c.Genesis = nil },
		"bad genesis": func(c *api.Config) { c.Genesis = []byte("{}") },
	} {
		cfg := good
		change(&cfg)
		if _, err := api.New(cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// serve runs the node's server on a listener of its own.
func serve(t *testing.T, n *apitest.TestNode) (addr string, stop func() error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Server.Serve(ctx, ln) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(5 * time.Second):
			return fmt.Errorf("the server did not stop in 5 s")
		}
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String(), stop
}

// TestShutdownAnswersWaiters: who waits for a seal that does not come is
// answered at once with what is reached, and an idle connection holds nothing up.
func TestShutdownAnswersWaiters(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	addr, stop := serve(t, n)
	idle, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if _, err := io.WriteString(idle, "GET /healthz HTTP/1.1\r\n"); err != nil { // half a header
		t.Fatal(err)
	}
	c, err := client.New("http://"+addr, client.Options{Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	req := request(t, n, contract(n, "x"))
	type result struct {
		answer *client.Submitted
		err    error
	}
	got := make(chan result, 1)
	go func() {
		a, err := c.Submit(context.Background(), req.Raw, 30*time.Second)
		got <- result{a, err}
	}()
	waitFor(t, "the record", func() bool { return stored(n) == 1 })
	start := time.Now()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	r := <-got
	if r.err != nil || r.answer.State != wire.Accepted {
		t.Errorf("the waiter got %+v, %v", r.answer, r.err)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("stopping took %s", took)
	}
	if _, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
		t.Error("the port is still open")
	}
}

func TestListenerFailure(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	if err := n.Server.Serve(t.Context(), ln); err == nil {
		t.Error("serving on a closed listener succeeded")
	}
}

// TestHeaderLimit: a header beyond the bound ends the connection with net/http's
// own answer, before any of our code.
func TestHeaderLimit(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	addr, _ := serve(t, n)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		_, _ = fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", 64<<10))
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d, want 431", resp.StatusCode)
	}
}

// TestHeaders: what every answer carries, and what the proxy headers of a
// stranger do: nothing.
func TestHeaders(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	resp, _ := call(t, n, "GET", "/v1/status", nil, "X-Forwarded-For", "203.0.113.9", "X-Request-Id", "mine", "Accept-Encoding", "gzip")
	if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Cache-Control") != "no-store" ||
		resp.Header.Get("Content-Encoding") != "" || len(resp.Header.Get("X-Request-Id")) != 16 {
		t.Errorf("headers %v", resp.Header)
	}
	if strings.Contains(n.Log.String(), "203.0.113.9") || strings.Contains(n.Log.String(), "mine") {
		t.Error("a stranger writes the log")
	}
}

// TestPanicIsAProblem: a panic in a handler is answered like any failure, and
// one below the answer's head ends it without a word.
func TestPanicIsAProblem(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{Chain: func(c api.Chain) api.Chain { return &panicChain{c} }})
	resp, body := call(t, n, "GET", "/v1/status", nil)
	p := problemOf(t, resp, body)
	if p.Status != 500 || p.Code != "internal" || strings.Contains(string(body), "ouch") {
		t.Errorf("%s", body)
	}
	if log := n.Log.String(); !strings.Contains(log, "ouch") || !strings.Contains(log, "panicChain") || !strings.Contains(log, p.RequestID) {
		t.Errorf("the log lacks panic, stack or request id: %s", log)
	}
	if resp, _ := call(t, n, "GET", "/healthz", nil); resp.StatusCode != 200 {
		t.Errorf("afterwards healthz is %d", resp.StatusCode)
	}
}

// TestWaiterSlots: more waiting requests than slots are answered, at once.
func TestWaiterSlots(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Server.FillWaiters()
	start := time.Now()
	resp, body := call(t, n, "POST", "/v1/records", request(t, n, contract(n, "x")).Raw, "Prefer", "wait=20")
	var answer wire.Submitted
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != 201 || answer.State != wire.Accepted || time.Since(start) > 5*time.Second {
		t.Errorf("%d %s after %s", resp.StatusCode, body, time.Since(start))
	}
}

// TestWaitOutlastsReadTimeout: the time to read a request does not count
// against the wait that it asks for.
func TestWaitOutlastsReadTimeout(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	srv := httptest.NewUnstartedServer(n.Server)
	srv.Config.ReadTimeout = 300 * time.Millisecond
	srv.Start()
	defer srv.Close()
	c, err := client.New(srv.URL, client.Options{Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	answer, err := c.Submit(t.Context(), request(t, n, contract(n, "x")).Raw, time.Second)
	if err != nil || answer.State != wire.Accepted || time.Since(start) < time.Second {
		t.Errorf("%+v, %v after %s", answer, err, time.Since(start))
	}
}
