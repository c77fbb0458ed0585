package evidence

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"qifeng/evidence/canon"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// The fields of a submission, numbered as they stand in it.
const (
	fieldAlgorithm = iota
	fieldCapturedAt
	fieldCertificate
	fieldClaims
	fieldCount
	fieldDigest
	fieldDossier
	fieldKey
	fieldKind
	fieldMethod
	fieldNonce
	fieldPrev
	fieldRefs
	fieldResult
	fieldRoot
	fieldSignature
	fieldSize
	fieldSource
	fieldStep
	fieldSubmitter
	fieldVersion
)

var submissionKeys = []string{
	fieldAlgorithm: "algorithm?", fieldCapturedAt: "captured_at", fieldCertificate: "certificate?", fieldClaims: "claims?",
	fieldCount: "count?", fieldDigest: "digest?", fieldDossier: "dossier?", fieldKey: "key", fieldKind: "kind",
	fieldMethod: "method?", fieldNonce: "nonce", fieldPrev: "prev?", fieldRefs: "refs?", fieldResult: "result?",
	fieldRoot: "root?", fieldSignature: "signature?", fieldSize: "size?", fieldSource: "source", fieldStep: "step?",
	fieldSubmitter: "submitter", fieldVersion: "v",
}

var (
	submissionFields = canon.Fields(submissionKeys...)
	sourceFields     = canon.Fields("environment", "mechanism", "system")
	// kindFields are the fields whose presence depends on the kind.
	kindFields = []string{"algorithm", "certificate", "claims", "count", "digest", "method", "result", "root", "signature", "size"}
)

// fieldSet is a set of fields of a submission, a bit each.
type fieldSet uint32

func (s fieldSet) has(field int) bool { return s>>field&1 != 0 }

// first is the name of the first field in s, which is not empty.
func (s fieldSet) first() string {
	return strings.TrimSuffix(submissionKeys[bits.TrailingZeros32(uint32(s))], "?")
}

func setOf(names ...string) (s fieldSet) {
	for i, key := range submissionKeys {
		if slices.Contains(names, strings.TrimSuffix(key, "?")) {
			s |= 1 << i
		}
	}
	return s
}

// kindRules are the rules of the kinds, in the order of Kinds.
var kindRules = func() (out []kindRule) {
	for _, k := range Kinds {
		r := rules[k]
		required := setOf(r.required...)
		out = append(out, kindRule{required, setOf(kindFields...) &^ required &^ setOf(r.optional...), r.methods})
	}
	return out
}()

// kindRule is a rule as sets: what a kind must have and what it must not.
type kindRule struct {
	required, foreign fieldSet
	methods           []string
}

var kindNames = func() (names []string) {
	for _, k := range Kinds {
		names = append(names, string(k))
	}
	return names
}()

// ParseSubmission reads the canonical bytes of one submission.
func ParseSubmission(data []byte) (*Submission, error) {
	d := canon.NewDecoder(data)
	s := (&submissionReader{}).read(d, 1, len(data))
	if err := d.End(); err != nil {
		return nil, err
	}
	return s, nil
}

// submissionReader reads the submissions of one document, one after another.
// What they point to comes out of few allocations, and what is mostly alike is
// kept from one to the next.
type submissionReader struct {
	submissions slab[Submission]
	pairs       slab[merkle.Digest]
	sizes       slab[uint64]
	rule        *kindRule // of the submission being read, once its kind is known

	// The last of these that were read, all of them checked: from the statement
	// or the submission before.
	submitter, key string
	dossier        Dossier
}

// minSubmission is less than any submission has bytes.
const minSubmission = 300

// read reads a submission. With it more of them are to be read, from rest bytes
// of the document; what is allocated is bounded by both. After an error of d
// what it returns is of no use.
func (r *submissionReader) read(d *canon.Decoder, more, rest int) *Submission {
	start := d.Offset()
	more = min(more, rest/minSubmission)
	s := r.submissions.next(more)
	var present fieldSet
	for f := d.First(submissionFields); f >= 0; f = d.Next() {
		present |= 1 << f
		r.field(d, s, f, more, rest/canon.DigestBytes)
	}
	if d.Err() == nil && d.Offset()-start > MaxSubmissionBytes {
		d.Fail("is %d bytes long; a submission has at most %d", d.Offset()-start, MaxSubmissionBytes)
	}
	if d.Err() != nil {
		return s
	}
	s.checkKind(d, r.rule, present)
	r.submitter, r.key, r.dossier = s.Submitter, s.Key, s.Dossier
	return s
}

