package evidence

import (
	"fmt"
	"time"

	"qifeng/evidence/canon"
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// StreamRoot is one stream of a batch.
type StreamRoot struct {
	Count uint64
	Root  merkle.Digest
}

// Batch is a batch header: the transaction by which a node puts the roots of
// its records on the chain. The ledger leaf is the signed header.
type Batch struct {
	FirstReceivedAt time.Time
	LastReceivedAt  time.Time
	Node            string
	RegistrySize    uint64 // ledger size against which the submitters' keys were checked
	Seq             uint64 // from 1, rising; gaps are visible
	Streams         map[Stream]StreamRoot

	Signed *Signed
}

var (
	batchFields   = canon.Fields("first_received_at", "last_received_at", "node", "registry_size", "seq", "streams", "v")
	streamsFields = canon.Fields("contract?", "identity?", "signing?")
	streamFields  = canon.Fields("count", "root")
)

// ParseBatch reads a signed batch header.
func ParseBatch(raw []byte) (*Batch, error) {
	s, err := ParseSigned(raw, TypeBatch, MaxTxBytes)
	if err != nil {
		return nil, err
	}
	d := canon.NewDecoder(s.Body)
	b := &Batch{Streams: map[Stream]StreamRoot{}, Signed: s}
	for key := range d.Object(batchFields) {
		switch key {
		case "first_received_at":
			b.FirstReceivedAt = d.Time()
		case "last_received_at":
			b.LastReceivedAt = d.Time()
			if d.Err() == nil && b.LastReceivedAt.Before(b.FirstReceivedAt) {
				d.Fail("is before first_received_at")
			}
		case "node":
			b.Node = decodeMember(d, "")
		case "registry_size":
			b.RegistrySize = d.Int(1, canon.MaxInt)
		case "seq":
			b.Seq = d.Int(1, canon.MaxInt)
		case "streams":
			for name := range d.Object(streamsFields) {
				b.Streams[Stream(name)] = decodeStreamRoot(d)
			}
			if d.Err() == nil && len(b.Streams) == 0 {
				d.Fail("is empty; a batch has at least one stream")
			}
		case "v":
			d.Int(Version, Version)
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("batch: %w", err)
	}
	return b, nil
}

func decodeStreamRoot(d *canon.Decoder) (s StreamRoot) {
	for key := range d.Object(streamFields) {
		switch key {
		case "count":
			s.Count = d.Int(1, MaxBatchRecords)
		case "root":
			s.Root = d.Digest()
		}
	}
	return s
}

// Sign returns the canonical signed header.
func (b *Batch) Sign(chainID string, k gm.Signer) ([]byte, error) {
	w := &canon.Writer{}
	w.Object().Key("first_received_at").Time(b.FirstReceivedAt).Key("last_received_at").Time(b.LastReceivedAt).
		Key("node").String(b.Node).Key("registry_size").Int(b.RegistrySize).Key("seq").Int(b.Seq).Key("streams").Object()
	for _, name := range Streams {
		if s, ok := b.Streams[name]; ok {
			w.Key(string(name)).Object().Key("count").Int(s.Count).Key("root").Digest(s.Root).EndObject()
		}
	}
	w.EndObject().Key("v").Int(Version).EndObject()
	raw, err := sign(TypeBatch, chainID, w.Bytes(), k)
	if err != nil {
		return nil, err
	}
	if _, err := ParseBatch(raw); err != nil {
		return nil, err
	}
	return raw, nil
}
