package fabric

import (
	"encoding/hex"
	"fmt"

	"qifeng/evidence/canon"
)

// receiptType and receiptVersion name the format in every receipt.
const (
	receiptType    = "qifeng-fabric-receipt"
	receiptVersion = 1
)

// Receipt is what a driver brings home from a channel: canonical JSON.
//
//	{"block":{"data":[bytes…],"data_hash":hex,"number":n,"previous_hash":hex,"signatures":bytes},
//	 "code":0,"index":i,"parts":[b64…],
//	 "read":{"channel_header":bytes,"endorsements":[{"endorser":bytes,"signature":bytes}…],
//	         "proposal":bytes,"response":bytes,"signature_header":bytes},
//	 "type":"qifeng-fabric-receipt","v":1}
//
// Certificates and the entry stand many times in what Fabric signs. Each that
// does stands once in parts, and bytes is an array of text in base64 and numbers
// of parts by turns, beginning and ending with a text, which may be empty:
// ["CgdP",0,"Egc="] is three bytes, the first part, and two bytes.
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
	receiptFields     = canon.Fields("block", "code", "index", "parts", "read", "type", "v")
	blockFields       = canon.Fields("data", "data_hash", "number", "previous_hash", "signatures")
	readFields        = canon.Fields("channel_header", "endorsements", "proposal", "response", "signature_header")
	endorsementFields = canon.Fields("endorser", "signature")
)

// Marshal returns the receipt's bytes; larger than [MaxReceipt] it is none.
func (r *Receipt) Marshal() []byte {
	p := r.parts()
	w := canon.NewWriter(nil).Object()
	w.Key("block").Object().Key("data").Array()
	for _, e := range r.Data {
		p.write(w, e)
	}
	w.EndArray()
	w.Key("data_hash").Hex(r.DataHash[:])
	w.Key("number").Int(r.Number)
	w.Key("previous_hash").Hex(r.PreviousHash[:])
	p.write(w.Key("signatures"), r.Signatures)
	w.EndObject()
	w.Key("code").Int(uint64(r.Code))
	w.Key("index").Int(uint64(r.Index))
	w.Key("parts").Array()
	for _, part := range p {
		w.String(b64.EncodeToString(part))
	}
	w.EndArray().Key("read")
	r.Read.write(w, p)
	w.Key("type").String(receiptType)
	w.Key("v").Int(receiptVersion)
	return w.EndObject().Bytes()
}

func (b *ReadBack) write(w *canon.Writer, p parts) {
	p.write(w.Object().Key("channel_header"), b.ChannelHeader)
	w.Key("endorsements").Array()
	for _, e := range b.Endorsements {
		p.write(w.Object().Key("endorser"), e.Endorser)
		p.write(w.Key("signature"), e.Signature)
		w.EndObject()
	}
	w.EndArray()
	p.write(w.Key("proposal"), b.Proposal)
	p.write(w.Key("response"), b.Response)
	p.write(w.Key("signature_header"), b.SignatureHeader)
	w.EndObject()
}

// ParseReceipt reads a receipt's form; [Verify] says whether it proves anything.
func ParseReceipt(data []byte) (*Receipt, error) {
	if len(data) > MaxReceipt {
		return nil, fmt.Errorf("reading a receipt: %d bytes, at most %d", len(data), MaxReceipt)
	}
	r := &Receipt{}
	d := canon.NewDecoder(data)
	x := &expander{d: d}
	for key := range d.Object(receiptFields) {
		switch key {
		case "block":
			r.readBlock(x)
		case "code":
			r.Code = int(d.Int(0, 255))
		case "index":
			r.Index = int(d.Int(0, maxEnvelopes-1))
		case "parts":
			for range d.Array(0, maxParts) {
				x.parts = append(x.parts, decode(d))
			}
		case "read":
			r.Read.read(x)
		case "type":
			d.Enum(receiptType)
		case "v":
			d.Int(receiptVersion, receiptVersion)
		}
	}
	x.join()
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("reading a receipt: %w", err)
	}
	if r.Index >= len(r.Data) {
		return nil, fmt.Errorf("reading a receipt: transaction %d of a block of %d", r.Index, len(r.Data))
	}
	return r, nil
}

func (r *Receipt) readBlock(x *expander) {
	for key := range x.d.Object(blockFields) {
		switch key {
		case "data":
			r.Data = make([][]byte, 0, maxEnvelopes) // the expander keeps where its elements are
			for i := range x.d.Array(1, maxEnvelopes) {
				r.Data = append(r.Data, nil)
				x.read(&r.Data[i])
			}
		case "data_hash":
			readHash(x.d, &r.DataHash)
		case "number":
			r.Number = x.d.Int(1, canon.MaxInt)
		case "previous_hash":
			readHash(x.d, &r.PreviousHash)
		case "signatures":
			x.read(&r.Signatures)
		}
	}
}

func (b *ReadBack) read(x *expander) {
	for key := range x.d.Object(readFields) {
		switch key {
		case "channel_header":
			x.read(&b.ChannelHeader)
		case "endorsements":
			b.Endorsements = make([]Endorsement, 0, maxEndorsements)
			for i := range x.d.Array(1, maxEndorsements) {
				b.Endorsements = append(b.Endorsements, Endorsement{})
				for key := range x.d.Object(endorsementFields) {
					switch key {
					case "endorser":
						x.read(&b.Endorsements[i].Endorser)
					case "signature":
						x.read(&b.Endorsements[i].Signature)
					}
				}
			}
		case "proposal":
			x.read(&b.Proposal)
		case "response":
			x.read(&b.Response)
		case "signature_header":
			x.read(&b.SignatureHeader)
		}
	}
}

func readHash(d *canon.Decoder, out *[32]byte) {
	if s := d.Hex(len(out)); s != "" {
		_, _ = hex.Decode(out[:], []byte(s)) // the Decoder has read it as hex of this length
	}
}
