package fabric

import (
	"bytes"
	"encoding/base64"
	"slices"

	"qifeng/evidence/canon"
	"qifeng/proof/fabric/internal/wire"
)

var b64 = base64.StdEncoding.Strict()

// parts are the byte strings that stand more than once in a receipt.
type parts [][]byte

// parts looks for what is worth writing once: the identities of creators,
// endorsers and orderers, and the entry. What it cannot read it passes over:
// the receipt is larger then, and no other.
func (r *Receipt) parts() parts {
	values := [][]byte{r.Signatures, r.Read.ChannelHeader, r.Read.SignatureHeader, r.Read.Proposal, r.Read.Response}
	values = append(values, r.Data...)
	var found parts
	add := func(b []byte) {
		if len(b) >= minPart && !slices.ContainsFunc(found, func(p []byte) bool { return bytes.Equal(p, b) }) {
			found = append(found, b)
		}
	}
	for _, e := range r.Read.Endorsements {
		values = append(values, e.Endorser, e.Signature)
		add(e.Endorser)
	}
	for _, b := range r.Data {
		var env wire.Envelope
		if unmarshal(b, &env) != nil {
			continue
		}
		if c, err := takeApart(env.Payload); err == nil {
			add(creatorOf(c.signatureHeader))
			for _, e := range c.endorsements {
				add(e.Endorser)
			}
			add(answerOf(c.response))
		}
	}
	var md wire.Metadata
	if unmarshal(r.Signatures, &md) == nil {
		for _, s := range md.Signatures {
			add(creatorOf(s.SignatureHeader))
		}
	}
	add(answerOf(r.Read.Response))
	// Longest first, so that none is taken for the beginning of another.
	slices.SortStableFunc(found, func(a, b []byte) int { return len(b) - len(a) })
	found = slices.DeleteFunc(found, func(p []byte) bool {
		n := 0
		for _, v := range values {
			n += bytes.Count(v, p)
		}
		return n < 2
	})
	return found[:min(len(found), maxParts)]
}

func creatorOf(signatureHeader []byte) []byte {
	var h wire.SignatureHeader
	if unmarshal(signatureHeader, &h) != nil {
		return nil
	}
	return h.Creator
}

func answerOf(response []byte) []byte {
	var p wire.ProposalResponsePayload
	var a wire.ChaincodeAction
	if unmarshal(response, &p) != nil || unmarshal(p.Extension, &a) != nil {
		return nil
	}
	return a.GetResponse().GetPayload()
}

// write writes bytes as text and numbers of parts by turns.
func (p parts) write(w *canon.Writer, b []byte) {
	w.Array()
	for pieces := 1; ; pieces += 2 {
		at, which := len(b), -1
		for i, part := range p {
			if j := bytes.Index(b, part); j >= 0 && j < at && pieces+2 <= maxPieces {
				at, which = j, i
			}
		}
		w.String(b64.EncodeToString(b[:at]))
		if which < 0 {
			break
		}
		w.Int(uint64(which))
		b = b[at+len(p[which]):]
	}
	w.EndArray()
}

// expander reads bytes whose parts come later in the document.
type expander struct {
	d     *canon.Decoder
	parts [][]byte
	todo  []pieces
}

// pieces is a value that join puts together.
type pieces struct {
	to    *[]byte
	text  [][]byte
	which []int // between two texts
}

// read reads one value, which is there once join has run.
func (x *expander) read(to *[]byte) {
	v := pieces{to: to}
	for i := range x.d.Array(1, maxPieces) {
		if i%2 == 0 {
			v.text = append(v.text, decodeAny(x.d))
		} else {
			v.which = append(v.which, int(x.d.Int(0, maxParts-1)))
		}
	}
	if x.d.Err() == nil && len(v.text) != len(v.which)+1 {
		x.d.Fail("does not end with a text")
	}
	x.todo = append(x.todo, v)
}

// join puts the values together.
func (x *expander) join() {
	total := 0
	for _, v := range x.todo {
		if x.d.Err() != nil {
			return
		}
		var out []byte
		for i, text := range v.text {
			out = append(out, text...)
			if i == len(v.which) {
				break
			}
			if v.which[i] >= len(x.parts) {
				x.d.Fail("part %d of %d", v.which[i], len(x.parts))
				return
			}
			out = append(out, x.parts[v.which[i]]...)
		}
		if total += len(out); len(out) == 0 || total > maxExpanded {
			x.d.Fail("an empty value, or more than %d bytes", maxExpanded)
			return
		}
		*v.to = out
	}
}

// decode reads bytes that are not empty.
func decode(d *canon.Decoder) []byte {
	b := decodeAny(d)
	if d.Err() == nil && len(b) == 0 {
		d.Fail("empty")
	}
	return b
}

// decodeAny reads bytes in the one spelling that base64 has for them: the Decoder
// lets no line feeds through, Strict no stray bits.
func decodeAny(d *canon.Decoder) []byte {
	b, err := b64.DecodeString(d.String(MaxReceipt))
	if d.Err() == nil && err != nil {
		d.Fail("not bytes in base64")
	}
	return b
}
