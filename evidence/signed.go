package evidence

import (
	"fmt"

	"qifeng/evidence/canon"
	"qifeng/internal/gm"
)

// Type is the type of a signed object; it separates the domains of signatures.
type Type string

// The signed objects.
const (
	TypeBatch     Type = "batch"
	TypeCard      Type = "card"
	TypeKey       Type = "key"
	TypeReceipt   Type = "receipt"
	TypeStatement Type = "statement"
)

// NoChain is the chain for which a member card is signed: it is made before
// there is one.
const NoChain = "-"

var typeNames = []string{string(TypeBatch), string(TypeCard), string(TypeKey), string(TypeReceipt), string(TypeStatement)}

// Signed is the envelope {"body":…,"sig":…,"type":…}. Body and Raw are
// canonical bytes; where a digest is taken of a signed object, it is of Raw.
type Signed struct {
	Type Type
	Body []byte
	Sig  [64]byte
	Raw  []byte
}

var signedFields = canon.Fields("body", "sig", "type")

// ParseSigned reads a signed object of at most max bytes whose type is want,
// without looking into its body. The result refers to raw.
func ParseSigned(raw []byte, want Type, max int) (*Signed, error) {
	if len(raw) > max {
		return nil, &canon.SyntaxError{Problem: fmt.Sprintf("is %d bytes long; a signed %s has at most %d", len(raw), want, max)}
	}
	d := canon.NewDecoder(raw)
	s := decodeSigned(d, raw, want)
	if err := d.End(); err != nil {
		return nil, err
	}
	return s, nil
}

// PeekType returns the type of a signed object, or "" where raw is none.
func PeekType(raw []byte) Type {
	d := canon.NewDecoder(raw)
	s := decodeSigned(d, raw, "")
	if d.End() != nil {
		return ""
	}
	return s.Type
}

// decodeSigned reads a signed object within a larger document; data is the
// whole document. An empty want takes every type.
func decodeSigned(d *canon.Decoder, data []byte, want Type) *Signed {
	s, start := &Signed{}, d.Offset()
	for key := range d.Object(signedFields) {
		switch key {
		case "body":
			s.Body = d.Raw()
		case "sig":
			d.HexInto(s.Sig[:])
		case "type":
			s.Type = Type(d.Enum(typeNames...))
			if d.Err() == nil && want != "" && s.Type != want {
				d.Fail("is %q where %q is expected", s.Type, want)
			}
		}
	}
	if d.Err() == nil {
		s.Raw = data[start:d.Offset():d.Offset()]
	}
	return s
}

// SignedBytes returns what is signed: the type and the chain in lines of their
// own, then the body.
func SignedBytes(t Type, chainID string, body []byte) []byte {
	b := make([]byte, 0, len(t)+len(chainID)+len(body)+16)
	b = append(b, "qifeng/"...)
	b = append(b, t...)
	b = append(b, "/v1\n"...)
	b = append(b, chainID...)
	b = append(b, '\n')
	return append(b, body...)
}

// Message returns the bytes that s's signature is over.
func (s *Signed) Message(chainID string) []byte { return SignedBytes(s.Type, chainID, s.Body) }

// Verify checks the signature with k for a chain. The error wraps
// gm.ErrSignature.
func (s *Signed) Verify(chainID string, k gm.PublicKey) error {
	if err := k.Verify(s.Message(chainID), s.Sig[:]); err != nil {
		return fmt.Errorf("%s: %w", s.Type, err)
	}
	return nil
}

// sign makes the canonical signed object of a body that its room has checked.
func sign(t Type, chainID string, body []byte, k gm.Signer) ([]byte, error) {
	sig, err := k.Sign(SignedBytes(t, chainID, body))
	if err != nil {
		return nil, fmt.Errorf("signing %s: %w", t, err)
	}
	w := &canon.Writer{}
	w.Object().Key("body").Raw(body).Key("sig").Hex(sig).Key("type").String(string(t)).EndObject()
	return w.Bytes(), nil
}

// decodePublicKey reads a public key in its text form; want 0 takes both
// algorithms.
func decodePublicKey(d *canon.Decoder, want gm.Alg) gm.PublicKey {
	text := d.String(160)
	if d.Err() != nil {
		return gm.PublicKey{}
	}
	k, err := gm.ParsePublicKey(text)
	switch {
	case err != nil:
		d.Fail("%v", err)
	case want != 0 && k.Alg() != want:
		d.Fail("is a key of %s; %s is needed here", k.Alg(), want)
	}
	return k
}
