package tsa

import (
	"bytes"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// Config says what an authority is like.
type Config struct {
	Alg Alg
	// Own has the token made by this package, where openssl would do for RSA and ECDSA.
	Own bool
	// Fresh makes RSA keys of its own, where the authorities of one process share them otherwise.
	Fresh bool
	// NoLists leaves the distribution points out of the certificates.
	NoLists bool
	// ListFor is how long its lists are good, by default a day.
	ListFor time.Duration
	// NotBefore, NotAfter are of the signer's certificate. See Shape.
	NotBefore, NotAfter time.Time
	// Clock is how far the authority's clock is off; Own only.
	Clock time.Duration
	// User and Password, where set, are asked for (HTTP basic authentication).
	User, Password string
	// Listen is the address; by default a free port of 127.0.0.1.
	Listen string
}

// Fault is what an authority does wrong. The zero value is none.
type Fault struct {
	WrongNonce   bool // in a token that is good otherwise
	WrongImprint bool
	NoNonce      bool
	NoCerts      bool          // Own only
	Change       func(*Spec)   // Own only: anything else about the token
	Reject       int           // refuse with this bit of PKIFailureInfo; 0, badAlg, is set by RejectAlg
	RejectAlg    bool          //
	Status       int           // answer with this HTTP status
	Type         string        // answer with this content type
	Body         []byte        // answer with this
	Slow         time.Duration // think for so long
	Hang         bool          // never answer
	Reset        bool          // cut the connection in the middle of the answer
	NoLists      bool          // lists are not found
	SlowLists    time.Duration // think for so long about lists
}

// Authority is a time-stamp authority behind HTTP.
type Authority struct {
	Chain *Chain
	URL   string // requests are posted here
	cfg   Config
	dir   string
	addr  string

	mu       sync.Mutex // guards what follows, and openssl's file of serial numbers
	fault    Fault
	revoked  []Revoked
	clock    time.Duration
	requests int
	lists    int
	server   *http.Server
	ended    chan struct{} // closed when it goes down: ends what hangs
}

// Start runs an authority until the test ends.
func Start(t testing.TB, cfg Config) *Authority {
	t.Helper()
	a, err := New(t.TempDir(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Down)
	return a
}

// New runs an authority; its files, keys among them, are in dir.
func New(dir string, cfg Config) (*Authority, error) {
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.ListFor == 0 {
		cfg.ListFor = 24 * time.Hour
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, err
	}
	a := &Authority{cfg: cfg, dir: dir, addr: l.Addr().String(), clock: cfg.Clock}
	base := "http://" + a.addr + "/"
	a.URL = base + "tsa"
	shape := Shape{Alg: cfg.Alg, Fresh: cfg.Fresh, NotBefore: cfg.NotBefore, NotAfter: cfg.NotAfter, Points: base}
	if cfg.NoLists {
		shape.Points = ""
	}
	if a.Chain, err = NewChain(shape); err == nil && !a.own() {
		err = a.prepareOpenssl()
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	a.serve(l)
	return a, nil
}

func (a *Authority) own() bool { return a.cfg.Own || a.cfg.Alg == SM2 }

// RootPEM is the root certificate, which a court pins.
func (a *Authority) RootPEM() []byte { return a.Chain.Root.PEM() }

// Root is the same in DER.
func (a *Authority) Root() []byte { return a.Chain.Root.Certificate.Raw }

// Hash is the digest that the authority is asked with: "sha256" or "sm3".
func (a *Authority) Hash() string {
	if a.cfg.Alg == SM2 {
		return "sm3"
	}
	return "sha256"
}

// Fail has the authority err from now on; the zero fault ends that.
func (a *Authority) Fail(f Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault = f
}

// Revoke puts the signer's certificate on the list. Reason -1 states none.
func (a *Authority) Revoke(since time.Time, reason int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revoked = []Revoked{{Serial: a.Chain.Signer.Certificate.SerialNumber, Time: since, Reason: reason}}
}

// Fill puts so many other certificates on the list.
func (a *Authority) Fill(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range n {
		a.revoked = append(a.revoked, Revoked{Serial: big.NewInt(int64(i + 1)), Time: time.Now(), Reason: -1})
	}
}

// SetClock has the authority's clock, and that of its lists, go off by so much; Own only.
func (a *Authority) SetClock(off time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clock = off
}

// now is the time by the authority's clock.
func (a *Authority) now() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Add(a.clock)
}

// Requests says how often it was asked for a token.
func (a *Authority) Requests() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.requests
}

// Lists says how often a revocation list was asked for.
func (a *Authority) Lists() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lists
}

// Down takes the authority away: connections are cut, new ones refused.
func (a *Authority) Down() {
	a.mu.Lock()
	server, ended := a.server, a.ended
	a.server = nil
	a.mu.Unlock()
	if server != nil {
		close(ended)
		server.Close()
	}
}

// Up brings it back at the same address.
func (a *Authority) Up() error {
	l, err := net.Listen("tcp", a.addr)
	if err != nil {
		return err
	}
	a.serve(l)
	return nil
}

