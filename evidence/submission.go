package evidence

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"qifeng/evidence/canon"
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
func IDOf(pair merkle.Digest) ID {
	var digits [2 * len(pair.SM3)]byte
	hex.Encode(digits[:], pair.SM3[:])
	return ID(digits[:])
}

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

// Marshal returns the canonical bytes, or why they would not be valid.
func (s *Submission) Marshal() ([]byte, error) {
	raw := s.append(nil)
	if _, err := ParseSubmission(raw); err != nil {
		return nil, fmt.Errorf("submission: %w", err)
	}
	return raw, nil
}

// usualBytes is what most submissions are shorter than.
const usualBytes = 1 << 10

// append appends what the fields of s say, valid or not.
func (s *Submission) append(b []byte) []byte {
	w := canon.NewWriter(slices.Grow(b, usualBytes))
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
	return w.Bytes()
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
