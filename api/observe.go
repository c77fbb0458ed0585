package api

import (
	"log"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// Answer is what Config.Observe is told of each request that was answered.
// Nothing in it is the caller's own words.
type Answer struct {
	Method  string // one of the known ones, or "other"
	Route   string // its pattern, or "none"
	Status  int
	Problem string // code of the problem document, "" where it was none
	Bytes   int    // of the body
	Took    time.Duration
}

// problemKey is where problem leaves the code for observe.
const problemKey = "problem"

// observe tells of a request that has been answered.
func (s *Server) observe(c *gin.Context, took time.Duration) {
	if s.cfg.Observe == nil {
		return
	}
	s.cfg.Observe(Answer{Method: method(c), Route: route(c), Status: c.Writer.Status(),
		Problem: c.GetString(problemKey), Bytes: max(c.Writer.Size(), 0), Took: took})
}

// Load is how many requests are being answered, and how many of them wait for
// a state.
func (s *Server) Load() (inFlight, waiting int) {
	return int(s.inFlight.Load()), len(s.waiters)
}

// Unready are the codes of what keeps the node from being ready, as /readyz
// gives them.
func (s *Server) Unready() []string {
	reasons := s.view().reasons
	codes := make([]string, len(reasons))
	for i, r := range reasons {
		codes[i] = r.Code
	}
	return codes
}

// netLog is where net/http complains, of handshakes and of its own accept loop:
// at debug, under one message, without the addresses of callers.
func (s *Server) netLog() *log.Logger { return log.New(netWriter{s.log}, "", 0) }

type netWriter struct{ log *slog.Logger }

func (w netWriter) Write(b []byte) (int, error) {
	w.log.Debug("net/http", "text", hideAddresses(strings.TrimSpace(string(b))))
	return len(b), nil
}

// address is an IPv4 or bracketed IPv6 address, with or without its port.
var address = regexp.MustCompile(`(\b\d{1,3}(\.\d{1,3}){3}\b|\[[0-9A-Fa-f:.]+(%[^\]\s]*)?\])(:\d+)?`)

func hideAddresses(s string) string { return address.ReplaceAllString(s, "…") }
