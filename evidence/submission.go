package evidence

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"time"

	"qifeng/evidence/canon"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// ID names a submission: the SM3 half of its pair, 64 lower-case hex digits.
// It is a name only; commitments always use the pair.
type ID string

// ParseID checks the form of an id.
func ParseID(s string) (ID, error) {
	if len(s) != 64 || !isLowerHex(s) {
		return "", fmt.Errorf("an id is 64 lower-case hex digits, not %q", clip(s))
	}
	return ID(s), nil
}

// IDOf returns the id that belongs to a pair.
func IDOf(pair merkle.Digest) ID { return ID(hex.EncodeToString(pair.SM3[:])) }

// PairOf returns the pair of a submission: its leaf pair in the statement's
// tree, over its canonical bytes.
func PairOf(submission []byte) merkle.Digest { return merkle.LeafHash(submission) }

// Dossier names a signing session: 128 random bits as 32 lower-case hex digits.
type Dossier string

// ParseDossier checks the form of a dossier's name.
func ParseDossier(s string) (Dossier, error) {
	if len(s) != 32 || !isLowerHex(s) {
		return "", fmt.Errorf("a dossier is 32 lower-case hex digits, not %q", clip(s))
	}
	return Dossier(s), nil
}

// Source says where content came from (《在线诉讼规则》 art 18).
type Source struct {
	Environment string // SourceEnvironments
	Mechanism   string // SourceMechanisms
	System      string // SourceSystems
}

// Submission is what a submitter preserves. Pointers and zero strings are
// absent fields; which of them a kind has is in docs/spec/record.md.
type Submission struct {
	Algorithm   string         // Algorithms
	CapturedAt  time.Time      // what the submitter says; milliseconds, UTC
	Certificate *merkle.Digest // pair of the DER certificate
	Claims      *merkle.Digest // root of a salted claims tree, see Claims
	Count       uint64         // dossier.close: number of submissions
	Digest      *merkle.Digest // pair of the content
	Dossier     Dossier
	Key         string // name of the submitter's key in the register
	Kind        Kind
	Method      string // Kind.Methods
	Nonce       [16]byte
	Prev        *merkle.Digest  // pair of the submission before
	Refs        []merkle.Digest // pairs of related submissions
	Result      string          // Results
	Root        *merkle.Digest  // dossier.close: root over the pairs, in order
	Signature   *merkle.Digest  // pair of the signature value
	Size        *uint64         // bytes of the content
	Source      Source
	Step        uint64 // from 1; 0 is absent
	Submitter   string // member id
}

var (
	submissionFields = canon.Fields("algorithm?", "captured_at", "certificate?", "claims?", "count?", "digest?",
		"dossier?", "key", "kind", "method?", "nonce", "prev?", "refs?", "result?", "root?", "signature?", "size?",
		"source", "step?", "submitter", "v")
	sourceFields = canon.Fields("environment", "mechanism", "system")
	// kindFields are the fields whose presence depends on the kind.
	kindFields = []string{"algorithm", "certificate", "claims", "count", "digest", "method", "result", "root", "signature", "size"}
)

// ParseSubmission reads the canonical bytes of one submission.
func ParseSubmission(data []byte) (*Submission, error) {
	d := canon.NewDecoder(data)
	s := decodeSubmission(d)
	if err := d.End(); err != nil {
		return nil, err
	}
	return s, nil
}

func decodeSubmission(d *canon.Decoder) *Submission {
	s, start := &Submission{}, d.Offset()
	present := make([]string, 0, len(kindFields)+2)
	for key := range d.Object(submissionFields) {
		present = append(present, key)
		s.decodeField(d, key)
	}
	if d.Err() == nil && d.Offset()-start > MaxSubmissionBytes {
		d.Fail("is %d bytes long; a submission has at most %d", d.Offset()-start, MaxSubmissionBytes)
	}
	if d.Err() == nil {
		s.checkKind(d, present)
	}
	return s
}

func (s *Submission) decodeField(d *canon.Decoder, key string) {
	switch key {
	case "algorithm":
		s.Algorithm = d.Enum(Algorithms...)
	case "captured_at":
		s.CapturedAt = d.Time()
	case "certificate":
		s.Certificate = pairField(d)
	case "claims":
		s.Claims = pairField(d)
	case "count":
		s.Count = d.Int(1, MaxSteps)
	case "digest":
		s.Digest = pairField(d)
	case "dossier":
		s.Dossier = Dossier(d.Hex(16))
	case "key":
		s.Key = decodeKeyName(d)
	case "kind":
		s.Kind = Kind(d.Enum(kindNames...))
	case "method":
		s.Method = d.String(32)
	case "nonce":
		d.HexInto(s.Nonce[:])
	case "prev":
		s.Prev = pairField(d)
	case "refs":
		for range d.Array(1, MaxRefs) {
			s.Refs = append(s.Refs, d.Digest())
		}
	case "result":
		s.Result = d.Enum(Results...)
	case "root":
		s.Root = pairField(d)
	case "signature":
		s.Signature = pairField(d)
	case "size":
		n := d.Int(0, MaxContentBytes)
		s.Size = &n
	case "source":
		s.Source = decodeSource(d)
	case "step":
		s.Step = d.Int(1, MaxSteps)
	case "submitter":
		s.Submitter = decodeMember(d)
	case "v":
		d.Int(Version, Version)
	}
}

