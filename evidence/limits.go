package evidence

import "time"

// Bounds of the formats. They are part of the formats: a document beyond one
// is invalid for every verifier.
const (
	// MaxSubmissionBytes bounds one submission. The largest honest one, with 16
	// refs, is about 3.5 KiB.
	MaxSubmissionBytes = 4 << 10
	// MaxRecordBytes is a submission with its intake, which is about 330 bytes.
	MaxRecordBytes = MaxSubmissionBytes + 512
	// MaxSubmissions bounds one request: 1,000 records share one signature, and
	// one request stays about a megabyte.
	MaxSubmissions = 1000
	// MaxRequestBytes is the largest body of POST /v1/records: 1,000 ordinary
	// submissions of about 600 bytes with room for refs.
	MaxRequestBytes = 2 << 20
	// MaxRefs bounds the submissions that one submission refers to.
	MaxRefs = 16
	// MaxSteps bounds the step of a submission within its dossier and the count
	// of a closed dossier.
	MaxSteps = 10_000
	// MaxContentBytes bounds the stated size of content: 2^53-1, what JSON can say.
	MaxContentBytes = 1<<53 - 1
	// MaxTxBytes bounds one transaction of the chain, and so one ledger entry
	// other than the genesis.
	MaxTxBytes = 64 << 10
	// MaxGenesisBytes bounds the genesis: entry 0 of the ledger must fit in a
	// C2SP entry bundle, whose lengths have 16 bits. 30 ordinary cards make 32 KiB,
	// 30 cards with every field at its bound 58 KiB. (Every other entry is a batch
	// or key entry, whose fields hold it below 2 KiB.)
	MaxGenesisBytes = 1<<16 - 1
	// MaxCardBytes bounds a member card.
	MaxCardBytes = 4 << 10
	// MaxSignedBytes bounds a statement, a receipt head and a key entry; each is
	// below 1 KiB.
	MaxSignedBytes = 4 << 10
	// MaxBatchRecords bounds the records of one stream of one batch, so that a
	// path in a stream has at most 20 steps.
	MaxBatchRecords = 1 << 20
	// MaxPath bounds a Merkle path: 2^53 leaves have paths of 53 steps.
	MaxPath = 53
	// MaxMembers bounds a consortium (design: at most 30, one vote each).
	MaxMembers = 30
	// MaxNameBytes bounds an organisation's display name: 64 Chinese characters.
	MaxNameBytes = 192
	// MaxAddressBytes bounds host:port and URLs: a DNS name has at most 253 bytes.
	MaxAddressBytes = 300
	// MaxClaims bounds a claims file, and MaxClaimName and MaxClaimValue its
	// parts; a value is a name, a number, an SMS reference, never a document.
	MaxClaims     = 256
	MaxClaimName  = 64
	MaxClaimValue = 4 << 10
	// MaxClaimsBytes bounds a claims file as read.
	MaxClaimsBytes = 2 << 20
	// MaxDeadline bounds what a receipt may promise: a later deadline promises
	// nothing that a court could wait for.
	MaxDeadline = 30 * 24 * time.Hour
	// maxKeyName bounds the name of a key in bytes: it is for people to tell keys
	// apart, and stands in every submission.
	maxKeyName = 32
	// maxSlab bounds how many values a reader of submissions allocates at once:
	// 100 submissions stay below the 32 KiB from which on the allocator goes to
	// the page heap.
	maxSlab = 100
)
