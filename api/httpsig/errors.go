package httpsig

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// Code names a reason of refusal, for programs. The codes are part of the
// format.
type Code string

// The reasons of refusal.
const (
	Missing    Code = "signature-missing"   // no signature at all
	Malformed  Code = "signature-malformed" // headers that are no structured fields, too long, twice, or spelt otherwise
	Profile    Code = "signature-profile"   // another label, component or parameter than docs/spec/http.md says
	Unsignable Code = "signature-request"   // a request that has no single reading: method, path, query, host
	Authority  Code = "signature-authority" // made for another node
	Stale      Code = "signature-stale"     // created outside the window
	UnknownKey Code = "signature-key"       // no such key on the chain, or revoked
	BadPurpose Code = "signature-purpose"   // the key is registered for another purpose
	Wrong      Code = "signature-wrong"     // the signature does not verify
	BadBody    Code = "signature-body"      // a body that is not covered, too long or another
	Replayed   Code = "signature-replayed"  // seen before
	Full       Code = "signature-full"      // no memory for another nonce of this member
)

// Error is a refusal. It holds nothing but what the caller sent or may know, so
// that it may be sent back as it is.
type Error struct {
	Code       Code
	Field      string        // the header or part of the request that is at fault
	Detail     string        // what is wrong with it
	RetryAfter time.Duration // Full only: when the oldest nonce is forgotten
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s %s", e.Code, e.Field, e.Detail)
}

// Title says in a sentence what happened, the same for every error of a code.
func (e *Error) Title() string { return rows[e.Code].title }

// Mend says what the caller can do.
func (e *Error) Mend() string { return rows[e.Code].mend }

// Status is the HTTP status that tells the refusal.
func (e *Error) Status() int { return rows[e.Code].status }

type row struct {
	status int
	title  string
	mend   string
}

const again = "sign again for each attempt, with a new nonce and the time of sending"

var rows = map[Code]row{
	Missing:    {http.StatusUnauthorized, "Reading needs a signed request", "sign it with a registered key of purpose read, see docs/spec/http.md"},
	Malformed:  {http.StatusBadRequest, "The signature headers cannot be read", "send Signature-Input and Signature once each, spelt exactly as docs/spec/http.md shows"},
	Profile:    {http.StatusBadRequest, "The signature is not of the profile that this node accepts", "cover the components and give the parameters that docs/spec/http.md lists, in its order and no others"},
	Unsignable: {http.StatusBadRequest, "The request has more than one reading", "write method, host, path and query in their plain form, as docs/spec/http.md says"},
	Authority:  {http.StatusUnauthorized, "The request is addressed to another node", "send it to an address of this node and sign that address; an operator lists the addresses in the node's configuration, and a proxy must pass the Host header on unchanged"},
	Stale:      {http.StatusUnauthorized, "The signature's time is outside the window", "set the clock right; " + again},
	UnknownKey: {http.StatusUnauthorized, "The key is not registered, or revoked", "register a key of purpose read with `qifeng key register` and wait until it is on the chain"},
	BadPurpose: {http.StatusForbidden, "The key is registered for another purpose", "sign with a key whose purpose is read"},
	Wrong:      {http.StatusUnauthorized, "The signature does not verify", "sign the base of docs/spec/http.md §3 with the key that keyid names, and change nothing after"},
	BadBody:    {http.StatusBadRequest, "The body is not what is signed", "send no body with GET and HEAD; for others send Content-Digest with sha-256 and cover it"},
	Replayed:   {http.StatusUnauthorized, "The request was seen before", again},
	Full:       {http.StatusTooManyRequests, "This member reads faster than the node remembers", "wait for Retry-After seconds, then sign again"},
}

// Codes lists every reason of refusal, sorted.
func Codes() []Code { return slices.Sorted(maps.Keys(rows)) }

func refuse(c Code, field, format string, args ...any) *Error {
	return &Error{Code: c, Field: field, Detail: fmt.Sprintf(format, args...)}
}
