package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"qifeng/api/httpsig"
	"qifeng/api/wire"
	"qifeng/internal/gm"
)

// The shapes of the answers; see package wire.
type (
	Problem   = wire.Problem
	State     = wire.State
	Record    = wire.Record
	Submitted = wire.Submitted
	Records   = wire.Records
	Members   = wire.Members
	Status    = wire.Status
	Seals     = wire.Seals
	Key       = wire.Key
	KeyResult = wire.KeyResult
	Ready     = wire.Ready
)

// The states of a record.
const (
	Accepted  = wire.Accepted
	Committed = wire.Committed
	Sealed    = wire.Sealed
	Anchored  = wire.Anchored
)

// Options of a client; the zero value is good.
type Options struct {
	HTTP      *http.Client  // default: the standard transport; redirects are never followed
	Timeout   time.Duration // of one attempt, on top of the wait asked for; default 30 s
	Attempts  int           // in all, default 5; 1 never sends again
	UserAgent string        // default "qifeng-client"

	// CA are certificates (PEM) that an https node may be vouched for by, besides
	// those that the system trusts; ServerName is the name to find in its
	// certificate, default the address's. Not together with HTTP.
	CA         []byte
	ServerName string

	// KeyID and Signer sign what is read (docs/spec/http.md): a registered key of
	// purpose read, "member/name". Without them only public things can be read.
	// Now is the clock of the signatures, default time.Now.
	KeyID  string
	Signer gm.Signer
	Now    func() time.Time

	// Pause waits between attempts; default is a timer. For tests.
	Pause func(ctx context.Context, d time.Duration) error
}

// Client is one node's client. It is safe for concurrent use.
type Client struct {
	base *url.URL
	http *http.Client
	opt  Options
}

// New makes a client of the node at baseURL, e.g. "http://127.0.0.1:8100".
func New(baseURL string, opt Options) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(baseURL, "/"))
	if err != nil {
		return nil, fmt.Errorf("reading the node's address: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the node's address must look like http://host:port, not %q", baseURL)
	}
	if opt.Timeout <= 0 {
		opt.Timeout = defaultTimeout
	}
	if opt.Attempts <= 0 {
		opt.Attempts = defaultAttempts
	}
	if opt.UserAgent == "" {
		opt.UserAgent = "qifeng-client"
	}
	if opt.Pause == nil {
		opt.Pause = pause
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if (opt.KeyID == "") != (opt.Signer == nil) {
		return nil, errors.New("KeyID and Signer go together")
	}
	hc := http.Client{}
	if opt.HTTP != nil {
		hc = *opt.HTTP
	}
	if opt.CA != nil || opt.ServerName != "" {
		if hc.Transport, err = transport(opt); err != nil {
			return nil, err
		}
	}
	// A redirect would send signed evidence to an address nobody named.
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base: u, http: &hc, opt: opt}, nil
}

// transport is the standard one, with what is trusted besides.
func transport(opt Options) (http.RoundTripper, error) {
	if opt.HTTP != nil {
		return nil, errors.New("CA and ServerName do not go together with HTTP")
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a machine without any trusts the given ones alone
	}
	if opt.CA != nil && !roots.AppendCertsFromPEM(opt.CA) {
		return nil, errors.New("reading the CA certificates: no PEM certificate in them")
	}
	t := http.DefaultTransport.(*http.Transport).Clone() // net/http's own, never replaced here
	t.TLSClientConfig = &tls.Config{RootCAs: roots, ServerName: opt.ServerName, MinVersion: tls.VersionTLS12}
	return t, nil
}

// URL returns the node's address as given.
func (c *Client) URL() string { return c.base.String() }

// HasCode reports whether err is a node's problem of the given code.
func HasCode(err error, code string) bool {
	var p *Problem
	return errors.As(err, &p) && p.Code == code
}

// call is one request, which may be sent several times.
type call struct {
	method string
	path   string // below the base, already escaped
	query  url.Values
	body   []byte
	wait   time.Duration
	max    int64                 // bound of a good answer
	final  func(status int) bool // statuses that are answers; default 2xx

	minimal bool // return=minimal

	head func(http.Header) // told of a good answer's header; may be nil
}

