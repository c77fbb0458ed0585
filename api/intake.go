package api

import (
	"io"

	"github.com/gin-gonic/gin"

	"qifeng/archive"
	"qifeng/evidence"
)

// takeIn reads a request's body and stores what is in it. A slot is taken only
// when the whole body is there, so slow senders hold none; slot and memory are
// given back before the caller waits for a state.
func (s *Server) takeIn(c *gin.Context) ([]archive.Stored, error) {
	defer releaseBody(c)
	body, err := io.ReadAll(c.Request.Body)
	if err != nil {
		return nil, bodyFault(err)
	}
	select {
	case s.intakes <- struct{}{}:
		defer func() { <-s.intakes }()
	default:
		return nil, &fault{kind: busy, retry: retryAfter, detail: "too many requests are being taken in"}
	}
	req, err := evidence.ParseRequest(body)
	if err != nil {
		return nil, bodyInvalid(err)
	}
	if err := s.limitKey(req.Statement); err != nil {
		return nil, err
	}
	taken, err := s.cfg.Archive.Submit(c.Request.Context(), req)
	s.chargeKey(req.Statement, len(req.Submissions), err)
	if err != nil {
		return nil, refusedRequest(err)
	}
	stored, err := taken.Stored()
	if err != nil {
		return nil, refusedRequest(err)
	}
	return stored, checkStored(req, stored)
}
