package node

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"qifeng/api/apitest"
)

// tlsHome is a home whose API has TLS, with what answers on it while a node starts.
func tlsHome(t *testing.T) (h home, ca *apitest.CA, url string) {
	t.Helper()
	h, ca = home(t.TempDir()), apitest.NewCA(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	c := valid()
	c.API.Listen, c.API.TLSCert, c.API.TLSKey = ln.Addr().String(), "cert.pem", "key.pem"
	text, err := c.Render()
	if err != nil {
		t.Fatal(err)
	}
	cert, key := ca.Issue(t, time.Now().Add(time.Hour))
	for name, b := range map[string][]byte{configName: text, "cert.pem": cert, "key.pem": key, "ca.pem": ca.PEM} {
		if err := os.WriteFile(h.path(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	cfg, err := serverTLS(h, &c.API, log)
	if err != nil {
		t.Fatal(err)
	}
	s, err := answerStarting(ln.(*net.TCPListener), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return h, ca, "https://" + ln.Addr().String()
}

// TestTLSClient: the home's own node is held against the home's certificate,
// another against --ca and the system's authorities.
func TestTLSClient(t *testing.T) {
	h, _, url := tlsHome(t)
	if err := os.WriteFile(h.path("other.pem"), apitest.NewCA(t).PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		app  app
		made bool
		ok   bool
	}{
		{"the home's own", app{home: h}, true, true},
		{"by URL with the CA", app{api: url, ca: h.path("ca.pem")}, true, true},
		{"by name with the CA", app{api: strings.Replace(url, "127.0.0.1", "localhost", 1), ca: h.path("ca.pem")}, true, true},
		{"by URL without the CA", app{api: url}, true, false},
		{"by URL with another CA", app{api: url, ca: h.path("other.pem")}, true, false},
		{"plain HTTP", app{api: strings.Replace(url, "https:", "http:", 1)}, true, false},
		{"a CA that is not there", app{api: url, ca: h.path("none.pem")}, false, false},
		{"a CA that is none", app{api: url, ca: h.path(configName)}, false, false},
	} {
		tc.app.errw = io.Discard
		c, err := tc.app.client()
		if (err == nil) != tc.made {
			t.Errorf("%s: %v", tc.name, err)
		}
		if err != nil {
			if code, _ := exitCode(err); code != exitUsage {
				t.Errorf("%s: exit code %d", tc.name, code)
			}
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		r, err := c.Ready(ctx)
		cancel()
		if (err == nil) != tc.ok || tc.ok && (r.Ready || r.Reasons[0].Code != "starting") {
			t.Errorf("%s: %+v, %v", tc.name, r, err)
		}
	}
}

// TestConfigCheckReadsTLS: an open key is found before the node is started.
func TestConfigCheckReadsTLS(t *testing.T) {
	h, _, _ := tlsHome(t)
	c, err := h.config()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(h.path("key.pem"), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := serverTLS(h, &c.API, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "[api] tls_cert, tls_key") || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("error %v", err)
	}
}

func TestHostName(t *testing.T) {
	ca := apitest.NewCA(t)
	cert, _ := ca.Issue(t, time.Now().Add(time.Hour))
	if name, err := hostName(cert); name != "localhost" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
	for _, b := range [][]byte{nil, []byte("x"), ca.PEM, []byte("-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n")} {
		if name, err := hostName(b); err == nil {
			t.Errorf("%q out of %.20q", name, b)
		}
	}
}
