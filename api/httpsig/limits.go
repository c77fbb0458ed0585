package httpsig

import (
	"time"

	"qifeng/evidence"
)

// Every bound of signed requests, with its reason. Those of the headers are part
// of the format: docs/spec/http.md states them.
const (
	// Window is how far `created` may be from the node's clock, either way. A
	// request is signed when it is sent, so the window forgives clocks and the
	// network only: a server with NTP is off by less than a second, a desk
	// computer by less than a minute. It is short because a request that was
	// overheard is good for so long at a node that has restarted meanwhile, and
	// because every nonce is kept for up to twice as long.
	Window = 60 * time.Second

	// maxInput bounds the value of Signature-Input: with the longest member id and
	// key name and a body it has 220 bytes.
	maxInput = 256

	// maxSignature bounds the value of Signature, which has exactly 97 bytes.
	maxSignature = 97

	// maxDigest bounds the value of Content-Digest, which has exactly 54 bytes.
	maxDigest = 54

	// maxHost bounds the Host header: a DNS name has at most 253 bytes, with a
	// port 259.
	maxHost = evidence.MaxAddressBytes

	// maxTarget bounds path and query together: the longest path of the API is
	// under 100 bytes and its queries are bounded to 2 KiB.
	maxTarget = 4 << 10

	// maxMethod bounds the method's name: the longest registered one has 17 bytes.
	maxMethod = 17

	// maxBody bounds the body of a signed request, which is held in memory. No
	// read has a body today; a look-up of a thousand digests would have 64 KiB.
	maxBody = 128 << 10

	// maxNonces bounds the nonces that are remembered for one member, and
	// maxMembers the members. A nonce is kept for one window after the moment it
	// was made, so a member may read 2,184 times a second for ever: ten million
	// contracts a day, of five records each, are 579 proofs a second. The memory is
	// per member so that one that runs wild shuts the door for itself alone; 30
	// members that all do take about 140 MB (BenchmarkNonces).
	maxNonces  = 1 << 17
	maxMembers = evidence.MaxMembers
)

// windowSeconds is Window in the unit of `created`.
const windowSeconds = int64(Window / time.Second)
