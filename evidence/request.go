package evidence

import (
	"errors"
	"fmt"
	"time"

	"qifeng/evidence/canon"
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// Request is the body of POST /v1/records: one statement and the submissions
// that it is over.
type Request struct {
	Statement   *Statement
	Submissions []Submitted
	Raw         []byte
}

// Submitted is one submission of a request with its canonical bytes and pair.
type Submitted struct {
	*Submission
	Bytes []byte
	Pair  merkle.Digest
}

// ID returns the id of the submission.
func (s *Submitted) ID() ID { return IDOf(s.Pair) }

var requestFields = canon.Fields("statement", "submissions")

// ParseRequest reads a request and checks everything but the signature and
// whether the key is registered: form, count and root, that submitter and key
// of every submission are the statement's, and that no submission stands twice.
// Errors are *canon.SyntaxError with the index and field.
func ParseRequest(body []byte) (*Request, error) {
	if len(body) > MaxRequestBytes {
		return nil, &canon.SyntaxError{Problem: fmt.Sprintf("is %d bytes long; a request has at most %d", len(body), MaxRequestBytes)}
	}
	d := canon.NewDecoder(body)
	r := &Request{Raw: body}
	var signed *Signed
	for key := range d.Object(requestFields) {
		switch key {
		case "statement":
			signed = decodeSigned(d, body, TypeStatement)
			if d.Err() == nil {
				r.Statement = r.parseStatement(d, signed)
			}
		case "submissions":
			for range d.Array(1, MaxSubmissions) {
				start := d.Offset()
				s := decodeSubmission(d)
				if d.Err() == nil {
					raw := body[start:d.Offset():d.Offset()]
					r.Submissions = append(r.Submissions, Submitted{s, raw, PairOf(raw)})
				}
			}
		}
	}
	if err := d.End(); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

// parseStatement reads the statement's body and reports its errors under the
// path of the request.
func (r *Request) parseStatement(d *canon.Decoder, s *Signed) *Statement {
	st, err := ParseStatement(s.Raw)
	if err != nil {
		var syn *canon.SyntaxError
		if errors.As(err, &syn) {
			name := "body"
			if syn.Field != "" {
				name += "." + syn.Field
			}
			d.FailAt(name, "%s", syn.Problem)
			return nil
		}
		d.Fail("%v", err)
		return nil
	}
	return st
}

func (r *Request) check() error {
	st := r.Statement
	if st.Count != uint64(len(r.Submissions)) {
		return fieldError("statement.body.count", "is %d, but %d submissions follow", st.Count, len(r.Submissions))
	}
	seen := make(map[merkle.Digest]int, len(r.Submissions))
	leaves := make([]merkle.Digest, len(r.Submissions))
	for i, s := range r.Submissions {
		leaves[i] = s.Pair
		if s.Submitter != st.Submitter {
			return fieldError(fmt.Sprintf("submissions[%d].submitter", i), "is another than the statement's")
		}
		if s.Key != st.Key {
			return fieldError(fmt.Sprintf("submissions[%d].key", i), "is another than the statement's")
		}
		if j, twice := seen[s.Pair]; twice {
			return fieldError(fmt.Sprintf("submissions[%d]", i), "is the same as submissions[%d]", j)
		}
		seen[s.Pair] = i
	}
	if merkle.Root(leaves) != st.Root {
		return fieldError("statement.body.root", "is not the root over the submissions that follow; compute it over their canonical bytes, in order")
	}
	return nil
}

func fieldError(field, format string, args ...any) error {
	return &canon.SyntaxError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// NewRequest signs a statement over submissions, which must all name the same
// submitter and key, and returns the parsed request with its canonical bytes.
func NewRequest(chainID string, submissions []*Submission, signedAt time.Time, k gm.Signer) (*Request, error) {
	if len(submissions) == 0 || len(submissions) > MaxSubmissions {
		return nil, fmt.Errorf("a request has 1 to %d submissions, not %d", MaxSubmissions, len(submissions))
	}
	st := &Statement{Count: uint64(len(submissions)), Key: submissions[0].Key, Submitter: submissions[0].Submitter, SignedAt: signedAt}
	leaves := make([]merkle.Digest, len(submissions))
	raws := make([][]byte, len(submissions))
	for i, s := range submissions {
		raw, err := s.Marshal()
		if err != nil {
			return nil, fmt.Errorf("submissions[%d]: %w", i, err)
		}
		raws[i], leaves[i] = raw, PairOf(raw)
	}
	st.Root = merkle.Root(leaves)
	signed, err := st.Sign(chainID, k)
	if err != nil {
		return nil, err
	}
	w := &canon.Writer{}
	w.Object().Key("statement").Raw(signed).Key("submissions").Array()
	for _, raw := range raws {
		w.Raw(raw)
	}
	w.EndArray().EndObject()
	return ParseRequest(w.Bytes())
}
