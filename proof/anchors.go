package proof

import (
	"errors"

	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/merkle"
	"qifeng/proof/timestamp"
)

// AnchorKind is the format of an anchor's receipt.
type AnchorKind string

// The kinds of anchor (docs/spec/anchors.md).
const (
	AnchorFabric  AnchorKind = "fabric"
	AnchorRFC3161 AnchorKind = "rfc3161"
	AnchorWitness AnchorKind = "witness"
)

// Anchor is one element of a proof file's anchors: a checkpoint, at least as
// large as the proof's own, that an outside witness holds.
type Anchor struct {
	Kind       AnchorKind
	Name       string          // by which the anchor roots know the witness
	Checkpoint []byte          // the exact note that the receipt covers
	Path       []merkle.Digest // consistency, from the proof's checkpoint to this one; empty for equal sizes
	Receipt    []byte          // by kind: DER token; Fabric receipt; empty for a witness, whose line stands in the note
}

// AnchorRoots are the outside witnesses that a court trusts, and by which keys.
// The file is held beside the trust policy; one found inside a proof is never
// trusted.
type AnchorRoots struct {
	Chain      string
	Fabric     []fabric.Channel
	Timestamps []timestamp.Authority
	Witnesses  []checkpoint.Witness
}

// ParseAnchorRoots reads a file of anchor roots; white space and key order are free.
func ParseAnchorRoots(data []byte) (*AnchorRoots, error) { return nil, errors.New("not built") }

// Marshal returns the file as it is written.
func (r *AnchorRoots) Marshal() ([]byte, error) { return nil, errors.New("not built") }

// AnchorFile is a companion of a proof file: anchors alone, of one chain, that
// `qifeng proof upgrade` adds to a proof file, and that a verifier takes beside one.
// Its paths begin at size From.
type AnchorFile struct {
	Chain   string
	From    uint64 // size of the checkpoint that the paths begin at
	Anchors []Anchor
}

// ParseAnchorFile reads such a file.
func ParseAnchorFile(data []byte) (*AnchorFile, error) { return nil, errors.New("not built") }

// VerifyAnchor checks one anchor by itself, without the path: its note is sealed
// by the policy, and its receipt covers it. The node asks it before it stores a
// receipt.
func VerifyAnchor(a *Anchor, p *checkpoint.Policy, roots *AnchorRoots) (*AnchorReport, error) {
	return nil, errors.New("not built")
}

// AnchorReport is what one verified anchor says.
type AnchorReport struct{}
