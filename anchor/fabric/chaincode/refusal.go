package main

import (
	"fmt"
	"log/slog"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
)

// A word begins every refusal, so that a client tells apart what it should do.
type word string

// The words of refusals.
const (
	// INVALID: an argument is malformed. A repetition cannot help.
	invalid word = "INVALID"
	// DENIED: the submitter's organisation may not write this log.
	denied word = "DENIED"
	// POLICY: this organisation's policy or writers file is missing, malformed, or
	// knows no epoch for the size. Its operator must mend it.
	policyFault word = "POLICY"
	// UNSEALED: the note does not meet the seal quorum of this organisation's policy.
	unsealed word = "UNSEALED"
	// TAMPERED: a line of a known key is false, or the policy pins another root.
	tampered word = "TAMPERED"
	// CONFLICT: another root is kept for this size; the entry follows. Never retry.
	conflict word = "CONFLICT"
	// FORK: the checkpoint does not grow out of the newest kept one, whose entry
	// follows the reason. Never retry, unless the path was not the ledger's.
	fork word = "FORK"
	// SHRINK: a larger checkpoint is kept, and none of this size; its size follows.
	shrink word = "SHRINK"
	// STALE: the path does not begin at the newest kept size, which follows.
	stale word = "STALE"
	// NOTFOUND: nothing is kept for this size or log.
	notFound word = "NOTFOUND"
	// INTERNAL: the state could not be read or written. It may be tried again.
	internal word = "INTERNAL"
)

// statuses follow HTTP's; the peer refuses to endorse from 400 on.
var statuses = map[word]int32{
	invalid: 400, denied: 403, policyFault: 503, unsealed: 422, tampered: 422,
	conflict: 409, fork: 409, shrink: 409, stale: 409, notFound: 404, internal: 500,
}

// A refusal is an error that the client is told.
type refusal struct {
	word word
	text string
}

func refuse(w word, format string, args ...any) *refusal {
	return &refusal{w, fmt.Sprintf(format, args...)}
}

func (r *refusal) Error() string { return string(r.word) + " " + r.text }

// level is low for what is a plain answer.
func (r *refusal) level() slog.Level {
	if r.word == notFound {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

func (r *refusal) response() *peer.Response {
	return &peer.Response{Status: statuses[r.word], Message: r.Error()}
}
