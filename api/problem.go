package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"qifeng/api/httpsig"
	"qifeng/api/wire"
)

// kind is one row of the table of problems: what is the same each time.
type kind struct {
	status int
	code   string
	title  string
	mend   string // what the caller can do, unless the fault knows better
}

var (
	badRequest    = kind{http.StatusBadRequest, "bad-request", "The request cannot be read", "send the whole body again"}
	badParameter  = kind{http.StatusBadRequest, "bad-parameter", "A parameter of the request is wrong", "correct the named parameter"}
	invalid       = kind{http.StatusBadRequest, "invalid", "The content of the request is not valid", "correct the named field; nothing was stored"}
	stale         = kind{http.StatusBadRequest, "stale-statement", "The statement's date is outside the replay window", "set the clock right and sign a new statement; the submissions may stay as they are"}
	unknownKey    = kind{http.StatusForbidden, "unknown-key", "The key is not registered for this", "register it with `qifeng key register` and wait until it is on the chain"}
	revokedKey    = kind{http.StatusForbidden, "revoked-key", "The key is revoked", "sign with another registered key"}
	keyPurpose    = kind{http.StatusForbidden, "key-purpose", "The key is registered for another purpose", "sign with a key whose purpose is submit"}
	badSignature  = kind{http.StatusForbidden, "bad-signature", "The signature does not verify", "sign the canonical bytes for this chain id with the key that is named"}
	notFound      = kind{http.StatusNotFound, "not-found", "There is no such thing here", ""}
	noMethod      = kind{http.StatusMethodNotAllowed, "method-not-allowed", "The method is not allowed here", "see the Allow header"}
	notSealed     = kind{http.StatusConflict, "not-sealed-yet", "The record is stored but not sealed yet", "ask again, or send `Prefer: wait=30`"}
	conflict      = kind{http.StatusConflict, "conflict", "The request contradicts what is on the chain", "look at what is there first: GET /v1/keys"}
	tooLarge      = kind{http.StatusRequestEntityTooLarge, "body-too-large", "The request's body is too large", "send fewer submissions in one request"}
	mediaType     = kind{http.StatusUnsupportedMediaType, "unsupported-media-type", "The body must be plain JSON", "send `Content-Type: application/json` without a content encoding"}
	uriTooLong    = kind{http.StatusRequestURITooLong, "query-too-long", "The query is too long", "ask for one thing at a time"}
	tooMany       = kind{http.StatusTooManyRequests, "too-many-requests", "That is more than one caller may ask", "wait for Retry-After seconds, then send the same bytes again: a retry stores nothing twice"}
	overloaded    = kind{http.StatusTooManyRequests, "overloaded", "More comes in than the node can take", "send the same bytes again after Retry-After seconds, and less at once: a retry stores nothing twice"}
	internalFault = kind{http.StatusInternalServerError, "internal", "The node failed", "tell the operator the request_id"}
	tamperedFault = kind{http.StatusInternalServerError, "tampered", "The node refuses to give out what it cannot prove", "tell the operator the request_id, and ask another member"}
	busy          = kind{http.StatusServiceUnavailable, "busy", "The node takes no more at the moment", "send the same bytes again after Retry-After seconds: a retry stores nothing twice"}
	unavailable   = kind{http.StatusServiceUnavailable, "unavailable", "The node takes nothing in until its operator acts", "ask another member's node, or the operator; reading goes on"}
	storageFull   = kind{http.StatusInsufficientStorage, "storage-full", "The disk of the node has no room for new records", "nothing was stored: send the same bytes again when its operator has made room, or ask another member's node; reading goes on"}
	starting      = kind{http.StatusServiceUnavailable, "starting", "The node is starting", "ask again in a moment"}
	unaudited     = kind{http.StatusServiceUnavailable, "audit-unavailable", "The node cannot write its audit log", "ask another member's node, or the operator: a look-up that is not written down is not answered"}
	interrupted   = kind{http.StatusServiceUnavailable, "interrupted", "The request ended before its work did", "send the same bytes again: a retry stores nothing twice"}
)

// fault is an error that knows its row and its particulars. The cause goes to
// the log; only the other fields go to the caller.
type fault struct {
	kind   kind
	detail string
	index  *int
	field  string
	mend   string
	state  wire.State
	retry  time.Duration
	cause  error
}

func (f *fault) Error() string {
	s := f.kind.code
	if f.field != "" {
		s += " " + f.field
	}
	if f.detail != "" {
		s += ": " + f.detail
	}
	if f.cause != nil {
		s += ": " + f.cause.Error()
	}
	return s
}

func (f *fault) Unwrap() error { return f.cause }

// faultf makes a fault about one field ("" for none).
func faultf(k kind, field, format string, args ...any) *fault {
	return &fault{kind: k, field: field, detail: fmt.Sprintf(format, args...)}
}

// tampered is the fault of a node that holds two things that cannot both be true.
func tampered(cause error) *fault {
	return &fault{kind: tamperedFault, cause: cause}
}

// problem renders err. It is the one place where a problem document is made:
// what no row knows is a 500 without inner text (style 5).
func (s *Server) problem(c *gin.Context, err error) {
	f := classify(err)
	p := wire.Problem{
		Type:   "urn:qifeng:problem:" + f.kind.code,
		Title:  f.kind.title,
		Status: f.kind.status,
		Detail: f.detail,
		Code:   f.kind.code,
		Index:  f.index,
		Field:  f.field,
		Mend:   f.kind.mend,
		State:  f.state,

		RequestID: requestID(c),
	}
	if f.mend != "" {
		p.Mend = f.mend
	}
	c.Set(problemKey, f.kind.code)
	s.logFault(c, f, err)
	if c.Writer.Written() {
		return // the head is out, nothing true can be added
	}
	if f.retry > 0 {
		c.Header("Retry-After", strconv.Itoa(int((f.retry+time.Second-1)/time.Second)))
	}
	if f.kind.status == http.StatusUnauthorized {
		c.Header("WWW-Authenticate", httpsig.Challenge)
		c.Header("Accept-Signature", httpsig.AcceptSignature)
	}
	if f.kind.status == http.StatusRequestEntityTooLarge {
		c.Header("Connection", "close") // the rest of the body is not read
	}
	b, err := json.Marshal(p)
	if err != nil { // strings and numbers only: cannot happen
		b = []byte(`{"type":"about:blank","status":500,"code":"internal"}`)
	}
	c.Data(p.Status, "application/problem+json", append(b, '\n'))
	c.Abort()
}

func (s *Server) logFault(c *gin.Context, f *fault, err error) {
	args := []any{"request_id", requestID(c), "route", route(c), "code", f.kind.code}
	switch {
	case f.kind.code == tamperedFault.code:
		s.log.Error("TAMPERED: refused to answer with what does not verify", append(args, "error", err)...)
	case f.kind.status == http.StatusInternalServerError:
		s.log.Error("request failed", append(args, "error", err)...)
	case f.kind.status >= http.StatusInternalServerError:
		s.log.Warn("request refused", append(args, "error", err)...)
	default:
		s.log.Log(c.Request.Context(), slog.LevelDebug, "request refused", args...)
	}
}

// classify finds the row of err.
func classify(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return &fault{kind: tooLarge, detail: fmt.Sprintf("the limit is %d bytes", big.Limit)}
	}
	if f := classifySignature(err); f != nil {
		return f
	}
	if f := classifyRooms(err); f != nil {
		return f
	}
	return &fault{kind: internalFault, cause: err}
}
