package witness

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"qifeng/anchor"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
)

// sizeType is the content type of a 409 that states the witness's size.
const sizeType = "text/x.tlog.size"

// Config says which witness is asked.
type Config struct {
	// URL is the witness's submission prefix: "https://witness.example/w1" has the
	// checkpoints posted to /w1/add-checkpoint.
	URL string
	// Witness verifies its cosignatures.
	Witness checkpoint.Witness
	// Policy is the own consortium's: it says whose log lines are sent.
	Policy *checkpoint.Policy
	// CA are certificates, PEM, that are trusted besides the system's for https.
	CA []byte
}

// Client is an outside witness, as an anchor.
type Client struct {
	cfg  Config
	url  string
	http *http.Client

	mu  sync.Mutex // guards old
	old uint64     // the size that the witness said it holds; 0 until it has said so
}

var _ anchor.Anchor = (*Client)(nil)

// New returns the anchor. It reaches nobody: a witness that is down is no error here.
func New(cfg Config) (*Client, error) {
	if cfg.Policy == nil {
		return nil, errors.New("witness: no trust policy")
	}
	if _, err := checkpoint.ParseWitness(cfg.Witness.String()); err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	if err := cfg.Witness.CheckOutside(cfg.Policy); err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("witness: %q is no address such as https://witness.example/w1", cfg.URL)
	}
	if strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/add-checkpoint") {
		return nil, fmt.Errorf("witness: %q: state the address without add-checkpoint, which C2SP adds", cfg.URL)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a machine without any trusts the given ones alone
	}
	if len(cfg.CA) > 0 && !roots.AppendCertsFromPEM(cfg.CA) {
		return nil, errors.New("witness: the CA file holds no PEM certificate")
	}
	t := http.DefaultTransport.(*http.Transport).Clone() // net/http's own, never replaced here
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	t.ResponseHeaderTimeout = headerTimeout
	t.MaxResponseHeaderBytes = maxHeader
	t.MaxConnsPerHost = 2 // one attempt at a time, and one whose end is not noticed yet
	return &Client{cfg: cfg, url: u.JoinPath("add-checkpoint").String(), http: &http.Client{
		Transport: t,
		// A redirect would be an answer by somebody whom nobody named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Kind implements [anchor.Anchor].
func (c *Client) Kind() proof.AnchorKind { return proof.AnchorWitness }

// Close implements [anchor.Anchor].
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Unregistered says that the witness knows no log of this origin, or none of the keys
// that signed: its operator has to register them. It wraps [anchor.ErrRefused].
type Unregistered struct {
	Origin string
	Keys   []string // verifier keys to register, those of the neutral members
	Status int      // 404 or 403
	Said   string
}

func (u *Unregistered) Error() string {
	register := strings.Join(u.Keys[:min(len(u.Keys), maxNamed)], " ")
	if u.Status == http.StatusNotFound {
		return fmt.Sprintf("the witness does not know the log %s, or the address is not its own (404: %s); its operator registers the log keys of neutral members: %s", u.Origin, u.Said, register)
	}
	return fmt.Sprintf("the witness knows the log %s by other keys (403: %s); its operator registers the log keys of neutral members: %s", u.Origin, u.Said, register)
}

func (u *Unregistered) Unwrap() error { return anchor.ErrRefused }

// Ahead says that the witness holds a larger state already, as when another member
// was faster. It signs none that is smaller; a later checkpoint will do.
type Ahead struct{ Holds, Size uint64 }

func (a *Ahead) Error() string {
	return fmt.Sprintf("the witness has cosigned size %d already, beyond %d: a later checkpoint will be put", a.Holds, a.Size)
}

// Put implements [anchor.Anchor]. What may be lost on the way is only the answer: the
// witness then holds this size, says so by a 409 the next time, and cosigns it again.
func (c *Client) Put(ctx context.Context, cp anchor.Checkpoint, ledger anchor.Ledger) (anchor.Receipt, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, putTimeout)
		defer cancel()
	}
	r, err := c.put(ctx, cp, ledger)
	if err != nil {
		return anchor.Receipt{}, fmt.Errorf("witness %s: %w", c.cfg.Witness.Name, err)
	}
	return r, nil
}

func (c *Client) put(ctx context.Context, cp anchor.Checkpoint, ledger anchor.Ledger) (anchor.Receipt, error) {
	s, err := checkpoint.Open(cp.Note, c.cfg.Policy, checkpoint.Options{})
	if err != nil {
		return anchor.Receipt{}, err
	}
	if s.Size != cp.Size || s.Root != cp.Root {
		return anchor.Receipt{}, fmt.Errorf("the note is of size %d, not of the checkpoint handed over", s.Size)
	}
	note, err := checkpoint.WitnessNote(cp.Note, c.cfg.Policy)
	if err != nil {
		return anchor.Receipt{}, err
	}
	for range maxTurns {
		old := c.known()
		if old > cp.Size {
			// Asked for all the same: the witness may have been put back from a backup.
			old = 0
		}
		a, err := c.ask(ctx, old, cp, note, ledger)
		if err != nil {
			return anchor.Receipt{}, err
		}
		if a.status == http.StatusConflict {
			if err := c.moved(a, old, s, cp); err != nil {
				return anchor.Receipt{}, err
			}
			continue
		}
		if err := c.judge(a, old, s, cp); err != nil {
			return anchor.Receipt{}, err
		}
		full, err := c.take(a.body, cp.Note)
		if err != nil {
			return anchor.Receipt{}, err
		}
		c.learn(cp.Size)
		return anchor.Receipt{Note: full}, nil
	}
	return anchor.Receipt{}, fmt.Errorf("the witness moved on %d times while this size was put", maxTurns)
}

func (c *Client) known() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.old
}

func (c *Client) learn(size uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.old = size
}

