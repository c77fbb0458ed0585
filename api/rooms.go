package api

import (
	"context"

	"qifeng/api/wire"
	"qifeng/archive"
	"qifeng/chain"
	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// Intake takes submissions in. Submit stores all of a request or nothing, and
// returns only after the fsync; a retry gets the stored receipts back.
type Intake interface {
	Submit(ctx context.Context, req *evidence.Request) (*archive.Taken, error)
	Status() archive.Status
}

// Finder finds stored records; what is not there is an empty slice, no error.
type Finder interface {
	ByID(id evidence.ID) ([]archive.Stored, error)
	ByDigest(alg string, hash [32]byte, cursor string, limit int) ([]archive.Stored, string, error)
	ByDossier(dossier string, cursor string, limit int) ([]archive.Stored, string, error)
}

// Archive is what the api needs of archive.Archive.
type Archive interface {
	Intake
	Finder
}

// Ledger reads what the chain has agreed on.
type Ledger interface {
	Entry(index uint64) ([]byte, error)
	Batch(node string, seq uint64) (index uint64, ok bool, err error)
	Inclusion(index, size uint64) ([]merkle.Digest, error)
	Changed() <-chan struct{} // closed at the next commit or newly sealed size
}

// Sealing reads checkpoints and the seals on them.
type Sealing interface {
	SealedHead() (size uint64, root merkle.Digest) // newest sealed; size 0 before the first
	Covering(index uint64) (note []byte, size uint64, ok bool, err error)
	Checkpoint() (note []byte, size uint64, ok bool, err error)
	Seals(size uint64) ([]checkpoint.Seal, checkpoint.Checkpoint, error)
}

// Registry reads and changes the register of user keys.
type Registry interface {
	Key(member, name string) (chain.Key, bool, error)
	Keys(member string) ([]chain.Key, error)
	Submit(ctx context.Context, tx []byte) error
}

// Overview says what the chain is and how it does.
type Overview interface {
	ChainID() string
	Policy() *checkpoint.Policy
	Status() chain.Status
}

// Anchors are the receipts of outside witnesses that the node holds (package
// anchor, of which the api knows no more than this).
type Anchors interface {
	// Head is the largest ledger size that any of the witnesses holds, 0 for none.
	// Every waiting request asks at every change.
	Head() uint64
	// Covering gives of each anchor the first receipt over a size at least as large,
	// without a path.
	Covering(size uint64) ([]proof.Anchor, error)
	Status() []wire.AnchorStatus
	Changed() <-chan struct{} // closed at the next stored receipt
}

// Chain is what the api needs of chain.Chain.
type Chain interface {
	Ledger
	merkle.NodeReader // the complete nodes of the ledger's tree
	Sealing
	Registry
	Overview
}
