package chain

import (
	"time"

	"qifeng/evidence"
	"qifeng/proof/checkpoint"
)

// Bounds of the state machine. They are part of consensus: a node with another
// number here leaves the chain.
const (
	// maxTxBytes bounds a transaction, and so a ledger entry.
	maxTxBytes = evidence.MaxTxBytes
	// maxTxsPerMember bounds what one member puts into one block, so that no
	// member crowds out the others: one batch header is in flight per node, the
	// rest is room for key entries.
	maxTxsPerMember = 4
	// maxKeysPerMember bounds the names that a member can ever register. A name
	// is never free again, so this is what the registry costs: 30 members of
	// 4,096 keys of about 250 bytes are 30 MB in memory, and the 1 MB of one
	// member that a key entry rehashes takes about 5 ms.
	maxKeysPerMember = 4096
	// maxBlockBytes bounds a block: 30 members of 4 transactions of 64 KiB are
	// 7.5 MiB, but honest headers are 1 KiB; what does not fit waits.
	maxBlockBytes = 4 << 20
	// maxEvidenceBytes bounds CometBFT's evidence of double votes in a block.
	maxEvidenceBytes = 64 << 10
	// maxEvidenceAge and maxEvidenceBlocks: how long a double vote can be
	// charged. Two days cover a weekend's outage.
	maxEvidenceAge    = 48 * time.Hour
	maxEvidenceBlocks = 100_000
)

// Bounds of one node. Nodes may differ in these.
const (
	// maxPendingPerMember bounds a member's transactions in this node's
	// mempool: what one block could take.
	maxPendingPerMember = maxTxsPerMember
	// mempoolTxs and mempoolBytes bound the mempool as a whole: all members at
	// their bound.
	mempoolTxs   = checkpoint.MaxMembers * maxPendingPerMember
	mempoolBytes = mempoolTxs * maxTxBytes
	// mempoolCache remembers transactions that were seen, so that gossip does
	// not check them again.
	mempoolCache = 10_000

	// maxHandshakes bounds the connections to the peer port. Strangers are known
	// only after their handshake, and one that says nothing has its place for
	// handshakeWithin, which are some round trips of a slow link; with few places
	// a few of them would keep members out. Beyond 170 a second they do: then the
	// port must be closed to all but the members' addresses.
	maxHandshakes   = 512
	handshakeWithin = 3 * time.Second

	// maxSealMessage bounds a message on the seal channel: an answer with the
	// seals of 30 members takes 9.2 KiB.
	maxSealMessage = 16 << 10
	// maxWants bounds how many sizes one round of asking names.
	maxWants = 32
	// maxHeldPerMember bounds the seals kept for sizes that this node has not
	// reached: of a member that is ahead only the newest matter.
	maxHeldPerMember = 4
	// maxInbox bounds the messages read from peers and not yet worked on; more
	// are dropped, and asked for later.
	maxInbox = 1024
	// maxOwnQueue bounds the sizes that wait for this member's own seal. Beyond
	// it the oldest are skipped: a later checkpoint covers them.
	maxOwnQueue = 256
	// peerBudget is how many seal messages a peer may send at once and
	// peerRefill how many a second on average. An honest peer sends its own seal
	// of each block, some 20 a second, and at most 2*maxWants questions and as
	// many answers to ours.
	peerBudget = 2000
	peerRefill = 500

	// clockBehind is how far this node's clock may be behind block time before
	// it stops sealing (design §7).
	clockBehind = 5 * time.Second
	// liveTolerance is how far a live seal's time may be from this node's clock
	// (design §7).
	liveTolerance = 60 * time.Second
	// freshRounds: a member counts as sealing while its newest seal is not
	// older than this many reseal intervals.
	freshRounds = 3

	// askEvery is the pace of asking for missing seals of the newest size; for
	// older sizes rounds begin at askOldFirst and slow down to askOldLast.
	askEvery    = 2 * time.Second
	askOldFirst = 5 * time.Second
	askOldLast  = 10 * time.Minute

	// retellFirst is how long no block may come before waiting transactions are
	// told to the others again; it grows by as much up to retellLast.
	retellFirst = 2 * time.Second
	retellLast  = time.Minute
	// lateBy is how many heights more than a third of the members are ahead of a
	// node that is catching up within consensus; one or two are the ordinary case
	// of a slow line. Meanwhile a seal is given once in sealWhenLate.
	lateBy       = 3
	sealWhenLate = time.Second

	// tickEvery is the pace of the sealer's own clock.
	tickEvery = 100 * time.Millisecond
	// dialEvery is the pace of dialling members that are away. It doubles up to
	// dialSlowest.
	dialEvery   = 250 * time.Millisecond
	dialSlowest = time.Second
	// maxGenesisAhead is how far the genesis may be dated ahead of this node's
	// clock: CometBFT sleeps until then.
	maxGenesisAhead = 10 * time.Second
	// maxBlockAhead is how far block time may be ahead of this node's clock
	// before CometBFT, which knows nothing of our rules, refuses the block and so
	// ends. A clock that is minutes slow should only keep its member from sealing
	// (clockBehind). It is no more than that, because block time never goes back:
	// if half of all clocks were set far ahead, nobody with a true clock could
	// seal until it is so late.
	maxBlockAhead = 10 * time.Minute
	// signedHeights is for how many heights the own votes are remembered: a
	// commit is looked at one height later.
	signedHeights = 16
	// clockSamples is how many live seals a member's clock is estimated from.
	clockSamples = 5
	// clockApart is from when on a member's clock is worth a line in the log: as
	// far as it may be behind block time.
	clockApart = clockBehind
	// maxFrauds bounds the fraud proofs kept as files: a rogue member can sign
	// contradictions without end, and the first ones say it all.
	maxFrauds = 256
	// stopWithin bounds Stop: a process has 5 seconds, of which the api takes 2.
	stopWithin = 2500 * time.Millisecond
	// stallHeartbeats: with a quorum of peers at our height and no block for so
	// many heartbeats, and no less than stallLeast, consensus is taken for dead.
	stallHeartbeats = 5
	stallLeast      = 30 * time.Second

	// maxAlarms bounds the alarms that Status repeats, and maxAlarmValue each
	// value in them; the log has them whole.
	maxAlarms     = 16
	maxAlarmValue = 200
	// maxPace bounds the sizes whose seals are timed: at 20 new sizes a second,
	// three seconds of a slow member.
	maxPace = 64
	// maxConflicts bounds the conflicting seals kept of one member and size: two
	// roots prove the lie, more prove nothing new.
	maxConflicts = 4
	// maxGuardBytes bounds the guard file as read; it has about 300 bytes.
	maxGuardBytes = 4 << 10
	// maxKeyFileBytes bounds a key file as read; CometBFT's have less than 1 KiB.
	maxKeyFileBytes = 16 << 10
)

// Defaults of Config.
const (
	defaultHeartbeat     = 60 * time.Second
	defaultTimeoutCommit = 50 * time.Millisecond
	defaultReseal        = 10 * time.Second
)
