package anchor

import "qifeng/internal/fault"

// point is a place where a test may end the process, or let the step before it
// fail: the error is then taken for that step's own. It does nothing otherwise.
// Tests of this package replace it.
var point = fault.New()

// The places, in the order of attempt.go.
const (
	pointCreated  = "anchor-created"  // the database is there, and empty
	pointBegun    = "anchor-begun"    // its version is in it
	pointChosen   = "anchor-chosen"   // a checkpoint is chosen and opened; nothing is written
	pointNoted    = "anchor-noted"    // the pending statement is durable; the witness was not asked
	pointAnswered = "anchor-answered" // the witness has given a receipt, which is not verified
	pointVerified = "anchor-verified" // it is; nothing is written
	pointStored   = "anchor-stored"   // the receipt is durable; memory does not know it yet
	pointConflict = "anchor-conflict" // the witness has contradicted; nothing is written
	pointAlarmed  = "anchor-alarmed"  // the alarm is durable; memory does not know it yet
	pointResuming = "anchor-resuming" // an operator ends the alarm; nothing is written
	pointResumed  = "anchor-resumed"  // that is durable; memory does not know it yet
)

// points are all of them.
var points = []string{pointCreated, pointBegun, pointChosen, pointNoted, pointAnswered, pointVerified, pointStored,
	pointConflict, pointAlarmed, pointResuming, pointResumed}
