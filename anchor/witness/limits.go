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

	// maxSaid bounds what an error repeats of an answer.
	maxSaid = 200

	// putTimeout ends an attempt whose caller set no deadline.
	putTimeout = 30 * time.Second

	// headerTimeout is how long a witness may think: one signature and one write.
	headerTimeout = 20 * time.Second

	// maxHeader bounds the header of an answer.
	maxHeader = 16 << 10
)
