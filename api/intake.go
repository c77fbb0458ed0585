package api

import (
	"context"

	"github.com/gin-gonic/gin"

	"qifeng/archive"
	"qifeng/evidence"
)

// intake is what became of a request, in the form in which it is answered.
type intake struct {
	whole   bool             // the receipt is one for all of it
	receipt archive.Range    // if whole
	stored  []archive.Stored // if not
}

// takeIn reads a request's body and stores what is in it. A slot is taken only
// when the whole body is there, so slow senders hold none; slot and memory are
// given back before the caller waits for a state.
func (s *Server) takeIn(c *gin.Context, minimal bool) (in intake, err error) {
	defer releaseBody(c)
	body, err := readBody(c.Request.Body, c.Request.ContentLength)
	if err != nil {
		return in, bodyFault(err)
	}
	select {
	case s.intakes <- struct{}{}:
		defer func() { <-s.intakes }()
	default:
		return in, &fault{kind: overloaded, retry: retryAfter, detail: "too many requests are being taken in"}
	}
	req, err := s.parse(c.Request.Context(), body)
	if err != nil {
		return in, err
	}
	if err := s.limitKey(req.Statement); err != nil {
		return in, err
	}
	taken, err := s.cfg.Archive.Submit(c.Request.Context(), req)
	s.chargeKey(req.Statement, len(req.Submissions), err)
	if err != nil {
		return in, refusedRequest(err)
	}
	if minimal {
		// Whether these are the records of the request is not asked here: the sender
		// makes the root out of what it sent.
		if in.receipt, in.whole = taken.Range(); in.whole {
			return in, nil
		}
	}
	if in.stored, err = taken.Stored(); err != nil {
		return in, refusedRequest(err)
	}
	return in, checkStored(req, in.stored)
}

// parse reads a request in one of a few slots, one a processor: more at once
// would be no faster, and would keep the processors from those who store.
func (s *Server) parse(ctx context.Context, body []byte) (*evidence.Request, error) {
	select {
	case s.parsing <- struct{}{}:
		defer func() { <-s.parsing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	req, err := evidence.ParseRequest(body)
	if err != nil {
		return nil, bodyInvalid(err)
	}
	return req, nil
}
