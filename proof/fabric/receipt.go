package fabric

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"qifeng/evidence/canon"
)

// receiptType and receiptVersion name the format in every receipt.
const (
	receiptType    = "qifeng-fabric-receipt"
	receiptVersion = 1
)

// Receipt is what a driver brings home from a channel: canonical JSON, bytes in
// standard base64.
//
//	{"block":{"data":[envelope…],"data_hash":hex,"number":n,"previous_hash":hex,"signatures":b64},
//	 "code":0,"index":i,
//	 "read":{"channel_header":b64,"endorsements":[{"endorser":b64,"signature":b64}…],"proposal":b64,
//	         "response":b64,"signature_header":b64},
//	 "type":"qifeng-fabric-receipt","v":1}
type Receipt struct {
	Number       uint64
	PreviousHash [32]byte
	DataHash     [32]byte
	Data         [][]byte // every envelope of the block, as it stands there
	Signatures   []byte   // block metadata SIGNATURES (common.Metadata)
	Index        int      // of ours in Data
	// Code is the validation code that one peer told. Nobody signs it; it is
	// carried so that an invalidated transaction is refused by what was said of it,
	// and believed for nothing: the read-back's version stands for it.
	Code int
	Read ReadBack
}

// ReadBack is a call of get, endorsed after the commit and never submitted. Its
// parts are the bytes that the endorsers hashed and signed.
type ReadBack struct {
	ChannelHeader   []byte // common.ChannelHeader
	SignatureHeader []byte // common.SignatureHeader
	Proposal        []byte // peer.ChaincodeProposalPayload without transient data
	Response        []byte // peer.ProposalResponsePayload
	Endorsements    []Endorsement
}

// Endorsement is a peer's signature over a response and its own identity.
type Endorsement struct {
	Endorser  []byte // msp.SerializedIdentity
	Signature []byte // ECDSA, DER
}

var (
	receiptFields     = canon.Fields("block", "code", "index", "read", "type", "v")
	blockFields       = canon.Fields("data", "data_hash", "number", "previous_hash", "signatures")
	readFields        = canon.Fields("channel_header", "endorsements", "proposal", "response", "signature_header")
	endorsementFields = canon.Fields("endorser", "signature")
)

// Marshal returns the receipt's bytes; larger than [MaxReceipt] it is none.
func (r *Receipt) Marshal() []byte {
	w := canon.NewWriter(nil).Object()
	w.Key("block").Object().Key("data").Array()
	for _, e := range r.Data {
		w.String(encode(e))
	}
	w.EndArray()
	w.Key("data_hash").Hex(r.DataHash[:])
	w.Key("number").Int(r.Number)
	w.Key("previous_hash").Hex(r.PreviousHash[:])
	w.Key("signatures").String(encode(r.Signatures)).EndObject()
	w.Key("code").Int(uint64(r.Code))
	w.Key("index").Int(uint64(r.Index))
	w.Key("read")
	r.Read.write(w)
	w.Key("type").String(receiptType)
	w.Key("v").Int(receiptVersion)
	return w.EndObject().Bytes()
}

func (b *ReadBack) write(w *canon.Writer) {
	w.Object().Key("channel_header").String(encode(b.ChannelHeader))
	w.Key("endorsements").Array()
	for _, e := range b.Endorsements {
		w.Object().Key("endorser").String(encode(e.Endorser)).Key("signature").String(encode(e.Signature)).EndObject()
	}
	w.EndArray()
	w.Key("proposal").String(encode(b.Proposal))
	w.Key("response").String(encode(b.Response))
	w.Key("signature_header").String(encode(b.SignatureHeader)).EndObject()
}

// ParseReceipt reads a receipt's form; [Verify] says whether it proves anything.
func ParseReceipt(data []byte) (*Receipt, error) {
	if len(data) > MaxReceipt {
		return nil, fmt.Errorf("reading a receipt: %d bytes, at most %d", len(data), MaxReceipt)
	}
	r := &Receipt{}
	d := canon.NewDecoder(data)
	for key := range d.Object(receiptFields) {
		switch key {
		case "block":
			r.readBlock(d)
		case "code":
			r.Code = int(d.Int(0, 255))
		case "index":
			r.Index = int(d.Int(0, maxEnvelopes-1))
		case "read":
			r.Read.read(d)
		case "type":
			d.Enum(receiptType)
		case "v":
			d.Int(receiptVersion, receiptVersion)
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("reading a receipt: %w", err)
	}
	if r.Index >= len(r.Data) {
		return nil, fmt.Errorf("reading a receipt: transaction %d of a block of %d", r.Index, len(r.Data))
	}
	return r, nil
}

func (r *Receipt) readBlock(d *canon.Decoder) {
	for key := range d.Object(blockFields) {
		switch key {
		case "data":
			for range d.Array(1, maxEnvelopes) {
				r.Data = append(r.Data, decode(d))
			}
		case "data_hash":
			readHash(d, &r.DataHash)
		case "number":
			r.Number = d.Int(1, canon.MaxInt)
		case "previous_hash":
			readHash(d, &r.PreviousHash)
		case "signatures":
			r.Signatures = decode(d)
		}
	}
}

func (b *ReadBack) read(d *canon.Decoder) {
	for key := range d.Object(readFields) {
		switch key {
		case "channel_header":
			b.ChannelHeader = decode(d)
		case "endorsements":
			for range d.Array(1, maxEndorsements) {
				var e Endorsement
				for key := range d.Object(endorsementFields) {
					switch key {
					case "endorser":
						e.Endorser = decode(d)
					case "signature":
						e.Signature = decode(d)
					}
				}
				b.Endorsements = append(b.Endorsements, e)
			}
		case "proposal":
			b.Proposal = decode(d)
		case "response":
			b.Response = decode(d)
		case "signature_header":
			b.SignatureHeader = decode(d)
		}
	}
}

func readHash(d *canon.Decoder, out *[32]byte) {
	if s := d.Hex(len(out)); s != "" {
		_, _ = hex.Decode(out[:], []byte(s)) // the Decoder has read it as hex of this length
	}
}

var b64 = base64.StdEncoding.Strict()

func encode(b []byte) string { return b64.EncodeToString(b) }

// decode reads non-empty bytes in the one spelling that base64 has for them: the
// Decoder lets no line feeds through, Strict no stray bits.
func decode(d *canon.Decoder) []byte {
	b, err := b64.DecodeString(d.String(MaxReceipt))
	if d.Err() == nil && (err != nil || len(b) == 0) {
		d.Fail("not bytes in base64")
	}
	return b
}
