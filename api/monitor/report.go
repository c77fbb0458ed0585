package monitor

import (
	"time"

	"qifeng/proof/checkpoint"
)

// Outcome is what one look at a node has shown.
type Outcome string

// The outcomes. Only of the first three everything is proved.
const (
	First    Outcome = "first"    // the first checkpoint, and it continues the policy's genesis
	Advanced Outcome = "advanced" // a larger ledger that continues the one seen before
	Same     Outcome = "same"     // the ledger seen before

	Behind      Outcome = "behind"      // a smaller ledger, not shown to be the beginning of ours yet
	Unproven    Outcome = "unproven"    // the node gives no path
	NotSealed   Outcome = "not-sealed"  // the node has no checkpoint that meets the quorum
	Unreachable Outcome = "unreachable" // the node does not answer

	Invalid       Outcome = "invalid"       // the node gave out what is no checkpoint, path or ledger at all, or a false signature
	OtherChain    Outcome = "other-chain"   // the node is of another chain than the policy
	Contradiction Outcome = "contradiction" // see the package comment; Report.Alarm carries it
)

// Report is what one look has shown.
type Report struct {
	At      time.Time
	Outcome Outcome
	Reason  string // English, what stood in the way; "" if nothing did

	// Of the checkpoint that the node gave, as far as it could be opened.
	Size   uint64
	Seals  int // members that count
	Of     int // members of the epoch
	Sealed *checkpoint.Sealed

	From    uint64 // size before, 0 at the first look
	Audited uint64 // entries checked, 0 without an audit

	// Age is how long ago the newest quorum of what is proved was complete, by the
	// members' clocks. Stale and Ahead judge it; false while nothing is proved.
	Age   time.Duration
	Stale bool
	Ahead bool

	Alarm *Alarm
}

// Proved says whether the look has shown all it should: a fresh ledger that
// continues what was seen before.
func (r *Report) Proved() bool {
	switch r.Outcome {
	case First, Advanced, Same:
		return !r.Stale && !r.Ahead && r.Reason == ""
	}
	return false
}

// False says whether the look has shown something that is not true.
func (r *Report) False() bool { return r.Outcome == Contradiction || r.Outcome == Invalid }
