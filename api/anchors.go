package api

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"qifeng/api/wire"
	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/merkle"
	"qifeng/proof/timestamp"
)

// noAnchors is what a node has that runs none.
type noAnchors struct{}

func (noAnchors) Head() uint64                            { return 0 }
func (noAnchors) Covering(uint64) ([]proof.Anchor, error) { return nil, nil }
func (noAnchors) Status() []wire.AnchorStatus             { return []wire.AnchorStatus{} }
func (noAnchors) Changed() <-chan struct{}                { return nil }

// anchorsFrom are the receipts that cover a size, one per anchor, each with the
// path that leads to it.
func (s *Server) anchorsFrom(size uint64) ([]proof.Anchor, error) {
	list, err := s.cfg.Anchors.Covering(size)
	if err != nil {
		return nil, fmt.Errorf("finding the anchors over size %d: %w", size, err)
	}
	list = slices.DeleteFunc(list, func(a proof.Anchor) bool { return !s.known(&a) })
	for i := range list {
		a := &list[i]
		to, err := noteState(a.Checkpoint)
		if err != nil {
			return nil, tampered(fmt.Errorf("reading the note under a receipt of %s: %w", a.Name, err))
		}
		if a.Path, err = merkle.ConsistencyAt(size, to.Size, s.cfg.Chain); err != nil {
			return nil, fmt.Errorf("making the path from %d to %d: %w", size, to.Size, err)
		}
	}
	return list, nil
}

// known says whether the anchor roots know an anchor. What they do not know, as
// one that was given up, cannot be verified here and is not given out.
func (s *Server) known(a *proof.Anchor) bool {
	switch a.Kind {
	case proof.AnchorFabric:
		return slices.ContainsFunc(s.roots.Fabric, func(c fabric.Channel) bool { return c.Name == a.Name })
	case proof.AnchorRFC3161:
		return slices.ContainsFunc(s.roots.Timestamps, func(t timestamp.Authority) bool { return t.Name == a.Name })
	case proof.AnchorWitness:
		return slices.ContainsFunc(s.roots.Witnesses, func(w proof.NamedWitness) bool { return w.Name == a.Name })
	}
	return false
}

// noteState reads what a note is of; nothing of it is verified.
func noteState(note []byte) (checkpoint.Checkpoint, error) {
	cut := bytes.LastIndex(note, []byte("\n\n"))
	if cut < 0 {
		return checkpoint.Checkpoint{}, errors.New("no blank line before the signatures")
	}
	return checkpoint.ParseBody(note[:cut+1])
}

// withAnchors is a proof with the anchors that there are and that it has room
// for. They are an addition: a receipt that does not verify, which is this
// node's fault and is told to its operator, costs the caller that anchor and not
// the proof. left names what is not in it.
func (s *Server) withAnchors(id evidence.ID, f *proof.File, size uint64) (out []byte, left []string, err error) {
	plain := *f
	list, err := s.anchorsFrom(size)
	if err == nil {
		out, left, err = s.anchored(id, f, list)
	}
	if err == nil || s.roots == nil {
		return out, left, err
	}
	if s.judging.due("") {
		s.log.Error("TAMPERED: the receipts of anchors do not fit; the proof goes out without them", "size", size, "error", err)
	}
	good, bad := []proof.Anchor(nil), list
	if from, err := noteState(plain.Checkpoint); err == nil {
		good, bad = s.sound(from, list)
	}
	with := plain
	if out, left, err = s.anchored(id, &with, good); err != nil {
		bad = list
		out, left, err = s.anchored(id, &plain, nil)
	}
	return out, append(left, names(bad)...), err
}

// anchored adds anchors to a proof, and verifies the bytes.
func (s *Server) anchored(id evidence.ID, f *proof.File, list []proof.Anchor) (out []byte, left []string, err error) {
	rest, err := f.AddAnchors(list)
	if err != nil {
		return nil, nil, tampered(err)
	}
	out, err = s.verified(id, f)
	return out, names(rest), err
}

func names(list []proof.Anchor) (out []string) {
	for _, a := range list {
		out = append(out, a.Name)
	}
	return out
}

// tellLeft names the anchors that are not in the answer.
func tellLeft(c *gin.Context, left []string) {
	if len(left) > 0 {
		c.Header(wire.AnchorsLeft, strings.Join(left, ","))
	}
}

