package evidence

import (
	"fmt"
	"strconv"
	"time"

	"qifeng/evidence/canon"
	"qifeng/proof/merkle"
)

// Intake is what the node adds to a submission when it takes it in.
type Intake struct {
	Index      uint64        // position of the submission under its statement
	Node       string        // member id of the node
	ReceivedAt time.Time     // the node's clock; milliseconds, UTC
	Statement  merkle.Digest // plain pair of the signed statement's bytes
}

// Record is the smallest thing preserved. Its canonical bytes are the leaf
// data of its stream's tree.
type Record struct {
	Intake     Intake
	Submission *Submission
	// SubmissionBytes are the canonical bytes of the submission inside the
	// record; their leaf pair is the submission's pair.
	SubmissionBytes []byte
}

var (
	recordFields = canon.Fields("intake", "submission")
	intakeFields = canon.Fields("index", "node", "received_at", "statement")
)

// ParseRecord reads the canonical bytes of a record. The result refers to data.
func ParseRecord(data []byte) (*Record, error) {
	d := canon.NewDecoder(data)
	r := &Record{}
	for key := range d.Object(recordFields) {
		switch key {
		case "intake":
			r.Intake = decodeIntake(d)
		case "submission":
			start := d.Offset()
			r.Submission = (&submissionReader{}).read(d, 1, len(data)-start)
			r.SubmissionBytes = data[start:d.Offset():d.Offset()]
		}
	}
	if err := d.End(); err != nil {
		return nil, err
	}
	return r, nil
}

func decodeIntake(d *canon.Decoder) (in Intake) {
	for key := range d.Object(intakeFields) {
		switch key {
		case "index":
			in.Index = d.Int(0, MaxSubmissions-1)
		case "node":
			in.Node = decodeMember(d, "")
		case "received_at":
			in.ReceivedAt = d.Time()
		case "statement":
			in.Statement = d.Digest()
		}
	}
	return in
}

// AppendRecord appends the canonical bytes of the record that intake and the
// canonical bytes of a submission make.
func AppendRecord(b []byte, in Intake, submission []byte) []byte {
	b = strconv.AppendUint(append(b, recordHead...), in.Index, 10)
	b = append(in.appendTail(b), submission...)
	return append(b, '}')
}

const recordHead = `{"intake":{"index":`

// appendTail appends what stands between the index and the submission.
func (in *Intake) appendTail(b []byte) []byte {
	w := canon.NewWriter(append(b, ','))
	w.Key("node").String(in.Node).Key("received_at").Time(in.ReceivedAt).
		Key("statement").Digest(in.Statement).EndObject().Key("submission")
	return w.Bytes()
}

// Envelope makes the records of one request, which have all of their intake but
// the index in common.
type Envelope struct{ tail []byte }

// NewEnvelope returns the Envelope of an intake, whose Index is of no account.
func NewEnvelope(in Intake) Envelope { return Envelope{in.appendTail(nil)} }

// Append is [AppendRecord] with the intake of e and an index.
func (e Envelope) Append(b []byte, index uint64, submission []byte) []byte {
	b = strconv.AppendUint(append(b, recordHead...), index, 10)
	b = append(append(b, e.tail...), submission...)
	return append(b, '}')
}

// RecordBytes returns how long the record of a submission of n bytes is at most.
func (e Envelope) RecordBytes(n int) int {
	return len(recordHead) + maxIndexDigits + len(e.tail) + n + 1
}

// maxIndexDigits is the length of MaxSubmissions-1 in decimal.
const maxIndexDigits = 3

// Marshal returns the canonical bytes of r, from SubmissionBytes where set.
func (r *Record) Marshal() ([]byte, error) {
	sub := r.SubmissionBytes
	if sub == nil {
		var err error
		if sub, err = r.Submission.Marshal(); err != nil {
			return nil, err
		}
	}
	b := AppendRecord(nil, r.Intake, sub)
	if _, err := ParseRecord(b); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	return b, nil
}

// Pair returns the pair of the record's submission.
func (r *Record) Pair() merkle.Digest { return PairOf(r.SubmissionBytes) }

// ID returns the id of the record's submission.
func (r *Record) ID() ID { return IDOf(r.Pair()) }
