package client

import (
	"time"

	"qifeng/api/wire"
)

// Every bound of the client, with its reason.
const (
	// maxRecordsAnswer bounds an answer that holds records: 1,000 of at most about
	// 12 KiB (record, statement, receipt, two paths), with room.
	maxRecordsAnswer = 32 << 20

	// maxSmallAnswer bounds every other answer: the largest, a genesis of 30
	// cards or 30 members' seals, is below 64 KiB, and so is a proof file.
	maxSmallAnswer = 512 << 10

	// maxBundle bounds an entry bundle: 256 entries with their lengths, each as
	// long as 16 bits can say.
	maxBundle = wire.TileWidth * (2 + 1<<16 - 1)

	// maxProblem bounds a problem document, which is below 2 KiB.
	maxProblem = 16 << 10

	// maxHeads bounds the heads that a RangeVerifier remembers, 600 bytes each. Only
	// the newest few are asked for again.
	maxHeads = 256

	// MaxWait is the longest wait that a node honours in one request.
	MaxWait = 30 * time.Second

	// defaultTimeout is for one attempt, on top of the wait asked for: a full
	// request of 2 MiB over a link of 1 Mbit/s takes 17 s.
	defaultTimeout = 30 * time.Second

	// defaultAttempts with back-off spans about 5 s: a node that restarts.
	defaultAttempts = 5

	// firstBackoff doubles with each attempt up to maxBackoff.
	firstBackoff = 200 * time.Millisecond
	maxBackoff   = 5 * time.Second

	// maxRetryAfter bounds what a node can make a client wait.
	maxRetryAfter = 30 * time.Second
)
