package fabric

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"qifeng/anchor"
	"qifeng/evidence/canon"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/merkle"
)

// driver implements anchor.Anchor over a network.
//
// A checkpoint's way, and what a failure at each step leaves:
//
//  1. head: how far the channel is, by one peer. If it is as far as the
//     checkpoint, go on at 4.
//  2. put is endorsed with the consistency path from there. Nothing has changed on
//     the channel. A refusal that names another head begins again at 1.
//  3. It is submitted and its commit awaited. If the outcome is not heard of, or a
//     race was lost, 4 finds out; put again is answered with what is kept.
//  4. get is endorsed by as many organisations as a receipt needs, until they all
//     have committed the entry. It says by the entry's version which transaction
//     wrote it: ours, an earlier one of ours whose outcome was lost, or another
//     member's.
//  5. The block with that transaction is fetched, and the receipt verified as a
//     court would.
type driver struct {
	n       Network
	channel *fabric.Channel
	log     *slog.Logger
	policy  *checkpoint.Policy // nil: notes are put as they are

	// behind is how long to wait, at most, before the next put: members that anchor
	// one ledger learn of each checkpoint at the same moment, and as many puts in
	// one block make everybody's receipt larger. Who loses a race stands back, the
	// winner does not; whoever then finds the checkpoint there needs no put. Only
	// Put touches it.
	behind time.Duration
}

// New makes an anchor of a network and the channel as it is pinned in the anchor
// roots. Closing the anchor closes the network.
func New(n Network, pinned *fabric.Channel, log *slog.Logger, options ...Option) (anchor.Anchor, error) {
	if err := fabric.CheckChannel(pinned); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d := &driver{n: n, channel: pinned, log: log}
	for _, o := range options {
		o(d)
	}
	return d, nil
}

// Option changes a driver.
type Option func(*driver)

// Shorten has no more of a note put on the channel than meets the quorum of a
// policy. A receipt carries every transaction of its block: of thirty members, two
// that put the full note into one block would both have a receipt that fits into
// no proof file. The receipt covers the body, and stands beside the full note.
func Shorten(p *checkpoint.Policy) Option { return func(d *driver) { d.policy = p } }

// Kind implements anchor.Anchor.
func (d *driver) Kind() proof.AnchorKind { return proof.AnchorFabric }

// Close implements anchor.Anchor.
func (d *driver) Close() error { return d.n.Close() }

// Put implements anchor.Anchor.
func (d *driver) Put(ctx context.Context, cp anchor.Checkpoint, ledger anchor.Ledger) (anchor.Receipt, error) {
	data, err := d.put(ctx, cp, ledger)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		return anchor.Receipt{}, fmt.Errorf("anchoring size %d on channel %s: %w", cp.Size, d.channel.Channel, err)
	}
	return anchor.Receipt{Note: cp.Note, Data: data}, nil
}

func (d *driver) put(ctx context.Context, cp anchor.Checkpoint, ledger anchor.Ledger) ([]byte, error) {
	want, err := statement(cp)
	if err != nil {
		return nil, err
	}
	for round := range maxRounds {
		if round > 0 {
			if err := pause(ctx, settleStep); err != nil {
				return nil, err
			}
		}
		head, err := d.head(ctx, want.Origin)
		if err == nil && round == 0 && head.Size < want.Size && d.behind > 0 {
			head, err = d.standBack(ctx, want)
		}
		if err != nil {
			return nil, err
		}
		var unheard error
		if head.Size < want.Size {
			again, err := d.add(ctx, cp, want, head, ledger)
			switch {
			case errors.Is(err, ErrUnknown) && ctx.Err() == nil:
				d.log.Warn("it is not known whether a transaction was committed; looking", "err", err)
				unheard = err
			case errors.Is(err, ErrApart) && round+1 < maxRounds && ctx.Err() == nil:
				continue // one of them is a block behind, as when another member's put was just committed
			case err != nil:
				return nil, err
			case again:
				continue
			}
		}
		data, err := d.receipt(ctx, cp, want)
		if !errors.Is(err, errAbsent) {
			return data, err
		}
		if unheard != nil {
			return nil, unheard // it may come yet; the next attempt will see it
		}
		if head.Size > want.Size {
			return nil, fmt.Errorf("the channel is at size %d already and has no entry of this one: the next checkpoint will be put", head.Size)
		}
	}
	return nil, fmt.Errorf("the channel moved on under each of %d attempts", maxRounds)
}

