package timestamp

import (
	"errors"
	"fmt"
	"time"

	"github.com/emmansun/gmsm/smx509"
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
	Nonce     string        // decimal; empty where the token has none
	Signer    string        // subject of the signer's certificate
	Algorithm string        // "SM2-SM3", "ECDSA-SHA256", "RSA-SHA256", "RSA-PSS-SHA256", …
	Hash      string        // of the statement: "SHA256", "SHA384", "SHA512", "SM3"
	// Revoked says what was known of the signer's certificate.
	Revoked Revocation
	// ListFrom and ListUntil are thisUpdate and nextUpdate of the list that Revoked was read from;
	// zero where the token carries none of the signer's issuer.
	ListFrom, ListUntil time.Time
}

// Revocation is what the lists inside a token say of the signer's certificate.
type Revocation string

// The states of a signer's certificate. One that was revoked at the token's time fails it.
const (
	NotChecked   Revocation = "not checked"   // the token carries no list of its issuer, or one that had run out at the token's time
	NotRevoked   Revocation = "not revoked"   // by a list of its issuer, current at the token's time or later
	RevokedLater Revocation = "revoked later" // after the token's time, for a reason that leaves earlier tokens valid (RFC 3161 §4)
)

var (
	// ErrToken is wrapped by every error of [Verify].
	ErrToken = errors.New("time-stamp token")
	// ErrImprint says that the token is of another statement.
	ErrImprint = errors.New("the token does not cover this statement")
	// ErrRevoked says that the signer's certificate, or one above it, was revoked.
	ErrRevoked = errors.New("certificate revoked")
	// ErrList says that a revocation list inside the token cannot be used: without it, the token
	// may well verify.
	ErrList = errors.New("revocation list")
)

// Verify checks that token (DER, a CMS SignedData of TSTInfo) covers statement
// and that the authority signed it. Every error wraps [ErrToken]; one that wraps gm.ErrDisagree
// says that the two SM libraries differ, which is neither valid nor invalid.
func Verify(token, statement []byte, a *Authority) (*Token, error) {
	t, _, err := verify(token, statement, a)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return t, nil
}

// verify returns the chain too: the signer's certificate first, a pinned root last.
func verify(token, statement []byte, a *Authority) (*Token, []*smx509.Certificate, error) {
	roots, err := parseRoots(a)
	if err != nil {
		return nil, nil, err
	}
	sd, err := parseSignedData(token)
	if err != nil {
		return nil, nil, err
	}
	info, err := parseInfo(sd.content)
	if err != nil {
		return nil, nil, err
	}
	if err := info.covers(statement); err != nil {
		return nil, nil, err
	}
	certificates, err := parseCertificates(sd.certificates)
	if err != nil {
		return nil, nil, err
	}
	signer, err := findSigner(&sd.signer, certificates, roots)
	if err != nil {
		return nil, nil, err
	}
	if err := checkSigner(signer, info); err != nil {
		return nil, nil, err
	}
	algorithm, err := checkSignerInfo(sd, signer)
	if err != nil {
		return nil, nil, err
	}
	if sd.oid.Equal(oidSMSignedData) && algorithm != sm2SM3 {
		return nil, nil, fmt.Errorf("signed with %s under the content type of GM/T 0010", algorithm)
	}
	chain, err := buildChain(signer, certificates, roots, info.time)
	if err != nil {
		return nil, nil, err
	}
	known, err := checkLists(sd.lists, chain, info.time)
	if err != nil {
		return nil, nil, err
	}
	return &Token{
		Time: info.time, Accuracy: info.accuracy,
		Policy: info.policy.String(), Serial: info.serial.String(), Nonce: info.nonceText(),
		Signer: signer.Subject.String(), Algorithm: algorithm, Hash: info.hash.name,
		Revoked: known.state, ListFrom: known.from, ListUntil: known.until,
	}, chain, nil
}

// CheckAuthority refuses an authority that no token could verify under.
func CheckAuthority(a *Authority) error {
	if a == nil || a.Name == "" {
		return errors.New("time-stamp authority without a name")
	}
	if _, err := parseRoots(a); err != nil {
		return fmt.Errorf("time-stamp authority %q: %w", a.Name, err)
	}
	return nil
}
