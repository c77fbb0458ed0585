package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

const requestIDKey = "request_id"

// begin names the request and writes its line in the access log: no address,
// no path, no query and no header, because ids, dossiers and hashes are the
// members' business and not the log's.
func (s *Server) begin(c *gin.Context) {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand, Go 1.24)
	c.Set(requestIDKey, hex.EncodeToString(id[:]))
	h := c.Writer.Header()
	h.Set("X-Request-Id", requestID(c))
	h["X-Content-Type-Options"], h["Cache-Control"] = noSniff, noStore

	start := time.Now()
	c.Next()
	took := time.Since(start)
	s.observe(c, took)
	s.log.LogAttrs(context.Background(), slog.LevelInfo, "request",
		slog.String("request_id", requestID(c)), slog.String("method", method(c)), slog.String("route", route(c)),
		slog.Int("status", c.Writer.Status()), slog.Int("bytes", c.Writer.Size()), slog.Int64("took_us", took.Microseconds()))
}

// Values of headers that every answer has, in the form that needs no copy; who
// wants another value replaces the whole.
var (
	noSniff = []string{"nosniff"}
	noStore = []string{"no-store"}
)

// recovery turns a panic into a problem document and a log line with the stack.
func (s *Server) recovery(c *gin.Context) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if r == http.ErrAbortHandler {
			panic(r) // net/http's own way to end a connection
		}
		s.log.Error("panic in a handler", "request_id", requestID(c), "route", route(c),
			"panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		if c.Writer.Written() {
			c.Abort()
			return
		}
		s.problem(c, &fault{kind: internalFault, cause: fmt.Errorf("panic: %v", r)})
	}()
	c.Next()
}

// bounds refuses what no route can want before any of it is parsed.
func (s *Server) bounds(c *gin.Context) {
	if len(c.Request.URL.RawQuery) > maxQuery {
		s.problem(c, faultf(uriTooLong, "", "the limit is %d bytes", maxQuery))
	}
}

// jsonBody admits a body of plain JSON of at most limit bytes.
func (s *Server) jsonBody(limit int64) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := checkJSONType(c.Request.Header); err != nil {
			s.problem(c, err)
			return
		}
		if c.Request.ContentLength > limit {
			s.problem(c, &http.MaxBytesError{Limit: limit})
			return
		}
		defer s.hold(c).release()
		c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, limit)
		c.Next()
	}
}

// heldBody admits a body of any type of at most limit bytes.
func (s *Server) heldBody(limit int64) gin.HandlerFunc {
	return func(c *gin.Context) {
		if c.Request.ContentLength > limit {
			s.problem(c, &http.MaxBytesError{Limit: limit})
			return
		}
		defer s.hold(c).release()
		c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, limit)
		c.Next()
	}
}

// checkJSONType wants application/json, in UTF-8 if a charset is named, and no
// content encoding: a body is never decompressed, so there are no gzip bombs.
func checkJSONType(h http.Header) error {
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return faultf(mediaType, "", "the content encoding must be identity")
	}
	typ := h.Get("Content-Type")
	if typ == "application/json" { // as almost everybody writes it
		return nil
	}
	t, params, err := mime.ParseMediaType(typ)
	if err != nil || t != "application/json" {
		return faultf(mediaType, "", "the content type must be application/json")
	}
	if cs, ok := params["charset"]; ok && !strings.EqualFold(cs, "utf-8") {
		return faultf(mediaType, "", "the charset must be utf-8")
	}
	return nil
}

func requestID(c *gin.Context) string { return c.GetString(requestIDKey) }

// route is the pattern of the route, never the path that was asked for.
func route(c *gin.Context) string {
	if p := c.FullPath(); p != "" {
		return p
	}
	return "none"
}

// method keeps what a stranger can write into the log to the known words.
func method(c *gin.Context) string {
	switch m := c.Request.Method; m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
		http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}
