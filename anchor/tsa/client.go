package tsa

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"qifeng/anchor"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/timestamp"
)

// Config says which authority is asked, and how.
type Config struct {
	// URL is where requests are posted, http or https.
	URL string
	// Hash is the digest of the note that is asked with: "sha256" (or empty) or "sm3".
	Hash string
	// CA are certificates, PEM, that are trusted besides the system's for https.
	CA []byte
	// User and PasswordFile are for HTTP basic authentication; both or none. The file is read for each
	// request, and refused where others may read it. Not over plain http, but to this machine.
	User, PasswordFile string
	// Authority verifies the tokens.
	Authority timestamp.Authority
	// Logger is told of revocation lists that cannot be had; nil for none.
	Logger *slog.Logger
	// Now is this machine's clock; nil for time.Now.
	Now func() time.Time
}

// Client is a time-stamp authority, as an anchor.
type Client struct {
	cfg    Config
	digest digest
	http   *http.Client
	lists  lists
}

var _ anchor.Anchor = (*Client)(nil)

// Content types of RFC 3161 §3.4.
const (
	queryType = "application/timestamp-query"
	replyType = "application/timestamp-reply"
)

var digests = map[string]digest{
	"sha256": {asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, func(b []byte) []byte { d := sha256.Sum256(b); return d[:] }},
	"sm3":    {asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 401}, func(b []byte) []byte { d := gm.SM3(b); return d[:] }},
}

// New returns the anchor. It reaches nobody: an authority that is down is no error here.
func New(cfg Config) (*Client, error) {
	if cfg.Hash == "" {
		cfg.Hash = "sha256"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Client{cfg: cfg}
	var known bool
	if c.digest, known = digests[cfg.Hash]; !known {
		return nil, fmt.Errorf("tsa: hash %q is neither sha256 nor sm3", cfg.Hash)
	}
	if err := timestamp.CheckAuthority(&cfg.Authority); err != nil {
		return nil, fmt.Errorf("tsa: %w", err)
	}
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("tsa: %q is no address such as https://tsa.example/ts (a user stands in a field of its own)", cfg.URL)
	}
	if err := checkLogin(&cfg, u); err != nil {
		return nil, fmt.Errorf("tsa: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a machine without any trusts the given ones alone
	}
	if len(cfg.CA) > 0 && !roots.AppendCertsFromPEM(cfg.CA) {
		return nil, errors.New("tsa: the CA file holds no PEM certificate")
	}
	t := http.DefaultTransport.(*http.Transport).Clone() // net/http's own, never replaced here
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	t.MaxResponseHeaderBytes = maxHeader
	t.MaxConnsPerHost = 2 // one attempt at a time, and one whose end is not noticed yet
	c.http = &http.Client{
		Transport: t,
		// A redirect would be an answer by somebody whom nobody named, and take the password there.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func checkLogin(cfg *Config, u *url.URL) error {
	if (cfg.User == "") != (cfg.PasswordFile == "") {
		return errors.New("user and password_file go together")
	}
	if cfg.User == "" {
		return nil
	}
	if strings.Contains(cfg.User, ":") {
		return errors.New("a user name holds no colon (RFC 7617)")
	}
	ip := net.ParseIP(u.Hostname())
	if local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback(); u.Scheme != "https" && !local {
		return errors.New("a password is not sent over plain http: use an https address")
	}
	_, err := readPassword(cfg.PasswordFile)
	return err
}

// readPassword reads a file that nobody else may read; a line end after the password is not part of it.
func readPassword(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading password: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("reading password: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", fmt.Errorf("password file %s has mode %04o, others may read it: chmod 600 %s", path, mode, path)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxPassword+1))
	if err != nil {
		return "", fmt.Errorf("reading password: %w", err)
	}
	raw = bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r"))
	if len(raw) == 0 || len(raw) > maxPassword || bytes.ContainsAny(raw, "\r\n") {
		return "", fmt.Errorf("password file %s does not hold one line of 1 to %d bytes", path, maxPassword)
	}
	return string(raw), nil
}

// Kind implements [anchor.Anchor].
func (c *Client) Kind() proof.AnchorKind { return proof.AnchorRFC3161 }

// Close implements [anchor.Anchor].
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// ClockError says that the authority's clock and this machine's disagree. One of them is wrong, and nothing
// here can tell which.
type ClockError struct {
	Theirs, Ours time.Time
	Off, Bound   time.Duration
}

func (e *ClockError) Error() string {
	side := "ahead of"
	if e.Theirs.Before(e.Ours) {
		side = "behind"
	}
	return fmt.Sprintf("the authority's clock is %v %s ours, beyond the bound of %v; check this machine's clock first",
		e.Off.Round(time.Second), side, e.Bound)
}

// Put implements [anchor.Anchor]. An authority keeps nothing, so a Put that is repeated gives another token of the same note.
func (c *Client) Put(ctx context.Context, cp anchor.Checkpoint, _ anchor.Ledger) (anchor.Receipt, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, putTimeout)
		defer cancel()
	}
	token, err := c.stamp(ctx, cp.Note)
	if err != nil {
		return anchor.Receipt{}, fmt.Errorf("time-stamp authority %s: %w", c.cfg.Authority.Name, err)
	}
	return anchor.Receipt{Note: cp.Note, Data: token}, nil
}

