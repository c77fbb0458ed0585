// Package anchor has sealed checkpoints witnessed outside the consortium, and
// keeps the receipts: Hyperledger Fabric (anchor/fabric), RFC 3161 time-stamp
// authorities (anchor/tsa), C2SP witnesses (anchor/witness).
//
// It is no verifier: what a receipt proves is said by package proof, from the
// proof file alone, against anchor roots that the court itself holds. It is no
// part of sealing: an anchor that is slow, absent or hostile delays nobody.
//
// # Invariants
//
//   - Only a checkpoint whose seal quorum is met is anchored.
//   - A receipt is verified as a court would, before it is stored.
//   - What is stored with a receipt is the exact note that it covers.
//   - One attempt of one anchor is in flight; what comes meanwhile is coalesced
//     to the newest checkpoint.
//   - Two roots of one size are an alarm that keeps both statements; they are
//     never tried again, and never overwritten.
package anchor

import (
	"context"
	"errors"
	"fmt"

	"qifeng/proof"
	"qifeng/proof/merkle"
)

// Checkpoint is a sealed state of the ledger, as it is handed to an anchor.
type Checkpoint struct {
	Size uint64
	Root merkle.Digest
	Note []byte // the signed note: body, log lines, all seals held
}

// Ledger proves that one state of the ledger grew out of another.
type Ledger interface {
	// Consistency returns the path of RFC 9162 §2.1.4 from size m to size n of the
	// paired tree, 0 < m <= n.
	Consistency(m, n uint64) ([]merkle.Digest, error)
}

// Anchor is one outside witness. Implementations pass anchortest's conformance
// suite.
type Anchor interface {
	// Kind is the format of its receipts.
	Kind() proof.AnchorKind
	// Put has the checkpoint witnessed and returns the receipt. It may be called
	// again with the same checkpoint after any failure, and with a later one.
	// It returns before long once ctx is done. Errors: [Conflict] where the
	// witness holds another root of this size, or this state does not grow out of the
	// one that it holds; [Refused] where no repetition will help; anything else is
	// tried again.
	Put(ctx context.Context, cp Checkpoint, ledger Ledger) (Receipt, error)
	// Close gives connections and processes back.
	Close() error
}

// Receipt is what an outside witness gave.
type Receipt struct {
	// Note is the note that it covers: the checkpoint's, byte for byte, or for a
	// C2SP witness the checkpoint's with the witness's line added at the end.
	Note []byte
	// Data is the receipt in the format of the anchor's kind; empty for a C2SP
	// witness, whose line stands in the note.
	Data []byte
}

// Conflict says that two states of the ledger exclude each other. Both are kept:
// it is evidence against whoever made the second, and never retried.
type Conflict struct {
	Size         uint64
	Ours, Theirs []byte // note; what the witness holds or said, as it came
	Err          error
}

func (c *Conflict) Error() string {
	return fmt.Sprintf("the witness holds another state of the ledger at size %d: %v", c.Size, c.Err)
}

func (c *Conflict) Unwrap() error { return c.Err }

// ErrRefused is wrapped by an error that only an operator can mend: a key that
// is not registered, an organisation that may not write.
var ErrRefused = errors.New("refused")
