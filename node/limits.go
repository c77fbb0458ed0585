package node

import "time"

// Bounds of the process and the command line, each with its reason.
const (
	// lostPrinted is how many lost batches a status prints line by line.
	lostPrinted = 8

	// stopGrace is what the supervisor gives its members after SIGTERM before
	// it kills them. A node stops within 5 seconds: an operator who waits
	// longer pulls the plug. The rest is for being reaped.
	stopGrace = 5500 * time.Millisecond

	// restartMin and restartMax bound the back-off of the supervisor: at once
	// for a member that was killed, seldom for one that cannot start.
	restartMin = 200 * time.Millisecond
	restartMax = 10 * time.Second

	// steadyAfter is how long a member must have run for its next death to
	// count as the first one.
	steadyAfter = 30 * time.Second

	// readyTimeout bounds the wait for a new network's first quorum. Four
	// members on a loaded two-core machine need a few seconds.
	readyTimeout = 90 * time.Second

	// pollEvery is how often a command asks about a state that it waits for. A
	// local answer costs well under a millisecond.
	pollEvery = 40 * time.Millisecond

	// minInterval is the shortest pause between two looks of a monitor: a look
	// costs the node some signatures and a path.
	minInterval = 100 * time.Millisecond

	// maxConfig is the largest configuration file: the generated one is 4 KiB.
	maxConfig = 256 << 10

	// maxSmallFile is the largest key, certificate or genesis file that is read
	// into memory: the largest honest one, a genesis of 30 members, is 40 KiB.
	maxSmallFile = 4 << 20

	// maxCardFile bounds a member card, about 1.3 KiB, reformatted by an editor.
	maxCardFile = 64 << 10

	// maxAuditLine bounds a line of the audit log, which has about 350 bytes.
	maxAuditLine = 4 << 10

	// hashBuffer is how much of a file is read at once: large enough that the
	// read is free beside the hashing, small enough for any machine.
	hashBuffer = 1 << 20

	// progressFrom is the file size from which a terminal shows a progress
	// bar: both hashes take about half a second for it.
	progressFrom = 64 << 20

	// fsckEvery is how often fsck says how far it is where there is no bar.
	fsckEvery = 10 * time.Second

	// defaultTimeout bounds a command that talks to a node.
	defaultTimeout = 30 * time.Second

	// logTail is how much of a dead member's log the supervisor shows.
	logTail = 2 << 10

	// maxScrapes and scrapeTimeout bound the reading of metrics: one collector
	// every few seconds, which takes milliseconds; a second one for a change-over.
	maxScrapes    = 3
	scrapeTimeout = 10 * time.Second
	// scrapeHeader, scrapeIdle and scrapeDrain are for the listener of their own:
	// a scraper's header is some hundred bytes, it comes every minute at least,
	// and a stop does not wait for it.
	scrapeHeader = 8 << 10
	scrapeIdle   = 2 * time.Minute
	scrapeDrain  = 250 * time.Millisecond

	// maxAnchors bounds the anchors of a node: a proof file holds eight.
	maxAnchors = 8

	// resumeEvery is how often a node looks whether an anchor is to be resumed.
	resumeEvery = time.Second
	// resumeAsk is how long qifeng anchor resume waits for the node to say what there
	// is to be resumed: one that is down takes the request at its start.
	resumeAsk = 2 * time.Second
	// tellAgain is how often the same fault of stored receipts is logged again: anybody
	// who asks for a proof finds it.
	tellAgain = time.Minute

	// maxAnchorText bounds what a status shows of an anchor's error: a line or two.
	maxAnchorText = 512

	// apartPause is how long qifeng anchor test waits for Fabric's peers to find each
	// other: they gossip every half second to four.
	apartPause = 2 * time.Second

	// maxUnsealed bounds the batches whose waiting for a quorum is measured: with
	// the quorum lost no batch gets on the chain either, so it is some hundred.
	maxUnsealed = 10_000
)
