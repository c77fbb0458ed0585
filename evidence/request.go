package evidence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
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
	Blocks      []merkle.Digest // of the pairs: [merkle.Blocks]
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
		return nil, tooLong(body)
	}
	r, err := decodeRequest(body)
	if err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

// decodeRequest reads a request without holding its parts against each other.
func decodeRequest(body []byte) (*Request, error) {
	d := canon.NewDecoder(body)
	r := &Request{Raw: body}
	for key := range d.Object(requestFields) {
		switch key {
		case "statement":
			signed := decodeSigned(d, body, TypeStatement)
			if d.Err() == nil {
				r.Statement = parseStatementIn(d, signed)
			}
		case "submissions":
			r.decodeSubmissions(d)
		}
	}
	if err := d.End(); err != nil {
		return nil, err
	}
	return r, nil
}

func tooLong(body []byte) error {
	return &canon.SyntaxError{Problem: fmt.Sprintf("is %d bytes long; a request has at most %d", len(body), MaxRequestBytes)}
}

// decodeSubmissions reads the submissions, whose pairs check computes.
func (r *Request) decodeSubmissions(d *canon.Decoder) {
	if r.Statement == nil {
		return // an error of d stands
	}
	reader := submissionReader{submitter: r.Statement.Submitter, key: r.Statement.Key}
	// What the statement says may be a lie, which the length of the body bounds.
	count := min(int(r.Statement.Count), len(r.Raw)/minSubmission)
	r.Submissions = make([]Submitted, 0, count)
	for i := range d.Array(1, MaxSubmissions) {
		start := d.Offset()
		s := reader.read(d, count-i, len(r.Raw)-start)
		if d.Err() == nil {
			r.Submissions = append(r.Submissions, Submitted{Submission: s, Bytes: r.Raw[start:d.Offset():d.Offset()]})
		}
	}
}

// parseStatementIn reads the statement's body and reports its errors under the
// path of the request.
func parseStatementIn(d *canon.Decoder, s *Signed) *Statement {
	st, err := parseStatement(s)
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
	if n := len(r.Submissions); r.Statement.Count != uint64(n) {
		return fieldError("statement.body.count", "is %d, but %d submissions follow", r.Statement.Count, n)
	}
	root, err := r.hash()
	if err != nil {
		return err
	}
	if root != r.Statement.Root {
		return fieldError("statement.body.root", "is not the root over the submissions that follow; compute it over their canonical bytes, in order")
	}
	return nil
}

// hash computes and sets the pairs of the submissions and their blocks, and
// returns their root. It refuses a submission of another submitter or key than
// the statement's, from which on it hashes nothing, and one that stands twice.
func (r *Request) hash() (root merkle.Digest, err error) {
	entries, foreign := make([][]byte, 0, len(r.Submissions)), error(nil)
	for i := range r.Submissions {
		if foreign = r.checkOwner(i); foreign != nil {
			break
		}
		entries = append(entries, r.Submissions[i].Bytes)
	}
	pairs := merkle.LeafHashes(entries)
	if i, j, twice := firstDouble(pairs); twice {
		return root, fieldError(fmt.Sprintf("submissions[%d]", i), "is the same as submissions[%d]", j)
	}
	if foreign != nil {
		return root, foreign
	}
	for i := range pairs {
		r.Submissions[i].Pair = pairs[i]
	}
	r.Blocks = merkle.Blocks(pairs)
	return merkle.Root(r.Blocks), nil
}

func (r *Request) checkOwner(i int) error {
	st, s := r.Statement, r.Submissions[i].Submission
	if s.Submitter != st.Submitter {
		return fieldError(fmt.Sprintf("submissions[%d].submitter", i), "is another than the statement's")
	}
	if s.Key != st.Key {
		return fieldError(fmt.Sprintf("submissions[%d].key", i), "is another than the statement's")
	}
	return nil
}

