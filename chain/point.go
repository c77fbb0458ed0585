package chain

import "qifeng/internal/fault"

// point is a place where a test may end the process, or let the step before it
// fail: the error is then taken for that step's own. It does nothing otherwise.
// Tests of this package replace it.
var point = fault.New()

// The places. Those up to pointSent are in the making of a seal, in their order
// (see guard.go); the others in that of the ledger (see store.go).
const (
	pointAllowed      = "allowed"       // the guard has let the seal pass; nothing is written
	pointGuardWritten = "guard-written" // the new guard lies in a temporary file
	pointGuardRenamed = "guard-renamed" // it has its name; the folder is not synced
	pointGuarded      = "guarded"       // it is durable; nothing is signed
	pointSigned       = "signed"        // the signatures exist in memory
	pointKept         = "kept"          // a seal is in the store, which does not know it yet
	pointStored       = "stored"        // the own seal is in the own store
	pointSent         = "sent"          // it is on its way to the others

	pointCreated   = "created"   // the ledger's database is there, and empty
	pointBegun     = "begun"     // the genesis is in it
	pointExecuted  = "executed"  // a height is executed in memory; nothing is written
	pointCommitted = "committed" // it is durable; memory does not know it yet
)

// points are all of them.
var points = []string{pointAllowed, pointGuardWritten, pointGuardRenamed, pointGuarded, pointSigned, pointKept, pointStored, pointSent,
	pointCreated, pointBegun, pointExecuted, pointCommitted}