// standBack waits by chance, at most as long as the last lost races say and a
// quarter of the time that is left, and looks again.
func (d *driver) standBack(ctx context.Context, want fabric.Statement) (fabric.Statement, error) {
	most := d.behind
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline)/4)
	}
	if most > 0 {
		if err := pause(ctx, rand.N(most)); err != nil {
			return fabric.Statement{}, err
		}
	}
	head, err := d.head(ctx, want.Origin)
	if head.Size < want.Size {
		d.behind /= 2 // the others may be gone
	}
	return head, err
}

// statement is what the channel is to hold; the note's body must be the
// checkpoint's.
func statement(cp anchor.Checkpoint) (fabric.Statement, error) {
	origin, _, _ := bytes.Cut(cp.Note, []byte("\n"))
	s := fabric.Statement{Origin: string(origin), Size: cp.Size, Root: cp.Root, Note: merkle.Sum(cp.Note)}
	body := checkpoint.Checkpoint{Origin: s.Origin, Size: s.Size, Root: s.Root}.Body()
	if !bytes.HasPrefix(cp.Note, append(body, '\n')) {
		return s, fmt.Errorf("%w: the note is not of the checkpoint", anchor.ErrRefused)
	}
	return s, nil
}

// head asks a peer for the newest entry of a log; the zero entry if there is none.
func (d *driver) head(ctx context.Context, origin string) (fabric.Statement, error) {
	b, err := d.n.Evaluate(ctx, d.channel.Chaincode, []byte(fabric.FunctionHead), []byte(origin))
	if absent(err) {
		return fabric.Statement{Origin: origin, Root: merkle.EmptyRoot()}, nil
	}
	if err != nil {
		return fabric.Statement{}, err
	}
	s, err := fabric.ParseStatement(b)
	if err == nil && s.Origin != origin {
		err = errors.New("it is another log's")
	}
	if err != nil {
		return s, fmt.Errorf("the newest entry of %s: %w", origin, err)
	}
	return s, nil
}

func absent(err error) bool {
	var r *Rejection
	if !errors.As(err, &r) {
		return false
	}
	_, ok := r.says("NOTFOUND")
	return ok
}

// add puts the checkpoint on the channel, which stands at head. again: the channel
// was elsewhere. Without an error and without again it is there, or may be.
func (d *driver) add(ctx context.Context, cp anchor.Checkpoint, want, head fabric.Statement, ledger anchor.Ledger) (again bool, err error) {
	path := []merkle.Digest{}
	if head.Size > 0 {
		if path, err = ledger.Consistency(head.Size, cp.Size); err != nil {
			return false, fmt.Errorf("the path from the channel's size %d: %w", head.Size, err)
		}
		if err := merkle.VerifyConsistency(head.Size, cp.Size, head.Root, cp.Root, path); err != nil {
			return false, d.fork(ctx, cp, want.Origin, ledger)
		}
	}
	note := cp.Note
	if d.policy != nil {
		if note, err = checkpoint.QuorumNote(note, d.policy); err != nil {
			return false, fmt.Errorf("%w: %w", anchor.ErrRefused, err)
		}
	}
	e, err := d.n.Endorse(ctx, putArgs(note, head.Size, path)...)
	if err != nil {
		return d.refused(ctx, cp, want.Origin, ledger, err)
	}
	call, err := fabric.ReadBackOf(e.Payload)
	if err != nil {
		return false, err
	}
	read, err := call.Verify(d.channel)
	if err != nil {
		return false, fmt.Errorf("nothing was submitted: %w", err)
	}
	if !read.Writes() {
		return false, nil // it is there already
	}
	commit, err := d.n.Submit(ctx, e)
	switch {
	case err != nil:
		return false, err
	case commit.Code == codeMVCC:
		d.behind = min(max(2*d.behind, minBehind), maxBehind)
		d.log.Info("another put was faster", "transaction", e.TxID, "block", commit.Block, "standing_back", d.behind)
		return true, nil
	case commit.Code != codeValid:
		return false, fmt.Errorf("transaction %s was invalidated in block %d: %w", e.TxID, commit.Block, &fabric.CodeError{Code: int(commit.Code)})
	}
	return false, nil
}

