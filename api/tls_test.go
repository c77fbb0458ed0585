package api_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"qifeng/api"
	"qifeng/api/apitest"
	"qifeng/api/client"
	"qifeng/api/wire"
)

// secured is a node that answers with TLS from files.
type secured struct {
	*apitest.TestNode
	ca        *apitest.CA
	dir, addr string
}

func (s *secured) cert() string { return filepath.Join(s.dir, "cert.pem") }
func (s *secured) key() string  { return filepath.Join(s.dir, "key.pem") }

// put writes a file in the place of another, as tools that renew do, or in place.
func put(t *testing.T, path string, b []byte, mode os.FileMode, inPlace bool) {
	t.Helper()
	to := path
	if !inPlace {
		to += ".new"
	}
	err := os.WriteFile(to, b, mode)
	if err == nil {
		err = os.Chmod(to, mode)
	}
	if err == nil && !inPlace {
		err = os.Rename(to, path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func newSecured(t *testing.T) *secured {
	t.Helper()
	s := &secured{TestNode: apitest.NewNode(t, apitest.Options{}), ca: apitest.NewCA(t), dir: t.TempDir()}
	s.renew(t)
	cfg, err := s.files().Config(slog.New(slog.NewJSONHandler(s.Log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Server.Serve(ctx, api.ListenTLS(ln, cfg)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *secured) files() api.TLSFiles {
	return api.TLSFiles{Cert: s.cert(), Key: s.key(), Now: s.Clock.Now}
}

// renew puts a new good pair in place and returns its serial number.
func (s *secured) renew(t *testing.T) string {
	t.Helper()
	cert, key := s.ca.Issue(t, time.Now().Add(12*time.Hour))
	put(t, s.cert(), cert, 0o644, false)
	put(t, s.key(), key, 0o600, false)
	return serialOf(t, cert, key)
}

func serialOf(t *testing.T, cert, key []byte) string {
	t.Helper()
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf.SerialNumber.String()
}

// shake makes a handshake and returns the serial number of what is served.
func (s *secured) shake(t *testing.T, change func(*tls.Config)) (string, error) {
	t.Helper()
	cfg := &tls.Config{RootCAs: x509.NewCertPool()}
	cfg.RootCAs.AppendCertsFromPEM(s.ca.PEM)
	if change != nil {
		change(cfg)
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", s.addr, cfg)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String(), nil
}

func (s *secured) serves(t *testing.T, want string) {
	t.Helper()
	if got, err := s.shake(t, nil); err != nil || got != want {
		t.Errorf("served is %s, %v; want %s", got, err, want)
	}
}

// TestTLSReload is the drill: pairs are replaced under a running server, good
// ones are taken up, every kind of bad one leaves the old in force and says so,
// and a connection that stands is not touched.
func TestTLSReload(t *testing.T) {
	s := newSecured(t)
	c, err := client.New("https://"+s.addr, client.Options{Attempts: 1, CA: s.ca.PEM})
	if err != nil {
		t.Fatal(err)
	}
	answers := func() {
		t.Helper()
		if answer, err := c.Submit(t.Context(), request(t, s.TestNode, contract(s.TestNode, "x")).Raw, 0); err != nil || answer.State != wire.Accepted {
			t.Errorf("%+v, %v", answer, err)
		}
	}
	answers()
	serial := s.renew(t)
	if got, err := s.shake(t, nil); err != nil || got == serial {
		t.Errorf("looked again before its time: %v", err)
	}
	s.Clock.Forward(time.Second)
	s.serves(t, serial)

	good := func() (cert, key []byte) { return s.ca.Issue(t, time.Now().Add(12*time.Hour)) }
	for _, tc := range []struct {
		name string
		do   func()
		says string
	}{
		{"half a certificate", func() { cert, _ := good(); put(t, s.cert(), cert[:len(cert)/2], 0o644, true) }, "cert.pem"},
		{"an empty file", func() { put(t, s.cert(), nil, 0o644, false) }, "cert.pem"},
		{"no certificate", func() { _ = os.Remove(s.cert()) }, "no such file"},
		{"a folder", func() { _ = os.Mkdir(s.cert(), 0o700) }, "no regular file"},
		{"a new certificate and the old key", func() { _ = os.Remove(s.cert()); cert, _ := good(); put(t, s.cert(), cert, 0o644, false) }, "does not match"},
		{"a key that all may read", func() { cert, key := good(); put(t, s.cert(), cert, 0o644, false); put(t, s.key(), key, 0o644, false) }, "chmod 600"},
		{"a key that the group may read", func() { _, key := good(); put(t, s.key(), key, 0o640, false) }, "chmod 600"},
		{"a huge file", func() { put(t, s.cert(), make([]byte, 1<<20), 0o644, false) }, "longer than"},
		{"an expired pair", func() {
			cert, key := s.ca.Issue(t, time.Now().Add(-time.Minute))
			put(t, s.cert(), cert, 0o644, false)
			put(t, s.key(), key, 0o600, false)
		}, "expired"},
	} {
		before := len(s.Log.String())
		tc.do()
		s.Clock.Forward(time.Second)
		s.serves(t, serial)
		s.Clock.Forward(time.Second)
		s.serves(t, serial) // and says it once
		said := s.Log.String()[before:]
		if strings.Count(said, "is NOT used") != 1 || !strings.Contains(said, `"level":"ERROR"`) || !strings.Contains(said, tc.says) {
			t.Errorf("%s: the log says %s", tc.name, said)
		}
		answers()
	}
	serial = s.renew(t) // healed
	s.Clock.Forward(time.Second)
	s.serves(t, serial)
	cert, key := good() // one after the other, with a look between
	put(t, s.key(), key, 0o600, false)
	s.Clock.Forward(time.Second)
	s.serves(t, serial)
	put(t, s.cert(), cert, 0o644, false)
	s.Clock.Forward(time.Second)
	s.serves(t, serialOf(t, cert, key))
	answers()
	if strings.Contains(s.Log.String(), "PRIVATE KEY") {
		t.Error("the key is in the log")
	}
}

// TestTLSReloadUnderLoad: handshakes go on, none fails and all see one of the
// pairs, while the files change.
func TestTLSReloadUnderLoad(t *testing.T) {
	s := newSecured(t)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.shake(t, nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var serial string
	for range 20 {
		serial = s.renew(t)
		s.Clock.Forward(time.Second)
	}
	waitFor(t, "the newest pair", func() bool {
		s.Clock.Forward(time.Second)
		got, err := s.shake(t, nil)
		return err == nil && got == serial
	})
	close(stop)
	wg.Wait()
}

// TestTLSVersions: what is old or weak is refused in the handshake.
func TestTLSVersions(t *testing.T) {
	s := newSecured(t)
	for _, tc := range []struct {
		name   string
		change func(*tls.Config)
		ok     bool
	}{
		{"1.3", func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, true},
		{"1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, true},
		{"1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, false},
		{"1.0", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 }, false},
		{"1.2 without forward secrecy", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		}, false},
		{"1.2 with CBC", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		}, false},
		{"HTTP/2 only", func(c *tls.Config) { c.NextProtos = []string{"h2"} }, false},
		{"another CA", func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }, false},
		{"another name", func(c *tls.Config) { c.ServerName = "court.example" }, false},
	} {
		_, err := s.shake(t, tc.change)
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
		if strings.HasPrefix(tc.name, "1.1") || strings.HasPrefix(tc.name, "1.0") { // for its version, not for want of a suite
			if err == nil || !strings.Contains(err.Error(), "protocol version") {
				t.Errorf("%s: %v", tc.name, err)
			}
		}
	}
	resp, err := http.Get("http://" + s.addr + "/healthz") // plain HTTP to the TLS port
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("plain HTTP is answered with %d", resp.StatusCode)
		}
	}
}

// TestTLSSlowHandshake: a connection that never ends its handshake is cut.
func TestTLSSlowHandshake(t *testing.T) {
	t.Parallel()
	s := newSecured(t)
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("not cut after %s: %v", time.Since(start), err)
	}
	s.serves(t, currentSerial(t, s))
}

func currentSerial(t *testing.T, s *secured) string {
	t.Helper()
	cert, err := os.ReadFile(s.cert())
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(s.key())
	if err != nil {
		t.Fatal(err)
	}
	return serialOf(t, cert, key)
}

// TestTLSStart: what the first pair must be.
func TestTLSStart(t *testing.T) {
	ca := apitest.NewCA(t)
	for _, tc := range []struct {
		name string
		do   func(cert, key string)
		says string // "" if it starts
		warn bool
	}{
		{"a good pair", func(string, string) {}, "", false},
		{"expired", func(c, k string) {
			cert, key := ca.Issue(t, time.Now().Add(-time.Minute))
			put(t, c, cert, 0o644, true)
			put(t, k, key, 0o600, true)
		}, "", true},
		{"no certificate", func(c, _ string) { _ = os.Remove(c) }, "reading the TLS certificate", false},
		{"no key", func(_, k string) { _ = os.Remove(k) }, "reading the TLS key", false},
		{"an open key", func(_, k string) { _ = os.Chmod(k, 0o604) }, "chmod 600", false},
		{"another's key", func(_, k string) {
			_, key := ca.Issue(t, time.Now().Add(time.Hour))
			put(t, k, key, 0o600, true)
		}, "does not match", false},
		{"the CA's own certificate", func(c, _ string) { put(t, c, ca.PEM, 0o644, true) }, "does not match", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			f := api.TLSFiles{Cert: filepath.Join(dir, "c.pem"), Key: filepath.Join(dir, "k.pem")}
			cert, key := ca.Issue(t, time.Now().Add(time.Hour))
			put(t, f.Cert, cert, 0o644, true)
			put(t, f.Key, key, 0o600, true)
			tc.do(f.Cert, f.Key)
			log := &apitest.Log{}
			_, err := f.Config(slog.New(slog.NewJSONHandler(log, nil)))
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v, want %q", err, tc.says)
			}
			if strings.Contains(log.String(), `"level":"WARN"`) != tc.warn {
				t.Errorf("log %s", log)
			}
		})
	}
}

func TestClientCA(t *testing.T) {
	s := newSecured(t)
	for _, tc := range []struct {
		name string
		opt  client.Options
		make bool
		ok   bool
	}{
		{"the CA", client.Options{CA: s.ca.PEM}, true, true},
		{"the CA and the name", client.Options{CA: s.ca.PEM, ServerName: "localhost"}, true, true},
		{"another name", client.Options{CA: s.ca.PEM, ServerName: "court.example"}, true, false},
		{"nothing", client.Options{}, true, false},
		{"another CA", client.Options{CA: apitest.NewCA(t).PEM}, true, false},
		{"no PEM", client.Options{CA: []byte("hello")}, false, false},
		{"an empty file", client.Options{CA: []byte{}}, false, false},
		{"a CA and a client", client.Options{CA: s.ca.PEM, HTTP: http.DefaultClient}, false, false},
	} {
		tc.opt.Attempts = 3
		tc.opt.Pause = func(context.Context, time.Duration) error {
			t.Errorf("%s: sent again", tc.name) // what is not trusted now is not trusted later
			return nil
		}
		c, err := client.New("https://"+s.addr, tc.opt)
		if (err == nil) != tc.make {
			t.Errorf("%s: %v", tc.name, err)
		}
		if err != nil {
			continue
		}
		if _, err := c.Status(t.Context()); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if cfg := http.DefaultTransport.(*http.Transport).TLSClientConfig; cfg != nil && cfg.RootCAs != nil {
		t.Error("the standard transport was changed")
	}
}
