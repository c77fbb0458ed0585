package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"qifeng/api/client"
	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
)

// rungs are the states of a record in the words of the design.
var rungs = map[client.State]string{
	client.Accepted:  "已受理 accepted",
	client.Committed: "已上链 committed",
	client.Sealed:    "已会签 sealed",
	client.Anchored:  "已锚定 anchored",
}

// rung prints one state as it is reached, with the time since the request was
// sent.
func (s *submission) rung(state client.State, zh, en string, args ...any) {
	s.a.note("%s  +%s  %s", "%s  +%s  %s", rungs[state],
		time.Since(s.began).Round(time.Millisecond), fmt.Sprintf(s.a.lang.T(zh, en), args...))
}

// send sends the request and verifies every receipt of the answer.
func (s *submission) send(ctx context.Context, req *evidence.Request) ([]*proof.File, error) {
	answer, err := s.client.Submit(ctx, req.Raw, 0)
	if client.HasCode(err, "stale-statement") {
		// The submissions stay as they are, and so their ids: what the node may
		// have stored of them already, it knows again.
		if req, err = s.restate(req); err == nil {
			answer, err = s.client.Submit(ctx, req.Raw, 0)
		}
	}
	if err != nil {
		return nil, s.sendFailed(err)
	}
	files, err := client.VerifySubmitted(answer, req, s.policy, s.key.Public())
	if err != nil {
		return nil, fmt.Errorf("the node's answer is not a valid receipt, keep %s as evidence: %w", s.pendingPath(), err)
	}
	at := files[0].RecordOf().Intake.ReceivedAt.Format("2006-01-02T15:04:05.000Z")
	s.rung(client.Accepted, "%d 条，%s 于 %s 受理，回执已验证", "%d records, received by %s at %s, receipt verified",
		len(files), files[0].RecordOf().Intake.Node, at)
	return files, nil
}

// restate signs a new statement over the same submissions.
func (s *submission) restate(req *evidence.Request) (*evidence.Request, error) {
	subs := make([]*evidence.Submission, len(req.Submissions))
	for i := range subs {
		subs[i] = req.Submissions[i].Submission
	}
	out, err := evidence.NewRequest(s.policy.Chain, subs, time.Now().UTC().Truncate(time.Millisecond), s.key)
	if err != nil {
		return nil, err
	}
	return out, s.keepPending(out.Raw)
}

// sendFailed drops the kept request where the node has refused it for good,
// and otherwise says how to go on.
func (s *submission) sendFailed(err error) error {
	var p *client.Problem
	if errors.As(err, &p) && p.Status >= 400 && p.Status < 500 && p.Status != http.StatusTooManyRequests {
		return errors.Join(err, s.dropPending())
	}
	s.a.note("是否已受理尚不可知：请原样再运行一次，不会重复存证", "whether it was accepted is not known: run the same command again, nothing is preserved twice")
	return err
}

// await follows every record up to sealed and returns its verified proof.
func (s *submission) await(ctx context.Context, req *evidence.Request, receipts []*proof.File) ([]*proof.File, error) {
	heads := map[string]bool{} // all under one receipt are in one batch
	for i, sub := range req.Submissions {
		if head := string(receipts[i].Receipt.Head); !heads[head] {
			heads[head] = true
			if err := s.committed(ctx, sub.ID()); err != nil {
				return nil, err
			}
		}
	}
	s.rung(client.Committed, "批次已在区块中", "the batch is in a block")
	out := make([]*proof.File, len(receipts))
	for i, sub := range req.Submissions {
		f, err := s.client.WaitProof(ctx, sub.ID())
		if err != nil {
			return nil, err
		}
		if err := checkProof(f, receipts[i], s.policy); err != nil {
			return nil, fmt.Errorf("%s: %w", s.inputs[i].path, err)
		}
		out[i] = f
	}
	r := proof.Verify(out[0], s.policy, nil, proof.Options{})
	s.rung(client.Sealed, "总账 %d，不晚于 %s；证明已在本机验证", "ledger size %d, not later than %s; proof verified here",
		r.LedgerSize, r.NotLaterThan().UTC().Format(time.RFC3339))
	return out, nil
}

// canAnchor refuses a wait that would never end: this node has no anchor.
func (s *submission) canAnchor(ctx context.Context) error {
	st, err := s.client.Status(ctx)
	if err != nil {
		return err
	}
	for _, x := range st.Anchors {
		if !x.Retired && x.Alarm == "" {
			return nil
		}
	}
	return usagef("--anchored: %s", s.a.lang.T("该节点没有在运行的锚定（qifeng anchor list）", "this node runs no anchor (qifeng anchor list)"))
}

