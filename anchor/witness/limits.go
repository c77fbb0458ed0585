package witness

import "time"

const (
	// maxTurns bounds the requests of one attempt. The first finds out the size that
	// the witness holds, the second is accepted unless another member was faster in
	// between; four allow for two who were.
	maxTurns = 4

	// maxProof is C2SP's bound on the lines of a consistency proof: a path of 2^63
	// leaves.
	maxProof = 63

	// maxAnswer bounds what is read of an answer: signature lines of 16 keys that
	// rotate, under 300 bytes each.
	maxAnswer = 16 << 10

	// maxSaid bounds what an error repeats of an answer, and an answer of a request.
	maxSaid = 200

	// maxNamed bounds the keys that an error names; one that is registered is enough.
	maxNamed = 16

	// putTimeout ends an attempt whose caller set no deadline.
	putTimeout = 30 * time.Second

	// headerTimeout is how long a witness may think: one signature and one write.
	headerTimeout = 20 * time.Second

	// maxHeader bounds the header of an answer.
	maxHeader = 16 << 10
)

// As a witness of other logs.
const (
	// maxRequest bounds an add-checkpoint request: 63 lines of proof are under 3 KiB;
	// the note of the largest consortium, with every line, is under 14 KiB.
	maxRequest = 32 << 10

	// maxOrigin bounds the origin of a log, which C2SP has be 1 to 255 bytes.
	maxOrigin = 255

	// maxLogs bounds the logs of one witness: the state of all is written anew for
	// every cosignature.
	maxLogs = 64

	// maxKept bounds the logs in a state: those of the configuration, and those that
	// were taken out of it, which are never forgotten.
	maxKept = 256

	// maxLogKeys bounds the keys of one log: neutral members of a consortium.
	maxLogKeys = 30

	// maxLogsFile bounds the file of logs: 64 logs of 30 keys, with comments.
	maxLogsFile = 1 << 20

	// maxText bounds the text of a checkpoint, which is cosigned as a whole. Three lines
	// have under 400 bytes; the rest is for extension lines.
	maxText = 2 << 10

	// keptLines bounds the log's lines that are kept with a state, as evidence; C2SP
	// promises to read as many.
	keptLines = 16

	// maxHeld bounds what the state keeps of a note: text, and lines of at most 360
	// bytes.
	maxHeld = 8 << 10

	// maxState bounds the state file: maxKept notes of maxHeld bytes in base64, and their
	// origins.
	maxState = 4 << 20

	// maxSlots bounds the requests that are worked on at a time; what exceeds it is
	// told to come again. Ed25519 and one write are some milliseconds.
	maxSlots = 16

	// logRate and logBurst bound how often a log may grow here: each time syncs the disk
	// twice, which the own ledger writes to as well. A log that has fallen behind
	// catches up by one request.
	logRate  = 2
	logBurst = 20

	// tellRate and tellBurst bound the lines of the own log, by log and second, about
	// requests that anybody can repeat.
	tellRate  = 0.1
	tellBurst = 5

	// readTimeout is how long a request may take to arrive.
	readTimeout = 10 * time.Second
)
