package api

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"qifeng/api/wire"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// getConsistency gives the path from ?from= to ?to=, by default the newest
// sealed size, with the notes of both as far as they are sealed here.
func (s *Server) getConsistency(c *gin.Context) error {
	newest, _ := s.cfg.Chain.SealedHead()
	from, to, err := consistencyParams(c.Request.URL.RawQuery, newest)
	if err != nil {
		return err
	}
	out := wire.Consistency{Chain: s.cfg.Chain.ChainID(), From: from, To: to}
	path, err := merkle.ConsistencyAt(from, to, s.cfg.Chain)
	if err != nil {
		return fmt.Errorf("making the path from %d to %d: %w", from, to, err)
	}
	first, firstRoot, err := s.sealedAt(from)
	if err != nil {
		return err
	}
	second, secondRoot, err := s.sealedAt(to)
	if err != nil {
		return err
	}
	if err := merkle.VerifyConsistency(from, to, firstRoot, secondRoot, path); err != nil {
		return tampered(err)
	}
	out.FromNote, out.ToNote = string(first), string(second)
	out.Path = make([]wire.Pair, len(path))
	for i, d := range path {
		out.Path[i] = wire.PairOf(d)
	}
	return render(c, http.StatusOK, out)
}

// consistencyParams reads ?from= and ?to=. Only what is sealed is given out.
func consistencyParams(rawQuery string, newest uint64) (from, to uint64, err error) {
	q, err := params(rawQuery, "from", "to")
	if err != nil {
		return 0, 0, err
	}
	if from, err = sizeText(q, "from"); err != nil {
		return 0, 0, err
	}
	if _, ok := q["to"]; !ok {
		to = newest
	} else if to, err = sizeText(q, "to"); err != nil {
		return 0, 0, err
	} else if from > to {
		return 0, 0, faultf(badParameter, "from", "is not more than to")
	}
	switch {
	case from > newest:
		return 0, 0, faultf(notFound, "from", "no sealed checkpoint covers this size yet")
	case to > newest:
		return 0, 0, faultf(notFound, "to", "no sealed checkpoint covers this size yet")
	}
	return from, to, nil
}

// sizeText reads a ledger size in its one spelling.
func sizeText(q map[string]string, name string) (uint64, error) {
	size, ok := number(q[name], checkpoint.MaxSize)
	if !ok || size == 0 {
		return 0, faultf(badParameter, name, "is a ledger size, a number from 1")
	}
	return size, nil
}

// sealedAt is the root of a size, and the note that sealed it first, nil where
// this very size was not sealed.
func (s *Server) sealedAt(size uint64) ([]byte, merkle.Digest, error) {
	root, err := merkle.RootAt(size, s.cfg.Chain)
	if err != nil {
		return nil, root, fmt.Errorf("computing the root of size %d: %w", size, err)
	}
	note, at, ok, err := s.cfg.Chain.Covering(size - 1)
	if err != nil {
		return nil, root, fmt.Errorf("reading the checkpoint of size %d: %w", size, err)
	}
	if !ok || at != size {
		return nil, root, nil
	}
	body := checkpoint.Checkpoint{Origin: checkpoint.Origin(s.cfg.Chain.ChainID()), Size: size, Root: root}.Body()
	if !bytes.HasPrefix(note, append(body, '\n')) {
		return nil, root, tampered(fmt.Errorf("the stored checkpoint of size %d is of another ledger than the one it stands beside", size))
	}
	return note, root, nil
}
