package chain

// point names a place in the making of a seal where a drill may end the
// process. It does nothing but in drills: tests of this package replace it, and
// so does faults.go, which only a build with the tag "faults" holds.
var point = func(string) {}

// The places, in order (see guard.go).
const (
	pointAllowed      = "allowed"       // the guard has let the seal pass; nothing is written
	pointGuardWritten = "guard-written" // the new guard lies in a temporary file
	pointGuardRenamed = "guard-renamed" // it has its name; the folder is not synced
	pointGuarded      = "guarded"       // it is durable; nothing is signed
	pointSigned       = "signed"        // the signatures exist in memory
	pointStored       = "stored"        // the seal is in the own store
	pointSent         = "sent"          // the seal is on its way to the others
)