// checkKind refuses fields that do not belong to the kind and misses those
// that do.
func (s *Submission) checkKind(d *canon.Decoder, present []string) {
	r := rules[s.Kind]
	for _, f := range r.required {
		if !slices.Contains(present, f) {
			d.FailAt(f, "is missing; %s needs it", s.Kind)
			return
		}
	}
	for _, f := range present {
		if slices.Contains(kindFields, f) && !slices.Contains(r.required, f) && !slices.Contains(r.optional, f) {
			d.FailAt(f, "does not belong to %s; leave it out", s.Kind)
			return
		}
	}
	if r.methods != nil && !slices.Contains(r.methods, s.Method) {
		d.FailAt("method", "is %q; %s allows %v", s.Method, s.Kind, r.methods)
	}
	if s.Step != 0 && s.Dossier == "" {
		d.FailAt("dossier", "is missing; a step counts within a dossier")
	}
}

var kindNames = func() (names []string) {
	for _, k := range Kinds {
		names = append(names, string(k))
	}
	return names
}()

func pairField(d *canon.Decoder) *merkle.Digest {
	p := d.Digest()
	return &p
}

func decodeSource(d *canon.Decoder) (s Source) {
	for key := range d.Object(sourceFields) {
		switch key {
		case "environment":
			s.Environment = d.Enum(SourceEnvironments...)
		case "mechanism":
			s.Mechanism = d.Enum(SourceMechanisms...)
		case "system":
			s.System = d.Enum(SourceSystems...)
		}
	}
	return s
}

// decodeMember reads a member id.
func decodeMember(d *canon.Decoder) string {
	id := d.String(64)
	if d.Err() == nil {
		if checkpoint.CheckMemberID(id) != nil {
			d.Fail("is no member id: 2 to %d of a-z, 0-9 and dash, a letter first, no dash last", checkpoint.MaxMemberID)
		}
	}
	return id
}

var keyName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,31}$`)

// CheckKeyName says why s cannot name a key, or returns nil. Names are unique
// within a member for ever.
func CheckKeyName(s string) error {
	if !keyName.MatchString(s) {
		return fmt.Errorf("a key name is 1 to 32 of a-z 0-9 . _ - and begins with a letter or digit, not %q", clip(s))
	}
	return nil
}

func decodeKeyName(d *canon.Decoder) string {
	s := d.String(64)
	if d.Err() == nil {
		if CheckKeyName(s) != nil {
			d.Fail("is no key name: 1 to 32 of a-z 0-9 . _ -, a letter or digit first")
		}
	}
	return s
}

// Marshal returns the canonical bytes, or why they would not be valid.
func (s *Submission) Marshal() ([]byte, error) {
	w := &canon.Writer{}
	w.Object()
	putString(w, "algorithm", s.Algorithm)
	w.Key("captured_at").Time(s.CapturedAt)
	putPair(w, "certificate", s.Certificate)
	putPair(w, "claims", s.Claims)
	putInt(w, "count", s.Count)
	putPair(w, "digest", s.Digest)
	putString(w, "dossier", string(s.Dossier))
	w.Key("key").String(s.Key)
	w.Key("kind").String(string(s.Kind))
	putString(w, "method", s.Method)
	w.Key("nonce").Hex(s.Nonce[:])
	putPair(w, "prev", s.Prev)
	if len(s.Refs) > 0 {
		w.Key("refs").Digests(s.Refs)
	}
	putString(w, "result", s.Result)
	putPair(w, "root", s.Root)
	putPair(w, "signature", s.Signature)
	if s.Size != nil {
		w.Key("size").Int(*s.Size)
	}
	w.Key("source").Object().Key("environment").String(s.Source.Environment).
		Key("mechanism").String(s.Source.Mechanism).Key("system").String(s.Source.System).EndObject()
	putInt(w, "step", s.Step)
	w.Key("submitter").String(s.Submitter).Key("v").Int(Version).EndObject()
	if _, err := ParseSubmission(w.Bytes()); err != nil {
		return nil, fmt.Errorf("submission: %w", err)
	}
	return w.Bytes(), nil
}

func putString(w *canon.Writer, key, v string) {
	if v != "" {
		w.Key(key).String(v)
	}
}

func putInt(w *canon.Writer, key string, v uint64) {
	if v != 0 {
		w.Key(key).Int(v)
	}
}

func putPair(w *canon.Writer, key string, p *merkle.Digest) {
	if p != nil {
		w.Key(key).Digest(*p)
	}
}

func isLowerHex(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}

// clip shortens a stranger's text for an error message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
