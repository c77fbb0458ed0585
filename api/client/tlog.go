package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"qifeng/api/wire"
	"qifeng/proof/merkle"
)

// Consistency is the path between two sizes of the ledger.
type Consistency = wire.Consistency

// Consistency gets the path from one ledger size to another; a to of 0 is the
// newest sealed one. Nothing of the answer is checked but its form: see
// [PathOf] and merkle.VerifyConsistency.
func (c *Client) Consistency(ctx context.Context, from, to uint64) (*Consistency, error) {
	q := url.Values{"from": {strconv.FormatUint(from, 10)}}
	if to > 0 {
		q.Set("to", strconv.FormatUint(to, 10))
	}
	out := &Consistency{}
	return out, c.get(ctx, call{path: "/v1/consistency", query: q, max: maxSmallAnswer}, out)
}

// PathOf is the path of an answer.
func PathOf(a *Consistency) ([]merkle.Digest, error) {
	out := make([]merkle.Digest, len(a.Path))
	for i, p := range a.Path {
		d, err := p.Digest()
		if err != nil {
			return nil, fmt.Errorf("reading step %d of the path from %d to %d: %w", i, a.From, a.To, err)
		}
		out[i] = d
	}
	return out, nil
}

// EntryBundle gets the first width ledger entries from 256·index on, each
// behind its length in two bytes (c2sp.org/tlog-tiles).
func (c *Client) EntryBundle(ctx context.Context, index uint64, width int) ([]byte, error) {
	k := call{method: http.MethodGet, path: "/tlog/tile/entries/" + wire.TilePath(index, width), max: maxBundle}
	body, _, err := c.do(ctx, k)
	return body, err
}
