package api

import (
	"net/netip"
	"time"
)

// Every bound of the HTTP interface, with its reason. The bounds of a request's
// content (submissions, field lengths) are package evidence's.
const (
	// maxKeyBody bounds POST /v1/keys: a key entry is under 1 KiB, and the chain
	// takes no transaction above 64 KiB.
	maxKeyBody = 8 << 10

	// maxWitnessBody bounds POST /witness/add-checkpoint: a path of 63 hashes and a
	// note of another log, which C2SP logs keep well below this.
	maxWitnessBody = 64 << 10

	// maxHeaderBytes bounds a request's header: the longest legitimate one is a
	// look-up with a cursor, well under 1 KiB, with a signature of less than half of one.
	maxHeaderBytes = 16 << 10

	// maxQuery bounds the raw query string: two hashes and a cursor fit ten times.
	maxQuery = 2 << 10

	// maxCursor bounds a page cursor, which the archive makes: two keys in base64.
	maxCursor = 256

	// maxTilePath bounds what follows the level of a tile: the last tile of the
	// largest ledger is x035/x184/x372/x088/831.p/255.
	maxTilePath = 29

	// keptNotes is how many opened checkpoints are kept for the checking of proofs;
	// one is some KiB.
	keptNotes = 64

	// keptReceipts is how many verified receipts are remembered, with their notes: at
	// most 50 KiB each, commonly ten.
	keptReceipts = 64
	// tellAgain is how often the same bad receipt is logged again.
	tellAgain = time.Minute

	// fullTileAge and partialTileAge are how long a reader may keep a tile. A full
	// one never changes; neither does a partial one, but nobody asks for it again
	// once the ledger has grown.
	fullTileAge    = 365 * 24 * time.Hour
	partialTileAge = time.Hour

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

	// readHeaderTimeout ends senders of slow headers: an honest one is a single
	// packet. readTimeout is for all of a request.
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second

	// bodyGrace and minBodyRate end senders of slow bodies: what is to come may
	// take bodyGrace in all, besides the time that minBodyRate needs for what has
	// come. It is a link of 650 kbit/s; a full body has just under readTimeout.
	bodyGrace   = 4 * time.Second
	minBodyRate = 80 << 10

	// firstRead bounds what is kept free for a body of which nothing has come yet: a
	// request of one record fits, and net/http's own buffers are as large.
	firstRead = 4 << 10

	// bodyShare is which part of Bounds.BodyBytes one address may fill: at the
	// least rate, three addresses with all their connections leave a quarter.
	bodyShare = 4

	// burstTime is how long a caller may go on at twice its rate: a queue that was
	// held up for some seconds is sent without being held back.
	burstTime = 2 * time.Second

	// failureCost is how many requests one costs that fails by the caller's fault,
	// and each costlyBytes of its body besides: at the default rate an address can
	// fail a hundred times a second, or three times with the largest body, which
	// takes some milliseconds each.
	failureCost = 100
	costlyBytes = 64 << 10

	// pushRate is how many connections a second an address may make others go for.
	// A client whose pool is cut by a full node gets all of it back in seconds;
	// who has ten thousand connections to open gains nothing by trying.
	pushRate = 20

	// maxAddresses and maxKeys bound what is remembered of callers, at about 250
	// bytes each. Forgetting the one unused longest gives its tokens back, so more
	// addresses than this are needed to gain by it. Only keys that have signed are
	// remembered.
	maxAddresses = 1 << 16
	maxKeys      = 1 << 14

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

// Bounds are those that an operator may choose. The zero value of a field
// means its default, which DefaultBounds gives with the reason; a negative rate
// means none.
type Bounds struct {
	// Connections bounds those open at once, AddressConnections those of one
	// address. Each costs about 20 KiB and a file descriptor, of which a process
	// commonly has 8,192 and the chain and the archive need some hundreds. A
	// quarter leaves room for others, and is far more than a pool of connections
	// uses.
	Connections        int
	AddressConnections int

	// AddressRequests a second of one address. It is above what a node answers, so
	// that it holds back nobody who does what he may; what fails costs failureCost
	// times as much, and that is what this is for.
	AddressRequests int

	// KeyRequests and KeyRecords a second of one key. A vendor's whole load may
	// come by one key, 100,000 records a second in requests of 100, so the defaults
	// are beyond that and stop only a program that runs away. An operator who
	// serves several submitters sets them to what was agreed.
	KeyRequests int
	KeyRecords  int

	// Intakes bounds the requests between the end of their body and the answer of
	// the archive. It is more than a thousand that share a group, and fewer than
	// the archive lets wait; beyond it more would only wait longer.
	Intakes int

	// BodyBytes bounds the bodies held in memory at once: Intakes of 100 records,
	// 70 KiB each, fit three times.
	BodyBytes int64

	// Exempt are the networks of proxies, which hold back their callers
	// themselves: nothing is counted by these addresses.
	Exempt []netip.Prefix
}

// DefaultBounds are the bounds that a node uses.
func DefaultBounds() Bounds {
	return Bounds{
		Connections:        4096,
		AddressConnections: 1024,
		AddressRequests:    10_000,
		KeyRequests:        10_000,
		KeyRecords:         200_000,
		Intakes:            2048,
		BodyBytes:          512 << 20,
	}
}

// withDefaults fills the fields that are zero.
func (l Bounds) withDefaults() Bounds {
	d := DefaultBounds()
	for _, f := range []struct{ field, def *int }{
		{&l.Connections, &d.Connections}, {&l.AddressConnections, &d.AddressConnections},
		{&l.AddressRequests, &d.AddressRequests}, {&l.KeyRequests, &d.KeyRequests}, {&l.KeyRecords, &d.KeyRecords},
		{&l.Intakes, &d.Intakes},
	} {
		if *f.field == 0 {
			*f.field = *f.def
		}
	}
	if l.BodyBytes == 0 {
		l.BodyBytes = d.BodyBytes
	}
	return l
}