// getAnchors gives the companion file of every proof whose checkpoint has the
// size ?from=: all receipts that cover it, however large. It tells of the
// ledger's sizes and roots, which the checkpoint tells everybody, and of no
// record.
func (s *Server) getAnchors(c *gin.Context) error {
	q, err := params(c.Request.URL.RawQuery, "from")
	if err != nil {
		return err
	}
	from, err := sizeText(q, "from")
	if err != nil {
		return err
	}
	if newest, _ := s.cfg.Chain.SealedHead(); from > newest {
		return faultf(notFound, "from", "no sealed checkpoint covers this size yet")
	}
	release, err := s.judging.enter(c.Request.Context())
	if err != nil {
		return err
	}
	defer release()
	out, left, err := s.companion(from)
	if err != nil {
		return err
	}
	tellLeft(c, left)
	return raw(c, http.StatusOK, "application/json", out)
}

// companion makes the companion file for a size. left names receipts that do not
// verify, which the operator is told, and those that it has no room for.
func (s *Server) companion(from uint64) (out []byte, left []string, err error) {
	all, err := s.anchorsFrom(from)
	if err != nil {
		return nil, nil, err
	}
	if len(all) == 0 {
		return nil, nil, faultf(notFound, "from", "no anchor of this node covers this size yet")
	}
	root, err := merkle.RootAt(from, s.cfg.Chain)
	if err != nil {
		return nil, nil, fmt.Errorf("computing the root of size %d: %w", from, err)
	}
	list, bad := s.sound(checkpoint.Checkpoint{Origin: checkpoint.Origin(s.cfg.Chain.ChainID()), Size: from, Root: root}, all)
	if len(list) == 0 {
		return nil, nil, tampered(fmt.Errorf("no receipt over size %d verifies", from))
	}
	file := proof.AnchorFile{Chain: s.cfg.Chain.ChainID(), From: from, Anchors: list}
	slices.SortFunc(file.Anchors, func(a, b proof.Anchor) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	for left = names(bad); ; {
		if out, err = file.Marshal(); err == nil {
			return out, left, nil
		}
		if len(file.Anchors) == 1 {
			return nil, nil, tampered(fmt.Errorf("writing the anchors from size %d: %w", from, err))
		}
		largest := 0
		for i := range file.Anchors {
			if len(file.Anchors[i].Receipt) >= len(file.Anchors[largest].Receipt) {
				largest = i
			}
		}
		left = append(left, file.Anchors[largest].Name)
		file.Anchors = slices.Delete(file.Anchors, largest, largest+1)
	}
}

// sound verifies receipts one by one, as whoever gets them would, and tells the
// operator of those that do not verify.
func (s *Server) sound(from checkpoint.Checkpoint, list []proof.Anchor) (good, bad []proof.Anchor) {
	for _, a := range list {
		err := s.judging.verify(&a, s.cfg.Chain.Policy(), s.roots)
		if err == nil {
			err = leads(from, &a)
		}
		if err != nil {
			if s.judging.due(a.Name) {
				s.log.Error("TAMPERED: a receipt of an anchor does not verify and is not given out", "anchor", a.Name, "error", err)
			}
			bad = append(bad, a)
			continue
		}
		good = append(good, a)
	}
	return good, bad
}

// leads checks the path to an anchor.
func leads(from checkpoint.Checkpoint, a *proof.Anchor) error {
	to, err := noteState(a.Checkpoint)
	if err != nil {
		return err
	}
	return merkle.VerifyConsistency(from.Size, to.Size, from.Root, to.Root, a.Path)
}

// getAnchorRoots gives the file of anchor roots, byte for byte. Whoever trusts
// it from here trusts the node: a court compares its fingerprint.
func (s *Server) getAnchorRoots(c *gin.Context) error {
	if s.cfg.RootsFile == nil {
		return faultf(notFound, "", "this node has no anchors")
	}
	return raw(c, http.StatusOK, "application/json", s.cfg.RootsFile)
}

// useAnchors takes the anchors of the configuration up.
func (s *Server) useAnchors() error {
	if s.cfg.Anchors == nil {
		s.cfg.Anchors, s.cfg.RootsFile = noAnchors{}, nil
		return nil
	}
	if s.cfg.RootsFile == nil {
		return errors.New("anchors need anchor roots")
	}
	var err error
	s.roots, err = proof.ParseAnchorRoots(s.cfg.RootsFile)
	return err
}
