package client

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"qifeng/api/wire"
	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// Answer is what a node makes of a request: one receipt for the whole or, where
// not all of it was new, each record's own. One of the two is nil.
type Answer struct {
	Range *RangeReceipt
	Full  *Submitted
}

// RangeReceipt is a node's promise for a whole request (docs/spec/receipt.md):
// its records are the leaves [First, First+Count) under the signed head. Until
// Verify, nothing in it is more than the node's word.
type RangeReceipt struct {
	Chain string
	State State
	Node  string
	Seq   uint64
	First uint64
	Count uint64
	Head  []byte // signed
	Path  []merkle.Digest

	head *evidence.ReceiptHead
}

// SubmitCompact sends the canonical bytes of a signed request as [Client.Submit]
// does and leaves the answer as it came. It is for whoever sends more than it
// looks at one by one; check it with [RangeReceipt.Verify] or a [RangeVerifier].
func (c *Client) SubmitCompact(ctx context.Context, request []byte, wait time.Duration) (*Answer, error) {
	k := call{method: http.MethodPost, path: "/v1/records", body: request, wait: wait, minimal: true, max: maxRecordsAnswer}
	body, _, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	return ParseAnswer(body)
}

// ParseAnswer reads the body of a node's answer to a request, in either form, for
// whoever has sent it by other means than a [Client]. It checks nothing but form.
func ParseAnswer(body []byte) (*Answer, error) {
	var got struct {
		wire.Compact
		Records []Record `json:"records"`
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return nil, fmt.Errorf("reading the answer to a request: %w", err)
	}
	if got.Records != nil { // the form is told by what is there: a proxy may drop headers
		return &Answer{Full: &Submitted{Chain: got.Chain, State: got.State, Records: got.Records}}, nil
	}
	r, err := newRange(&got.Compact)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	return &Answer{Range: r}, nil
}

func newRange(w *wire.Compact) (*RangeReceipt, error) {
	r := &RangeReceipt{Chain: w.Chain, State: w.State, Node: w.Node, Seq: w.Seq,
		First: w.Receipt.First, Count: w.Count, Head: []byte(w.Receipt.Head)}
	if len(w.Receipt.Path) > evidence.MaxPath {
		return nil, fmt.Errorf("a path of %d pairs", len(w.Receipt.Path))
	}
	r.Path = make([]merkle.Digest, len(w.Receipt.Path))
	for i, p := range w.Receipt.Path {
		if err := decodePair(&r.Path[i], p); err != nil {
			return nil, fmt.Errorf("path[%d]: %w", i, err)
		}
	}
	var err error
	if r.head, err = evidence.ParseReceiptHead(r.Head); err != nil {
		return nil, fmt.Errorf("head: %w", err)
	}
	return r, nil
}

func decodePair(d *merkle.Digest, p wire.Digest) error {
	if len(p.SM3) != 2*len(d.SM3) || len(p.SHA256) != 2*len(d.SHA256) {
		return errors.New("is no digest pair")
	}
	if _, err := hex.Decode(d.SM3[:], []byte(p.SM3)); err != nil {
		return err
	}
	_, err := hex.Decode(d.SHA256[:], []byte(p.SHA256))
	return err
}