func putArgs(note []byte, old uint64, path []merkle.Digest) [][]byte {
	return [][]byte{[]byte(fabric.FunctionPut), note, strconv.AppendUint(nil, old, 10), canon.NewWriter(nil).Digests(path).Bytes()}
}

// refused decides what a refusal of put means.
func (d *driver) refused(ctx context.Context, cp anchor.Checkpoint, origin string, ledger anchor.Ledger, err error) (again bool, _ error) {
	var r *Rejection
	if !errors.As(err, &r) {
		return false, err
	}
	for _, word := range []string{"STALE", "SHRINK"} {
		if _, ok := r.says(word); ok {
			return true, nil
		}
	}
	if _, ok := r.says("CONFLICT"); ok {
		return false, nil // the read-back shows it, endorsed
	}
	if _, ok := r.says("FORK"); ok {
		return false, d.fork(ctx, cp, origin, ledger)
	}
	for _, word := range []string{"INVALID", "DENIED", "UNSEALED", "TAMPERED", "POLICY"} {
		if _, ok := r.says(word); ok {
			return false, fmt.Errorf("%w: %w", anchor.ErrRefused, err)
		}
	}
	return false, err
}

// fork is called where the checkpoint does not seem to grow out of the channel's
// newest one. It is a conflict only if enough organisations endorse that head.
func (d *driver) fork(ctx context.Context, cp anchor.Checkpoint, origin string, ledger anchor.Ledger) error {
	const one = "a peer says that this state does not grow out of the channel's"
	read, evidence, err := d.endorsed(ctx, []byte(fabric.FunctionHead), []byte(origin))
	if err != nil {
		return fmt.Errorf("%s; asking enough of them: %w", one, err)
	}
	head, err := fabric.ParseStatement(read.Answer)
	if err != nil {
		return fmt.Errorf("the newest entry of %s: %w", origin, err)
	}
	if head.Origin != origin || head.Size >= cp.Size {
		return fmt.Errorf("%s; meanwhile its newest entry is of size %d", one, head.Size)
	}
	path, err := ledger.Consistency(head.Size, cp.Size)
	if err != nil {
		return fmt.Errorf("the path from the channel's size %d: %w", head.Size, err)
	}
	err = merkle.VerifyConsistency(head.Size, cp.Size, head.Root, cp.Root, path)
	if half := new(merkle.HalfError); !errors.As(err, &half) {
		return fmt.Errorf("%s; enough of them do not: %w", one, errors.Join(err, ErrApart))
	}
	return &anchor.Conflict{Size: head.Size, Ours: cp.Note, Theirs: evidence, Err: fmt.Errorf(
		"%s endorse that the channel's newest entry, of size %d, has another history: %w", strings.Join(read.Organisations, ", "), head.Size, err)}
}

// endorsed makes a call that is not submitted, and verifies that enough pinned
// organisations endorse the answer; evidence is the call as it would stand in a
// receipt.
func (d *driver) endorsed(ctx context.Context, args ...[]byte) (read *fabric.Read, evidence []byte, err error) {
	e, err := d.n.Endorse(ctx, args...)
	if err != nil {
		return nil, nil, err
	}
	call, err := fabric.ReadBackOf(e.Payload)
	if err != nil {
		return nil, nil, err
	}
	call = call.Pinned(d.channel)
	if read, err = call.Verify(d.channel); err != nil {
		return nil, nil, err
	}
	return read, call.Marshal(), nil
}

// block fetches a block from a peer.
func (d *driver) block(ctx context.Context, number uint64) (*common.Block, error) {
	b, err := d.n.Evaluate(ctx, "qscc", []byte("GetBlockByNumber"), []byte(d.channel.Channel), strconv.AppendUint(nil, number, 10))
	if err != nil {
		return nil, fmt.Errorf("fetching block %d: %w", number, err)
	}
	var out common.Block
	if err := proto.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("fetching block %d: the peer's answer is no block", number)
	}
	return &out, nil
}

// pause waits, or until ctx is done.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
