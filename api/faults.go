package api

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"time"

	"qifeng/archive"
	"qifeng/chain"
	"qifeng/evidence/canon"
)

// classifyRooms finds the row of an error that a room below made, nil where it
// made none. It holds only what is true wherever the error came up: that the
// caller's own bytes are at fault is for [bodyInvalid] and [refusedRequest].
func classifyRooms(err error) *fault {
	var (
		full    *archive.BusyError
		refused *chain.RefusedError
	)
	switch {
	case errors.As(err, &full) && full.Own:
		return &fault{kind: tooMany, detail: full.Reason, retry: full.RetryAfter, cause: err}
	case errors.As(err, &full) && full.Load:
		return &fault{kind: overloaded, detail: full.Reason, retry: full.RetryAfter, cause: err}
	case errors.As(err, &full):
		return &fault{kind: busy, detail: full.Reason, retry: full.RetryAfter, cause: err}
	case errors.Is(err, archive.ErrFull):
		return &fault{kind: storageFull, cause: err}
	case errors.Is(err, archive.ErrStopped), errors.Is(err, archive.ErrClock):
		return &fault{kind: unavailable, cause: err}
	case errors.Is(err, archive.ErrTampered):
		return tampered(err)
	case errors.Is(err, archive.ErrCursor):
		return faultf(badParameter, "cursor", "is not one that this node gave out")
	case errors.Is(err, chain.ErrBusy):
		return &fault{kind: busy, retry: retryAfter, cause: err}
	case errors.As(err, &refused):
		return &fault{kind: conflict, detail: "the chain refuses it: " + refused.Text, cause: err}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &fault{kind: interrupted, retry: retryAfter, cause: err}
	}
	return nil
}

// bodyInvalid is the fault of a body that its parser refused: the parser's own
// words, with the field.
func bodyInvalid(err error) error {
	var syntax *canon.SyntaxError
	if !errors.As(err, &syntax) {
		return &fault{kind: invalid, detail: "it is not of the form that is wanted", cause: err}
	}
	return &fault{kind: invalid, index: submissionIndex(syntax.Field), field: syntax.Field, detail: syntax.Problem}
}

// refusedRequest is the fault of a request that the archive refused for what
// its statement says; any other error it leaves as it is.
func refusedRequest(err error) error {
	const key = "statement.body.key"
	var late *archive.ReplayError
	switch {
	case errors.As(err, &late):
		return faultf(stale, "statement.body.signed_at", "is %s, the node's time is %s; at most %s apart are accepted",
			late.SignedAt.UTC().Format(time.RFC3339), late.Now.UTC().Format(time.RFC3339), late.Window)
	case errors.Is(err, archive.ErrKeyRevoked):
		return &fault{kind: revokedKey, field: key, cause: err}
	case errors.Is(err, archive.ErrKeyPurpose):
		return &fault{kind: keyPurpose, field: key, cause: err}
	case errors.Is(err, archive.ErrUnknownKey):
		return &fault{kind: unknownKey, field: key, cause: err}
	case errors.Is(err, archive.ErrSignature):
		return &fault{kind: badSignature, field: "statement.sig", cause: err}
	}
	return err
}

var submissionField = regexp.MustCompile(`^submissions\[([0-9]{1,4})\]`)

// submissionIndex reads which submission a field path is in.
func submissionIndex(field string) *int {
	m := submissionField.FindStringSubmatch(field)
	if m == nil {
		return nil
	}
	i, err := strconv.Atoi(m[1])
	if err != nil {
		return nil
	}
	return &i
}