func (a *Authority) serve(l net.Listener) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tsa", a.answer)
	mux.HandleFunc("GET /"+signerList, func(w http.ResponseWriter, r *http.Request) { a.list(w, r, a.Chain.Intermediate, true) })
	mux.HandleFunc("GET /"+rootList, func(w http.ResponseWriter, r *http.Request) { a.list(w, r, a.Chain.Root, false) })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	a.mu.Lock()
	a.server, a.ended = server, make(chan struct{})
	a.mu.Unlock()
	go server.Serve(l)
}

func (a *Authority) list(w http.ResponseWriter, r *http.Request, by *Entity, signer bool) {
	a.mu.Lock()
	a.lists++
	f, entries := a.fault, a.revoked
	a.mu.Unlock()
	if !a.wait(r, f.SlowLists) {
		return
	}
	if f.NoLists {
		http.NotFound(w, r)
		return
	}
	if !signer {
		entries = nil
	}
	from := a.now().Add(-time.Minute)
	list, err := by.List(from, from.Add(a.cfg.ListFor), entries, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/pkix-crl")
	w.Write(list)
}

// wait says false where the caller is gone.
func (a *Authority) wait(r *http.Request, d time.Duration) bool {
	if d == 0 {
		return true
	}
	a.mu.Lock()
	ended := a.ended
	a.mu.Unlock()
	select {
	case <-r.Context().Done():
		return false
	case <-ended:
		return false
	case <-time.After(d):
		return true
	}
}

func (a *Authority) answer(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.requests++
	f := a.fault
	a.mu.Unlock()
	user, password, _ := r.BasicAuth()
	if user != a.cfg.User || password != a.cfg.Password {
		w.Header().Set("WWW-Authenticate", `Basic realm="tsa"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil {
		return
	}
	if f.Hang {
		f.Slow = time.Hour
	}
	if !a.wait(r, f.Slow) {
		return
	}
	answer, kind := f.Body, "application/timestamp-reply"
	switch {
	case f.Status != 0:
		http.Error(w, "out of order", f.Status)
		return
	case r.Header.Get("Content-Type") != "application/timestamp-query":
		http.Error(w, "not a time-stamp query", http.StatusUnsupportedMediaType)
		return
	case f.RejectAlg || f.Reject != 0:
		answer = Rejection(f.Reject)
	case answer == nil:
		if answer, err = a.reply(body, f); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	if f.Type != "" {
		kind = f.Type
	}
	w.Header().Set("Content-Type", kind)
	if f.Reset {
		w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
		w.Write(answer[:len(answer)/2])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) // net/http's way to cut a connection
	}
	w.Write(answer)
}

// reply makes the answer to a request, wrong as the fault says.
func (a *Authority) reply(raw []byte, f Fault) ([]byte, error) {
	r, err := ParseRequest(raw)
	if err != nil {
		return Rejection(2), nil
	}
	if r.Hash == "" || r.Hash == "SHA1" || !a.own() && r.Hash == "SM3" {
		return Rejection(0), nil
	}
	if f.WrongNonce && r.Nonce != nil {
		r.Nonce.Add(r.Nonce, big.NewInt(1))
	}
	if f.NoNonce {
		r.Nonce = nil
	}
	if f.WrongImprint {
		r.Imprint = bytes.Clone(r.Imprint)
		r.Imprint[0] ^= 1
	}
	if !a.own() {
		return a.openssl(r)
	}
	s := Spec{
		Signer: a.Chain.Signer, Certificates: [][]byte{a.Chain.Signer.Certificate.Raw, a.Chain.Intermediate.Certificate.Raw},
		ImprintOf: r.Hash, Imprint: r.Imprint, Nonce: r.Nonce, Time: a.now(), NoSigner: f.NoCerts || !r.CertReq,
	}
	if f.Change != nil {
		f.Change(&s)
	}
	token, err := s.Token()
	if err != nil {
		return nil, err
	}
	return Granted(token), nil
}

// RootFile writes the root certificate to a file in PEM, and returns its path.
func (a *Authority) RootFile() (string, error) {
	path := a.dir + "/root.pem"
	return path, os.WriteFile(path, a.RootPEM(), 0o644)
}

// Token asks the authority, over HTTP as anybody would, for a token over a statement.
func (a *Authority) Token(statement []byte) ([]byte, error) {
	name := map[string]string{"sha256": "SHA256", "sm3": "SM3"}[a.Hash()]
	query, err := (&Request{Hash: name, Imprint: Sum(name, statement), Nonce: big.NewInt(time.Now().UnixNano()), CertReq: true}).Marshal()
	if err != nil {
		return nil, err
	}
	resp, err := http.Post(a.URL, "application/timestamp-query", bytes.NewReader(query))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var token, status, answer cryptobyte.String
	in := cryptobyte.String(raw)
	if resp.StatusCode != http.StatusOK || !in.ReadASN1(&answer, der.SEQUENCE) || !answer.ReadASN1Element(&status, der.SEQUENCE) ||
		!answer.ReadASN1Element(&token, der.SEQUENCE) {
		return nil, fmt.Errorf("status %d, %q", resp.StatusCode, raw[:min(len(raw), 200)])
	}
	return token, nil
}
