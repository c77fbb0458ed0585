package gm

import (
	"bytes"
	"crypto/ed25519"
	"encoding/asn1"
	"fmt"
	"math/big"

	"github.com/emmansun/gmsm/sm2"
	second "github.com/tjfoc/gmsm/sm2"
)

// signerID is the signer's distinguishing identifier that enters Z: the default of GM/T 0009 and
// the one that openssl must be told with distid.
var signerID = []byte("1234567812345678")

// sm2Order is n, the order of the SM2 base point (GB/T 32918.5), big-endian.
var sm2Order = [32]byte(mustHex("fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123"))

// Verify checks a 64-byte signature over the whole message. Every failure that a signer can cause
// is [ErrSignature].
func (k PublicKey) Verify(msg, sig []byte) error {
	switch k.alg {
	case SM2:
		der, err := MarshalDER(sig) // checks length and ranges
		if err != nil {
			return err
		}
		pub, err := sm2.NewPublicKey([]byte(k.raw))
		if err != nil {
			return fmt.Errorf("verifying sm2 signature: %w", err)
		}
		// Not sm2.VerifyASN1WithSM2, so that signing and verifying treat an empty message alike.
		digest, err := sm2.CalculateSM2Hash(pub, msg, signerID)
		if err != nil {
			return fmt.Errorf("verifying sm2 signature: %w", err)
		}
		if !sm2.VerifyASN1(pub, digest, der) {
			return fmt.Errorf("sm2: %w", ErrSignature)
		}
		return nil
	case Ed25519:
		return k.verifyEd25519(msg, sig)
	}
	return errZeroKey
}

// VerifySecond checks as Verify does, SM2 with the second library. Ed25519 has one implementation,
// the standard library's.
func (k PublicKey) VerifySecond(msg, sig []byte) error {
	switch k.alg {
	case SM2:
		if err := checkRange(sig); err != nil {
			return err
		}
		pub := &second.PublicKey{
			Curve: second.P256Sm2(),
			X:     new(big.Int).SetBytes([]byte(k.raw[1:33])),
			Y:     new(big.Int).SetBytes([]byte(k.raw[33:])),
		}
		r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
		if isInfinity(pub, msg, r) || !second.Sm2Verify(pub, msg, signerID, r, s) {
			return fmt.Errorf("sm2, second library: %w", ErrSignature)
		}
		return nil
	case Ed25519:
		return k.verifyEd25519(msg, sig)
	}
	return errZeroKey
}

// isInfinity says that r equals the message digest e mod n. A verifier computes r = e + x; the
// second library takes the point at infinity for x = 0, and the owner of a key can make a signature
// that leads there (s = -e·d/(1+d)). GB/T 32918.2 has no such signature, and the first library
// refuses it. No honest signature has r = e: it would need a point with x = 0 or x = n.
func isInfinity(pub *second.PublicKey, msg []byte, r *big.Int) bool {
	digest, err := pub.Sm3Digest(msg, signerID)
	if err != nil {
		return true
	}
	e := new(big.Int).SetBytes(digest)
	return e.Mod(e, pub.Params().N).Cmp(r) == 0
}

func (k PublicKey) verifyEd25519(msg, sig []byte) error {
	if len(sig) != SignatureSize || !ed25519.Verify(ed25519.PublicKey(k.raw), msg, sig) {
		return fmt.Errorf("ed25519: %w", ErrSignature)
	}
	return nil
}

// VerifyBoth checks a signature with both libraries. When one accepts and the other refuses, the
// error is [ErrDisagree] and not [ErrSignature].
func VerifyBoth(k PublicKey, msg, sig []byte) error {
	return decide(k.Verify(msg, sig), k.VerifySecond(msg, sig))
}

func decide(first, second error) error {
	switch {
	case first == nil && second != nil:
		return fmt.Errorf("%w: emmansun/gmsm accepts the signature, tjfoc/gmsm refuses it", ErrDisagree)
	case first != nil && second == nil:
		return fmt.Errorf("%w: emmansun/gmsm refuses the signature, tjfoc/gmsm accepts it", ErrDisagree)
	}
	return first
}

// checkRange checks the form of an SM2 signature: 64 bytes, 1 <= r < n, 1 <= s < n.
func checkRange(sig []byte) error {
	if len(sig) != SignatureSize {
		return fmt.Errorf("sm2: %w: %d bytes, want 64", ErrSignature, len(sig))
	}
	var zero [32]byte
	for i, name := range [...]string{"r", "s"} {
		v := sig[32*i : 32*i+32]
		if bytes.Equal(v, zero[:]) || bytes.Compare(v, sm2Order[:]) >= 0 {
			return fmt.Errorf("sm2: %w: %s is out of range", ErrSignature, name)
		}
	}
	return nil
}

// MarshalDER turns an SM2 signature r‖s into the DER that openssl and GM/T 0009 use.
func MarshalDER(sig []byte) ([]byte, error) {
	if err := checkRange(sig); err != nil {
		return nil, err
	}
	der := make([]byte, 2, 2+2*(2+33))
	der = appendInt(appendInt(der, sig[:32]), sig[32:])
	der[0], der[1] = 0x30, byte(len(der)-2) // at most 70 bytes: a short length
	return der, nil
}

// appendInt appends the DER INTEGER of a positive big-endian number of at most 32 bytes.
func appendInt(der, v []byte) []byte {
	v = bytes.TrimLeft(v, "\x00")
	if v[0] >= 0x80 {
		der = append(der, 0x02, byte(len(v)+1), 0)
	} else {
		der = append(der, 0x02, byte(len(v)))
	}
	return append(der, v...)
}

// ParseDER turns a DER SM2 signature into r‖s. It accepts exactly what MarshalDER makes: no
// trailing or inner extra bytes, minimal integers, both in range.
func ParseDER(der []byte) ([]byte, error) {
	var v struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &v); err != nil {
		return nil, fmt.Errorf("parsing sm2 signature: %w", err)
	}
	if v.R.Sign() <= 0 || v.S.Sign() <= 0 || v.R.BitLen() > 256 || v.S.BitLen() > 256 {
		return nil, fmt.Errorf("parsing sm2 signature: %w: r or s is out of range", ErrSignature)
	}
	sig := make([]byte, SignatureSize)
	v.R.FillBytes(sig[:32])
	v.S.FillBytes(sig[32:])
	again, err := MarshalDER(sig)
	if err != nil {
		return nil, fmt.Errorf("parsing sm2 signature: %w", err)
	}
	// encoding/asn1 tolerates extra fields inside the sequence and leaves a tail.
	if !bytes.Equal(again, der) {
		return nil, fmt.Errorf("parsing sm2 signature: not strict DER")
	}
	return sig, nil
}
