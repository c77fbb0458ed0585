package checkpoint

import (
	"fmt"
	"strconv"

	"qifeng/internal/gm"
)

const (
	cosignatureV1    = "cosignature/v1"
	sm2CosignatureV1 = "qifeng-sm2-cosignature/v1"
)

// A Seal is a member's statement that, as of Time, the checkpoint is the newest
// state it has finalized: two cosignatures of one time, and the log line that
// stock C2SP tools ask for.
type Seal struct {
	Member  string
	Time    int64    // Unix seconds, above 0
	Log     [64]byte // Ed25519 over the body; zero if a note came without it
	Ed25519 [64]byte // Ed25519 over cosignature/v1, time and body
	SM2     [64]byte // SM2 r‖s over qifeng-sm2-cosignature/v1, time and body
}

// HasLog reports whether the seal carries its log line. The line decides
// nothing here; without it no stock proof can be made for this member.
func (s Seal) HasLog() bool { return s.Log != [64]byte{} }

// SealKeys are the three keys a member seals with.
type SealKeys struct{ Log, Ed25519, SM2 gm.Signer }

// CheckTime accepts the times a seal may carry: Unix seconds above 0. C2SP
// allows up to 2^63-1; a time of 0 would say nothing.
func CheckTime(t int64) error {
	if t <= 0 {
		return fmt.Errorf("%w: time %d is not above 0", ErrSeal, t)
	}
	return nil
}

// signedText is what a cosignature signs: its version, its time, the body.
func signedText(version string, t int64, body []byte) []byte {
	b := make([]byte, 0, len(version)+len("\ntime \n")+19+len(body))
	b = append(b, version...)
	b = append(b, "\ntime "...)
	b = strconv.AppendInt(b, t, 10)
	b = append(b, '\n')
	return append(b, body...)
}

// checkSealable refuses what no member may sign: a body that ParseBody would
// not read back, and the empty ledger.
func (c Checkpoint) checkSealable() error {
	if err := checkOrigin(c.Origin); err != nil {
		return err
	}
	if c.Size < 1 || c.Size > MaxSize {
		return fmt.Errorf("%w: ledger size %d, want 1 to %d", ErrSeal, c.Size, uint64(MaxSize))
	}
	if err := checkPair(c.Root); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	return nil
}

// Sign seals the checkpoint for a member at time t. The caller has fsynced its
// guard before: what leaves here cannot be taken back.
func Sign(c Checkpoint, member string, t int64, keys SealKeys) (Seal, error) {
	s := Seal{Member: member, Time: t}
	if err := c.checkSealable(); err != nil {
		return Seal{}, fmt.Errorf("sealing: %w", err)
	}
	if err := CheckMemberID(member); err != nil {
		return Seal{}, fmt.Errorf("sealing: %w", err)
	}
	if err := CheckTime(t); err != nil {
		return Seal{}, fmt.Errorf("sealing: %w", err)
	}
	body := c.Body()
	for _, part := range []struct {
		kind KeyKind
		alg  gm.Alg
		key  gm.Signer
		text []byte
		sig  *[64]byte
	}{
		{KeyLog, gm.Ed25519, keys.Log, body, &s.Log},
		{KeySealEd25519, gm.Ed25519, keys.Ed25519, signedText(cosignatureV1, t, body), &s.Ed25519},
		{KeySealSM2, gm.SM2, keys.SM2, signedText(sm2CosignatureV1, t, body), &s.SM2},
	} {
		if part.key == nil || part.key.Public().Alg() != part.alg {
			return Seal{}, fmt.Errorf("sealing: %w: no %s key of algorithm %s", ErrSeal, part.kind, part.alg)
		}
		sig, err := part.key.Sign(part.text)
		if err != nil {
			return Seal{}, fmt.Errorf("sealing with the %s key: %w", part.kind, err)
		}
		if len(sig) != len(part.sig) {
			return Seal{}, fmt.Errorf("sealing with the %s key: %w: a signature of %d bytes", part.kind, ErrSeal, len(sig))
		}
		copy(part.sig[:], sig)
	}
	return s, nil
}

// VerifySeal checks a seal that a member hands over live: its member, its time
// and all three signatures.
func (m Member) VerifySeal(c Checkpoint, s Seal) error {
	if s.Member != m.ID {
		return fmt.Errorf("%w: a seal of %q, want one of %s", ErrSeal, s.Member, m.ID)
	}
	if err := c.checkSealable(); err != nil {
		return fmt.Errorf("the seal of %s: %w", m.ID, err)
	}
	if err := CheckTime(s.Time); err != nil {
		return fmt.Errorf("the seal of %s: %w", m.ID, err)
	}
	if err := m.validate(); err != nil {
		return fmt.Errorf("the seal of %s: %w", m.ID, err)
	}
	body := c.Body()
	if err := m.Log.Verify(body, s.Log[:]); err != nil {
		return fmt.Errorf("%w: the log line of %s: %w", ErrSeal, m.ID, err)
	}
	if err := m.SealEd25519.Verify(signedText(cosignatureV1, s.Time, body), s.Ed25519[:]); err != nil {
		return fmt.Errorf("%w: the Ed25519 cosignature of %s: %w", ErrSeal, m.ID, err)
	}
	if err := m.SealSM2.Verify(signedText(sm2CosignatureV1, s.Time, body), s.SM2[:]); err != nil {
		return fmt.Errorf("%w: the SM2 cosignature of %s: %w", ErrSeal, m.ID, err)
	}
	return nil
}
