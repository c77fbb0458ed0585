// Package timestamp verifies RFC 3161 time-stamp tokens offline, at the token's
// own time, against roots that the verifier holds: RSA and ECDSA with SHA-2,
// and SM2 with SM3.
//
// It asks nobody for a token (anchor/tsa does), reads no clock, no file and no
// network, and builds for WASM.
package timestamp

import (
	"errors"
	"time"
)

// Authority is a time-stamp authority that the verifier trusts.
type Authority struct {
	Name  string
	Roots [][]byte // certificates, DER, 1 to MaxRoots
}

// Token is what a verified token says.
type Token struct {
	Time      time.Time     // genTime, UTC
	Accuracy  time.Duration // 0 where the token states none
	Policy    string        // OID of the TSA's policy, dotted
	Serial    string        // decimal
	Signer    string        // subject of the signer's certificate
	Algorithm string        // "SM2-SM3", "ECDSA-SHA256", "RSA-SHA256", …
	// Revocation says what was known: "not checked" where the token carries no list.
	Revoked Revocation
}

// Revocation is what the lists inside a token say of the signer's certificate.
type Revocation string

// The states of a signer's certificate. A revoked one fails the token.
const (
	NotChecked Revocation = "not checked" // the token carries no list of its issuer
	NotRevoked Revocation = "not revoked" // by a list of its issuer, current at the token's time
)

// ErrToken is wrapped by every error of [Verify].
var ErrToken = errors.New("time-stamp token")

// Verify checks that token (DER, a CMS SignedData of TSTInfo) covers statement
// and that the authority signed it.
func Verify(token, statement []byte, a *Authority) (*Token, error) {
	return nil, errors.Join(ErrToken, errors.New("not built"))
}

// CheckAuthority refuses an authority that no token could verify under.
func CheckAuthority(a *Authority) error { return errors.Join(ErrToken, errors.New("not built")) }
