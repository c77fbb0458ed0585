package fabric

import "time"

const (
	// maxMessage bounds what a peer may answer, a block above all. Fabric cuts
	// blocks at about 10 MiB unless it is told otherwise; larger than a receipt a
	// block is refused anyhow, but then with the reason.
	maxMessage = 16 << 20
	// maxRounds bounds how often one Put begins anew because the channel had
	// moved on: members that anchor the same ledger race each other, and each
	// round somebody has won.
	maxRounds = 8
	// settle is how long one Put waits for peers that have not committed yet what
	// another one has, and settleStep how often it looks. Peers follow within one
	// gossip interval, some seconds at Fabric's defaults.
	settle     = 20 * time.Second
	settleStep = 100 * time.Millisecond
	// minBehind and maxBehind bound how long a member that loses races stands back:
	// Fabric cuts a block after two seconds unless told otherwise, and the longest
	// wait must leave room within the deadline of one attempt.
	minBehind = 2 * time.Second
	maxBehind = 8 * time.Second
	// reconnect bounds the pause between attempts to connect: after an outage of
	// an hour an anchor must be back within its cadence.
	reconnect = 2 * time.Second
	// keepAlive is how long a call may be silent before the connection is tried: a
	// peer that vanished without a word must not keep the next call too. Fabric's
	// peers hang up on clients that ask more often than once a minute.
	keepAlive = 75 * time.Second
	// maxKeyFile bounds the files of keys and certificates.
	maxKeyFile = 64 << 10
	// maxSubsets bounds the organisations for which an endorsement policy is
	// understood by trying every set of them.
	maxSubsets = 16
	// maxPolicyDepth bounds the nesting of an endorsement policy.
	maxPolicyDepth = 16
)
