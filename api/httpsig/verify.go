package httpsig

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/internal/gm/frequent"
)

// Keys is the register of keys. ok is false for a key that is not there and for
// one that is revoked: the door is for today's keys.
type Keys interface {
	Key(member, name string) (k gm.PublicKey, p evidence.Purpose, ok bool)
}

// Config is what a verifier needs.
type Config struct {
	Keys Keys

	// Origins are the addresses by which clients reach this node, as they write
	// them: "https://court.example", "http://127.0.0.1:8100". Requests for other
	// hosts are refused, so that a request to one node cannot be shown to another.
	// Two nodes must not share one.
	Origins []string

	Now func() time.Time // default time.Now
}

// Verifier verifies signed requests and remembers their nonces. It is safe for
// concurrent use.
type Verifier struct {
	keys   Keys
	tables *frequent.Keys
	hosts  authorities
	now    func() time.Time
	nonces *nonces
}

// NewVerifier begins to listen now: requests that were signed before are refused,
// since another process may have seen them.
func NewVerifier(cfg Config) (*Verifier, error) {
	if cfg.Keys == nil {
		return nil, errors.New("httpsig: the register of keys is required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	hosts, err := newAuthorities(cfg.Origins)
	if err != nil {
		return nil, fmt.Errorf("httpsig: %w", err)
	}
	return &Verifier{keys: cfg.Keys, tables: frequent.New(), hosts: hosts, now: cfg.Now, nonces: newNonces(cfg.Now().Unix())}, nil
}

// Signed reports whether a request carries anything of a signature, which then
// must verify. It is for doors that are open without one.
func Signed(h http.Header) bool {
	return len(h[inputField]) > 0 || len(h[signatureField]) > 0
}

// Verify checks who made a request: every error is an *[Error]. On success the
// nonce is spent and a body, if there is one, has been read, compared and put
// back.
//
// The order is that of cost, and of trust: form and time, address, key,
// signature; only then a body is read and a nonce remembered, which strangers
// must not make the node do.
func (v *Verifier) Verify(r *http.Request) (Identity, error) {
	p, raw, sig, digest, err := v.readHeaders(r)
	if err != nil {
		return Identity{}, err
	}
	now := v.now().Unix()
	if d := now - p.created; d > windowSeconds || d < -windowSeconds {
		return Identity{}, refuse(Stale, inputField, "was created at %d, the node's time is %d; at most %d seconds apart are accepted", p.created, now, windowSeconds)
	}
	authority, err := v.hosts.of(r.Host)
	if err != nil {
		return Identity{}, err
	}
	parts, err := derive(r, authority, digest)
	if err != nil {
		return Identity{}, err
	}
	key, purpose, ok := v.keys.Key(p.member, p.key)
	if !ok || key.IsZero() {
		return Identity{}, refuse(UnknownKey, "keyid", "%s is no key of the register, or it is revoked", KeyID(p.member, p.key))
	}
	base := appendBase(nil, parts, raw)
	if err := v.tables.Verify(key, base, sig); err != nil {
		return Identity{}, refuse(Wrong, signatureField, "is not that of %s over the base %q", KeyID(p.member, p.key), base)
	}
	if purpose != evidence.Read {
		return Identity{}, refuse(BadPurpose, "keyid", "%s is registered for %s", KeyID(p.member, p.key), purpose)
	}
	if digest != "" {
		if err := checkBody(r, digest); err != nil {
			return Identity{}, err
		}
	}
	if err := v.nonces.spend(p.member, p.nonce, p.created, now); err != nil {
		return Identity{}, err
	}
	return Identity{Member: p.member, Key: p.key, Purpose: purpose}, nil
}

// readHeaders reads what the headers say, and whether it goes with the body that
// is announced.
func (v *Verifier) readHeaders(r *http.Request) (p params, raw string, sig []byte, digest string, err error) {
	fail := func(err error) (params, string, []byte, string, error) { return params{}, "", nil, "", err }
	input, okInput, err := header(r.Header, inputField, maxInput)
	if err != nil {
		return fail(err)
	}
	signature, okSignature, err := header(r.Header, signatureField, maxSignature)
	if err != nil {
		return fail(err)
	}
	switch {
	case !okInput && !okSignature:
		return fail(refuse(Missing, inputField, "and Signature are missing"))
	case !okInput:
		return fail(refuse(Malformed, inputField, "is missing"))
	case !okSignature:
		return fail(refuse(Malformed, signatureField, "is missing"))
	}
	p, raw, body, err := parseInput(input)
	if err != nil {
		return fail(err)
	}
	if sig, err = parseSignature(signature); err != nil {
		return fail(err)
	}
	if digest, err = announced(r, body); err != nil {
		return fail(err)
	}
	return p, raw, sig, digest, nil
}

// announced is the Content-Digest of a request that has a body, and nothing
// where there is none. body says whether the signature is over one.
func announced(r *http.Request, body bool) (string, error) {
	has := r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0
	switch {
	case !has && body:
		return "", refuse(BadBody, "body", "is missing, and a content digest is covered")
	case !has:
		return "", nil
	}
	if err := mayHaveBody(r.Method); err != nil {
		return "", err
	}
	if !body {
		return "", refuse(BadBody, "body", "is not covered")
	}
	digest, ok, err := header(r.Header, digestField, maxDigest)
	if err != nil {
		return "", err
	}
	if !ok || digest == "" {
		return "", refuse(BadBody, digestField, "is missing")
	}
	return digest, nil
}

// checkBody reads the body, compares it with the digest that was signed, and
// puts it back. There is one spelling of a digest, so the texts are compared.
func checkBody(r *http.Request, digest string) error {
	body, err := readBody(r.Body)
	if err != nil {
		var refused *Error
		if errors.As(err, &refused) {
			return refused
		}
		return refuse(BadBody, "body", "could not be read to its end")
	}
	if digestOf(sha256.Sum256(body)) != digest {
		return refuse(BadBody, digestField, "is not the sha-256 of the body, or not that alone")
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(body), r.Body}
	return nil
}
