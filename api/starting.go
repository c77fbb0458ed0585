package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"qifeng/api/wire"
)

// Starting answers in place of a [Server] while its node waits for the chain:
// the node lives, it is not ready, and everything else is to be asked again.
// Every connection is closed after its answer, so that none outlives this.
func Starting(log *slog.Logger) (http.Handler, error) {
	const why = "the node is starting and waits until the chain has caught up"
	s := &Server{log: log, now: time.Now}
	r, err := s.newRouter(func(c *gin.Context) { c.Header("Connection", "close") })
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	r.GET("/healthz", s.do(func(c *gin.Context) error {
		return raw(c, http.StatusOK, "text/plain; charset=utf-8", []byte("starting\n"))
	}))
	r.GET("/readyz", s.do(func(c *gin.Context) error {
		return render(c, http.StatusServiceUnavailable, wire.Ready{Reasons: []wire.Reason{{Code: "starting", Detail: why}}})
	}))
	r.NoRoute(func(c *gin.Context) {
		s.problem(c, &fault{kind: starting, detail: why, retry: retryAfter})
	})
	return r, nil
}
