package api

import (
	"fmt"
	"time"

	"github.com/gin-gonic/gin"
)

// LookupKind is what was asked for.
type LookupKind string

// The kinds of look-up.
const (
	RecordLookup  LookupKind = "record"  // by id
	ProofLookup   LookupKind = "proof"   // by id
	DigestLookup  LookupKind = "digest"  // of content
	DossierLookup LookupKind = "dossier" // of records
)

// Lookup is one reading by a neutral member, which may read everything.
type Lookup struct {
	Time    time.Time
	Request string // request id, which the access log and the answer have too
	Member  string
	Key     string // name of the key
	Kind    LookupKind
	Subject string // the id, "sm3:HEX" or "sha256:HEX", or the dossier
	Results int    // records in the answer
}

// Auditor keeps look-ups. It returns after the line is durable; where it
// returns an error, the look-up is not answered.
type Auditor interface {
	Audit(Lookup) error
}

// audit writes a look-up down if it must be. What a vendor reads of its own is
// its own business.
func (s *Server) audit(c *gin.Context, kind LookupKind, subject string, results int) error {
	r := readerOf(c)
	if !r.role.Neutral() {
		return nil
	}
	err := s.cfg.Audit.Audit(Lookup{
		Time: s.now(), Request: requestID(c), Member: r.Member, Key: r.Identity.Key,
		Kind: kind, Subject: subject, Results: results,
	})
	if err != nil {
		return &fault{kind: unaudited, cause: fmt.Errorf("auditing a look-up: %w", err)}
	}
	return nil
}
