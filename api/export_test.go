package api

import (
	"net"
	"net/http"
	"regexp"
	"time"

	"github.com/gin-gonic/gin"

	"qifeng/api/httpsig"
	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
)

// FillWaiters takes every waiting slot, for ever.
func (s *Server) FillWaiters() {
	for range cap(s.waiters) {
		s.waiters <- struct{}{}
	}
}

// SetRefusal makes every signed request be refused with err.
func (s *Server) SetRefusal(err error) { s.reads = refuser{err} }

type refuser struct{ err error }

func (r refuser) Verify(*http.Request) (httpsig.Identity, error) { return httpsig.Identity{}, r.err }

// TrustAnchors replaces the anchor roots and what verifies a receipt.
func (s *Server) TrustAnchors(roots *proof.AnchorRoots, verify func(*proof.Anchor) error) {
	s.roots = roots
	s.judging.from = func(a *proof.Anchor, _ *checkpoint.Policy, _ *proof.AnchorRoots) (*proof.AnchorReport, error) {
		return &proof.AnchorReport{}, verify(a)
	}
}

var ginParam = regexp.MustCompile(`[:*]([a-z]+)`)

// Routes lists the router's routes, "GET /v1/records/{id}".
func (s *Server) Routes() []string { return routes(s.handler) }

func routes(h http.Handler) []string {
	var out []string
	for _, r := range h.(*gin.Engine).Routes() {
		out = append(out, r.Method+" "+ginParam.ReplaceAllString(r.Path, "{$1}"))
	}
	return out
}

// Documents returns the description and its page as they are served.
func Documents() (openAPI, page []byte, err error) {
	d, err := documents()
	if err != nil {
		return nil, nil, err
	}
	return d.openAPI.body, d.page.body, nil
}

// Limits are the bounds that x-limits of the description states.
var Limits = map[string]int64{
	"submissions":        evidence.MaxSubmissions,
	"records_body_bytes": evidence.MaxRequestBytes,
	"key_body_bytes":     maxKeyBody,
	"submission_bytes":   evidence.MaxSubmissionBytes,
	"query_bytes":        maxQuery,
	"header_bytes":       maxHeaderBytes,
	"page_default":       defaultPage,
	"page_max":           maxPage,
	"cursor_characters":  maxCursor,
	"wait_seconds":       int64(maxWait / time.Second),
	"key_wait_seconds":   int64(keyWait / time.Second),
	"waiting_requests":   maxWaiters,
	"read_seconds":       int64(readTimeout / time.Second),
	"body_bytes_second":  minBodyRate,
	"idle_seconds":       int64(idleTimeout / time.Second),
}

// Silent is how many connections of a listener that Bound gave are silent.
func Silent(ln net.Listener) int {
	d := ln.(*door)
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.silent.Len()
}

// HideAddresses is what the log keeps of a line of net/http.
var HideAddresses = hideAddresses
