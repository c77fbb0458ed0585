// Package gm holds the keys, signatures and hashes of the project: SM2, SM3 and Ed25519.
//
// It is the only importer of the two SM libraries. emmansun/gmsm does the work; tjfoc/gmsm is a
// second opinion ([PublicKey.VerifySecond], [VerifyBoth], [SM3Second]), because a court's verdict
// must not hang on one library's bug. It is not a general crypto library: there is no encryption,
// no key exchange, no certificate, and no choice of algorithm other than the key's own.
//
// Invariants:
//
//   - A non-zero [PublicKey] is a valid key: an SM2 point on the curve with reduced coordinates, or
//     an Ed25519 point in canonical encoding that is not of small order.
//   - A signature is 64 bytes for both algorithms. For SM2 it is r‖s, big-endian, and both are
//     checked to be in 1..n-1 by this package before a library sees them: the libraries disagree
//     on what surrounds the two integers in DER, so DER is made and read only towards outside
//     standards ([MarshalDER], [ParseDER]), and strictly.
//   - SM2 signs SM3(Z ‖ message) with the signer id 1234567812345678 (GB/T 32918.2, GM/T 0009);
//     callers hand over whole messages, never digests.
//   - The algorithm is fixed by the key, never by the message or the signature.
//   - A private key is never printed, whichever verb or logger meets it.
//
// Text form of a public key: "sm2:" and the 130 lower-case hex digits of the uncompressed point,
// or "ed25519:" and 64 lower-case hex digits.
//
// Whoever makes a key, a message and a signature may lie to this package: every such input is
// untrusted, and nothing of it makes it panic. A caller that passes a key file's path is trusted.
package gm

import "errors"

// Alg is the algorithm of a key.
type Alg uint8

// The two algorithms. The zero Alg is invalid.
const (
	SM2     Alg = 1
	Ed25519 Alg = 2
)

// String gives the word that starts the text form of a key.
func (a Alg) String() string {
	switch a {
	case SM2:
		return "sm2"
	case Ed25519:
		return "ed25519"
	}
	return "invalid"
}

var (
	// ErrSignature says that a signature does not verify: reject what it signs.
	ErrSignature = errors.New("signature does not verify")
	// ErrDisagree says that the two SM2 libraries gave different answers. It is neither valid nor
	// invalid: one library is wrong, and the matter needs a person.
	ErrDisagree = errors.New("the two SM2 libraries disagree")

	errZeroKey = errors.New("public key is the zero value")
)