// answer is what came back, read to its end.
type answer struct {
	status int
	kind   string // media type
	body   []byte
}

// said is the answer's text for an error, cut and without anything that could
// disturb a terminal.
func (a answer) said() string {
	return fmt.Sprintf("%q", strings.TrimSpace(string(a.body[:min(len(a.body), maxSaid)])))
}

// statement is the witness's word as it came, for evidence.
func (a answer) statement() []byte {
	return append(fmt.Appendf(nil, "HTTP %d %s\n\n", a.status, a.kind), a.body...)
}

// ask sends one add-checkpoint request.
func (c *Client) ask(ctx context.Context, old uint64, cp anchor.Checkpoint, note []byte, ledger anchor.Ledger) (answer, error) {
	body, err := request(old, cp, note, ledger)
	if err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	req.Header.Set("User-Agent", "qifeng")
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode}
	a.kind, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type")) // "" where it states none
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1)); err != nil {
		return answer{}, fmt.Errorf("reading the answer: %w", err)
	}
	if len(a.body) > maxAnswer {
		return answer{}, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return a, nil
}

// request writes the body of an add-checkpoint request.
func request(old uint64, cp anchor.Checkpoint, note []byte, ledger anchor.Ledger) ([]byte, error) {
	b := fmt.Appendf(nil, "old %d\n", old)
	if old > 0 && old < cp.Size {
		path, err := ledger.Consistency(old, cp.Size)
		if err != nil {
			return nil, fmt.Errorf("the consistency path from size %d to %d: %w", old, cp.Size, err)
		}
		if len(path) > maxProof {
			return nil, fmt.Errorf("a consistency path of %d hashes, at most %d", len(path), maxProof)
		}
		for _, d := range path {
			b = append(base64.StdEncoding.AppendEncode(b, d.SHA256[:]), '\n')
		}
	}
	b = append(b, '\n')
	return append(b, note...), nil
}

// moved takes a 409. It is a conflict only where the witness holds our very size and
// refuses it although the request began there: then it has another root.
func (c *Client) moved(a answer, old uint64, s *checkpoint.Sealed, cp anchor.Checkpoint) error {
	size, stated := a.size()
	if stated {
		c.learn(size)
	}
	switch {
	case stated && size > cp.Size:
		return &Ahead{Holds: size, Size: cp.Size}
	case old == cp.Size && (!stated || size == cp.Size):
		return &anchor.Conflict{Size: cp.Size, Ours: cp.Note, Theirs: a.statement(),
			Err: fmt.Errorf("witness %s has cosigned %s at size %d with another SHA-256 root than %s", c.cfg.Witness.Name, s.Origin, cp.Size, base64.StdEncoding.EncodeToString(s.Root.SHA256[:]))}
	case !stated:
		return fmt.Errorf("409 without the size that it holds, which C2SP asks for (%s: %s)", a.kind, a.said())
	case size == old:
		return fmt.Errorf("409 to a request that begins at the size that it holds, %d", size)
	}
	return nil
}

// size is the size that a 409 states.
func (a answer) size() (uint64, bool) {
	text, ended := strings.CutSuffix(string(a.body), "\n")
	n, err := strconv.ParseUint(text, 10, 63)
	if a.kind != sizeType || !ended || err != nil || strconv.FormatUint(n, 10) != text {
		return 0, false
	}
	return n, true
}

// judge sorts the answers that are neither 200 nor a 409.
func (c *Client) judge(a answer, old uint64, s *checkpoint.Sealed, cp anchor.Checkpoint) error {
	switch {
	case a.status == http.StatusOK:
		return nil
	case a.status == http.StatusUnprocessableEntity && old > 0:
		// It compared sizes before it looked at the proof: it holds another ledger at
		// size old.
		return &anchor.Conflict{Size: cp.Size, Ours: cp.Note, Theirs: a.statement(),
			Err: fmt.Errorf("witness %s says that size %d of %s does not grow out of the root that it has cosigned at size %d", c.cfg.Witness.Name, cp.Size, s.Origin, old)}
	case a.status == http.StatusNotFound, a.status == http.StatusForbidden:
		return &Unregistered{Origin: s.Origin, Keys: c.cfg.Policy.WitnessLogKeys(s.Epoch), Status: a.status, Said: a.said()}
	case a.status == http.StatusRequestTimeout, a.status == http.StatusTooEarly, a.status == http.StatusTooManyRequests:
		return fmt.Errorf("the witness puts it off: %d: %s", a.status, a.said())
	case a.status >= 300 && a.status < 500:
		return fmt.Errorf("%w: %d: %s", anchor.ErrRefused, a.status, a.said())
	default:
		return fmt.Errorf("the witness fails: %d: %s", a.status, a.said())
	}
}

// take picks the line of the configured key out of an answer and adds it to the note.
// Lines of other keys are ignored, as C2SP asks: a witness may sign with several.
func (c *Client) take(lines, note []byte) ([]byte, error) {
	var found []byte
	var others []string
	for line := range bytes.Lines(lines) {
		full, err := checkpoint.AddLines(note, line)
		if err != nil {
			return nil, fmt.Errorf("the answer is no signature line: %w", err)
		}
		switch _, err := checkpoint.Witnessed(full, c.cfg.Witness); {
		case err == nil && found == nil:
			found = full
		case err == nil:
			return nil, errors.New("the answer has two lines of the configured key")
		case errors.Is(err, checkpoint.ErrNotSealed):
			name, _, _ := strings.Cut(strings.TrimPrefix(string(line), "— "), " ")
			others = append(others, name)
		default:
			return nil, err
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%w: the witness signs with another key than the configured %s (names on its lines: %q)", anchor.ErrRefused, c.cfg.Witness, others)
	}
	return found, nil
}