// firstDouble finds the first pair that stood before, and where. Its table is
// open addressing over a few bits of the pairs: a sender who searches for pairs
// that share them makes [MaxSubmissions]²/2 comparisons of a word, which is less
// than hashing his submissions takes.
func firstDouble(pairs []merkle.Digest) (i, j int, twice bool) {
	table := make([]uint16, 2<<bits.Len(uint(len(pairs)))) // number of the pair and 1, 0 where free
	mask := uint64(len(table) - 1)
	for i := range pairs {
		at := binary.LittleEndian.Uint64(pairs[i].SHA256[:]) & mask
		for ; table[at] != 0; at = (at + 1) & mask {
			if j := int(table[at]) - 1; pairs[j] == pairs[i] {
				return i, j, true
			}
		}
		table[at] = uint16(i + 1)
	}
	return 0, 0, false
}

func fieldError(field, format string, args ...any) error {
	return &canon.SyntaxError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// NewRequest signs a statement over submissions, which must all name the same
// submitter and key, and returns the parsed request with its canonical bytes.
// Each part is read back once, before it is signed, and hashed once.
func NewRequest(chainID string, submissions []*Submission, signedAt time.Time, k gm.Signer) (*Request, error) {
	n := len(submissions)
	if n == 0 || n > MaxSubmissions {
		return nil, fmt.Errorf("a request has 1 to %d submissions, not %d", MaxSubmissions, n)
	}
	list, ends, read, err := marshalAll(submissions)
	if err != nil {
		return nil, err
	}
	r := &Request{
		Statement:   &Statement{Count: uint64(n), Key: read[0].Key, Submitter: read[0].Submitter, SignedAt: signedAt},
		Submissions: make([]Submitted, n),
	}
	for i, s := range read {
		r.Submissions[i] = Submitted{Submission: s, Bytes: list[startOf(ends, i):ends[i]]}
	}
	if r.Statement.Root, err = r.hash(); err != nil {
		return nil, err
	}
	if r.Statement, err = r.Statement.sign(chainID, k); err != nil {
		return nil, err
	}
	if err := r.assemble(list, ends); err != nil {
		return nil, err
	}
	return r, nil
}

// assemble makes the bytes of a request out of its statement and the list of
// its submissions, as [ParseRequest] takes them.
func (r *Request) assemble(list []byte, ends []int) error {
	const head, mid, tail = `{"statement":`, `,"submissions":[`, `]}`
	signed := r.Statement.Signed.Raw
	raw := make([]byte, 0, len(head)+len(signed)+len(mid)+len(list)+len(tail))
	raw = append(append(append(raw, head...), signed...), mid...)
	at := len(raw)
	raw = append(append(raw, list...), tail...)
	if len(raw) > MaxRequestBytes {
		return tooLong(raw)
	}
	for i, end := range ends {
		r.Submissions[i].Bytes = raw[at+startOf(ends, i) : at+end : at+end]
	}
	r.Raw = raw
	return nil
}

// marshalAll returns the canonical bytes of submissions with commas between
// them, where each of them ends, and each as it is read back.
func marshalAll(submissions []*Submission) (list []byte, ends []int, read []*Submission, err error) {
	list = make([]byte, 0, len(submissions)*usualBytes)
	ends = make([]int, len(submissions))
	read = make([]*Submission, len(submissions))
	var reader submissionReader
	for i, s := range submissions {
		if i > 0 {
			list = append(list, ',')
		}
		start := len(list)
		list = s.append(list)
		ends[i] = len(list)
		d := canon.NewDecoder(list[start:])
		read[i] = reader.read(d, len(submissions)-i, len(submissions)*usualBytes)
		if err := d.End(); err != nil {
			return nil, nil, nil, fmt.Errorf("submissions[%d]: submission: %w", i, err)
		}
	}
	return list, ends, read, nil
}

// startOf is where item i of a list begins, whose items end at ends with a
// comma between two.
func startOf(ends []int, i int) int {
	if i == 0 {
		return 0
	}
	return ends[i-1] + 1
}
