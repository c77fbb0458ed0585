package proof

import (
	"time"

	"qifeng/evidence"
	"qifeng/proof/checkpoint"
)

// Outcome is what one step came to.
type Outcome string

// The outcomes of a step.
const (
	StepProved     Outcome = "proved"
	StepFailed     Outcome = "failed"
	StepNotPresent Outcome = "not present"
)

// StepName names a check; docs/spec/proof.md says what each one is.
type StepName string

// The steps, in the order of the report.
const (
	StepChain         StepName = "chain"
	StepContent       StepName = "content"
	StepSubmission    StepName = "submission"
	StepSubmitter     StepName = "submitter"
	StepReceipt       StepName = "receipt"
	StepBatch         StepName = "batch"
	StepStream        StepName = "stream"
	StepReceived      StepName = "received-at"
	StepLedger        StepName = "ledger"
	StepKey           StepName = "key"
	StepStatement     StepName = "statement"
	StepCheckpoint    StepName = "checkpoint"
	StepQuorum        StepName = "quorum"
	StepPin           StepName = "pin"
	StepTimes         StepName = "times"
	StepSecondOpinion StepName = "second-opinion"
	StepAnchors       StepName = "anchors"
)

// Step is one check with its outcome, explained in both languages.
type Step struct {
	Name    StepName
	Outcome Outcome
	Detail  Words
}

// Words is a text in Chinese and in English.
type Words struct{ ZH, EN string }

// Result is the verdict over all steps.
type Result string

// The results. False: the content or the proof is false. NotProved: nothing is
// false, but the quorum of the given policy does not vouch for it.
const (
	Proved    Result = "proved"
	False     Result = "false"
	NotProved Result = "not proved"
)

// SealTime is one member's seal on the checkpoint.
type SealTime struct {
	Member string
	Role   checkpoint.Role
	Time   time.Time
}

// Report is the outcome of [Verify].
type Report struct {
	Result Result
	Steps  []Step

	ID         evidence.ID
	Record     *evidence.Record
	SignedAt   time.Time // of the statement: the submitter's claim
	Policy     PolicyInfo
	LedgerSize uint64     // of the checkpoint; 0 if there is none
	SealedTime time.Time  // zero unless the quorum is met
	Seals      []SealTime // that count

	Anchors []AnchorReport // of the file and of its companion, whatever came of them
	Roots   *RootsInfo     // nil where no anchor roots were given
	Bracket *Bracket       // nil where there is no anchor, or the quorum is not met
}

// RootsInfo names the anchor roots that the report was made under.
type RootsInfo struct{ SM3, SHA256 string } // hex, of the file's bytes as given

// PolicyInfo names the policy that the report was made under, by its digests,
// so that a reader can compare them with the copy in the court's safe.
type PolicyInfo struct {
	Chain       string
	SM3, SHA256 string // hex, of the policy file's bytes as given
}

// NotLaterThan is the time by which the record existed, by the strongest source
// that verified ([Bracket]); without anchors that is the quorum. Zero unless the
// quorum was met.
func (r *Report) NotLaterThan() time.Time {
	if r.Bracket != nil {
		return r.Bracket.NotLaterThan
	}
	return r.quorumTime()
}

// quorumTime is the end of the second in which the quorum was met: seals are dated
// in whole seconds, rounded down. Zero unless it was met.
func (r *Report) quorumTime() time.Time {
	if r.SealedTime.IsZero() {
		return time.Time{}
	}
	return after(r.SealedTime, clockGrain)
}

// ExitCode is 0 for proved, 1 for false, 3 for not proved (design §8).
func (r *Report) ExitCode() int {
	switch r.Result {
	case Proved:
		return 0
	case NotProved:
		return 3
	default:
		return 1
	}
}

// Step returns a step by name.
func (r *Report) Step(name StepName) (Step, bool) {
	for _, s := range r.Steps {
		if s.Name == name {
			return s, true
		}
	}
	return Step{}, false
}
