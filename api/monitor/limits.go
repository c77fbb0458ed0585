package monitor

import (
	"time"

	"qifeng/proof/checkpoint"
)

// Every bound of the monitor, with its reason.
const (
	// maxBehind bounds the checkpoints of nodes that are behind. A node that
	// catches up shows a few, and all of them are shown to be prefixes as soon as
	// it has.
	maxBehind = 16

	// MaxState bounds a state file: all notes at their bound, and each of their
	// lines with an escape.
	MaxState = (maxBehind+1)*(checkpoint.MaxNote+checkpoint.MaxNote/8) + 4096

	// maxAhead is how far a quorum's time may be ahead of this machine's clock
	// before the report says so: members do not collect a live seal that is more
	// than 60 s off.
	maxAhead = 60 * time.Second

	// maxPath bounds a consistency path: that between two ledgers of less than
	// 2^53 entries has at most 54 steps.
	maxPath = 54
)
