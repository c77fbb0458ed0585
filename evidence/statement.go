package evidence

import (
	"fmt"
	"time"

	"qifeng/evidence/canon"
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// Statement is what a submitter signs: the paired root over the canonical
// submissions of one request.
type Statement struct {
	Count     uint64
	Key       string // name of the key that signs
	Root      merkle.Digest
	SignedAt  time.Time
	Submitter string

	Signed *Signed // the envelope that it was parsed from
}

var statementFields = canon.Fields("count", "key", "root", "signed_at", "submitter", "v")

// ParseStatement reads a signed statement.
func ParseStatement(raw []byte) (*Statement, error) {
	s, err := ParseSigned(raw, TypeStatement, MaxSignedBytes)
	if err != nil {
		return nil, err
	}
	return parseStatement(s)
}

// parseStatement reads the body of a signed statement.
func parseStatement(s *Signed) (*Statement, error) {
	d := canon.NewDecoder(s.Body)
	st := decodeStatement(d)
	st.Signed = s
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	return st, nil
}

func decodeStatement(d *canon.Decoder) *Statement {
	st := &Statement{}
	for key := range d.Object(statementFields) {
		switch key {
		case "count":
			st.Count = d.Int(1, MaxSubmissions)
		case "key":
			st.Key = decodeKeyName(d, "")
		case "root":
			st.Root = d.Digest()
		case "signed_at":
			st.SignedAt = d.Time()
		case "submitter":
			st.Submitter = decodeMember(d, "")
		case "v":
			d.Int(Version, Version)
		}
	}
	return st
}

// Sign returns the canonical signed statement.
func (st *Statement) Sign(chainID string, k gm.Signer) ([]byte, error) {
	signed, err := st.sign(chainID, k)
	if err != nil {
		return nil, err
	}
	return signed.Signed.Raw, nil
}

// sign returns the statement as it is read back.
func (st *Statement) sign(chainID string, k gm.Signer) (*Statement, error) {
	w := &canon.Writer{}
	w.Object().Key("count").Int(st.Count).Key("key").String(st.Key).Key("root").Digest(st.Root).
		Key("signed_at").Time(st.SignedAt).Key("submitter").String(st.Submitter).Key("v").Int(Version).EndObject()
	raw, err := sign(TypeStatement, chainID, w.Bytes(), k)
	if err != nil {
		return nil, err
	}
	return ParseStatement(raw)
}
