package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"qifeng/api/httpsig"
	"qifeng/evidence"
	"qifeng/internal/gm"
)

// answers is a server that gives its answers one after the other and keeps what
// it was sent.
type answers struct {
	list   []func(w http.ResponseWriter)
	bodies []string
	heads  []http.Header
	paths  []string
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	a.bodies = append(a.bodies, string(b))
	a.heads = append(a.heads, r.Header.Clone())
	a.paths = append(a.paths, r.URL.String())
	i := min(len(a.bodies), len(a.list)) - 1
	a.list[i](w)
}

func text(status int, contentType, body string, head ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", contentType)
		for i := 0; i+1 < len(head); i += 2 {
			w.Header().Set(head[i], head[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func problem(status int, code string, head ...string) func(http.ResponseWriter) {
	return text(status, "application/problem+json", fmt.Sprintf(`{"title":"t","status":%d,"code":%q,"request_id":"r1"}`, status, code), head...)
}

func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
}

func start(t *testing.T, opt Options, list ...func(http.ResponseWriter)) (*Client, *answers, *[]time.Duration) {
	t.Helper()
	a := &answers{list: list}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	var pauses []time.Duration
	opt.Pause = func(ctx context.Context, d time.Duration) error {
		pauses = append(pauses, d)
		return ctx.Err()
	}
	c, err := New(srv.URL+"/", opt)
	if err != nil {
		t.Fatal(err)
	}
	return c, a, &pauses
}

func TestNewAddress(t *testing.T) {
	for _, tc := range []struct {
		url string
		ok  bool
	}{
		{"http://127.0.0.1:8100", true},
		{"https://node.example/qifeng/", true},
		{"127.0.0.1:8100", false},
		{"ftp://127.0.0.1", false},
		{"http://", false},
		{"http://host?x=1", false},
		{"", false},
	} {
		if _, err := New(tc.url, Options{}); (err == nil) != tc.ok {
			t.Errorf("New(%q): error %v, want ok %t", tc.url, err, tc.ok)
		}
	}
}

func TestRetries(t *testing.T) {
	const good = `{"chain":"c","state":"accepted","records":[]}`
	ok := text(201, "application/json", good)
	for _, tc := range []struct {
		name  string
		list  []func(http.ResponseWriter)
		tries int
		code  string // of the problem, "" for success
	}{
		{"at once", []func(http.ResponseWriter){ok}, 1, ""},
		{"after busy", []func(http.ResponseWriter){problem(503, "busy"), problem(429, "rate"), ok}, 3, ""},
		{"after a cut", []func(http.ResponseWriter){cut, ok}, 2, ""},
		{"after a proxy", []func(http.ResponseWriter){text(502, "text/html", "<h1>bad gateway</h1>"), ok}, 2, ""},
		{"never for a refusal", []func(http.ResponseWriter){problem(400, "invalid")}, 1, "invalid"},
		{"never for a failure", []func(http.ResponseWriter){problem(500, "internal")}, 1, "internal"},
		{"not for ever", []func(http.ResponseWriter){problem(503, "busy")}, 3, "busy"},
		{"what is no problem document", []func(http.ResponseWriter){text(404, "text/html", "nothing")}, 1, "http"},
		{"a redirect is not followed", []func(http.ResponseWriter){text(307, "text/plain", "", "Location", "/elsewhere")}, 1, "http"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, a, _ := start(t, Options{Attempts: 3}, tc.list...)
			out, err := c.Submit(t.Context(), []byte(`{"the":"bytes"}`), 0)
			if len(a.bodies) != tc.tries {
				t.Errorf("sent %d times, want %d", len(a.bodies), tc.tries)
			}
			for i, b := range a.bodies {
				if b != `{"the":"bytes"}` {
					t.Errorf("attempt %d sent other bytes: %q", i, b)
				}
			}
			if tc.code == "" {
				if err != nil || out.State != Accepted {
					t.Fatalf("got %+v, %v", out, err)
				}
				return
			}
			if !HasCode(err, tc.code) {
				t.Fatalf("error %v, want code %s", err, tc.code)
			}
		})
	}
}

// TestSignsEachAttempt: what is read is signed anew each time, what is posted not
// at all, and a nonce that was seen is made good by another.
func TestSignsEachAttempt(t *testing.T) {
	key, err := gm.GenerateKey(gm.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1795248000, 0)
	opt := Options{Attempts: 3, KeyID: "court-a/desk-1", Signer: key, Now: func() time.Time { return now }}
	c, a, _ := start(t, opt, problem(401, "signature-replayed"), problem(503, "busy"), text(200, "application/json", `{"records":[]}`))
	if _, err := c.FindByDigest(t.Context(), "sm3", [32]byte{}, Page{}); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, h := range a.heads {
		input := h.Get("Signature-Input")
		if seen[input] || !strings.Contains(input, `;created=1795248000;`) || !strings.Contains(input, `;keyid="court-a/desk-1";`) || h.Get("Signature") == "" {
			t.Errorf("signed by %q", input)
		}
		seen[input] = true
	}
	if len(seen) != 3 {
		t.Errorf("%d signatures, want 3", len(seen))
	}
	c, a, _ = start(t, opt, text(201, "application/json", `{"records":[]}`))
	if _, err := c.Submit(t.Context(), []byte("{}"), 0); err != nil || httpsig.Signed(a.heads[0]) {
		t.Errorf("what was posted is signed: %v, %v", a.heads[0], err)
	}
	c, a, _ = start(t, opt, problem(401, "signature-stale"))
	if _, err := c.Seals(t.Context(), 1); !HasCode(err, "signature-stale") || len(a.heads) != 1 {
		t.Errorf("%d attempts with a wrong clock, %v", len(a.heads), err)
	}
	for _, half := range []Options{{KeyID: "court-a/desk-1"}, {Signer: key}} {
		if _, err := New("http://127.0.0.1:8100", half); err == nil {
			t.Errorf("taken: %+v", half)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	ok := text(200, "text/plain", "note")
	for _, tc := range []struct {
		value    string
		min, max time.Duration
	}{
		{"2", 2 * time.Second, 2*time.Second + firstBackoff},
		{"99999", maxRetryAfter, maxRetryAfter + firstBackoff},
		{"soon", firstBackoff / 2, firstBackoff},
		{"-1", firstBackoff / 2, firstBackoff},
		{"Mon, 02 Jan 2006 15:04:05 GMT", firstBackoff / 2, firstBackoff},
	} {
		c, _, pauses := start(t, Options{}, problem(503, "busy", "Retry-After", tc.value), ok)
		if _, err := c.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := (*pauses)[0]; len(*pauses) != 1 || d < tc.min || d > tc.max {
			t.Errorf("Retry-After %q: paused %v, want one pause of %v to %v", tc.value, *pauses, tc.min, tc.max)
		}
	}
}

func TestContextEndsRetries(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, a, _ := start(t, Options{}, func(w http.ResponseWriter) {
		cancel()
		problem(503, "busy")(w)
	})
	_, err := c.Checkpoint(ctx)
	if len(a.bodies) != 1 || err == nil {
		t.Fatalf("sent %d times after the context ended, error %v", len(a.bodies), err)
	}
}

func TestNodeIsDown(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	tries := 0
	c, err := New("http://"+addr, Options{Pause: func(context.Context, time.Duration) error { tries++; return nil }})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Status(t.Context())
	var op *net.OpError
	if !errors.As(err, &op) || tries != defaultAttempts-1 {
		t.Fatalf("error %v after %d retries, want a dial error after %d", err, tries, defaultAttempts-1)
	}
}

func TestAnswerTooLong(t *testing.T) {
	c, _, _ := start(t, Options{}, text(200, "text/plain", strings.Repeat("x", maxSmallAnswer+1)))
	if _, err := c.Policy(t.Context()); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Fatalf("error %v, want the bound", err)
	}
}

func TestLongProblemIsBounded(t *testing.T) {
	c, _, _ := start(t, Options{}, text(400, "application/problem+json", `{"code":"x","title":"`+strings.Repeat("y", 10*maxProblem)+`"}`))
	if _, err := c.Policy(t.Context()); !HasCode(err, "http") {
		t.Fatalf("error %v, want a problem made from the status alone", err)
	}
}

func TestRequestsSent(t *testing.T) {
	id := evidence.ID(strings.Repeat("ab", 32))
	var hash [32]byte
	for _, tc := range []struct {
		name   string
		call   func(*Client) error
		path   string
		prefer string
	}{
		{"record", func(c *Client) error { _, err := c.Record(t.Context(), id); return err }, "/v1/records/" + string(id), ""},
		{"await", func(c *Client) error {
			_, err := c.Await(t.Context(), id, Committed, 1500*time.Millisecond)
			return err
		},
			"/v1/records/" + string(id) + "?until=committed", "wait=2"},
		{"a long wait is cut", func(c *Client) error { _, err := c.Await(t.Context(), id, "", time.Hour); return err }, "/v1/records/" + string(id), "wait=30"},
		{"an id cannot leave its place", func(c *Client) error { _, err := c.Record(t.Context(), "../status?x="); return err },
			"/v1/records/..%2Fstatus%3Fx=", ""},
		{"digest", func(c *Client) error { _, err := c.FindByDigest(t.Context(), "sm3", hash, Page{}); return err },
			"/v1/records?digest=sm3%3A" + strings.Repeat("00", 32), ""},
		{"dossier", func(c *Client) error {
			_, err := c.FindByDossier(t.Context(), "d", Page{Cursor: "c", Limit: 7})
			return err
		}, "/v1/records?cursor=c&dossier=d&limit=7", ""},
		{"seals", func(c *Client) error { _, err := c.Seals(t.Context(), 9); return err }, "/v1/seals?size=9", ""},
		{"keys", func(c *Client) error { _, err := c.Keys(t.Context(), "court-a"); return err }, "/v1/keys?member=court-a", ""},
		{"members", func(c *Client) error { _, err := c.Members(t.Context()); return err }, "/v1/members", ""},
		{"genesis", func(c *Client) error { _, err := c.Genesis(t.Context()); return err }, "/v1/genesis", ""},
		{"ready", func(c *Client) error { _, err := c.Ready(t.Context()); return err }, "/readyz", ""},
		{"register", func(c *Client) error { _, err := c.RegisterKey(t.Context(), []byte("{}")); return err }, "/v1/keys", "wait=30"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, a, _ := start(t, Options{}, text(200, "application/json", "{}"))
			if err := tc.call(c); err != nil {
				t.Fatal(err)
			}
			if a.paths[0] != tc.path || a.heads[0].Get("Prefer") != tc.prefer {
				t.Errorf("sent %s with Prefer %q, want %s with %q", a.paths[0], a.heads[0].Get("Prefer"), tc.path, tc.prefer)
			}
		})
	}
}

func TestReadyIsAnswerNotError(t *testing.T) {
	c, a, _ := start(t, Options{}, text(503, "application/json", `{"ready":false,"reasons":[{"code":"quorum","detail":"d"}]}`))
	r, err := c.Ready(t.Context())
	if err != nil || r.Ready || len(r.Reasons) != 1 || len(a.bodies) != 1 {
		t.Fatalf("got %+v, %v after %d requests", r, err, len(a.bodies))
	}
}

func TestWaitProof(t *testing.T) {
	c, a, _ := start(t, Options{}, problem(409, "not-sealed-yet"), problem(409, "not-sealed-yet"), problem(404, "not-found"))
	_, err := c.WaitProof(t.Context(), "x")
	if !HasCode(err, "not-found") || len(a.bodies) != 3 {
		t.Fatalf("error %v after %d requests", err, len(a.bodies))
	}
}

func TestBadAnswers(t *testing.T) {
	c, _, _ := start(t, Options{}, text(200, "application/json", "{"))
	if _, err := c.Status(t.Context()); err == nil {
		t.Error("half a status was taken")
	}
	if _, err := c.Proof(t.Context(), "x", 0); err == nil {
		t.Error("half a proof was taken")
	}
}
