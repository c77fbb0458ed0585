package anchor

import (
	"time"

	"qifeng/proof/checkpoint"
)

const (
	// minEvery is the shortest cadence: a receipt is kept for ever, and what is
	// sealed within a second is one statement to a witness.
	minEvery = time.Second
	// maxEvery is the longest: beyond a day an anchor bounds nothing that the
	// consortium could not have rewritten overnight.
	maxEvery = 24 * time.Hour
	// maxTimeout bounds the deadline of one attempt. The slowest witness is a
	// Fabric channel whose orderers elect a new leader, some tens of seconds.
	maxTimeout = 10 * time.Minute
	// firstBackoff is the pause after a first failure; it doubles up to the
	// cadence, so that what returns has the newest checkpoint within one.
	firstBackoff = time.Second
	// logEvery is how often a failure that lasts is logged: status has it all the
	// time, and a log of an outage over the weekend must not bury all else.
	logEvery = 10 * time.Minute
	// grace is how long after its deadline a call is waited for before it is said to
	// hang. A driver has then only to notice that its context is done.
	grace = 5 * time.Second
	// endGrace and closeGrace are how long the end of the service waits for a call
	// that does not notice it, and then for the drivers to close: a node stops within
	// five seconds, however many of its anchors hang.
	endGrace   = 1500 * time.Millisecond
	closeGrace = 3 * time.Second

	// maxNames bounds the anchors of a node; a proof file carries 8 receipts, a
	// companion file 32.
	maxNames = 32
	// maxData bounds a receipt: a Fabric receipt has at most 32 KiB, a token 16.
	maxData = 64 << 10
	// maxNote bounds a note.
	maxNote = checkpoint.MaxNote
	// maxStatement bounds what is kept of a witness's contradicting word. It is
	// kept as it came; a Fabric block with large foreign transactions fits.
	maxStatement = 1 << 20
	// maxText bounds the words of an alarm and of LastError: they come from afar.
	maxText = 4 << 10

	// writeBuffer is what goleveldb collects in memory before it writes a table:
	// some dozens of receipts, so that a start has little to replay.
	writeBuffer = 1 << 20
	// blockCache is what it keeps of tables: the receipts that fresh proofs ask
	// for, of all anchors.
	blockCache = 4 << 20
)
