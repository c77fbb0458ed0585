package tsa_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qifeng/anchor"
	"qifeng/anchor/anchortest"
	"qifeng/anchor/tsa"
	"qifeng/proof"
	"qifeng/proof/timestamp"
	responder "qifeng/test/tsa"
)

var algs = []responder.Alg{responder.RSA, responder.ECDSA, responder.SM2}

// note is what is stamped where no sealed one is needed.
var note = []byte("qifeng/test-00000000\n7\nAAAA\nsm3 AAAA\n\n— court-a AAAA\n")

// client is a driver for an authority. A fault on the way to it is set by change.
func client(t *testing.T, a *responder.Authority, change func(*tsa.Config)) *tsa.Client {
	t.Helper()
	cfg := tsa.Config{URL: a.URL, Hash: a.Hash(), Authority: timestamp.Authority{Name: "authority", Roots: [][]byte{a.Root()}}}
	if change != nil {
		change(&cfg)
	}
	c, err := tsa.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func put(t *testing.T, c *tsa.Client) (anchor.Receipt, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return c.Put(ctx, anchor.Checkpoint{Size: 7, Note: note}, nil)
}

func TestConformance(t *testing.T) {
	for _, alg := range algs {
		t.Run(string(alg), func(t *testing.T) {
			a := responder.Start(t, responder.Config{Alg: alg})
			target, err := url.Parse(a.URL)
			if err != nil {
				t.Fatal(err)
			}
			anchortest.Run(t, func(t *testing.T) anchortest.Fixture {
				proxy := anchortest.NewProxy(t, target.Host)
				u := *target
				u.Host = proxy.Addr
				authority := timestamp.Authority{Name: "authority", Roots: [][]byte{a.Root()}}
				c, err := tsa.New(tsa.Config{URL: u.String(), Hash: a.Hash(), Authority: authority})
				if err != nil {
					t.Fatal(err)
				}
				chain := anchortest.NewChain(t, "test")
				return anchortest.Fixture{
					Anchor: c, Name: "authority", Chain: chain, Stateless: true,
					Roots: &proof.AnchorRoots{Chain: chain.Policy.Chain, Timestamps: []timestamp.Authority{authority}},
					Stop:  proxy.Stop, Start: func() { proxy.Start(t) }, Hang: proxy.Hang, Go: proxy.Go,
				}
			})
		})
	}
}

// TestToken looks at what a receipt holds: a token of this moment, with lists of both CAs.
func TestToken(t *testing.T) {
	for _, alg := range algs {
		t.Run(string(alg), func(t *testing.T) {
			a := responder.Start(t, responder.Config{Alg: alg})
			c := client(t, a, nil)
			for range 3 {
				r, err := put(t, c)
				if err != nil {
					t.Fatal(err)
				}
				got, err := timestamp.Verify(r.Data, note, &timestamp.Authority{Name: "authority", Roots: [][]byte{a.Root()}})
				if err != nil {
					t.Fatal(err)
				}
				if got.Revoked != timestamp.NotRevoked || got.ListFrom.IsZero() || time.Since(got.Time).Abs() > time.Minute || got.Accuracy != 500*time.Millisecond {
					t.Fatalf("token %+v", got)
				}
				if string(r.Note) != string(note) {
					t.Fatal("the receipt covers another note")
				}
				t.Logf("%d bytes, %s", len(r.Data), got.Algorithm)
			}
			if a.Lists() != 2 {
				t.Fatalf("lists were fetched %d times, want once each", a.Lists())
			}
		})
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name    string
		fault   responder.Fault
		want    string
		refused bool
	}{
		{"wrong nonce", responder.Fault{WrongNonce: true}, "its nonce is not ours", false},
		{"no nonce", responder.Fault{NoNonce: true}, "its nonce is not ours", false},
		{"wrong imprint", responder.Fault{WrongImprint: true}, "does not cover this statement", false},
		{"badAlg", responder.Fault{RejectAlg: true}, "badAlg", true},
		{"badRequest", responder.Fault{Reject: 2}, "badRequest", true},
		{"badDataFormat", responder.Fault{Reject: 5}, "badDataFormat", true},
		{"timeNotAvailable", responder.Fault{Reject: 14}, "timeNotAvailable", false},
		{"unacceptedPolicy", responder.Fault{Reject: 15}, "unacceptedPolicy", true},
		{"systemFailure", responder.Fault{Reject: 25}, `systemFailure: it cannot answer now; it says "not today"`, false},
		{"unknown failure", responder.Fault{Reject: 9}, "failure 9", false},
		{"500", responder.Fault{Status: 500}, "HTTP status 500 (out of order)", false},
		{"404", responder.Fault{Status: 404}, "not the address", true},
		{"302", responder.Fault{Status: 302}, "redirects", true},
		{"another content type", responder.Fault{Type: "text/html"}, `of type "text/html"`, false},
		{"no content type", responder.Fault{Type: ";"}, "want application/timestamp-reply", false},
		{"garbage", responder.Fault{Body: []byte("hello")}, "malformed answer", false},
		{"granted without a token", responder.Fault{Body: responder.Granted(nil)}, "without a token", false},
		{"too long", responder.Fault{Body: make([]byte, 1<<20)}, "more than", false},
		{"reset", responder.Fault{Reset: true}, "reading the answer", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := responder.Start(t, responder.Config{Alg: responder.ECDSA})
			client := client(t, a, nil)
			a.Fail(c.fault)
			_, err := put(t, client)
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, anchor.ErrRefused) != c.refused {
				t.Fatalf("error %v (refused: %v), want one with %q (refused: %v)", err, errors.Is(err, anchor.ErrRefused), c.want, c.refused)
			}
			a.Fail(responder.Fault{})
			if _, err := put(t, client); err != nil {
				t.Fatalf("after the fault: %v", err)
			}
		})
	}
}

