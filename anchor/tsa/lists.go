package tsa

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"qifeng/proof/timestamp"
)

// lists are the revocation lists fetched lately, by address.
type lists struct {
	mu     sync.Mutex // guards what follows
	cached map[string]cachedList
	said   map[string]string // why a list could not be had, so that it is logged once
}

type cachedList struct {
	raw []byte
	at  time.Time
}

// addLists puts the revocation lists of the token's certificates into it, as far as they can be had:
// the signer's first. A token without them is a receipt too; one whose certificate is revoked is none.
func (c *Client) addLists(ctx context.Context, token, note []byte) ([]byte, error) {
	points, err := timestamp.DistributionPoints(token, note, &c.cfg.Authority)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	for i, urls := range points {
		for _, u := range urls {
			with, err := c.addList(ctx, token, note, u, i == 0)
			if errors.Is(err, timestamp.ErrRevoked) {
				return nil, refuseRevoked(err)
			}
			c.note(u, err)
			if err == nil {
				token = with
				break
			}
		}
	}
	return token, nil
}

// addList adds one list, of the signer's issuer or another's, and has the token verified with it.
func (c *Client) addList(ctx context.Context, token, note []byte, u string, signers bool) ([]byte, error) {
	raw, err := c.list(ctx, u)
	if err != nil {
		return nil, err
	}
	with, err := timestamp.AddLists(token, [][]byte{raw})
	if err != nil {
		c.forget(u)
		return nil, err
	}
	t, err := timestamp.Verify(with, note, &c.cfg.Authority)
	if err != nil || signers && t.Revoked == timestamp.NotChecked { // which has run out in between
		c.forget(u)
	}
	return with, err
}

// list gets a list from its address, or from lately.
func (c *Client) list(ctx context.Context, u string) ([]byte, error) {
	now := c.cfg.Now()
	c.lists.mu.Lock()
	held, ok := c.lists.cached[u]
	c.lists.mu.Unlock()
	if age := now.Sub(held.at); ok && age >= 0 && age < listAge {
		return held.raw, nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "qifeng")
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, timestamp.MaxListBytes+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > timestamp.MaxListBytes {
		return nil, fmt.Errorf("more than %d bytes", timestamp.MaxListBytes)
	}
	c.lists.mu.Lock()
	defer c.lists.mu.Unlock()
	if c.lists.cached == nil || len(c.lists.cached) >= maxCached {
		c.lists.cached = map[string]cachedList{}
	}
	c.lists.cached[u] = cachedList{raw, now}
	return raw, nil
}

func (c *Client) forget(u string) {
	c.lists.mu.Lock()
	defer c.lists.mu.Unlock()
	delete(c.lists.cached, u)
}

// note logs why a list is not there, when that changes.
func (c *Client) note(u string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	c.lists.mu.Lock()
	changed := c.lists.said[u] != text
	if c.lists.said == nil || len(c.lists.said) >= maxCached {
		c.lists.said = map[string]string{}
	}
	c.lists.said[u] = text
	c.lists.mu.Unlock()
	if changed && err != nil {
		c.cfg.Logger.Warn("token without a revocation list", "authority", c.cfg.Authority.Name, "url", u, "error", err)
	}
}
