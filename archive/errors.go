package archive

import (
	"errors"
	"fmt"
	"time"

	"qifeng/internal/gm"
)

// The kinds of error. In brackets what the caller should do.
var (
	// ErrSignature: the statement's signature does not verify. [Invalid: sign
	// again, for this chain, with the named key.]
	ErrSignature = gm.ErrSignature
	// ErrUnknownKey: the statement names a key that is not registered for the
	// submitter. [Invalid: register it, wait until it is on the chain.]
	ErrUnknownKey = errors.New("the key is not registered")
	// ErrKeyRevoked: the key was revoked. [Invalid: use another key.]
	// It is ErrUnknownKey too.
	ErrKeyRevoked = fmt.Errorf("%w any more: it is revoked", ErrUnknownKey)
	// ErrKeyPurpose: the key is registered, but not with purpose submit.
	// [Invalid: use a key with that purpose.]
	// It is ErrUnknownKey too.
	ErrKeyPurpose = fmt.Errorf("%w for submitting", ErrUnknownKey)
	// ErrReplayWindow: something in the request is new and its statement's date
	// is too far from the node's clock; see *ReplayError. [Invalid: set the clock
	// right, sign again.]
	ErrReplayWindow = errors.New("the statement's date is outside the replay window")
	// ErrCursor: the cursor is none that this archive gave. [Invalid.]
	ErrCursor = errors.New("the cursor is not valid")
	// ErrDigestAlg: a look-up by another algorithm than sm3 or sha256. [Invalid.]
	ErrDigestAlg = errors.New("the digest's algorithm is neither sm3 nor sha256")

	// ErrBusy: a bound is reached; see *BusyError. [Unavailable: send the same
	// bytes again after RetryAfter.]
	ErrBusy = errors.New("the archive is busy")
	// ErrFull: the disk has no room for more. [Unavailable, 507: the operator makes
	// room; nothing is lost, reading goes on.]
	ErrFull = errors.New("the disk is full")
	// ErrClock: the node's clock has gone back too far. [Unavailable: the operator
	// sets it right.]
	ErrClock = errors.New("the node's clock has gone back")
	// ErrStopped: the archive takes nothing more, since a write failed, since
	// something is tampered or since it was closed. [Unavailable: the error names
	// the mend.]
	ErrStopped = errors.New("the archive has stopped accepting")

	// ErrTampered: stored bytes, or the chain, contradict what this archive
	// wrote; see *TamperedError. [Tampered: never retry, call a person.]
	ErrTampered = errors.New("tampered")
)

// BusyError says when to come again. It is ErrBusy.
type BusyError struct {
	RetryAfter time.Duration
	Reason     string
	// Own says that it is the caller's own share that is used up: others still
	// get in.
	Own bool
	// Load says that more comes in than can be stored, which passes by itself;
	// otherwise the chain takes too little out.
	Load bool
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("%v: %s; send the same bytes again after %s", ErrBusy, e.Reason, e.RetryAfter)
}

func (e *BusyError) Is(target error) bool { return target == ErrBusy }

// ReplayError says how far off a statement is. It is ErrReplayWindow.
type ReplayError struct {
	SignedAt, Now time.Time
	Window        time.Duration
}

func (e *ReplayError) Error() string {
	return fmt.Sprintf("%v: signed_at is %s, the node's time is %s, at most %s apart are accepted; set the clock right and sign a new statement",
		ErrReplayWindow, e.SignedAt.UTC().Format(time.RFC3339), e.Now.UTC().Format(time.RFC3339), e.Window)
}

func (e *ReplayError) Is(target error) bool { return target == ErrReplayWindow }

// TamperedError says what contradicts what, and what to do. It is ErrTampered.
type TamperedError struct {
	What string
	Mend string
	// Ours and Theirs are the two signed statements that cannot both be true,
	// where there are two.
	Ours, Theirs []byte
}

func (e *TamperedError) Error() string {
	s := fmt.Sprintf("%v: %s", ErrTampered, e.What)
	if e.Mend != "" {
		s += "; " + e.Mend
	}
	return s
}

func (e *TamperedError) Is(target error) bool { return target == ErrTampered }

// corruptFile is the TamperedError of a file that holds what was never written.
func corruptFile(path, format string, args ...any) error {
	return &TamperedError{
		What: fmt.Sprintf("%s: %s", path, fmt.Sprintf(format, args...)),
		Mend: "put the file back from a copy; or keep it, move it out of the archive and start again: the chain then shows the gap, and its receipts count as broken promises",
	}
}
