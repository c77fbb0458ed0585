package httpsig

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"qifeng/internal/gm"
)

// serve answers with who has signed, or with the code of the refusal. The door
// learns the server's address when it is known, as an operator would write it.
func serve(t *testing.T, tls bool) (*httptest.Server, *door) {
	t.Helper()
	var d *door
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := d.Verify(r)
		if err != nil {
			e := err.(*Error)
			w.Header().Set("Accept-Signature", AcceptSignature)
			w.WriteHeader(e.Status())
			fmt.Fprint(w, e.Code)
			return
		}
		body, _ := io.ReadAll(r.Body)
		_ = json.NewEncoder(w).Encode([]string{KeyID(id.Member, id.Key), r.Proto, r.URL.Query().Get("q"), string(body)})
	}))
	if tls {
		srv.EnableHTTP2 = true
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	d = newDoor(t, srv.URL)
	return srv, d
}

// ask signs a request and sends it.
func ask(t *testing.T, c *http.Client, r *http.Request, keyID string, k gm.Signer, now time.Time) (int, string) {
	t.Helper()
	if k != nil {
		if err := Sign(r, keyID, k, now); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

func TestServer(t *testing.T) {
	for _, tls := range []bool{false, true} {
		srv, d := serve(t, tls)
		proto := "HTTP/1.1"
		if tls {
			proto = "HTTP/2.0"
		}
		for _, tc := range []struct{ method, target, body, want string }{
			{"GET", "/v1/records/00?q=%E8%AF%81+1", "", fmt.Sprintf(`[%q,%q,"证 1",""]`, desk, proto)},
			{"GET", "", "", fmt.Sprintf(`[%q,%q,"",""]`, desk, proto)},
			{"HEAD", "/v1/checkpoint", "", ""},
			{"POST", "/v1/find?q=1", `[1,2]`, fmt.Sprintf(`[%q,%q,"1","[1,2]"]`, desk, proto)},
		} {
			r := request(t, tc.method, srv.URL+tc.target, tc.body)
			if status, body := ask(t, srv.Client(), r, desk, d.signers[desk], d.clock); status != 200 || body != tc.want {
				t.Errorf("%s %s: %d %s, want %s", tc.method, tc.target, status, body, tc.want)
			}
		}
		if status, body := ask(t, srv.Client(), request(t, "GET", srv.URL, ""), "", nil, d.clock); status != 401 || body != string(Missing) {
			t.Errorf("unsigned: %d %s", status, body)
		}
	}
}

// TestProxy: a proxy may pass requests on if it leaves the Host header alone;
// docs/spec/http.md says so.
func TestProxy(t *testing.T) {
	node, d := serve(t, false)
	to, err := url.Parse(node.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name     string
		keepHost bool
		status   int
		want     string
	}{
		{"that keeps the host", true, 200, desk},
		// The node knows the host that the proxy puts in, but that is not what was signed.
		{"that rewrites the host", false, 401, string(Wrong)},
	} {
		proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(to)
			pr.SetXForwarded() // never looked at
			if tc.keepHost {
				pr.Out.Host = pr.In.Host
			}
		}})
		if d.hosts, err = newAuthorities([]string{node.URL, proxy.URL}); err != nil {
			t.Fatal(err)
		}
		status, body := ask(t, proxy.Client(), request(t, "GET", proxy.URL+"/v1/status?q=1", ""), desk, d.signers[desk], d.clock)
		if status != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("a proxy %s: %d %s, want %d %s", tc.name, status, body, tc.status, tc.want)
		}
		proxy.Close()
	}
}

// TestOtherNode: a request to one node opens no other.
func TestOtherNode(t *testing.T) {
	_, here := serve(t, false)
	there, other := serve(t, false)
	other.keys[desk] = here.keys[desk]
	r := request(t, "GET", there.URL+"/v1/status", "")
	for host := range here.hosts {
		r.Host = host
	}
	if status, body := ask(t, there.Client(), r, desk, here.signers[desk], here.clock); status != 401 || body != string(Authority) {
		t.Errorf("%d %s", status, body)
	}
}
