package httpsig

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/dunglas/httpsfv"

	"qifeng/internal/gm"
)

// Sign signs a request that is about to be sent, for the key that keyID names
// ([KeyID]). It sets Signature-Input and Signature, and Content-Digest where
// there is a body, which it reads; earlier values of these are replaced. Each
// attempt needs a signature of its own: a nonce opens the door once.
//
// Method, host, path, query and body must not be changed afterwards. Other
// headers are not covered and may be.
func Sign(r *http.Request, keyID string, k gm.Signer, now time.Time) error {
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:]) // never fails (crypto/rand)
	if err := sign(r, keyID, k, now, nonce); err != nil {
		return fmt.Errorf("signing the request: %w", err)
	}
	return nil
}

func sign(r *http.Request, keyID string, k gm.Signer, now time.Time, nonce [nonceSize]byte) error {
	if k == nil || r.URL == nil {
		return errors.New("a key and a URL are needed")
	}
	p := params{created: now.Unix(), nonce: nonce}
	var err error
	if p.member, p.key, err = parseKeyID(keyID); err != nil {
		return err
	}
	digest, err := addDigest(r)
	if err != nil {
		return err
	}
	base, input, err := ownBase(r, p, digest)
	if err != nil {
		return err
	}
	sig, err := k.Sign(base)
	if err != nil {
		return err
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	d := httpsfv.NewDictionary()
	d.Add(label, httpsfv.NewItem(sig))
	value, err := httpsfv.Marshal(d)
	if err != nil {
		return err
	}
	r.Header.Set(inputField, label+"="+input)
	r.Header.Set(signatureField, value)
	return nil
}

// ownBase makes the base of a request that is to be sent, and the parameters in
// it.
func ownBase(r *http.Request, p params, digest string) (base []byte, input string, err error) {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	authority, err := normalAuthority(r.URL.Scheme, host)
	if err != nil {
		return nil, "", refuse(Unsignable, "@authority", "%v", err)
	}
	parts, err := derive(r, authority, digest)
	if err != nil {
		return nil, "", err
	}
	if input, err = httpsfv.Marshal(p.list(components(digest != ""))); err != nil {
		return nil, "", err
	}
	return appendBase(nil, parts, input), input, nil
}

// addDigest reads the body of a request that is to be sent, puts it back so that
// it can be sent again, and sets its Content-Digest, which it returns. Without a
// body it returns nothing.
func addDigest(r *http.Request) (string, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return "", nil
	}
	body, err := readBody(r.Body)
	if err != nil {
		return "", err
	}
	if err := r.Body.Close(); err != nil {
		return "", fmt.Errorf("closing the body: %w", err)
	}
	r.ContentLength = int64(len(body))
	if len(body) == 0 {
		r.Body, r.GetBody = http.NoBody, nil
		return "", nil
	}
	if err := mayHaveBody(r.Method); err != nil {
		return "", err
	}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	digest := digestOf(sha256.Sum256(body))
	r.Header.Set(digestField, digest)
	return digest, nil
}

// readBody reads a body of bounded length.
func readBody(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	if len(body) > maxBody {
		return nil, refuse(BadBody, "body", "has more than %d bytes", maxBody)
	}
	return body, nil
}

// mayHaveBody refuses the bodies that HTTP gives no meaning (RFC 9110 §9.3.1).
func mayHaveBody(method string) error {
	if method == "" || method == http.MethodGet || method == http.MethodHead {
		return refuse(BadBody, "body", "stands where none may be: a GET or HEAD has none")
	}
	return nil
}
