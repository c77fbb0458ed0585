package checkpoint

import (
	"errors"
	"fmt"
)

// Kinds of error. Every error of the package is one of these or gm.ErrDisagree
// (two SM2 libraries contradict each other: report it, believe neither).
var (
	// ErrMalformed (Invalid): the bytes are no note, body or policy of this
	// format. Refuse the input; a retry cannot help.
	ErrMalformed = errors.New("malformed")

	// ErrPolicy (Invalid): the policy, epoch or quorum is well formed, but
	// states a rule that must not be used, as one that vendors alone can meet.
	ErrPolicy = errors.New("policy refused")

	// ErrChain (Invalid): the note is of another chain than the policy.
	ErrChain = errors.New("note of another chain")

	// ErrEpoch (NotFound): the policy states no epoch for this ledger size.
	ErrEpoch = errors.New("no epoch for this size")

	// ErrSeal (Invalid): a seal cannot be made or does not verify.
	ErrSeal = errors.New("seal refused")

	// ErrNotSealed (Unavailable): the note does not meet the quorum, or lacks
	// the line asked for. More seals can change that.
	ErrNotSealed = errors.New("not sealed")

	// ErrTampered (Tampered): the note carries a line of a known key that does
	// not verify, or contradicts a pin of the policy. Never retry, never take
	// the rest of the note; keep its bytes.
	ErrTampered = errors.New("tampered")
)

// A LineError is an ErrTampered: one signature line of a known key is false.
type LineError struct {
	Line   int     // line number in the note, from 1
	Member string  // whose key it is
	Key    KeyKind // which of its keys
	Err    error   // gm.ErrSignature, or what is wrong with the line's form
}

func (e *LineError) Error() string {
	return fmt.Sprintf("note line %d: the %s line of %s is false: %v", e.Line, e.Key, e.Member, e.Err)
}

func (e *LineError) Unwrap() []error { return []error{ErrTampered, e.Err} }

// A PinError is an ErrTampered: a note has another root than the policy pins
// for this size. Sealed holds the seals that verify on the note; if its quorum
// is met, policy and note together prove a split view.
type PinError struct {
	Pin    Pin
	Sealed *Sealed
}

func (e *PinError) Error() string {
	return fmt.Sprintf("note of size %d has root sm3 %x sha256 %x, the policy pins sm3 %x sha256 %x",
		e.Pin.Size, e.Sealed.Root.SM3, e.Sealed.Root.SHA256, e.Pin.Root.SM3, e.Pin.Root.SHA256)
}

func (e *PinError) Unwrap() error { return ErrTampered }
