package evidence

import (
	"fmt"
	"time"

	"qifeng/evidence/canon"
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// Head is a sealed head of the ledger, size 0 and the empty root where none is
// known yet.
type Head struct {
	Root merkle.Digest
	Size uint64
}

// ReceiptHead is the node's promise for all records that shared one fsync: the
// header (Node, Seq) will contain their leaves and stand in every checkpoint
// sealed after Deadline.
type ReceiptHead struct {
	Count      uint64
	Deadline   time.Time
	Node       string
	ReceivedAt time.Time
	Root       merkle.Digest // over the leaf pairs of the records' bytes
	Sealed     Head          // newest sealed head known to the node
	Seq        uint64        // of the batch that the records are in

	Signed *Signed
}

var (
	receiptFields = canon.Fields("count", "deadline", "node", "received_at", "root", "sealed", "seq", "v")
	headFields    = canon.Fields("root", "size")
)

// ParseReceiptHead reads a signed receipt head.
func ParseReceiptHead(raw []byte) (*ReceiptHead, error) {
	s, err := ParseSigned(raw, TypeReceipt, MaxSignedBytes)
	if err != nil {
		return nil, err
	}
	d := canon.NewDecoder(s.Body)
	r := &ReceiptHead{Signed: s}
	for key := range d.Object(receiptFields) {
		switch key {
		case "count":
			r.Count = d.Int(1, MaxBatchRecords)
		case "deadline":
			r.Deadline = d.Time()
		case "node":
			r.Node = decodeMember(d, "")
		case "received_at":
			r.ReceivedAt = d.Time()
		case "root":
			r.Root = d.Digest()
		case "sealed":
			r.Sealed = decodeHead(d)
		case "seq":
			r.Seq = d.Int(1, canon.MaxInt)
		case "v":
			d.Int(Version, Version)
		}
	}
	if d.Err() == nil && (r.Deadline.Before(r.ReceivedAt) || r.Deadline.Sub(r.ReceivedAt) > MaxDeadline) {
		d.FailAt("deadline", "is not within %s after received_at", MaxDeadline)
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	return r, nil
}

func decodeHead(d *canon.Decoder) (h Head) {
	for key := range d.Object(headFields) {
		switch key {
		case "root":
			h.Root = d.Digest()
		case "size":
			h.Size = d.Int(0, canon.MaxInt)
		}
	}
	return h
}

// Sign returns the canonical signed head.
func (r *ReceiptHead) Sign(chainID string, k gm.Signer) ([]byte, error) {
	w := &canon.Writer{}
	w.Object().Key("count").Int(r.Count).Key("deadline").Time(r.Deadline).Key("node").String(r.Node).
		Key("received_at").Time(r.ReceivedAt).Key("root").Digest(r.Root).
		Key("sealed").Object().Key("root").Digest(r.Sealed.Root).Key("size").Int(r.Sealed.Size).EndObject().
		Key("seq").Int(r.Seq).Key("v").Int(Version).EndObject()
	raw, err := sign(TypeReceipt, chainID, w.Bytes(), k)
	if err != nil {
		return nil, err
	}
	if _, err := ParseReceiptHead(raw); err != nil {
		return nil, err
	}
	return raw, nil
}
