package api

import (
	"bytes"
	"fmt"
	"strings"

	"qifeng/archive"
	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/merkle"
)

// receiptFile is the proof file of the state accepted: what the archive holds.
func receiptFile(chainID string, st *archive.Stored) *proof.File {
	return &proof.File{
		Chain:     chainID,
		Record:    st.Record,
		Statement: proof.StatementPart{Signed: st.Statement, Path: st.StatementPath},
		Receipt:   proof.ReceiptPart{Head: st.ReceiptHead, Index: st.ReceiptIndex, Path: st.ReceiptPath},
	}
}

// prove makes the whole proof file of a stored record, with the anchors over its
// checkpoint; left names those that it has no room for.
func (s *Server) prove(st *archive.Stored) (out []byte, left []string, err error) {
	f, size, err := s.assemble(st)
	if err != nil {
		return nil, nil, err
	}
	return s.withAnchors(st.ID, f, size)
}

// verified writes a proof file and verifies what is read from it as any outsider
// would, with one SM library (design §9), before anyone sees it. A file that does
// not verify is this node's fault and is tampered: archive, ledger and receipts
// contradict each other.
func (s *Server) verified(id evidence.ID, f *proof.File) ([]byte, error) {
	out, f, err := f.Written()
	if err != nil {
		return nil, tampered(fmt.Errorf("writing the proof of %s: %w", id, err))
	}
	policy := s.cfg.Chain.Policy()
	report := proof.Verify(f, policy, nil, proof.Options{
		Open: s.opened.open, Signature: s.signers.Verify, Roots: s.roots, Receipt: s.judging.within(policy, s.roots)})
	if report.Result != proof.Proved {
		return nil, tampered(fmt.Errorf("own proof of %s is %s: %s", id, report.Result, failedSteps(report)))
	}
	return out, nil
}

// assemble joins the archive's half of a proof with the ledger's, up to the first
// checkpoint over it, which is of the size returned.
func (s *Server) assemble(st *archive.Stored) (*proof.File, uint64, error) {
	rec, err := evidence.ParseRecord(st.Record)
	if err != nil {
		return nil, 0, tampered(fmt.Errorf("reading stored record %s: %w", st.ID, err))
	}
	index, ok, err := s.cfg.Chain.Batch(rec.Intake.Node, st.Seq)
	if err != nil || !ok {
		return nil, 0, fmt.Errorf("finding batch %s/%d: found %t: %w", rec.Intake.Node, st.Seq, ok, err)
	}
	note, size, ok, err := s.cfg.Chain.Covering(index)
	if err != nil || !ok {
		return nil, 0, fmt.Errorf("finding the checkpoint over entry %d: found %t: %w", index, ok, err)
	}
	f := receiptFile(s.cfg.Chain.ChainID(), st)
	if f.Batch, err = s.batchPart(st, index, size); err != nil {
		return nil, 0, err
	}
	if f.Key, err = s.keyPart(rec, size); err != nil {
		return nil, 0, err
	}
	f.Checkpoint = note
	return f, size, nil
}

func (s *Server) batchPart(st *archive.Stored, index, size uint64) (*proof.BatchPart, error) {
	entry, path, err := s.entry(index, size)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(entry, st.Header) {
		return nil, tampered(fmt.Errorf("two headers of batch %d: the ledger has %q, the archive %q", st.Seq, entry, st.Header))
	}
	return &proof.BatchPart{
		Entry: entry, Index: index, Path: path,
		StreamIndex: st.StreamIndex, StreamPath: st.StreamPath,
	}, nil
}

func (s *Server) keyPart(rec *evidence.Record, size uint64) (*proof.KeyPart, error) {
	sub := rec.Submission
	key, ok, err := s.cfg.Chain.Key(sub.Submitter, sub.Key)
	if err != nil {
		return nil, fmt.Errorf("finding key %s of %s: %w", sub.Key, sub.Submitter, err)
	}
	if !ok {
		return nil, tampered(fmt.Errorf("a stored record names key %s of %s, which is not on the ledger", sub.Key, sub.Submitter))
	}
	entry, path, err := s.entry(key.Index, size)
	if err != nil {
		return nil, err
	}
	return &proof.KeyPart{Entry: entry, Index: key.Index, Path: path}, nil
}

// entry reads a ledger entry with its path to the root of the given size.
func (s *Server) entry(index, size uint64) ([]byte, []merkle.Digest, error) {
	b, err := s.cfg.Chain.Entry(index)
	if err != nil {
		return nil, nil, fmt.Errorf("reading ledger entry %d: %w", index, err)
	}
	path, err := s.cfg.Chain.Inclusion(index, size)
	if err != nil {
		return nil, nil, fmt.Errorf("making the path of ledger entry %d to size %d: %w", index, size, err)
	}
	return b, path, nil
}

// failedSteps names what did not verify, for the log.
func failedSteps(r *proof.Report) string {
	var b strings.Builder
	for _, step := range r.Steps {
		if step.Outcome == proof.StepFailed {
			fmt.Fprintf(&b, "%s: %s; ", step.Name, step.Detail.EN)
		}
	}
	return b.String()
}
