package httpsig

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
)

// start is the time at which the verifiers of these tests begin, and host the
// address by which they are known.
var start = time.Unix(1795248000, 0) // 2026-11-21T08:00:00Z

const (
	origin = "http://127.0.0.1:8100"
	host   = "127.0.0.1:8100"
	desk   = "court-a/desk-1"  // SM2, read
	system = "vendor-a/reader" // Ed25519, read
)

// register is a register of keys by keyid.
type register map[string]struct {
	key     gm.PublicKey
	purpose evidence.Purpose
}

func (r register) Key(member, name string) (gm.PublicKey, evidence.Purpose, bool) {
	e, ok := r[KeyID(member, name)]
	return e.key, e.purpose, ok
}

// door is a verifier with its keys and a clock that the test sets.
type door struct {
	*Verifier
	keys    register
	signers map[string]*gm.PrivateKey
	clock   time.Time
}

func newDoor(t testing.TB, origins ...string) *door {
	t.Helper()
	if len(origins) == 0 {
		origins = []string{origin}
	}
	d := &door{keys: register{}, signers: map[string]*gm.PrivateKey{}, clock: start}
	d.add(t, desk, gm.SM2, evidence.Read)
	d.add(t, system, gm.Ed25519, evidence.Read)
	d.add(t, "vendor-a/api-1", gm.SM2, evidence.Submit)
	v, err := NewVerifier(Config{Keys: d.keys, Origins: origins, Now: func() time.Time { return d.clock }})
	if err != nil {
		t.Fatal(err)
	}
	d.Verifier = v
	return d
}

func (d *door) add(t testing.TB, keyID string, alg gm.Alg, p evidence.Purpose) {
	t.Helper()
	k, err := gm.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	e := d.keys[keyID]
	e.key, e.purpose = k.Public(), p
	d.keys[keyID], d.signers[keyID] = e, k
}

// request is what a client is about to send.
func request(t testing.TB, method, url, body string) *http.Request {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, url, r)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// sent is r as a server reads it from the wire.
func sent(t testing.TB, r *http.Request) *http.Request {
	t.Helper()
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// signed is a signed GET as a server reads it.
func (d *door) signed(t testing.TB, keyID, target string) *http.Request {
	t.Helper()
	r := request(t, http.MethodGet, origin+target, "")
	if err := Sign(r, keyID, d.signers[keyID], d.clock); err != nil {
		t.Fatal(err)
	}
	return sent(t, r)
}

// refused checks that err is a refusal of one code that says what to do.
func refused(t testing.TB, err error, want Code) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%v (%T), want %s", err, err, want)
	}
	if e.Code != want {
		t.Errorf("%v, want %s", e, want)
	}
	if e.Status() < 400 || e.Title() == "" || e.Mend() == "" || e.Field == "" || e.Detail == "" {
		t.Errorf("%+v says not what to do: %d %q %q", e, e.Status(), e.Title(), e.Mend())
	}
	return e
}
