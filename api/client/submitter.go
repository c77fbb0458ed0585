package client

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// Submitter makes submissions and signs requests for one registered key.
type Submitter struct {
	ChainID string
	Member  string    // member id
	KeyName string    // name of the key in the register
	Signer  gm.Signer // the key
	Source  evidence.Source
	Now     func() time.Time // default time.Now
}

// NewContract makes the submission of a contract's content, whose digest pair
// and size the caller has computed (merkle.NewHash).
func (s *Submitter) NewContract(kind evidence.Kind, digest merkle.Digest, size uint64) *evidence.Submission {
	return s.Fill(&evidence.Submission{Kind: kind, Digest: &digest, Size: &size})
}

// NewClaims makes the submission of an identity or signing record whose claims
// file has this root. The fields that its kind needs besides are the caller's.
func (s *Submitter) NewClaims(kind evidence.Kind, root merkle.Digest) *evidence.Submission {
	return s.Fill(&evidence.Submission{Kind: kind, Claims: &root})
}

// Fill sets what every submission carries and sub lacks: submitter, key, a
// random nonce, the time and the source. It returns sub.
func (s *Submitter) Fill(sub *evidence.Submission) *evidence.Submission {
	if sub.Submitter == "" {
		sub.Submitter = s.Member
	}
	if sub.Key == "" {
		sub.Key = s.KeyName
	}
	if sub.Nonce == ([16]byte{}) {
		_, _ = rand.Read(sub.Nonce[:]) // never fails (crypto/rand)
	}
	if sub.CapturedAt.IsZero() {
		sub.CapturedAt = s.now()
	}
	if sub.Source == (evidence.Source{}) {
		sub.Source = s.Source
	}
	return sub
}

// NewRequest signs a statement over submissions, 1 to 1,000. Send its Raw; the
// ids are known before: Submissions[i].ID(). Keep it for retries: a new one
// over the same submissions is answered alike, but its statement is not the one
// that the record names.
func (s *Submitter) NewRequest(submissions ...*evidence.Submission) (*evidence.Request, error) {
	if s.Signer == nil {
		return nil, errors.New("signing a request: no key")
	}
	return evidence.NewRequest(s.ChainID, submissions, s.now(), s.Signer)
}

// NewDossier makes the name of a new dossier, 128 random bits.
func NewDossier() evidence.Dossier {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return evidence.Dossier(hex.EncodeToString(b[:]))
}

// now is in milliseconds, as all times of the formats.
func (s *Submitter) now() time.Time {
	if s.Now != nil {
		return s.Now().UTC().Truncate(time.Millisecond)
	}
	return time.Now().UTC().Truncate(time.Millisecond)
}
