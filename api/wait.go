package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// preferences are those of RFC 7240 that the server knows.
type preferences struct {
	minimal bool          // return=minimal (§4.2)
	wait    time.Duration // wait=N (§4.3), cut to maxWait
}

// preferred reads `Prefer`. What it does not understand it ignores, and of a
// preference that stands twice the first counts, as the RFC demands (§2).
func preferred(h http.Header) (p preferences) {
	var seenReturn, seenWait bool
	for _, line := range h["Prefer"] {
		for pref := range strings.SplitSeq(line, ",") {
			pref, _, _ = strings.Cut(pref, ";")
			name, value, _ := strings.Cut(pref, "=")
			name, value = strings.TrimSpace(name), strings.Trim(strings.TrimSpace(value), `"`)
			switch {
			case !seenReturn && strings.EqualFold(name, "return"):
				p.minimal, seenReturn = value == "minimal", true
			case !seenWait && strings.EqualFold(name, "wait"):
				n, err := strconv.ParseUint(value, 10, 31)
				if seenWait = true; err == nil {
					p.wait = min(time.Duration(n)*time.Second, maxWait)
				}
			}
		}
	}
	return p
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
	}
	if d <= 0 {
		_, err := reached()
		return err
	}
	// The request is read. Left in force, the deadline for reading it would end
	// its context in the middle of a long wait. A writer without deadlines, in
	// tests, has nothing to lift.
	_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Time{})
	ctx := c.Request.Context()
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		// Taken before looking, so that a change between the look and the select
		// is not missed.
		changed, anchored := s.cfg.Chain.Changed(), s.cfg.Anchors.Changed()
		ok, err := reached()
		if ok || err != nil || d == 0 {
			return err
		}
		select {
		case <-changed:
		case <-anchored:
		case <-timer.C:
			d = 0 // one last look
		case <-ctx.Done():
			return nil
		case <-s.draining:
			return nil
		}
	}
}

// applied tells the caller which preferences were honoured.
func applied(c *gin.Context, p preferences) {
	wait := "wait=" + strconv.Itoa(int(p.wait/time.Second))
	switch {
	case p.minimal && p.wait > 0:
		c.Header("Preference-Applied", "return=minimal, "+wait)
	case p.minimal:
		c.Header("Preference-Applied", "return=minimal")
	case p.wait > 0:
		c.Header("Preference-Applied", wait)
	}
}
