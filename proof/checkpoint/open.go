package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"qifeng/internal/gm"
)

// Options of Open.
type Options struct {
	// Second checks every SM2 signature with the second library too. The
	// offline verifier sets it; a server checking its own notes does not.
	Second bool
}

// A SealState says what a note holds of a member's seal.
type SealState uint8

// The states of a member's seal. Only SealCounted counts.
const (
	SealAbsent     SealState = iota // neither cosignature is there
	SealNoSM2                       // only the Ed25519 cosignature is there
	SealNoEd25519                   // only the SM2 cosignature is there
	SealTimesApart                  // both are there and verify, with different times
	SealCounted                     // both are there, verify and carry one time
)

func (s SealState) String() string {
	switch s {
	case SealAbsent:
		return "no seal"
	case SealNoSM2:
		return "the SM2 cosignature is missing"
	case SealNoEd25519:
		return "the Ed25519 cosignature is missing"
	case SealTimesApart:
		return "the two cosignatures carry different times"
	case SealCounted:
		return "sealed"
	default:
		return "unknown state"
	}
}

// An Outcome is what the note says of one member of the epoch.
type Outcome struct {
	Member  string
	Role    Role
	State   SealState
	Counted bool   // State is SealCounted
	Time    int64  // of the seal, if counted; else 0
	Log     bool   // its log line is there and verifies
	Reason  string // English, why it does not count; "" if it does
}

// Sealed is an opened note. Unless Met, nothing in it may be relied on: the
// note may then bear no verified line at all.
type Sealed struct {
	Checkpoint
	Epoch    *Epoch // of the policy
	Seals    []Seal // that count, sorted by member
	Verdict         // of Epoch.Quorum over Seals
	Outcomes []Outcome
}

// found gathers the verified lines of one member.
type found struct {
	log, ed, sm2   [64]byte
	edTime, smTime int64 // 0 while the line has not been seen
	hasLog         bool
}

// Open parses a note, verifies every line of a key that the policy's epoch for
// its size knows, and judges the quorum. Lines of unknown keys are ignored.
//
// Errors: ErrMalformed, ErrChain, ErrEpoch, ErrPolicy (the epoch is unusable),
// ErrTampered (*LineError, *PinError), gm.ErrDisagree with Options.Second. An
// unmet quorum is no error: see Verdict.
func Open(note []byte, p *Policy, opt Options) (*Sealed, error) {
	s, _, err := open(note, p, opt)
	if err != nil {
		return nil, fmt.Errorf("opening the note: %w", err)
	}
	return s, nil
}

func open(note []byte, p *Policy, opt Options) (*Sealed, []sigLine, error) {
	body, lines, err := splitNote(note)
	if err != nil {
		return nil, nil, err
	}
	c, err := ParseBody(body)
	if err != nil {
		return nil, nil, err
	}
	if p == nil || c.Origin != Origin(p.Chain) {
		return nil, nil, fmt.Errorf("%w: its origin is %s", ErrChain, c.Origin)
	}
	e, err := p.EpochOf(c.Size)
	if err != nil {
		return nil, nil, err
	}
	known, err := e.lineKeys(c.Origin)
	if err != nil {
		return nil, nil, err
	}
	all := make([]found, len(e.Members))
	for _, l := range lines {
		k, ok := known[l.id]
		if !ok {
			continue
		}
		if err := all[k.member].take(k, body, l, opt); err != nil {
			return nil, nil, lineFailure(e, k, l, err)
		}
	}
	s := collect(c, e, all)
	// After the signatures, so that the error can carry what was sealed.
	if pin, ok := e.pin(c.Size); ok && pin.Root != c.Root {
		return nil, nil, &PinError{Pin: pin, Sealed: s}
	}
	return s, lines, nil
}

// lineFailure names the line. Twice the same key is a note nobody wrote with
// Note; a disagreement is no verdict on the signature; the rest is tampering.
func lineFailure(e *Epoch, k lineKey, l sigLine, err error) error {
	member := e.Members[k.member].ID
	if errors.Is(err, gm.ErrDisagree) || errors.Is(err, errTwice) {
		return fmt.Errorf("note line %d: the %s line of %s: %w", l.number, k.kind, member, err)
	}
	return &LineError{Line: l.number, Member: member, Key: k.kind, Err: err}
}

var errTwice = fmt.Errorf("%w: a second line of one key", ErrMalformed)

// take verifies one line of a known key and keeps it.
func (f *found) take(k lineKey, body []byte, l sigLine, opt Options) error {
	if k.kind == KeyLog {
		return f.takeLog(k.key, body, l.sig)
	}
	t, sig, err := splitCosignature(l.sig)
	if err != nil {
		return err
	}
	if k.kind == KeySealEd25519 {
		if f.edTime != 0 {
			return errTwice
		}
		f.edTime, f.ed = t, sig
		return k.key.Verify(signedText(cosignatureV1, t, body), sig[:])
	}
	if f.smTime != 0 {
		return errTwice
	}
	f.smTime, f.sm2 = t, sig
	text := signedText(sm2CosignatureV1, t, body)
	if opt.Second {
		return gm.VerifyBoth(k.key, text, sig[:])
	}
	return k.key.Verify(text, sig[:])
}

func (f *found) takeLog(key gm.PublicKey, body, sig []byte) error {
	if f.hasLog {
		return errTwice
	}
	if len(sig) != len(f.log) {
		return fmt.Errorf("%w: %d bytes, want %d", ErrMalformed, len(sig), len(f.log))
	}
	f.hasLog, f.log = true, [64]byte(sig)
	return key.Verify(body, sig)
}

// splitCosignature reads time and signature (c2sp.org/tlog-cosignature).
func splitCosignature(b []byte) (int64, [64]byte, error) {
	if len(b) != 8+64 {
		return 0, [64]byte{}, fmt.Errorf("%w: %d bytes, want a time and 64", ErrMalformed, len(b))
	}
	t := binary.BigEndian.Uint64(b)
	if t > math.MaxInt64 {
		return 0, [64]byte{}, fmt.Errorf("%w: time %d is above 2^63-1", ErrSeal, t)
	}
	if err := CheckTime(int64(t)); err != nil {
		return 0, [64]byte{}, err
	}
	return int64(t), [64]byte(b[8:]), nil
}

// collect turns the verified lines into seals, outcomes and the verdict.
func collect(c Checkpoint, e *Epoch, all []found) *Sealed {
	s := &Sealed{Checkpoint: c, Epoch: e}
	states := make(map[string]SealState, len(all))
	for i, f := range all {
		m := e.Members[i]
		o := Outcome{Member: m.ID, Role: m.Role, State: f.state(), Log: f.hasLog}
		states[m.ID] = o.State
		if o.State == SealCounted {
			o.Counted, o.Time = true, f.edTime
			s.Seals = append(s.Seals, Seal{Member: m.ID, Time: f.edTime, Log: f.log, Ed25519: f.ed, SM2: f.sm2})
		} else {
			o.Reason = o.State.String()
		}
		s.Outcomes = append(s.Outcomes, o)
	}
	s.Verdict = e.Quorum.judge(e, s.Seals, states)
	return s
}

func (f found) state() SealState {
	switch {
	case f.edTime == 0 && f.smTime == 0:
		return SealAbsent
	case f.smTime == 0:
		return SealNoSM2
	case f.edTime == 0:
		return SealNoEd25519
	case f.edTime != f.smTime:
		return SealTimesApart
	default:
		return SealCounted
	}
}
