package client

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"qifeng/api/wire"
	"qifeng/evidence"
	"qifeng/proof"
)

// Submit sends the canonical bytes of a signed request ([evidence.Request].Raw)
// and, with a wait, has the node hold the answer until all is sealed or the
// wait ends. Check the answer with [VerifySubmitted]. The node is asked for one
// receipt for the whole, and the records' files are made here: they are what it
// would have answered in full.
func (c *Client) Submit(ctx context.Context, request []byte, wait time.Duration) (*Submitted, error) {
	a, err := c.SubmitCompact(ctx, request, wait)
	if err != nil {
		return nil, err
	}
	if a.Full != nil {
		return a.Full, nil
	}
	req, err := evidence.ParseRequest(request)
	if err != nil {
		return nil, fmt.Errorf("%w: it is for a request that cannot be read: %w", ErrReceipt, err)
	}
	return a.Range.Submitted(req)
}

// Record gets every leaf of an id, as it stands.
func (c *Client) Record(ctx context.Context, id evidence.ID) ([]Record, error) {
	return c.Await(ctx, id, "", 0)
}

// Await gets every leaf of an id, once all have reached a state or the wait has
// ended; an empty state is sealed.
func (c *Client) Await(ctx context.Context, id evidence.ID, until State, wait time.Duration) ([]Record, error) {
	k := call{path: "/v1/records/" + url.PathEscape(string(id)), wait: wait, max: maxRecordsAnswer}
	if until != "" {
		k.query = url.Values{"until": {string(until)}}
	}
	out := &Records{}
	if err := c.get(ctx, k, out); err != nil {
		return nil, err
	}
	return out.Records, nil
}

// Page says which part of a look-up is wanted; the zero value is the first.
type Page struct {
	Cursor string // Records.Next of the page before
	Limit  int    // 0 is the node's default
}

// FindByDigest gets the records whose content has a hash; alg is "sm3" or "sha256".
func (c *Client) FindByDigest(ctx context.Context, alg string, hash [32]byte, p Page) (*Records, error) {
	return c.find(ctx, url.Values{"digest": {alg + ":" + hex.EncodeToString(hash[:])}}, p)
}

// FindByDossier gets the records of a dossier.
func (c *Client) FindByDossier(ctx context.Context, d evidence.Dossier, p Page) (*Records, error) {
	return c.find(ctx, url.Values{"dossier": {string(d)}}, p)
}

func (c *Client) find(ctx context.Context, q url.Values, p Page) (*Records, error) {
	if p.Cursor != "" {
		q.Set("cursor", p.Cursor)
	}
	if p.Limit > 0 {
		q.Set("limit", strconv.Itoa(p.Limit))
	}
	out := &Records{}
	return out, c.get(ctx, call{path: "/v1/records", query: q, max: maxRecordsAnswer}, out)
}

// Proof gets the proof file of a sealed record. Before that, and after the
// wait, the error is a *Problem of code "not-sealed-yet" that names the state.
// The file is read, not judged: that is proof.Verify's work.
func (c *Client) Proof(ctx context.Context, id evidence.ID, wait time.Duration) (*proof.File, error) {
	f, _, err := c.ProofLeft(ctx, id, wait)
	return f, err
}

// ProofLeft is Proof, and names the anchors that the file has no room for:
// [Client.Anchors] gets them.
func (c *Client) ProofLeft(ctx context.Context, id evidence.ID, wait time.Duration) (f *proof.File, left []string, err error) {
	k := call{path: "/v1/records/" + url.PathEscape(string(id)) + "/proof", wait: wait}
	k.head = func(h http.Header) {
		for name := range strings.SplitSeq(h.Get(wire.AnchorsLeft), ",") {
			if proof.CheckAnchorName(name) == nil && len(left) < proof.MaxFileAnchors {
				left = append(left, name)
			}
		}
	}
	body, err := c.bytes(ctx, k)
	if err != nil {
		return nil, nil, err
	}
	if f, err = proof.Parse(body); err != nil {
		return nil, nil, fmt.Errorf("reading the proof of %s: %w", id, err)
	}
	return f, left, nil
}

