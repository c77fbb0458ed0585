package chain

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/mempool"

	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// Kinds of error of the exported calls. An error that is none of these is a
// failure of this node.
var (
	// ErrInvalid (Invalid): the transaction is refused; the text says why. To
	// send the same bytes again cannot help. See [RefusedError].
	ErrInvalid = errors.New("transaction refused")

	// ErrBusy (Unavailable): too much waits, or the node is catching up. Send
	// the same bytes again later.
	ErrBusy = errors.New("the chain takes no transaction now")

	// ErrDuplicate (Conflict): these very bytes wait already, or were seen
	// lately. Nothing is wrong: Batch or Key tells when they are in.
	ErrDuplicate = errors.New("the transaction is known already")

	// ErrNotFound (NotFound): no such entry or size here, or not yet.
	ErrNotFound = errors.New("not in the ledger")
)

// RefusedError is an ErrInvalid, or an ErrBusy if the member has too many
// transactions waiting.
type RefusedError struct {
	Code uint32 // the result code on the chain; tx.go lists them
	Text string
}

func (e *RefusedError) Error() string { return "transaction refused: " + e.Text }

func (e *RefusedError) Unwrap() error {
	if code(e.Code) == codeBusy {
		return ErrBusy
	}
	return ErrInvalid
}

// Submit hands a signed transaction to this node's mempool, from where it
// reaches all members. A nil error is no promise: the mempool forgets at a
// restart, so whoever submits keeps the bytes until they are in the ledger.
func (ch *Chain) Submit(ctx context.Context, tx []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ch.stopping.Load() {
		return fmt.Errorf("%w: it is stopping", ErrBusy)
	}
	if ch.syncing() {
		return fmt.Errorf("%w: this node is catching up", ErrBusy)
	}
	var res *abci.ResponseCheckTx
	err := ch.comet.node.Mempool().CheckTx(tx, func(r *abci.ResponseCheckTx) { res = r }, mempool.TxInfo{})
	var tooLarge mempool.ErrTxTooLarge
	var full mempool.ErrMempoolIsFull
	switch {
	case errors.Is(err, mempool.ErrTxInCache):
		return ErrDuplicate
	case errors.As(err, &tooLarge):
		return &RefusedError{Code: uint32(codeSize), Text: err.Error()}
	case errors.As(err, &full), errors.Is(err, mempool.ErrRecheckFull):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case err != nil:
		return fmt.Errorf("submitting a transaction: %w", err)
	case res != nil && res.Code != abci.CodeTypeOK:
		return &RefusedError{Code: res.Code, Text: res.Log}
	}
	return nil
}

// ChainID returns the chain's id.
func (ch *Chain) ChainID() string { return ch.c.chainID }

// Policy returns the trust policy that the genesis states.
func (ch *Chain) Policy() *checkpoint.Policy { return ch.c.policy }

// Size returns the number of ledger entries.
func (ch *Chain) Size() uint64 { return ch.app.state().size }

// RegistrySize returns the ledger size right after the last change of the
// registry became active; 1 while there was none.
func (ch *Chain) RegistrySize() uint64 { return ch.app.state().registrySize }

// Entry returns a ledger entry: the genesis at 0, a transaction's bytes beyond.
func (ch *Chain) Entry(index uint64) ([]byte, error) {
	if size := ch.Size(); index >= size {
		return nil, fmt.Errorf("entry %d of %d: %w", index, size, ErrNotFound)
	}
	return ch.store.entry(index)
}

// Batch returns the ledger index of a node's batch.
func (ch *Chain) Batch(node string, seq uint64) (index uint64, ok bool, err error) {
	return ch.store.batch(node, seq)
}

// LastSeq returns the sequence number of a node's last batch, and the receipt
// time of its last record. Both are zero before the first.
func (ch *Chain) LastSeq(node string) (seq uint64, last time.Time, err error) {
	if _, ok := ch.c.members[node]; !ok {
		return 0, time.Time{}, fmt.Errorf("%s is no member of %s: %w", node, ch.c.chainID, ErrNotFound)
	}
	cur := ch.app.state().cursors[node]
	return cur.seq, cur.last, nil
}

