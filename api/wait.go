package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// preferredWait reads `Prefer: wait=N` (RFC 7240 §4.3), cut to maxWait. What it
// does not understand it ignores, as the RFC demands.
func preferredWait(h http.Header) time.Duration {
	for _, line := range h.Values("Prefer") {
		for pref := range strings.SplitSeq(line, ",") {
			pref, _, _ = strings.Cut(pref, ";")
			name, value, ok := strings.Cut(strings.TrimSpace(pref), "=")
			if !ok || !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
			if err != nil {
				return 0 // the first counts (RFC 7240 §2), and it says nothing
			}
			return min(time.Duration(n)*time.Second, maxWait)
		}
	}
	return 0
}

// wait calls reached at once and after every change of the ledger until it says
// yes or fails, or until d, the caller or the node ends. The end of the wait is
// no error: the caller answers with what is reached. With all waiting slots
// taken it does not wait.
func (s *Server) wait(c *gin.Context, d time.Duration, reached func() (bool, error)) error {
	if d > 0 {
		select {
		case s.waiters <- struct{}{}:
			defer func() { <-s.waiters }()
		default:
			d = 0
		}
		// The request is read. Left in force, the deadline for reading it would end
		// its context in the middle of a long wait. A writer without deadlines, in
		// tests, has nothing to lift.
		_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Time{})
	}
	ctx := c.Request.Context()
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		// Taken before looking, so that a change between the look and the select
		// is not missed.
		changed := s.cfg.Chain.Changed()
		ok, err := reached()
		if ok || err != nil || d == 0 {
			return err
		}
		select {
		case <-changed:
		case <-timer.C:
			d = 0 // one last look
		case <-ctx.Done():
			return nil
		case <-s.draining:
			return nil
		}
	}
}

// applied tells the caller which preference was honoured.
func applied(c *gin.Context, d time.Duration) {
	if d > 0 {
		c.Header("Preference-Applied", fmt.Sprintf("wait=%d", int(d/time.Second)))
	}
}
