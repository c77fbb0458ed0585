package proof

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// Content is what the caller computed over the content, locally.
type Content struct {
	Digest    merkle.Digest
	SecondSM3 [32]byte // SM3 by the second library; zero where it was not asked
	Size      uint64
	// Claims is the parsed claims file, where the content is one.
	Claims evidence.Claims
}

// Options of [Verify].
type Options struct {
	// Second asks the second library about every SM2 signature and SM3 digest.
	// The verifier sets it; a server that checks its own proofs does not.
	Second bool
	// PolicyDigest is the pair of the policy file's bytes, for the report.
	PolicyDigest merkle.Digest
	// Roots are the outside witnesses that are trusted; nil where none were given, and
	// then no anchor is checked. RootsDigest is the pair of that file's bytes.
	Roots       *AnchorRoots
	RootsDigest merkle.Digest
	// Anchors come from a companion file, with paths from the proof's checkpoint
	// ([AnchorFile.For]). One that the proof has too, by kind and name, is passed over.
	Anchors []Anchor
	// Open stands in for [checkpoint.Open] where it is given: a server that checks
	// many of its own proofs under one checkpoint opens that once. It must give what
	// checkpoint.Open gives. The verifier sets none.
	Open func(note []byte, p *checkpoint.Policy, opt checkpoint.Options) (*checkpoint.Sealed, error)
	// Signature stands in for the Verify of a statement's key where it is given, and
	// must accept what that accepts. The verifier sets none; with Second it is not asked.
	Signature func(k gm.PublicKey, msg, sig []byte) error
	// Receipt stands in for the verification of an anchor's receipt where it is
	// given, as Open does for that of notes: it returns what verify returns, now or
	// when it was asked about the same anchor, note and receipt under the same policy
	// and roots. The verifier sets none.
	Receipt func(a *Anchor, verify func() (AnchorReport, error)) (AnchorReport, error)
}

// verifier walks the steps; each method is one step.
type verifier struct {
	f   *File
	p   *checkpoint.Policy
	opt Options
	r   *Report

	sealed   *checkpoint.Sealed
	notes    map[string]openedNote // opened before, by their bytes
	noteErr  error
	second   int // how often the second library was asked
	disagree bool
}

// Verify checks a parsed proof file against a policy and, where content is not
// nil, against the content. It always returns a full report: every step stands
// in it, in order.
func Verify(f *File, p *checkpoint.Policy, content *Content, opt Options) *Report {
	v := &verifier{f: f, p: p, opt: opt, r: &Report{Record: f.record, ID: f.record.ID(), SignedAt: f.statement.SignedAt}}
	v.r.Policy = PolicyInfo{p.Chain, hex.EncodeToString(opt.PolicyDigest.SM3[:]), hex.EncodeToString(opt.PolicyDigest.SHA256[:])}
	if opt.Roots != nil {
		v.r.Roots = &RootsInfo{hex.EncodeToString(opt.RootsDigest.SM3[:]), hex.EncodeToString(opt.RootsDigest.SHA256[:])}
	}
	same := v.chain()
	v.content(content)
	v.submission()
	v.submitter()
	if !same {
		v.foreign()
		v.r.Result = v.result()
		return v.r
	}
	sealed := f.Sealed()
	if sealed {
		v.openNote()
	}
	v.receipt()
	if sealed {
		v.batch()
		v.stream()
		v.received()
		v.ledger()
		v.key()
		v.statement()
		v.checkpoint()
		v.quorum()
		v.pin()
		v.judgeAnchors()
		v.bracket()
		v.times()
	} else {
		v.unsealed()
	}
	v.secondOpinion()
	v.anchors()
	v.r.Result = v.result()
	return v.r
}

// result: false if any step failed that speaks of the proof itself; a policy
// of another chain and an unmet quorum speak of the policy.
func (v *verifier) result() Result {
	out := Proved
	for _, s := range v.r.Steps {
		switch {
		case s.Outcome != StepFailed:
		case s.Name == StepChain || s.Name == StepQuorum:
			out = NotProved
		default:
			return False
		}
	}
	if !v.f.Sealed() {
		return NotProved
	}
	return out
}

func (v *verifier) add(name StepName, o Outcome, w Words) {
	v.r.Steps = append(v.r.Steps, Step{name, o, w})
}

func (v *verifier) proved(name StepName, zh, en string, args ...any) {
	v.add(name, StepProved, Words{fmt.Sprintf(zh, args...), fmt.Sprintf(en, args...)})
}

func (v *verifier) failed(name StepName, zh, en string, args ...any) {
	v.add(name, StepFailed, Words{fmt.Sprintf(zh, args...), fmt.Sprintf(en, args...)})
}

func (v *verifier) absent(name StepName, zh, en string, args ...any) {
	v.add(name, StepNotPresent, Words{fmt.Sprintf(zh, args...), fmt.Sprintf(en, args...)})
}

// check adds the step as proved where err is nil and as failed with err
// otherwise.
func (v *verifier) check(name StepName, err error, zh, en string, args ...any) {
	if err != nil {
		v.add(name, StepFailed, explain(err))
		return
	}
	v.proved(name, zh, en, args...)
}

// verifySig checks a signed object with a key, by both libraries where asked.
func (v *verifier) verifySig(s *evidence.Signed, k gm.PublicKey) error {
	verify := gm.PublicKey.Verify
	switch {
	case v.opt.Second:
		verify = gm.VerifyBoth
		if k.Alg() == gm.SM2 {
			v.second++
		}
	case v.opt.Signature != nil:
		verify = v.opt.Signature
	}
	err := verify(k, s.Message(v.p.Chain), s.Sig[:])
	if errors.Is(err, gm.ErrDisagree) {
		v.disagree = true
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.Type, err)
	}
	return nil
}

// inclusion checks a path, and its SM3 half once more with the second library.
func (v *verifier) inclusion(leaf merkle.Digest, data []byte, index, size uint64, path []merkle.Digest, root merkle.Digest) error {
	if err := merkle.VerifyInclusion(leaf, index, size, path, root); err != nil {
		return err
	}
	if v.opt.Second {
		v.second++
		if secondRoot(data, index, size, path) != root.SM3 {
			v.disagree = true
			return gm.ErrDisagree
		}
	}
	return nil
}

// member returns a member as it was when a ledger entry was made: entry i stands
// in the epoch of size i+1. Keys that a member has laid down since do not speak
// for what is older, nor its new keys.
func (v *verifier) member(id string, entry uint64) (checkpoint.Member, error) {
	epoch, err := v.p.EpochOf(entry + 1)
	if err != nil {
		return checkpoint.Member{}, err
	}
	m, ok := epoch.Member(id)
	if !ok {
		return checkpoint.Member{}, faultf("信任策略中没有成员 %q", "the policy knows no member %q", id)
	}
	return m, nil
}

func millis(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// Compact forms for details.
func short(b [32]byte) string { return hex.EncodeToString(b[:8]) + "…" }