// Anchors gets the companion file of the proofs whose checkpoint has a size: of
// each of the node's anchors the first receipt that covers it. The file is read,
// not judged.
func (c *Client) Anchors(ctx context.Context, from uint64) (*proof.AnchorFile, error) {
	body, err := c.bytes(ctx, call{path: "/v1/anchors", query: url.Values{"from": {strconv.FormatUint(from, 10)}}})
	if err != nil {
		return nil, err
	}
	f, err := proof.ParseAnchorFile(body)
	if err != nil {
		return nil, fmt.Errorf("reading the anchors over size %d: %w", from, err)
	}
	return f, nil
}

// AnchorRoots gets the anchor roots that the node states; see the package comment.
func (c *Client) AnchorRoots(ctx context.Context) ([]byte, error) {
	k := call{method: http.MethodGet, path: "/v1/anchor-roots", max: proof.MaxAnchorRootsBytes}
	body, _, err := c.do(ctx, k)
	return body, err
}

// WaitProof asks for a proof until it is there or ctx ends. A node that halts
// without a quorum makes it wait as long as ctx does.
func (c *Client) WaitProof(ctx context.Context, id evidence.ID) (*proof.File, error) {
	for {
		f, err := c.Proof(ctx, id, MaxWait)
		if err == nil || !HasCode(err, "not-sealed-yet") {
			return f, err
		}
		if perr := c.opt.Pause(ctx, firstBackoff); perr != nil {
			return nil, fmt.Errorf("waiting for the proof of %s: %w; last answer: %w", id, perr, err)
		}
	}
}

// Checkpoint gets the newest sealed checkpoint, a signed note.
func (c *Client) Checkpoint(ctx context.Context) ([]byte, error) {
	return c.bytes(ctx, call{path: "/v1/checkpoint"})
}

// Policy gets the trust policy that the node states; see the package comment.
func (c *Client) Policy(ctx context.Context) ([]byte, error) {
	return c.bytes(ctx, call{path: "/v1/policy"})
}

// Genesis gets the genesis that the node states; see the package comment.
func (c *Client) Genesis(ctx context.Context) ([]byte, error) {
	return c.bytes(ctx, call{path: "/v1/genesis"})
}

// Members gets the members with their names and addresses.
func (c *Client) Members(ctx context.Context) (*Members, error) {
	out := &Members{}
	return out, c.get(ctx, call{path: "/v1/members", max: maxSmallAnswer}, out)
}

// Status gets what the node says of itself, the chain and the members.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	out := &Status{}
	return out, c.get(ctx, call{path: "/v1/status", max: maxSmallAnswer}, out)
}

// Seals gets the seals that the node holds for a size of the ledger.
func (c *Client) Seals(ctx context.Context, size uint64) (*Seals, error) {
	q := url.Values{"size": {strconv.FormatUint(size, 10)}}
	out := &Seals{}
	return out, c.get(ctx, call{path: "/v1/seals", query: q, max: maxSmallAnswer}, out)
}

// RegisterKey sends a signed key entry, a registration or a revocation, and
// waits as long as the node does until it is on the chain.
func (c *Client) RegisterKey(ctx context.Context, entry []byte) (*KeyResult, error) {
	k := call{method: http.MethodPost, path: "/v1/keys", body: entry, wait: MaxWait, max: maxSmallAnswer}
	body, _, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	out := &KeyResult{}
	return out, decode(k, body, out)
}

// Keys gets the registered keys of a member, of all with an empty id.
func (c *Client) Keys(ctx context.Context, member string) ([]Key, error) {
	k := call{path: "/v1/keys", max: maxRecordsAnswer}
	if member != "" {
		k.query = url.Values{"member": {member}}
	}
	var out struct {
		Keys []Key `json:"keys"`
	}
	if err := c.get(ctx, k, &out); err != nil {
		return nil, err
	}
	return out.Keys, nil
}

// Ready asks once whether the node is ready; that it is not is an answer and
// no error.
func (c *Client) Ready(ctx context.Context) (*Ready, error) {
	k := call{method: http.MethodGet, path: "/readyz", max: maxSmallAnswer,
		final: func(s int) bool { return s == http.StatusOK || s == http.StatusServiceUnavailable }}
	body, _, _, err := c.once(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", k.method, k.path, err)
	}
	out := &Ready{}
	return out, decode(k, body, out)
}

func (c *Client) bytes(ctx context.Context, k call) ([]byte, error) {
	k.method, k.max = http.MethodGet, maxSmallAnswer
	body, _, err := c.do(ctx, k)
	return body, err
}
