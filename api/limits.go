package api

import "time"

// Every bound of the HTTP interface, with its reason. The bounds of a request's
// content (submissions, field lengths) are package evidence's.
const (
	// maxKeyBody bounds POST /v1/keys: a key entry is under 1 KiB, and the chain
	// takes no transaction above 64 KiB.
	maxKeyBody = 8 << 10

	// maxHeaderBytes bounds a request's header: the longest legitimate one is a
	// look-up with a cursor, well under 1 KiB; signed reads will add about 1 KiB.
	maxHeaderBytes = 16 << 10

	// maxQuery bounds the raw query string: two hashes and a cursor fit ten times.
	maxQuery = 2 << 10

	// maxCursor bounds a page cursor, which the archive makes: two keys in base64.
	maxCursor = 256

	// maxWait is the longest `Prefer: wait` that is honoured (issue, part 9);
	// longer ones are cut to it, which RFC 7240 allows.
	maxWait = 30 * time.Second

	// keyWait is how long POST /v1/keys waits for the entry to be in a block: an
	// idle chain takes well under a second, a halted one never.
	keyWait = 15 * time.Second

	// maxWaiters bounds the requests that wait at once. Each is a goroutine and a
	// connection that wakes at every block; beyond it a request is answered at
	// once with the state reached so far.
	maxWaiters = 1024

	// defaultPage and maxPage bound a page of records: an element is up to about
	// 8 KiB (record, statement, receipt, paths), so a full page stays below 1 MiB.
	defaultPage = 20
	maxPage     = 100

	// readHeaderTimeout and readTimeout end slow senders: 4 MiB in 30 s is a
	// link of about 1 Mbit/s, the slowest that submits whole requests.
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second

	// writeTimeout counts from the end of the request's header, so it must hold
	// the body's reading, the longest wait and the answer's writing.
	writeTimeout = readTimeout + maxWait + 30*time.Second

	// idleTimeout keeps a client's connection through a pause between orders but
	// not for ever.
	idleTimeout = 90 * time.Second

	// drainTime is what requests get to end after the order to stop; the whole
	// process has 5 s (issue, part 11), the other rooms need the rest.
	drainTime = 2 * time.Second

	// retryAfter is what a client is told to wait when the node is busy: a batch
	// takes about this long to reach the chain.
	retryAfter = 1 * time.Second

	// reloadEvery is how old the look at the TLS files may be when a handshake
	// begins: two stats a second cost nothing, and who replaces a certificate
	// waits no longer.
	reloadEvery = time.Second

	// maxPEM bounds a TLS file: a chain of ten certificates is below 40 KiB.
	maxPEM = 128 << 10
)