// stamp gets a token over the note, verified, with lists where they can be had.
func (c *Client) stamp(ctx context.Context, note []byte) ([]byte, error) {
	if len(note) == 0 {
		return nil, errors.New("no note to be stamped")
	}
	random := make([]byte, nonceBytes)
	rand.Read(random)
	random[0] = random[0]&0x3f | 0x40 // positive, and of one length
	nonce := new(big.Int).SetBytes(random)
	query, err := marshalRequest(c.digest.oid, c.digest.sum(note), nonce)
	if err != nil {
		return nil, err
	}
	before := c.cfg.Now()
	answer, err := c.ask(ctx, query)
	if err != nil {
		return nil, err
	}
	after := c.cfg.Now()
	token, err := parseAnswer(answer)
	if err != nil {
		return nil, err
	}
	if token, err = c.judge(ctx, token, note, nonce, before, after); err != nil {
		return nil, fmt.Errorf("%w: %w", anchor.ErrSpent, err) // authorities charge by the token
	}
	return token, nil
}

// judge verifies a token that was granted, and adds what may be had of lists.
func (c *Client) judge(ctx context.Context, token, note []byte, nonce *big.Int, before, after time.Time) ([]byte, error) {
	t, err := timestamp.Verify(token, note, &c.cfg.Authority)
	if err != nil {
		return nil, refuseRevoked(err)
	}
	if t.Nonce != nonce.String() {
		return nil, errors.New("the token answers another request: its nonce is not ours")
	}
	if err := checkClock(t, before, after); err != nil {
		return nil, err
	}
	return c.addLists(ctx, token, note)
}

// checkClock compares the token's time with the span in which it was asked for.
func checkClock(t *timestamp.Token, before, after time.Time) error {
	ours := before
	if t.Time.After(after) {
		ours = after
	} else if !t.Time.Before(before) {
		return nil
	}
	bound := clockBound + t.Accuracy
	if off := t.Time.Sub(ours).Abs(); off > bound {
		return &ClockError{Theirs: t.Time, Ours: ours, Off: off, Bound: bound}
	}
	return nil
}

// refuseRevoked marks that no repetition will help.
func refuseRevoked(err error) error {
	if errors.Is(err, timestamp.ErrRevoked) {
		return fmt.Errorf("%w: %w", anchor.ErrRefused, err)
	}
	return err
}

// ask posts a request and returns the answer's body.
func (c *Client) ask(ctx context.Context, query []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URL, bytes.NewReader(query))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", queryType)
	r.Header.Set("Accept", replyType)
	r.Header.Set("User-Agent", "qifeng")
	if c.cfg.User != "" {
		password, err := readPassword(c.cfg.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", anchor.ErrRefused, err)
		}
		r.SetBasicAuth(c.cfg.User, password)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if resp.StatusCode != http.StatusOK {
		return nil, statusError(resp.StatusCode, clean(body))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != replyType {
		return nil, fmt.Errorf("the answer is of type %q, want %s: is this the address of a time-stamp authority?", clean([]byte(resp.Header.Get("Content-Type"))), replyType)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return body, nil
}

// statusError names what an HTTP status means here.
func statusError(code int, said string) error {
	text := fmt.Sprintf("HTTP status %d", code)
	if said != "" {
		text += fmt.Sprintf(" (%s)", said)
	}
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: %s: it does not take this user and password, or asks for them", anchor.ErrRefused, text)
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType, http.StatusGone:
		return fmt.Errorf("%w: %s: this is not the address of a time-stamp authority", anchor.ErrRefused, text)
	}
	if code >= 300 && code < 400 {
		return fmt.Errorf("%w: %s: it redirects elsewhere: name the address that it redirects to", anchor.ErrRefused, text)
	}
	return errors.New(text)
}
