package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// TLSFiles name the server's certificate chain, leaf first, and its private
// key, both PEM.
type TLSFiles struct {
	Cert, Key string

	// Now is for tests; default time.Now.
	Now func() time.Time
}

// Config loads the pair and returns a configuration that follows the files: a
// handshake that begins later than reloadEvery after the last look has a look,
// and takes a changed pair before it goes on. Files may be replaced one after
// the other: a pair that does not load, does not fit together, is not valid now
// or whose key others may read is refused, logged as an error once per change,
// and the pair in force stays. Connections that stand are not touched.
//
// The first pair must load; only its dates are forgiven, with a warning: a node
// that does not start helps nobody.
func (f TLSFiles) Config(log *slog.Logger) (*tls.Config, error) {
	if f.Now == nil {
		f.Now = time.Now
	}
	p := &pair{files: f, log: log}
	seen := p.look()
	cert, err := f.load()
	if err != nil {
		return nil, err
	}
	if err := validAt(cert.Leaf, f.Now()); err != nil {
		log.Warn("TLS: the certificate is served though clients will refuse it", "error", err)
	}
	p.seen, p.lookedAt = seen, f.Now()
	p.take(cert)
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		CipherSuites:   cipherSuites,
		NextProtos:     []string{"http/1.1"}, // as [Server.Serve] speaks on any listener
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.current(), nil },
		// A resumed connection would not see the new pair, and clients keep theirs open.
		SessionTicketsDisabled: true,
	}, nil
}

// ListenTLS puts TLS on a listener; a nil configuration leaves it as it is. What
// bounds connections belongs below, so that it counts those that never end their
// handshake; the handshake itself is bounded by readHeaderTimeout.
func ListenTLS(ln net.Listener, cfg *tls.Config) net.Listener {
	if cfg == nil {
		return ln
	}
	return tls.NewListener(ln, cfg)
}

// cipherSuites are for TLS 1.2: forward secrecy and authenticated encryption, in
// RFC 9325's recommendation. TLS 1.3 has no others.
var cipherSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// pair is the certificate in force and when its files were looked at.
type pair struct {
	files TLSFiles
	log   *slog.Logger
	cert  atomic.Pointer[tls.Certificate]

	mu       sync.Mutex // held by the one handshake that looks; guards the rest
	lookedAt time.Time
	seen     [2]fs.FileInfo // of the files as last looked at, nil for one that is not there
}

// current is the certificate for a handshake. Only one handshake looks at the
// files; the others go on with what is in force.
func (p *pair) current() *tls.Certificate {
	if p.mu.TryLock() {
		defer p.mu.Unlock()
		if now := p.files.Now(); now.Sub(p.lookedAt) >= reloadEvery || now.Before(p.lookedAt) {
			p.lookedAt = now
			p.reload(now)
		}
	}
	return p.cert.Load()
}

// reload takes the pair if its files have changed and it is good. The files are
// looked at before they are read: a change in between is found the next time.
func (p *pair) reload(now time.Time) {
	seen := p.look()
	if same(seen[0], p.seen[0]) && same(seen[1], p.seen[1]) {
		return
	}
	p.seen = seen
	cert, err := p.files.load()
	if err == nil {
		err = validAt(cert.Leaf, now)
	}
	if err != nil {
		old := p.cert.Load().Leaf
		p.log.Error("TLS: the new certificate or key is NOT used, the old pair stays in force",
			"error", err, "cert", p.files.Cert, "key", p.files.Key, "old_not_after", old.NotAfter)
		return
	}
	p.take(cert)
}

func (p *pair) take(cert *tls.Certificate) {
	p.cert.Store(cert)
	p.log.Info("TLS: certificate in force", "cert", p.files.Cert, "serial", cert.Leaf.SerialNumber.Text(16),
		"names", cert.Leaf.DNSNames, "not_after", cert.Leaf.NotAfter)
}

// look stats both files; symbolic links are followed, as tools that renew
// certificates swap them.
func (p *pair) look() (out [2]fs.FileInfo) {
	for i, path := range []string{p.files.Cert, p.files.Key} {
		if fi, err := os.Stat(path); err == nil {
			out[i] = fi
		}
	}
	return out
}

func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && a.Mode() == b.Mode()
}

// load reads the pair and checks everything but its dates.
func (f TLSFiles) load() (*tls.Certificate, error) {
	chain, err := readPEM(f.Cert, false)
	if err != nil {
		return nil, fmt.Errorf("reading the TLS certificate: %w", err)
	}
	key, err := readPEM(f.Key, true)
	if err != nil {
		return nil, fmt.Errorf("reading the TLS key: %w", err)
	}
	cert, err := tls.X509KeyPair(chain, key) // sets Leaf
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", f.Cert, f.Key, err)
	}
	if len(cert.Leaf.DNSNames) == 0 && len(cert.Leaf.IPAddresses) == 0 {
		return nil, fmt.Errorf("%s: the certificate names no host (subjectAltName): no client would accept it", f.Cert)
	}
	return &cert, nil
}

// readPEM reads a small file; a secret one must be its owner's alone. The mode
// is that of the file that was opened.
func readPEM(path string, secret bool) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	fi, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !fi.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case secret && fi.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s has mode %04o, others may read it: chmod 600 %s", path, fi.Mode().Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(file, maxPEM+1))
	if err == nil && len(b) > maxPEM {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxPEM)
	}
	return b, err
}

func validAt(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(leaf.NotBefore):
		return errors.New("the certificate is not valid before " + leaf.NotBefore.UTC().Format(time.RFC3339))
	case now.After(leaf.NotAfter):
		return errors.New("the certificate has expired on " + leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}
