// Package fabric verifies offline that a Hyperledger Fabric channel holds a
// checkpoint: the transaction with its endorsements, its place in the block, the
// orderers' signatures on the block header, and an endorsed answer that read it
// back, against a channel that the verifier has pinned.
//
// It talks to no network (anchor/fabric does), reads no clock and no file, and
// builds for WASM.
//
// # What a verified receipt proves
//
// Peers of so many different pinned organisations ran put on a note of this state of
// the ledger (origin, size and both roots; the seals may be others): the chaincode of each checked the seal quorum by its own copy of the trust policy.
// The orderers put that transaction into this block. And peers of so many
// organisations later read the entry back, at the version (block, transaction)
// where this transaction stands: only a valid transaction gives a key its version,
// so that the read-back is their signed word that it was valid.
//
// # What is trusted for it
//
// That less than so many of the pinned organisations conspire, or that the
// orderers do not conspire with them. Fabric signs no validation codes, no commit
// and no time: the code in a receipt is one peer's word, and the time is the
// submitting client's claim. Certificates are judged as of the claimed time
// (Fabric itself judges chains without a time, and asks for expiry at the door).
// What an organisation had revoked when it was pinned counts for nothing, whenever
// it signed; one that revokes another certificate is pinned anew.
//
// # What of a receipt nobody signs
//
// The validation code: anything but 0 is refused, and 0 is believed for nothing.
// All else is signed, or is hashed into what is signed, or is compared with it: no
// byte of a receipt can be changed without failing.
package fabric

import (
	"bytes"
	"cmp"
	"errors"
	"time"

	"qifeng/proof/merkle"
)

// Channel is a channel that the verifier trusts.
type Channel struct {
	Name          string // of the anchor
	Channel       string // channel id
	Chaincode     string // name on the channel
	Organisations []Organisation
	Endorsements  int // so many different organisations must have endorsed
	Orderers      Orderers
}

// Organisation is an MSP: who issues the certificates of its peers or orderers.
type Organisation struct {
	MSP           string
	Roots         [][]byte // certificates, DER
	Intermediates [][]byte
	NodeOUs       bool // identities carry their role as an organisational unit
	// Revoked are the serial numbers of certificates that are none of its identities
	// any more, whichever of its CAs issued them: big-endian without leading zeros,
	// rising. It has them from its revocation lists.
	Revoked [][]byte
}

// CompareSerials orders serial numbers as numbers.
func CompareSerials(a, b []byte) int { return cmp.Or(cmp.Compare(len(a), len(b)), bytes.Compare(a, b)) }

// Orderers says whose signatures make a block header count.
type Orderers struct {
	Organisations []Organisation
	// Consenters are the certificates of a BFT ordering service, by id; empty for raft.
	Consenters []Consenter
	Signatures int // so many different consenters (BFT) or orderers (raft: 1) must have signed
}

// Consenter is one orderer of a BFT ordering service.
type Consenter struct {
	ID          uint64
	MSP         string
	Certificate []byte // DER
}

// Statement is what the channel must hold.
type Statement struct {
	Origin string
	Size   uint64
	Root   merkle.Digest
	Note   merkle.Digest // plain pair of the note's bytes
}

// Endorsed is what a verified receipt says.
type Endorsed struct {
	TxID          string
	Block         uint64
	Organisations []string      // MSPs that endorsed the transaction, sorted
	ReadBack      []string      // MSPs that endorsed the read-back, sorted
	Orderers      []string      // MSP and name of the orderers that signed the block header, sorted
	Note          merkle.Digest // of the note that was put: of this state, perhaps with other seals than the one at hand
	Claimed       time.Time     // the submitting client's claim; Fabric itself states no time
}

// ErrReceipt is wrapped by every error of [Verify].
var ErrReceipt = errors.New("Fabric receipt")

// ErrRevoked says that a signature is by a certificate that its organisation had
// revoked when it was pinned.
var ErrRevoked = errors.New("certificate revoked")
