package proof

import (
	"time"

	"qifeng/evidence"
	"qifeng/proof/fabric"
	"qifeng/proof/timestamp"
)

const (
	// MaxFileBytes bounds a proof file. Two paths of 53 pairs are 16 KiB, thirty
	// seals 14 KiB; an ordinary file has 8 to 12 KiB.
	MaxFileBytes = 64 << 10
	// maxEntry bounds a ledger entry inside a proof file: batch headers and key
	// entries are below 2 KiB.
	maxEntry = 8 << 10
	// maxNote bounds the note inside a proof file: thirty members with three
	// lines each, about 130 bytes a line, and lines of witnesses.
	maxNote = 24 << 10
	// MaxAnchors bounds the anchors of a proof file: what three kinds give with two
	// or three of each; the bytes of the file bound them before.
	MaxAnchors = 8
	// maxToken bounds a time-stamp token, maxFabricReceipt a Fabric receipt: what
	// their rooms take.
	maxToken         = timestamp.MaxTokenBytes
	maxFabricReceipt = fabric.MaxReceipt
	// maxConsistency bounds a consistency path: between two trees of at most 2^53
	// leaves it has one pair more than an inclusion path.
	maxConsistency = evidence.MaxPath + 1
	// MaxAnchorFileBytes and MaxFileAnchors bound a companion file: it takes what a
	// proof file has no room for, as three Fabric receipts in base64.
	MaxAnchorFileBytes = 256 << 10
	MaxFileAnchors     = 32
	// MaxAnchorRootsBytes bounds the file of anchor roots: a hundred certificates
	// of 2 KiB in base64, with room for names.
	MaxAnchorRootsBytes = 512 << 10
	// maxRootsOfKind bounds the anchors of one kind that the roots know: more than
	// a court would look at one by one.
	maxRootsOfKind = 32
	// maxCertificate bounds one certificate of the roots, maxCertificates a list of
	// them. An RSA-4096 certificate with all extensions is about 2 KiB.
	maxCertificate  = 16 << 10
	maxCertificates = 16
	// maxOrganisations and maxConsenters bound a Fabric channel: the largest in
	// public use have about twenty of each.
	maxOrganisations = 64
	maxConsenters    = 128
	// maxFabricName bounds the ids of channels, chaincodes and MSPs: Fabric has 249
	// for a channel, and fewer for the others.
	maxFabricName = 249
	// maxWitnessKey bounds a witness's verifier key: a name of at most 255 bytes, a
	// key id and a key.
	maxWitnessKey = 320
	// maxShown bounds what a report shows of a text that a certificate or a receipt
	// may have made: a few lines.
	maxShown = 2 << 10
	// clockBound is how far apart two honest clocks may be: members refuse a live
	// seal that is further off.
	clockBound = 60 * time.Second
	// indentDepth is how far a written proof file is spread over lines.
	indentDepth = 3
	// clockGrain is the tolerance between a seal's time, in whole seconds, and
	// times in milliseconds.
	clockGrain = time.Second
)
