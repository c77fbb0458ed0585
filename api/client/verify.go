package client

import (
	"bytes"
	"errors"
	"fmt"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// ErrReceipt is wrapped by every error that says a node's answer is not the
// signed promise for what was sent. Nothing may be thrown away on the strength
// of such an answer; keep it, it may be evidence against the node.
var ErrReceipt = errors.New("the receipt does not hold")

// Sent is what the caller knows of one submission from its own side.
type Sent struct {
	Submission []byte       // canonical bytes as sent
	Key        gm.PublicKey // the key that signs this submitter's statements
}

// VerifyReceipt checks a proof file of any state against what was sent and the
// intake keys of a trust policy that the caller holds:
//
//  1. the file is for the policy's chain, and its record holds the submission
//     byte for byte;
//  2. the record names the statement of the file by both hashes, that statement
//     is signed by the caller's key, and the submission is in it where the
//     record says;
//  3. the receipt's head is signed by the intake key of the node that the
//     record names, and the record is among those it promises.
//
// It does not ask whether the record is sealed: that is proof.Verify's question.
func VerifyReceipt(f *proof.File, p *checkpoint.Policy, sent Sent) error {
	return verifyReceipt(f, p, sent, map[string]bool{})
}

// VerifySubmitted checks a node's whole answer to a request: one record for
// each submission, in order, each with a receipt that holds. It returns the
// files, which are ready to be kept. key is the public key that signed req.
func VerifySubmitted(answer *Submitted, req *evidence.Request, p *checkpoint.Policy, key gm.PublicKey) ([]*proof.File, error) {
	if answer.Chain != p.Chain {
		return nil, fmt.Errorf("%w: the answer is of chain %q, the policy of %q", ErrReceipt, answer.Chain, p.Chain)
	}
	if len(answer.Records) != len(req.Submissions) {
		return nil, fmt.Errorf("%w: %d records for %d submissions", ErrReceipt, len(answer.Records), len(req.Submissions))
	}
	files := make([]*proof.File, len(req.Submissions))
	seen := map[string]bool{} // signatures verified already: one head serves many records
	for i, sub := range req.Submissions {
		rec := answer.Records[i]
		if rec.ID != string(sub.ID()) {
			return nil, fmt.Errorf("%w: submission %d is %s, the answer says %s", ErrReceipt, i, sub.ID(), rec.ID)
		}
		f, err := proof.Parse(rec.File)
		if err != nil {
			return nil, fmt.Errorf("%w: submission %d: %w", ErrReceipt, i, err)
		}
		if err := verifyReceipt(f, p, Sent{sub.Bytes, key}, seen); err != nil {
			return nil, fmt.Errorf("submission %d: %w", i, err)
		}
		files[i] = f
	}
	return files, nil
}

func verifyReceipt(f *proof.File, p *checkpoint.Policy, sent Sent, seen map[string]bool) error {
	if f.Chain != p.Chain {
		return fmt.Errorf("%w: it is of chain %q, the policy of %q", ErrReceipt, f.Chain, p.Chain)
	}
	rec, err := evidence.ParseRecord(f.Record)
	if err != nil {
		return fmt.Errorf("%w: record: %w", ErrReceipt, err)
	}
	if !bytes.Equal(rec.SubmissionBytes, sent.Submission) {
		return fmt.Errorf("%w: the record does not hold the submission as it was sent", ErrReceipt)
	}
	if err := verifyStatement(f, rec, sent.Key, seen); err != nil {
		return fmt.Errorf("%w: statement: %w", ErrReceipt, err)
	}
	if err := verifyHead(f, rec, p, seen); err != nil {
		return fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	return nil
}

func verifyStatement(f *proof.File, rec *evidence.Record, key gm.PublicKey, seen map[string]bool) error {
	if merkle.Sum(f.Statement.Signed) != rec.Intake.Statement {
		return errors.New("the record names another")
	}
	st, err := evidence.ParseStatement(f.Statement.Signed)
	if err != nil {
		return err
	}
	if name := "statement\n" + string(f.Statement.Signed); !seen[name] {
		if err := st.Signed.Verify(f.Chain, key); err != nil {
			return err
		}
		seen[name] = true
	}
	return merkle.VerifyInclusion(rec.Pair(), rec.Intake.Index, st.Count, f.Statement.Path, st.Root)
}

func verifyHead(f *proof.File, rec *evidence.Record, p *checkpoint.Policy, seen map[string]bool) error {
	head, err := evidence.ParseReceiptHead(f.Receipt.Head)
	if err != nil {
		return err
	}
	if head.Node != rec.Intake.Node {
		return fmt.Errorf("the receipt is by %s, the record by %s", head.Node, rec.Intake.Node)
	}
	if name := "receipt\n" + string(f.Receipt.Head); !seen[name] {
		if err := verifyIntake(head, p); err != nil {
			return err
		}
		seen[name] = true
	}
	if err := merkle.VerifyInclusion(merkle.LeafHash(f.Record), f.Receipt.Index, head.Count, f.Receipt.Path, head.Root); err != nil {
		return fmt.Errorf("the record is not among those received: %w", err)
	}
	return nil
}

// verifyIntake finds an epoch, the newest first, in which the node's intake key
// signed the head: a receipt comes before the ledger size that would name one.
func verifyIntake(head *evidence.ReceiptHead, p *checkpoint.Policy) error {
	err := fmt.Errorf("the policy has no member %q", head.Node)
	for i := len(p.Epochs) - 1; i >= 0; i-- {
		m, ok := p.Epochs[i].Member(head.Node)
		if !ok {
			continue
		}
		if err = head.Signed.Verify(p.Chain, m.Intake); err == nil {
			return nil
		}
	}
	return err
}
