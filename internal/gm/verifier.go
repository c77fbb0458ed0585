package gm

import (
	"fmt"

	"github.com/emmansun/gmsm/sm2"

	"qifeng/internal/gm/sm2public"
)

// VerifierSize is about the memory of a [Verifier] of an SM2 key, in bytes: 87 KiB.
const VerifierSize = sm2public.KeySize + 512

// Verifier verifies many signatures of one key. For SM2 it holds a table of [VerifierSize] bytes
// with which a verification takes a third to a half of the time of [PublicKey.Verify] and allocates
// nothing. Making one takes as long as some fifteen verifications without it; how many are kept is
// for the caller to bound. It accepts exactly what Verify accepts. It is for intake and signed
// reads, where one key signs thousands of messages: a verdict over a proof asks [PublicKey.Verify]
// or [VerifyBoth], so that what this code alone accepted never stands. It is safe for concurrent
// use.
type Verifier struct {
	key   PublicKey
	table *sm2public.Key // nil for Ed25519 and for the zero key
	z     [32]byte       // Z of GB/T 32918.2 §5.5, which depends on the key alone
}

// Verifier makes the key's verifier. That of the zero key verifies nothing.
func (k PublicKey) Verifier() *Verifier {
	v := &Verifier{key: k}
	if k.alg != SM2 {
		return v
	}
	pub, err := sm2.NewPublicKey([]byte(k.raw))
	if err != nil {
		return v // not a key: Verify says so
	}
	z, err := sm2.CalculateZA(pub, signerID)
	if err != nil {
		return v
	}
	table, err := sm2public.NewKey([32]byte([]byte(k.raw[1:33])), [32]byte([]byte(k.raw[33:])))
	if err != nil {
		return v
	}
	v.z, v.table = [32]byte(z), table
	return v
}

// Key is the key that was given.
func (v *Verifier) Key() PublicKey { return v.key }

// Verify checks a 64-byte signature over the whole message, as [PublicKey.Verify] does.
func (v *Verifier) Verify(msg, sig []byte) error {
	if v.table == nil {
		return v.key.Verify(msg, sig)
	}
	if err := checkRange(sig); err != nil {
		return err
	}
	var e [1][32]byte
	SM3Many(e[:], v.z[:], [][]byte{msg})
	if !v.table.Verify(e[0], [32]byte(sig[:32]), [32]byte(sig[32:])) {
		return fmt.Errorf("sm2: %w", ErrSignature)
	}
	return nil
}