func TestDeadline(t *testing.T) {
	a := responder.Start(t, responder.Config{Alg: responder.ECDSA, Own: true})
	c := client(t, a, nil)
	a.Fail(responder.Fault{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := c.Put(ctx, anchor.Checkpoint{Note: note}, nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Fatalf("error %v after %v", err, time.Since(began))
	}
	// Lists that hang cost no receipt.
	a.Fail(responder.Fault{SlowLists: time.Hour})
	ctx, cancel = context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	r, err := c.Put(ctx, anchor.Checkpoint{Note: note}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := verify(t, a, r); got.Revoked != timestamp.NotChecked {
		t.Fatalf("token %+v", got)
	}
	a.Down()
	if _, err := put(t, c); err == nil || errors.Is(err, anchor.ErrRefused) {
		t.Fatalf("error %v from an authority that is down", err)
	}
	if err := a.Up(); err != nil {
		t.Fatal(err)
	}
	a.Fail(responder.Fault{})
	if _, err := put(t, c); err != nil {
		t.Fatal(err)
	}
}

func verify(t *testing.T, a *responder.Authority, r anchor.Receipt) *timestamp.Token {
	t.Helper()
	got, err := timestamp.Verify(r.Data, note, &timestamp.Authority{Name: "authority", Roots: [][]byte{a.Root()}})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestRevocation(t *testing.T) {
	for _, alg := range algs {
		a := responder.Start(t, responder.Config{Alg: alg})
		a.Revoke(time.Now().Add(-time.Minute), 4)
		if _, err := put(t, client(t, a, nil)); !errors.Is(err, anchor.ErrRefused) || !errors.Is(err, timestamp.ErrRevoked) {
			t.Fatalf("%s: error %v from a revoked authority", alg, err)
		}
	}
	a := responder.Start(t, responder.Config{Alg: responder.ECDSA})
	a.Fail(responder.Fault{NoLists: true})
	r, err := put(t, client(t, a, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := verify(t, a, r); got.Revoked != timestamp.NotChecked {
		t.Fatalf("token %+v", got)
	}
	// One that has expired at the token's time says nothing, and nothing bad.
	a = responder.Start(t, responder.Config{Alg: responder.SM2, ListFor: 30 * time.Second})
	if r, err = put(t, client(t, a, nil)); err != nil {
		t.Fatal(err)
	}
	if got := verify(t, a, r); got.Revoked != timestamp.NotChecked || got.ListUntil.IsZero() {
		t.Fatalf("token %+v", got)
	}
}

// TestLists: a list is fetched once in a while, and why there is none is logged once.
func TestLists(t *testing.T) {
	a := responder.Start(t, responder.Config{Alg: responder.ECDSA, Own: true, ListFor: time.Hour})
	var off time.Duration
	var logged bytes.Buffer
	c := client(t, a, func(cfg *tsa.Config) {
		cfg.Now = func() time.Time { return time.Now().Add(off) }
		cfg.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	})
	stamp := func(want timestamp.Revocation, lists int, says string) {
		t.Helper()
		before := a.Lists()
		logged.Reset()
		r, err := put(t, c)
		if err != nil {
			t.Fatal(err)
		}
		if got := verify(t, a, r); got.Revoked != want {
			t.Fatalf("token %+v, want %q", got, want)
		}
		if a.Lists()-before != lists {
			t.Fatalf("%d lists were fetched, want %d", a.Lists()-before, lists)
		}
		if text := logged.String(); (text == "") != (says == "") || !strings.Contains(text, says) {
			t.Fatalf("logged %q, want %q", text, says)
		}
	}
	stamp(timestamp.NotRevoked, 2, "")
	stamp(timestamp.NotRevoked, 0, "")
	off = 11 * time.Minute
	a.SetClock(off)
	stamp(timestamp.NotRevoked, 2, "")
	stamp(timestamp.NotRevoked, 0, "")
	off = 5 * time.Minute // back
	a.SetClock(off)
	stamp(timestamp.NotRevoked, 2, "")

	off += time.Hour
	a.SetClock(off)
	a.Fail(responder.Fault{NoLists: true})
	stamp(timestamp.NotChecked, 2, "HTTP status 404")
	stamp(timestamp.NotChecked, 2, "")
	a.Fail(responder.Fault{})
	stamp(timestamp.NotRevoked, 2, "")
	a.Fill(700)
	stamp(timestamp.NotRevoked, 0, "")
	off += time.Hour
	a.SetClock(off)
	stamp(timestamp.NotChecked, 2, "more than 12288 bytes")
	stamp(timestamp.NotChecked, 1, "") // the root's is short, and kept

	// The signer's list that has run out is not kept.
	b := responder.Start(t, responder.Config{Alg: responder.ECDSA, Own: true, ListFor: time.Second})
	a, c = b, client(t, b, nil)
	stamp(timestamp.NotChecked, 2, "")
	stamp(timestamp.NotChecked, 1, "")
}

func TestCertificates(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  responder.Config
		want string
	}{
		{"expired", responder.Config{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}, "no chain to a pinned root"},
		{"not yet valid", responder.Config{NotBefore: time.Now().Add(time.Hour)}, "no chain to a pinned root"},
	} {
		for _, alg := range algs {
			t.Run(string(alg)+"/"+c.name, func(t *testing.T) {
				c.cfg.Alg = alg
				a := responder.Start(t, c.cfg)
				if _, err := put(t, client(t, a, nil)); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("error %v", err)
				}
			})
		}
	}
	// Another's root.
	a, b := responder.Start(t, responder.Config{Alg: responder.ECDSA}), responder.Start(t, responder.Config{Alg: responder.ECDSA})
	c := client(t, a, func(cfg *tsa.Config) { cfg.Authority.Roots = [][]byte{b.Root()} })
	if _, err := put(t, c); err == nil || !strings.Contains(err.Error(), "no chain to a pinned root") {
		t.Fatalf("error %v", err)
	}
}

func TestClock(t *testing.T) {
	for _, c := range []struct {
		off  time.Duration
		want string
	}{
		{0, ""}, {55 * time.Second, ""}, {-55 * time.Second, ""},
		{90 * time.Second, "ahead of ours"}, {-90 * time.Second, "behind ours"},
	} {
		a := responder.Start(t, responder.Config{Alg: responder.ECDSA, Own: true, Clock: c.off})
		_, err := put(t, client(t, a, nil))
		var clock *tsa.ClockError
		if (c.want == "") != (err == nil) || err != nil && (!errors.As(err, &clock) || !strings.Contains(err.Error(), c.want) || errors.Is(err, anchor.ErrRefused) || !errors.Is(err, anchor.ErrSpent)) {
			t.Fatalf("clock off by %v: error %v", c.off, err)
		}
	}
}

func TestLogin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("geheim\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := responder.Start(t, responder.Config{Alg: responder.ECDSA, User: "qifeng", Password: "geheim"})
	login := func(cfg *tsa.Config) { cfg.User, cfg.PasswordFile = "qifeng", file }
	c := client(t, a, login)
	if _, err := put(t, c); err != nil {
		t.Fatal(err)
	}
	if _, err := put(t, client(t, a, nil)); !errors.Is(err, anchor.ErrRefused) {
		t.Fatalf("without a password: %v", err)
	}
	if err := os.WriteFile(file, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := put(t, c); !errors.Is(err, anchor.ErrRefused) || strings.Contains(err.Error(), "other") {
		t.Fatalf("with a wrong password: %v", err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := put(t, c); !errors.Is(err, anchor.ErrRefused) || !strings.Contains(err.Error(), "chmod 600") {
		t.Fatalf("with a password that others may read: %v", err)
	}
}

// TestRedirect: nobody but the address that was named gets the note's digest, or the password.
func TestRedirect(t *testing.T) {
	a := responder.Start(t, responder.Config{Alg: responder.ECDSA})
	front := httptest.NewServer(http.RedirectHandler(a.URL, http.StatusTemporaryRedirect))
	defer front.Close()
	_, err := put(t, client(t, a, func(cfg *tsa.Config) { cfg.URL = front.URL }))
	if !errors.Is(err, anchor.ErrRefused) || !strings.Contains(err.Error(), "redirects") || a.Requests() != 0 {
		t.Fatalf("error %v, %d requests arrived", err, a.Requests())
	}
}

func TestPasswordFile(t *testing.T) {
	a := responder.Start(t, responder.Config{Alg: responder.ECDSA, User: "u", Password: "a b"})
	file := filepath.Join(t.TempDir(), "password")
	for text, good := range map[string]bool{
		"a b": true, "a b\n": true, "a b\r\n": true, "": false, "\n": false, "a\nb": false, "a b\n\n": false, strings.Repeat("a", 1025): false,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := tsa.New(tsa.Config{URL: a.URL, User: "u", PasswordFile: file, Authority: timestamp.Authority{Name: "a", Roots: [][]byte{a.Root()}}})
		if (err == nil) != good {
			t.Errorf("%.20q: %v", text, err)
		}
		if err == nil {
			if _, err := put(t, c); err != nil {
				t.Errorf("%.20q: %v", text, err)
			}
			c.Close()
		}
	}
}

func TestHTTPS(t *testing.T) {
	a := responder.Start(t, responder.Config{Alg: responder.ECDSA})
	target, err := url.Parse(a.URL)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Scheme, r.URL.Host, r.RequestURI = "http", target.Host, ""
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
		w.WriteHeader(resp.StatusCode)
		http.NewResponseController(w).Flush()
		if _, err := io.Copy(w, resp.Body); err != nil {
			t.Error(err)
		}
	}))
	front.Config.ErrorLog = log.New(io.Discard, "", 0) // of the client that does not trust it
	front.StartTLS()
	defer front.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	if _, err := put(t, client(t, a, func(cfg *tsa.Config) { cfg.URL, cfg.CA = front.URL+"/tsa", ca })); err != nil {
		t.Fatal(err)
	}
	if _, err := put(t, client(t, a, func(cfg *tsa.Config) { cfg.URL = front.URL + "/tsa" })); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("without the CA: %v", err)
	}
}

func TestNew(t *testing.T) {
	chain, err := responder.NewChain(responder.Shape{Alg: responder.ECDSA})
	if err != nil {
		t.Fatal(err)
	}
	good := tsa.Config{URL: "https://tsa.example/ts", Authority: timestamp.Authority{Name: "a", Roots: [][]byte{chain.Root.Certificate.Raw}}}
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*tsa.Config)
		want   string
	}{
		{"good", func(*tsa.Config) {}, ""},
		{"sm3", func(c *tsa.Config) { c.Hash = "sm3" }, ""},
		{"login", func(c *tsa.Config) { c.User, c.PasswordFile = "u", file }, ""},
		{"sha1", func(c *tsa.Config) { c.Hash = "sha1" }, "neither"},
		{"no address", func(c *tsa.Config) { c.URL = "" }, "no address"},
		{"ftp", func(c *tsa.Config) { c.URL = "ftp://tsa.example" }, "no address"},
		{"user in the address", func(c *tsa.Config) { c.URL = "https://u:p@tsa.example" }, "no address"},
		{"no roots", func(c *tsa.Config) { c.Authority.Roots = nil }, "root certificates"},
		{"CA is no PEM", func(c *tsa.Config) { c.CA = []byte("x") }, "no PEM"},
		{"a colon in the user", func(c *tsa.Config) { c.User, c.PasswordFile = "u:v", file }, "no colon"},
		{"user alone", func(c *tsa.Config) { c.User = "u" }, "go together"},
		{"password over http", func(c *tsa.Config) { c.URL, c.User, c.PasswordFile = "http://tsa.example/", "u", file }, "plain http"},
		{"no password file", func(c *tsa.Config) { c.User, c.PasswordFile = "u", file+"x" }, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := good
			c.change(&cfg)
			_, err := tsa.New(cfg)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
		})
	}
}