// do sends c until it is answered, the attempts are used up or ctx ends. It
// returns the body and status of the answer, or a *Problem, or what broke.
func (c *Client) do(ctx context.Context, k call) ([]byte, int, error) {
	backoff := firstBackoff
	for attempt := 1; ; attempt++ {
		body, status, after, err := c.once(ctx, k)
		if err == nil {
			return body, status, nil
		}
		if attempt >= c.opt.Attempts || !again(err) || ctx.Err() != nil {
			return nil, status, fmt.Errorf("%s %s: %w", k.method, k.path, err)
		}
		d := backoff/2 + rand.N(backoff/2+1)
		if after > 0 {
			d = after + rand.N(firstBackoff)
		}
		if perr := c.opt.Pause(ctx, d); perr != nil {
			return nil, status, fmt.Errorf("%s %s: %w; last answer: %w", k.method, k.path, perr, err)
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// once sends c one time. after is what the node asks to wait, 0 for nothing.
func (c *Client) once(ctx context.Context, k call) (body []byte, status int, after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.opt.Timeout+k.wait)
	defer cancel()
	req, err := c.request(ctx, k)
	if err != nil {
		return nil, 0, 0, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, 0, 0, &networkError{err}
	}
	defer resp.Body.Close()
	good := resp.StatusCode >= 200 && resp.StatusCode < 300
	if k.final != nil {
		good = k.final(resp.StatusCode)
	}
	limit := k.max
	if !good {
		limit = maxProblem
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, resp.StatusCode, 0, &networkError{fmt.Errorf("reading the answer: %w", err)}
	case !good:
		return nil, resp.StatusCode, retryAfter(resp.Header, time.Now()), problemOf(resp, body)
	case int64(len(body)) > limit:
		return nil, resp.StatusCode, 0, fmt.Errorf("the answer is longer than %d bytes", limit)
	}
	if k.head != nil {
		k.head(resp.Header)
	}
	return body, resp.StatusCode, 0, nil
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	u := c.base.String() + k.path
	if len(k.query) > 0 {
		u += "?" + k.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, k.method, u, bytes.NewReader(k.body))
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("User-Agent", c.opt.UserAgent)
	if k.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if p := k.prefer(); p != "" {
		req.Header.Set("Prefer", p)
	}
	// What is posted is signed inside. Each attempt is signed anew, last of all.
	if c.opt.Signer != nil && k.method == http.MethodGet {
		if err := httpsig.Sign(req, c.opt.KeyID, c.opt.Signer, c.opt.Now()); err != nil {
			return nil, err
		}
	}
	return req, nil
}

// prefer is the Prefer header (RFC 7240), empty where there is nothing to say.
func (k *call) prefer() string {
	p := ""
	if k.minimal {
		p = "return=minimal"
	}
	if k.wait > 0 {
		if p != "" {
			p += ", "
		}
		p += "wait=" + strconv.Itoa(int((min(k.wait, MaxWait)+time.Second-1)/time.Second))
	}
	return p
}

// get fetches path and decodes the JSON answer into out.
func (c *Client) get(ctx context.Context, k call, out any) error {
	k.method = http.MethodGet
	body, _, err := c.do(ctx, k)
	if err != nil {
		return err
	}
	return decode(k, body, out)
}

func decode(k call, body []byte, out any) error {
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s %s: reading the answer: %w", k.method, k.path, err)
	}
	return nil
}

// networkError marks what may be cured by sending again.
type networkError struct{ err error }

func (e *networkError) Error() string { return e.err.Error() }
func (e *networkError) Unwrap() error { return e.err }

// again reports whether err may be cured by sending the same again.
func again(err error) bool {
	var p *Problem
	if errors.As(err, &p) {
		switch p.Status {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		// net/http sends a GET again by itself where a connection breaks, with the
		// nonce that the node may have seen; here it is signed anew.
		return p.Code == string(httpsig.Replayed)
	}
	var untrusted *tls.CertificateVerificationError // the same the next time
	if errors.As(err, &untrusted) {
		return false
	}
	var n *networkError
	return errors.As(err, &n)
}

// problemOf reads a problem document; whatever else stands in its place, as a
// proxy may put there, becomes one too.
func problemOf(resp *http.Response, body []byte) *Problem {
	p := &Problem{}
	t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if t != "application/problem+json" || json.Unmarshal(body, p) != nil || p.Code == "" {
		p = &Problem{Code: "http", Title: http.StatusText(resp.StatusCode)}
	}
	p.Status = resp.StatusCode
	return p
}

// retryAfter reads Retry-After, seconds or a date, cut to maxRetryAfter.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if v == "" {
		return 0
	}
	var d time.Duration
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		d = time.Duration(n) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(now)
	}
	return max(0, min(d, maxRetryAfter))
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