// finishAnchored waits until an outside witness holds a checkpoint over every
// record, and writes the proofs with their anchors. Where the time ends first the
// sealed proofs are written, and the anchors can be added later.
func (s *submission) finishAnchored(ctx context.Context, req *evidence.Request, sealed []*proof.File) error {
	out := make([]*proof.File, len(sealed))
	for i, sub := range req.Submissions {
		f, err := s.anchored(ctx, sub.ID(), sealed[i])
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			if err := s.finish(sealed, client.Sealed); err != nil {
				return err
			}
			s.a.note("限期内未锚定；证明已写入。稍后：qifeng proof upgrade %s", "not anchored in time; the proof is written. Later: qifeng proof upgrade %s", shellQuote(s.inputs[0].out))
			return quietExit(exitNotProved)
		}
		if err != nil {
			return errors.Join(err, s.finish(sealed, client.Sealed))
		}
		out[i] = f
	}
	r := proof.Verify(out[0], s.policy, nil, proof.Options{})
	s.rung(client.Anchored, "%d 个锚定随附：%s", "%d anchors came with it: %s", len(out[0].Anchors), anchorIDs(r))
	return s.finish(out, client.Anchored)
}

func anchorIDs(r *proof.Report) string {
	ids := make([]string, len(r.Anchors))
	for i := range r.Anchors {
		ids[i] = r.Anchors[i].ID()
	}
	return strings.Join(ids, ", ")
}

// anchored waits until a record is anchored, and gets its proof once more.
func (s *submission) anchored(ctx context.Context, id evidence.ID, sealed *proof.File) (*proof.File, error) {
	for {
		records, err := s.client.Await(ctx, id, client.Anchored, client.MaxWait)
		if err != nil {
			return nil, err
		}
		if len(records) > 0 && records[0].State.Reached(client.Anchored) {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	f, err := s.client.WaitProof(ctx, id)
	if err != nil {
		return nil, err
	}
	return f, checkProof(f, sealed, s.policy)
}

// committed waits until every leaf of an id is on the chain.
func (s *submission) committed(ctx context.Context, id evidence.ID) error {
	for {
		records, err := s.client.Await(ctx, id, client.Committed, client.MaxWait)
		if err != nil {
			return err
		}
		if len(records) > 0 && records[0].State.Reached(client.Committed) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// checkProof judges a proof that a node gave: it must be of the record that
// the receipt promised, and verify under the policy.
func checkProof(f, receipt *proof.File, p *checkpoint.Policy) error {
	if receipt != nil && !bytes.Equal(f.Record, receipt.Record) {
		return errors.New("the node's proof is of another record than the receipt")
	}
	r := proof.Verify(f, p, nil, proof.Options{})
	if r.Result != proof.Proved {
		return fmt.Errorf("the node's proof does not verify under the policy: %s", r.Verdict().EN)
	}
	return nil
}

// unsealed ends a wait that was cut short: the receipts are kept, and the
// proof can be fetched later.
func (s *submission) unsealed(receipts []*proof.File, cause error) error {
	if err := s.write(receipts, client.Accepted); err != nil {
		return errors.Join(cause, err)
	}
	if !errors.Is(cause, context.DeadlineExceeded) && !errors.Is(cause, context.Canceled) {
		return cause
	}
	s.a.note("限期内未会签；记录已受理，回执已写入。稍后：qifeng proof get %s", "not sealed in time; the records are accepted and their receipts written. Later: qifeng proof get %s",
		shellQuote(s.inputs[0].out))
	return quietExit(exitNotProved)
}

func (s *submission) finish(files []*proof.File, state client.State) error {
	if err := s.write(files, state); err != nil {
		return err
	}
	if state == client.Accepted && !s.a.json {
		s.a.note("尚无证明：会签后运行 qifeng proof get %s", "no proof yet: when it is sealed, run qifeng proof get %s", shellQuote(s.inputs[0].out))
	}
	return nil
}

// write puts every file in its place and only then drops the kept request.
func (s *submission) write(files []*proof.File, state client.State) error {
	type line struct {
		File    string       `json:"file"`
		ID      evidence.ID  `json:"id"`
		State   client.State `json:"state"`
		Out     string       `json:"out"`
		Dossier string       `json:"dossier,omitempty"`
	}
	lines := make([]line, len(files))
	for i, f := range files {
		text, err := f.Marshal()
		if err != nil {
			return err
		}
		if err := replaceFile(s.inputs[i].out, text, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", s.inputs[i].out, err)
		}
		r := f.RecordOf()
		lines[i] = line{s.inputs[i].path, r.ID(), state, s.inputs[i].out, string(r.Submission.Dossier)}
	}
	if err := s.dropPending(); err != nil {
		return err
	}
	if s.a.json {
		return s.a.printJSON(lines)
	}
	for _, l := range lines {
		fmt.Fprintf(s.a.out, "%s  %s\n", l.ID, l.Out)
	}
	if d := lines[0].Dossier; d != "" {
		s.a.say("卷宗 %s", "dossier %s", d)
	}
	return nil
}
