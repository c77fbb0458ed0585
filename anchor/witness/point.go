package witness

import "qifeng/internal/fault"

// point is a place where a test may end the process, or let the step before it
// fail: the error is then taken for that step's own. It does nothing otherwise.
// Tests of this package replace it.
var point = fault.New()

// The places, in the order of server.go.
const (
	pointChecked  = "witness-checked"  // the checkpoint may be cosigned; nothing is written
	pointWritten  = "witness-written"  // the new state lies in a temporary file
	pointRenamed  = "witness-renamed"  // it has its name; the folder is not synced
	pointRecorded = "witness-recorded" // it is durable; nothing is signed
	pointSigned   = "witness-signed"   // the cosignature exists in memory
)

// points are all of them.
var points = []string{pointChecked, pointWritten, pointRenamed, pointRecorded, pointSigned}