// field reads a field; more sizes and pairs may be asked for with those of s.
func (r *submissionReader) field(d *canon.Decoder, s *Submission, field, more, pairs int) {
	switch field {
	case fieldAlgorithm:
		s.Algorithm = d.Enum(Algorithms...)
	case fieldCapturedAt:
		s.CapturedAt = d.Time()
	case fieldCertificate:
		s.Certificate = r.pair(d, pairs)
	case fieldClaims:
		s.Claims = r.pair(d, pairs)
	case fieldCount:
		s.Count = d.Int(1, MaxSteps)
	case fieldDigest:
		s.Digest = r.pair(d, pairs)
	case fieldDossier:
		s.Dossier = Dossier(d.HexLike(16, string(r.dossier))) // steps of one mostly follow each other
	case fieldKey:
		s.Key = decodeKeyName(d, r.key)
	case fieldKind:
		if k := d.Choice(kindNames); k >= 0 {
			s.Kind, r.rule = Kinds[k], &kindRules[k]
		}
	case fieldMethod:
		s.Method = d.StringOf(32, r.rule.methods) // checkKind judges it
	case fieldNonce:
		d.HexInto(s.Nonce[:])
	case fieldPrev:
		s.Prev = r.pair(d, pairs)
	case fieldRefs:
		s.Refs = decodeRefs(d)
	case fieldResult:
		s.Result = d.Enum(Results...)
	case fieldRoot:
		s.Root = r.pair(d, pairs)
	case fieldSignature:
		s.Signature = r.pair(d, pairs)
	case fieldSize:
		s.Size = r.sizes.next(more)
		*s.Size = d.Int(0, MaxContentBytes)
	case fieldSource:
		s.Source = decodeSource(d)
	case fieldStep:
		s.Step = d.Int(1, MaxSteps)
	case fieldSubmitter:
		s.Submitter = decodeMember(d, r.submitter)
	case fieldVersion:
		d.Int(Version, Version)
	}
}

func (r *submissionReader) pair(d *canon.Decoder, more int) *merkle.Digest {
	p := r.pairs.next(more)
	d.DigestInto(p)
	return p
}

// checkKind refuses fields that do not belong to the kind and misses those
// that do.
func (s *Submission) checkKind(d *canon.Decoder, rule *kindRule, present fieldSet) {
	if missing := rule.required &^ present; missing != 0 {
		d.FailAt(missing.first(), "is missing; %s needs it", s.Kind)
		return
	}
	if foreign := present & rule.foreign; foreign != 0 {
		d.FailAt(foreign.first(), "does not belong to %s; leave it out", s.Kind)
		return
	}
	if present.has(fieldMethod) && !slices.Contains(rule.methods, s.Method) {
		d.FailAt("method", "is not in the list; %s allows %v", s.Kind, rule.methods)
	}
	if s.Step != 0 && s.Dossier == "" {
		d.FailAt("dossier", "is missing; a step counts within a dossier")
	}
}

// decodeRefs reads 1 to MaxRefs pairs.
func decodeRefs(d *canon.Decoder) []merkle.Digest {
	var refs [MaxRefs]merkle.Digest
	n := 0
	for i := range d.Array(1, MaxRefs) {
		d.DigestInto(&refs[i])
		n = i + 1
	}
	return slices.Clone(refs[:n])
}

func decodeSource(d *canon.Decoder) (s Source) {
	for f := d.First(sourceFields); f >= 0; f = d.Next() {
		switch f {
		case 0:
			s.Environment = d.Enum(SourceEnvironments...)
		case 1:
			s.Mechanism = d.Enum(SourceMechanisms...)
		case 2:
			s.System = d.Enum(SourceSystems...)
		}
	}
	return s
}

// decodeMember reads a member id. One that is last, which has been checked, is
// not checked again.
func decodeMember(d *canon.Decoder, last string) string {
	id := d.StringLike(64, last)
	if d.Err() == nil && (last == "" || id != last) && checkpoint.CheckMemberID(id) != nil {
		d.Fail("is no member id: 2 to %d of a-z, 0-9 and dash, a letter first, no dash last", checkpoint.MaxMemberID)
	}
	return id
}

// CheckKeyName says why s cannot name a key, or returns nil. Names are unique
// within a member for ever.
func CheckKeyName(s string) error {
	if !isKeyName(s) {
		return fmt.Errorf("a key name is 1 to 32 of a-z 0-9 . _ - and begins with a letter or digit, not %q", clip(s))
	}
	return nil
}

func isKeyName(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return 1 <= len(s) && len(s) <= maxKeyName
}

// decodeKeyName reads the name of a key, as decodeMember does.
func decodeKeyName(d *canon.Decoder, last string) string {
	s := d.StringLike(64, last)
	if d.Err() == nil && (last == "" || s != last) && !isKeyName(s) {
		d.Fail("is no key name: 1 to 32 of a-z 0-9 . _ -, a letter or digit first")
	}
	return s
}

// slab gives out values of one allocation; see [submissionReader]. A value that
// is kept keeps its neighbours in memory.
type slab[T any] struct{ free []T }

// next returns a zero value; more is how many will be asked for at most, with
// this one.
func (s *slab[T]) next(more int) *T {
	if len(s.free) == 0 {
		s.free = make([]T, min(max(more, 1), maxSlab))
	}
	v := &s.free[0]
	s.free = s.free[1:]
	return v
}
