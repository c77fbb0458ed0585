package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"

	"qifeng/api/httpsig"
	"qifeng/api/wire"
	"qifeng/archive"
	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// verifier says who has signed a request. Its errors are *[httpsig.Error].
type verifier interface {
	Verify(r *http.Request) (httpsig.Identity, error)
}

// readKeys is the register as signed reads see it: a key that is not there, is
// revoked or cannot be looked up opens nothing.
type readKeys struct {
	Registry
	log *slog.Logger
}

// Key finds a key that may be used now.
func (k readKeys) Key(member, name string) (gm.PublicKey, evidence.Purpose, bool) {
	key, ok, err := k.Registry.Key(member, name)
	if err != nil {
		k.log.Error("finding a read key", "error", err)
	}
	if err != nil || !ok || key.RevokedAt != nil {
		return gm.PublicKey{}, "", false
	}
	return key.PublicKey, key.Purpose, true
}

const readerKey = "reader"

// reader is who has signed the request that is being answered.
type reader struct {
	httpsig.Identity
	role checkpoint.Role // in the newest epoch
}

// signed admits requests that are signed by a registered key of purpose read
// (docs/spec/http.md). What the reader may see is for [Server.mayRead].
func (s *Server) signed(c *gin.Context) {
	id, err := s.reads.Verify(c.Request)
	if err != nil {
		s.problem(c, err)
		return
	}
	p := s.cfg.Chain.Policy()
	m, ok := p.Epochs[len(p.Epochs)-1].Member(id.Member)
	if !ok {
		s.problem(c, &httpsig.Error{Code: httpsig.UnknownKey, Field: "keyid", Detail: id.Member + " is no member any more"})
		return
	}
	c.Set(readerKey, reader{id, m.Role})
}

// readerOf is who has signed the request; nobody, who may read nothing, on a
// door without a signature.
func readerOf(c *gin.Context) reader {
	v, _ := c.Get(readerKey)
	r, _ := v.(reader)
	return r
}

// classifySignature finds the row of a refused signature, nil where err is none.
func classifySignature(err error) *fault {
	var e *httpsig.Error
	if !errors.As(err, &e) {
		return nil
	}
	f := &fault{field: e.Field, detail: e.Detail, retry: e.RetryAfter}
	f.kind.status, f.kind.code, f.kind.title, f.kind.mend = e.Status(), string(e.Code), e.Title(), e.Mend()
	return f
}

// mayRead leaves of stored what the reader may see.
func (s *Server) mayRead(r reader, stored []archive.Stored) ([]archive.Stored, error) {
	var out []archive.Stored
	for i := range stored {
		ok, err := r.reads(&stored[i])
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, stored[i])
		}
	}
	return out, nil
}

// reads says whether the reader may see one record.
func (r reader) reads(st *archive.Stored) (bool, error) {
	rec, err := evidence.ParseRecord(st.Record)
	if err != nil {
		return false, tampered(fmt.Errorf("reading stored record %s: %w", st.ID, err))
	}
	return httpsig.CanRead(r.Identity, r.role, rec), nil
}

// stored finds the leaves of an id that the reader may see. Absent and foreign
// ids answer alike, and before anything is waited for (design §11).
func (s *Server) stored(c *gin.Context, id evidence.ID) ([]archive.Stored, error) {
	all, err := s.cfg.Archive.ByID(id)
	if err != nil {
		return nil, fmt.Errorf("finding record %s: %w", id, err)
	}
	seen, err := s.mayRead(readerOf(c), all)
	if err != nil {
		return nil, err
	}
	if len(seen) == 0 {
		// A node that was restored says so of every id that it does not show, be it
		// absent, foreign or lost.
		detail := "no record of this id"
		if lost := s.cfg.Archive.Status().Lost.String(); lost != "" {
			detail += " here; " + lost
		}
		return nil, &fault{kind: notFound, field: "id", detail: detail}
	}
	return seen, nil
}

// lookUp is stored, written down in the audit log.
func (s *Server) lookUp(c *gin.Context, kind LookupKind, id evidence.ID) ([]archive.Stored, error) {
	stored, err := s.stored(c, id)
	var f *fault
	if err != nil && !(errors.As(err, &f) && f.kind == notFound) {
		return nil, err
	}
	if err := s.audit(c, kind, string(id), len(stored)); err != nil {
		return nil, err
	}
	return stored, err
}

// find gives a page of what a look-up finds, of what the reader may see, and
// the cursor of the next page, "" on the last.
func (s *Server) find(c *gin.Context, q lookup) ([]archive.Stored, string, error) {
	page := func(cursor string, limit int) ([]archive.Stored, string, error) {
		if q.dossier != "" {
			return s.cfg.Archive.ByDossier(string(q.dossier), cursor, limit)
		}
		return s.cfg.Archive.ByDigest(q.alg, q.hash, cursor, limit)
	}
	kind, subject := DossierLookup, string(q.dossier)
	if q.dossier == "" {
		kind, subject = DigestLookup, fmt.Sprintf("%s:%x", q.alg, q.hash)
	}
	r := readerOf(c)
	var out []archive.Stored
	var next string
	var err error
	if r.role.Neutral() {
		if out, next, err = page(q.cursor, q.limit); err == nil {
			out, err = s.mayRead(r, out)
		}
	} else {
		out, next, err = s.findOwn(c, r, q, page)
	}
	if err == nil {
		err = s.audit(c, kind, subject, len(out))
	}
	return out, next, err
}

// findOwn makes a page out of what the reader may see. It reads on until the
// page is full and one more is found, or the data end, so that neither a short
// page nor a cursor tells of records between that are another's: the cursor is
// that of the last record of the page.
func (s *Server) findOwn(c *gin.Context, r reader, q lookup, page func(string, int) ([]archive.Stored, string, error)) (out []archive.Stored, next string, err error) {
	cursor := q.cursor
	var lastFrom string // the archive's page in which the last of out stands,
	var lastAt int      // and its place there, from 1
	for {
		if err := c.Request.Context().Err(); err != nil {
			return nil, "", err
		}
		stored, after, err := page(cursor, maxPage)
		if err != nil {
			return nil, "", err
		}
		for i := range stored {
			ok, err := r.reads(&stored[i])
			if err != nil {
				return nil, "", err
			}
			if !ok {
				continue
			}
			if len(out) == q.limit {
				_, next, err := page(lastFrom, lastAt)
				return out, next, err
			}
			out = append(out, stored[i])
			lastFrom, lastAt = cursor, i+1
		}
		if after == "" {
			return out, "", nil
		}
		cursor = after
	}
}

// tellRevoked says of each record whether the key that submitted it has been
// revoked since. The record is none the worse for it: the key was good at
// intake, and a proof goes on verifying.
func (s *Server) tellRevoked(records []wire.Record, stored []archive.Stored) error {
	for i := range stored {
		rec, err := evidence.ParseRecord(stored[i].Record)
		if err != nil {
			return tampered(fmt.Errorf("reading stored record %s: %w", stored[i].ID, err))
		}
		key, ok, err := s.cfg.Chain.Key(rec.Submission.Submitter, rec.Submission.Key)
		if err != nil {
			return fmt.Errorf("finding key %s of %s: %w", rec.Submission.Key, rec.Submission.Submitter, err)
		}
		if ok {
			records[i].KeyRevokedAt = key.RevokedAt
		}
	}
	return nil
}
