package checkpoint

// Every bound of the package. What exceeds one is malformed, never cut short.
const (
	// MaxMembers is the largest consortium. 30 members make 90 signature
	// lines, which fit in MaxLines, and 32 witnesses are what C2SP tlog-policy
	// asks of an implementation.
	MaxMembers = 30

	// MaxLines bounds the signature lines of a note. It is the bound of Go's
	// sumdb/note, so what we accept the second implementation can read.
	MaxLines = 100

	// MaxNote bounds a note in bytes. 90 lines of at most 155 bytes are under
	// 14 KiB; the rest is room for lines of other witnesses. A note stands
	// inside a proof file, which has the same bound.
	MaxNote = 64 << 10

	// MaxPolicy bounds a policy in bytes: an epoch of 30 members takes about
	// 20 KiB, so the file holds twelve changes of the largest consortium and a
	// hundred of one with four members.
	MaxPolicy = 256 << 10

	// MaxEpochs bounds the membership changes one policy can tell. Validate is
	// linear in it.
	MaxEpochs = 128

	// MaxPins bounds the pins of one epoch: a pin per week for five years. The
	// size of the file bounds their sum.
	MaxPins = 260

	// MaxSize is the largest ledger size. Sizes also stand in canonical JSON,
	// whose integers end at 2^53-1.
	MaxSize = 1<<53 - 1

	// MaxChainID keeps a chain id within what CometBFT takes (50 bytes).
	MaxChainID = 50

	// MaxMemberID keeps member ids short enough for file names, log lines and
	// one terminal column.
	MaxMemberID = 32

	// maxKeyName bounds the name of a witness. C2SP tlog-cosignature commits to
	// names of 1 to 255 bytes.
	maxKeyName = 255

	// maxVkey is the longest verifier key: name, key id, type and key in base64.
	maxVkey = maxKeyName + 1 + 8 + 1 + 44

	// MinNeutralRoles is the least number of different neutral roles in a
	// quorum. With one of them, vendors alone can never seal.
	MinNeutralRoles = 1

	// DefaultNeutralRoles is what a ceremony proposes: no single kind of
	// neutral institution can seal with the vendors alone.
	DefaultNeutralRoles = 2

	// maxBody is the longest body: origin, 16 digits, two roots in base64.
	maxBody = len(originPrefix) + MaxChainID + 16 + 44 + len(sm3Prefix) + 44 + 4
)
