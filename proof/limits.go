package proof

import "time"

const (
	// MaxFileBytes bounds a proof file. Two paths of 53 pairs are 16 KiB, thirty
	// seals 14 KiB; an ordinary file has 8 to 12 KiB.
	MaxFileBytes = 64 << 10
	// maxEntry bounds a ledger entry inside a proof file: batch headers and key
	// entries are below 2 KiB.
	maxEntry = 8 << 10
	// maxNote bounds the note inside a proof file: thirty members with three
	// lines each, about 130 bytes a line, and lines of witnesses.
	maxNote = 24 << 10
	// indentDepth is how far a written proof file is spread over lines.
	indentDepth = 3
	// clockGrain is the tolerance between a seal's time, in whole seconds, and
	// times in milliseconds.
	clockGrain = time.Second
)
