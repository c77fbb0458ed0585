// Package fabric verifies offline that a Hyperledger Fabric channel holds a
// checkpoint: the transaction with its endorsements, its place in the block, the
// orderers' signatures on the block header, and an endorsed answer that read it
// back, against a channel that the verifier has pinned.
//
// It talks to no network (anchor/fabric does), reads no clock and no file, and
// builds for WASM.
package fabric

import (
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
}

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
	Organisations []string  // MSPs that endorsed the transaction and read it back, sorted
	Orderers      []string  // subjects of the orderers that signed the block header
	Claimed       time.Time // the submitting client's claim; Fabric itself states no time
}

// ErrReceipt is wrapped by every error of [Verify].
var ErrReceipt = errors.New("Fabric receipt")

// Verify checks a receipt against a pinned channel.
func Verify(receipt []byte, want Statement, c *Channel) (*Endorsed, error) {
	return nil, errors.Join(ErrReceipt, errors.New("not built"))
}

// CheckChannel refuses a channel that no receipt could verify under.
func CheckChannel(c *Channel) error { return errors.Join(ErrReceipt, errors.New("not built")) }
