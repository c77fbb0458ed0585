package api

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"qifeng/api/wire"
	"qifeng/archive"
	"qifeng/evidence"
)

// postRecords takes in one request: POST /v1/records. Whoever prefers the minimal
// answer gets one receipt for the whole request, if all of it is new.
func (s *Server) postRecords(c *gin.Context) error {
	want := preferred(c.Request.Header)
	in, err := s.takeIn(c, want.minimal)
	if err != nil {
		return err
	}
	if in.whole {
		return s.giveRange(c, &in.receipt, want.wait)
	}
	records, err := s.await(c, in.stored, wire.Sealed, want.wait)
	if err != nil {
		return err
	}
	applied(c, preferences{wait: want.wait})
	status := http.StatusOK
	if anyNew(in.stored) {
		status = http.StatusCreated
	}
	return render(c, status, wire.Submitted{
		Chain: s.cfg.Chain.ChainID(), State: least(records), Records: records,
	})
}

// getRecord gives every leaf of an id: GET /v1/records/{id}[?until=committed].
// With a wait it answers when all have reached that state, by default sealed.
func (s *Server) getRecord(c *gin.Context) error {
	id, err := idParam(c)
	if err != nil {
		return err
	}
	until, err := untilParam(c)
	if err != nil {
		return err
	}
	stored, err := s.lookUp(c, RecordLookup, id)
	if err != nil {
		return err
	}
	d := preferred(c.Request.Header).wait
	records, err := s.await(c, stored, until, d)
	if err == nil {
		err = s.tellRevoked(records, stored)
	}
	if err != nil {
		return err
	}
	applied(c, preferences{wait: d})
	return render(c, http.StatusOK, wire.Records{Records: records})
}

// findRecords gives a page of records by content digest or by dossier:
// GET /v1/records?digest=|dossier=[&cursor=][&limit=].
func (s *Server) findRecords(c *gin.Context) error {
	q, err := lookupParams(c.Request.URL.RawQuery)
	if err != nil {
		return err
	}
	stored, next, err := s.find(c, q)
	if err != nil {
		return err
	}
	records, err := s.await(c, stored, wire.Sealed, 0)
	if err == nil {
		err = s.tellRevoked(records, stored)
	}
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, wire.Records{Records: records, Next: next, Lost: s.cfg.Archive.Status().Lost.String()})
}

// getProof gives the proof file: GET /v1/records/{id}/proof. Of several leaves
// of one id it gives the first that is sealed.
func (s *Server) getProof(c *gin.Context) error {
	id, err := idParam(c)
	if err != nil {
		return err
	}
	stored, err := s.lookUp(c, ProofLookup, id)
	if err != nil {
		return err
	}
	d := preferred(c.Request.Header).wait
	if err := s.waitAny(c, stored, d); err != nil {
		return err
	}
	applied(c, preferences{wait: d})
	// The header and the stream's path exist only since the batch was closed, which
	// may have been during the wait: then it is read again.
	if slices.ContainsFunc(stored, func(st archive.Stored) bool { return st.Header == nil }) {
		if stored, err = s.stored(c, id); err != nil {
			return err
		}
	}
	file, left, err := s.firstProof(stored)
	if err != nil {
		return err
	}
	tellLeft(c, left)
	return raw(c, http.StatusOK, "application/json", file)
}

// firstProof proves the first of stored that is sealed.
func (s *Server) firstProof(stored []archive.Stored) (file []byte, left []string, err error) {
	best := wire.State("")
	for i := range stored {
		state, _, err := s.where(batchName{stored[i].Node, stored[i].Seq})
		if err != nil {
			return nil, nil, err
		}
		if state.Reached(wire.Sealed) {
			return s.prove(&stored[i])
		}
		if !best.Reached(state) {
			best = state
		}
	}
	return nil, nil, &fault{kind: notSealed, state: best, retry: retryAfter,
		detail: fmt.Sprintf("its state is %s", best)}
}

// await waits until all of stored has reached a state, at most d, and describes
// what is reached.
func (s *Server) await(c *gin.Context, stored []archive.Stored, until wire.State, d time.Duration) ([]wire.Record, error) {
	var states []wire.State
	err := s.wait(c, d, func() (ok bool, err error) {
		states, err = s.states(stored)
		return leastOf(states).Reached(until), err
	})
	if err != nil {
		return nil, err
	}
	return s.describe(stored, states)
}

// waitAny waits until one of stored is sealed, at most d.
func (s *Server) waitAny(c *gin.Context, stored []archive.Stored, d time.Duration) error {
	return s.wait(c, d, func() (bool, error) {
		states, err := s.states(stored)
		for _, st := range states {
			if st.Reached(wire.Sealed) {
				return true, err
			}
		}
		return false, err
	})
}

// checkStored makes sure that the archive answered what was asked.
func checkStored(req *evidence.Request, stored []archive.Stored) error {
	if len(stored) != len(req.Submissions) {
		return fmt.Errorf("the archive answered %d submissions with %d records", len(req.Submissions), len(stored))
	}
	for i := range stored {
		if want := req.Submissions[i].ID(); stored[i].ID != want {
			return fmt.Errorf("the archive answered submission %d, %s, with record %s", i, want, stored[i].ID)
		}
	}
	return nil
}

func anyNew(stored []archive.Stored) bool {
	for i := range stored {
		if stored[i].New {
			return true
		}
	}
	return false
}
