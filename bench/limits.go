package bench

import "time"

// Every bound of the package, with its reason.
const (
	// maxConnections is what one address may have open on a node by default.
	maxConnections = 1024

	// maxWaiting bounds the sampled records that wait for their seal at once. A
	// node holds at most that many requests; at 20 samples a second it is a
	// standstill of 50 seconds.
	maxWaiting = 1000

	// requestTimeout is for one request with the reading of its answer: a node
	// under load answers in milliseconds, one that is overloaded refuses.
	requestTimeout = 30 * time.Second

	// sealTimeout is how long a sampled record, or the end of a run, may take to
	// be sealed until it counts as not sealed.
	sealTimeout = 60 * time.Second

	// maxPause is the longest Retry-After that is honoured.
	maxPause = 30 * time.Second

	// drainPoll is how often the node is asked whether all is on the chain after
	// the last receipt; it bounds the error of that figure.
	drainPoll = 10 * time.Millisecond

	// overtime is how long after its end an open loop goes on with requests that
	// came due before: as long as a stumbling node may need to catch up.
	overtime = 2 * time.Second

	// watchEvery is how often the processes are looked at.
	watchEvery = 100 * time.Millisecond

	// scrapeEvery is the same for metrics, which cost the node a millisecond.
	scrapeEvery = time.Second

	// longest is the longest latency that is told apart from longer ones, and
	// digits how exact: 0.1 per cent.
	longest = 10 * time.Minute
	digits  = 3

	// shards of a histogram, so that connections do not wait for each other.
	shards = 8

	// remembered records are those that look-ups are tried on: enough that the
	// node's caches do not hold all of them.
	remembered = 20_000

	// twice is how many sampled proofs are verified by both SM libraries after the
	// run: 10 ms each, too much to do while the node needs the cores.
	twice = 16

	// maxNotes is how many notes of what went wrong are kept.
	maxNotes = 20
)
