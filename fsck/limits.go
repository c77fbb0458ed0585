package fsck

const (
	// maxDocument bounds genesis, policy, card, guard and key files as read; the
	// largest honest one is a policy of many epochs, 256 KiB.
	maxDocument = 4 << 20
	// maxGroup and maxFooter bound a frame's payload: what archive/limits.go writes
	// at most (a group of 4 MiB and one request; 128 bytes a record of 2^20 a
	// stream). A claim of more is not read into memory.
	maxGroup  = 16 << 20
	maxFooter = 160 << 20
	// maxBatchFile is where offsets of 32 bits end.
	maxBatchFile = 1<<32 - 1
	// perFolder is how many numbers a folder of batches holds.
	perFolder = 256
	// maxPerBlock is what consensus lets one member have in a block, and maxKeys
	// how many names it can register (chain/limits.go).
	maxPerBlock = 4
	maxKeys     = 4096
	// maxBlockParts bounds a block as read: 64 parts of 64 KiB are the 4 MiB of
	// consensus, the rest is what surrounds them.
	maxBlockParts = 128
	// maxMessage bounds a record of CometBFT's write-ahead log: its own bound is
	// 1 MiB and some.
	maxMessage = 2 << 20
	// maxAuditLine bounds a line of the audit log, which has about 350 bytes.
	maxAuditLine = 4 << 10
	// blockCache and openFiles bound what goleveldb keeps: a look-up by number and
	// the run through a table need little.
	blockCache = 8 << 20
	openFiles  = 128
	// maxJoined bounds the journals of a database that are read as one: each has
	// what goleveldb collects before it writes a table, 4 MiB, and one batch.
	maxJoined = 64 << 20
	// maxWitnessed bounds the logs in the state of a witness (anchor/witness/limits.go).
	maxWitnessed = 256
	// maxNotes bounds the notes of a report: the first ones say it all.
	maxNotes = 100
)