// Key returns a registered key, also a revoked one.
func (ch *Chain) Key(member, name string) (Key, bool, error) {
	k, ok := ch.app.state().keys[member][name]
	return k, ok, nil
}

// Keys returns a member's keys sorted by name, or, for an empty member, those
// of all.
func (ch *Chain) Keys(member string) ([]Key, error) {
	st, ids := ch.app.state(), []string{member}
	if member == "" {
		ids = ch.c.ids
	} else if _, ok := ch.c.members[member]; !ok {
		return nil, fmt.Errorf("%s is no member of %s: %w", member, ch.c.chainID, ErrNotFound)
	}
	var out []Key
	for _, id := range ids {
		for _, name := range slices.Sorted(maps.Keys(st.keys[id])) {
			out = append(out, st.keys[id][name])
		}
	}
	return out, nil
}

// Inclusion returns the path of an entry to the root of a ledger size.
func (ch *Chain) Inclusion(index, size uint64) ([]merkle.Digest, error) {
	if have := ch.Size(); size > have || index >= size {
		return nil, fmt.Errorf("entry %d in size %d of %d: %w", index, size, have, ErrNotFound)
	}
	return merkle.InclusionAt(index, size, ch.store)
}

// Consistency returns the path from the root of size m to that of size n.
func (ch *Chain) Consistency(m, n uint64) ([]merkle.Digest, error) {
	if have := ch.Size(); m < 1 || m > n || n > have {
		return nil, fmt.Errorf("sizes %d and %d of %d: %w", m, n, have, ErrNotFound)
	}
	return merkle.ConsistencyAt(m, n, ch.store)
}

// Covering returns the first sealed checkpoint that covers an entry, with every
// first seal held now. ok is false while there is none.
func (ch *Chain) Covering(index uint64) (note []byte, size uint64, ok bool, err error) {
	size, ok, err = ch.store.seek(kSealed, index+1)
	if err != nil || !ok {
		return nil, 0, false, err
	}
	seals, err := ch.book.firsts(size)
	if err != nil {
		return nil, 0, false, err
	}
	note, err = ch.note(size, seals)
	return note, size, err == nil, err
}

// Checkpoint returns the newest sealed checkpoint with each member's newest
// seal on it. ok is false before the first one.
func (ch *Chain) Checkpoint() (note []byte, size uint64, ok bool, err error) {
	cp := ch.sealedHead.Load()
	if cp == nil {
		return nil, 0, false, nil
	}
	seals, err := ch.book.freshest(cp.Size)
	if err != nil {
		return nil, 0, false, err
	}
	note, err = ch.note(cp.Size, seals)
	return note, cp.Size, err == nil, err
}

// SealedHead returns size and root of the newest sealed checkpoint; zeros
// before the first one.
func (ch *Chain) SealedHead() (uint64, merkle.Digest) {
	cp := ch.sealedHead.Load()
	if cp == nil {
		return 0, merkle.Digest{}
	}
	return cp.Size, cp.Root
}

func (ch *Chain) note(size uint64, seals []checkpoint.Seal) ([]byte, error) {
	root, err := merkle.RootAt(size, ch.store)
	if err != nil {
		return nil, err
	}
	epoch, err := ch.c.policy.EpochOf(size)
	if err != nil {
		return nil, err
	}
	return checkpoint.Note(ch.c.checkpoint(size, root), seals, epoch)
}

// Seals returns the first seals held of a size that a block ended with, quorum
// or not, and what they seal.
func (ch *Chain) Seals(size uint64) ([]checkpoint.Seal, checkpoint.Checkpoint, error) {
	_, _, ok, err := ch.store.finalized(size)
	if err != nil {
		return nil, checkpoint.Checkpoint{}, err
	}
	if !ok {
		return nil, checkpoint.Checkpoint{}, fmt.Errorf("size %d: %w", size, ErrNotFound)
	}
	root, err := merkle.RootAt(size, ch.store)
	if err != nil {
		return nil, checkpoint.Checkpoint{}, err
	}
	seals, err := ch.book.firsts(size)
	return seals, ch.c.checkpoint(size, root), err
}
