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
	// The worker asks for one at a time. It returns before long once ctx is done,
	// and a receipt that arrives with the deadline is a receipt. Errors: [Conflict] where the
	// witness holds another root of this size, or this state does not grow out of the
	// one that it holds; [Refused] where no repetition will help; anything else is
	// tried again.
	Put(ctx context.Context, cp Checkpoint, ledger Ledger) (Receipt, error)
	// Close gives connections and processes back. No Put is asked for after it.
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

// ErrSpent is wrapped by an error over a receipt that was given and is of no use.
// The next one may have to be paid for too, so it is asked for at the cadence and
// no sooner.
var ErrSpent = errors.New("a receipt was given and cannot be used")