// Verify checks the receipt against the request that was sent and the intake
// keys of a trust policy that the caller holds: it is for the policy's chain, its
// head is signed by the node that it names, and the records that follow from the
// request and the head are among those that the head promises. That the request
// is signed by the caller's key the caller knows.
func (r *RangeReceipt) Verify(req *evidence.Request, p *checkpoint.Policy) error {
	if err := r.fits(req, p); err != nil {
		return fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	if err := verifyIntake(r.head, p); err != nil {
		return fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	return r.covers(merkle.LeafHashes(r.records(req)))
}

// fits checks what needs no hash and no signature.
func (r *RangeReceipt) fits(req *evidence.Request, p *checkpoint.Policy) error {
	h := r.head
	switch {
	case r.Chain != p.Chain:
		return fmt.Errorf("the answer is of chain %q, the policy of %q", r.Chain, p.Chain)
	case r.Count != uint64(len(req.Submissions)):
		return fmt.Errorf("%d records for %d submissions", r.Count, len(req.Submissions))
	case r.Node != h.Node || r.Seq != h.Seq:
		return fmt.Errorf("the answer is of batch %d of %s, the receipt of batch %d of %s", r.Seq, r.Node, h.Seq, h.Node)
	case r.First >= h.Count || r.Count > h.Count-r.First:
		return fmt.Errorf("%d records from %d on under a receipt for %d", r.Count, r.First, h.Count)
	}
	return nil
}

// records are the bytes of the records as the node must have stored them.
func (r *RangeReceipt) records(req *evidence.Request) [][]byte {
	const around = 512 // a record without its submission, roomy
	size := 0
	for i := range req.Submissions {
		size += len(req.Submissions[i].Bytes) + around
	}
	in := evidence.Intake{Node: r.head.Node, ReceivedAt: r.head.ReceivedAt, Statement: merkle.Sum(req.Statement.Signed.Raw)}
	out := make([][]byte, len(req.Submissions))
	b := make([]byte, 0, size)
	for i := range out {
		at := len(b)
		in.Index = uint64(i)
		b = evidence.AppendRecord(b, in, req.Submissions[i].Bytes)
		out[i] = b[at:len(b):len(b)]
	}
	return out
}

func (r *RangeReceipt) covers(leaves []merkle.Digest) error {
	if err := merkle.VerifyRange(leaves, r.First, r.head.Count, r.Path, r.head.Root); err != nil {
		return fmt.Errorf("%w: the records are not those received: %w", ErrReceipt, err)
	}
	return nil
}

// Submitted makes of the receipt what the node would have answered in full: each
// record with a proof file of the state accepted, byte for byte. It checks that
// the records are under the head, and no signature: see [VerifySubmitted].
func (r *RangeReceipt) Submitted(req *evidence.Request) (*Submitted, error) {
	if r.Count != uint64(len(req.Submissions)) {
		return nil, fmt.Errorf("%w: %d records for %d submissions", ErrReceipt, r.Count, len(req.Submissions))
	}
	records := r.records(req)
	paths, err := merkle.RangePaths(merkle.LeafHashes(records), r.First, r.head.Count, r.Path, r.head.Root)
	if err != nil {
		return nil, fmt.Errorf("%w: the records are not those received: %w", ErrReceipt, err)
	}
	pairs := make([]merkle.Digest, len(records))
	for i := range pairs {
		pairs[i] = req.Submissions[i].Pair
	}
	tree := merkle.NewTree(pairs)
	out := &Submitted{Chain: r.Chain, State: r.State, Records: make([]Record, len(records))}
	for i := range records {
		path, err := merkle.InclusionAt(uint64(i), r.Count, tree)
		if err != nil {
			return nil, fmt.Errorf("making the path of submission %d: %w", i, err)
		}
		f := proof.File{Chain: r.Chain, Record: records[i],
			Statement: proof.StatementPart{Signed: req.Statement.Signed.Raw, Path: path},
			Receipt:   proof.ReceiptPart{Head: r.Head, Index: r.First + uint64(i), Path: paths[i]}}
		file, err := f.Compact()
		if err != nil {
			return nil, fmt.Errorf("%w: submission %d: %w", ErrReceipt, i, err)
		}
		out.Records[i] = Record{ID: string(req.Submissions[i].ID()), State: r.State, Node: r.Node, Seq: r.Seq, File: json.RawMessage(file)}
	}
	return out, nil
}

// RangeVerifier checks many receipts, of which requests that came in together
// share a head: its signature is verified once. It is safe for concurrent use.
type RangeVerifier struct {
	policy *checkpoint.Policy
	every  uint64
	turn   atomic.Uint64

	mu    sync.Mutex // guards what follows
	heads map[string]struct{}
}

// NewRangeVerifier makes a verifier that checks one receipt of every fully, and
// of the others only that they speak of the request; every 1 leaves none out.
func NewRangeVerifier(p *checkpoint.Policy, every int) *RangeVerifier {
	return &RangeVerifier{policy: p, every: uint64(max(every, 1)), heads: make(map[string]struct{})}
}

// Verify checks a receipt as [RangeReceipt.Verify] does, or if it is none of the
// sample, superficially; sampled says which.
func (v *RangeVerifier) Verify(r *RangeReceipt, req *evidence.Request) (sampled bool, err error) {
	sampled = (v.turn.Add(1)-1)%v.every == 0
	if err := r.fits(req, v.policy); err != nil {
		return sampled, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	if !sampled {
		return false, nil
	}
	if !v.known(r.Head) {
		if err := verifyIntake(r.head, v.policy); err != nil {
			return true, fmt.Errorf("%w: %w", ErrReceipt, err)
		}
		v.remember(r.Head)
	}
	return true, r.covers(merkle.LeafHashes(r.records(req)))
}

func (v *RangeVerifier) known(head []byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.heads[string(head)]
	return ok
}

func (v *RangeVerifier) remember(head []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.heads) >= maxHeads {
		clear(v.heads)
	}
	v.heads[string(head)] = struct{}{}
}
