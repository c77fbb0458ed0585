package fabric

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"qifeng/anchor"
	"qifeng/proof/fabric"
)

// errAbsent says that no peer that was asked has an entry.
var errAbsent = errors.New("the channel has no such entry")

// receipt reads an entry back and makes a receipt of it.
func (d *driver) receipt(ctx context.Context, cp anchor.Checkpoint, want fabric.Statement) ([]byte, error) {
	call, read, err := d.readBack(ctx, want)
	if err != nil {
		return nil, err
	}
	entry, err := fabric.ParseStatement(read.Answer)
	if err != nil {
		return nil, err
	}
	if entry.Origin != want.Origin || entry.Size != want.Size {
		return nil, fmt.Errorf("the chaincode answered with the entry of %s at size %d", entry.Origin, entry.Size)
	}
	if entry.Root != want.Root {
		return nil, &anchor.Conflict{Size: want.Size, Ours: cp.Note, Theirs: call.Marshal(), Err: fmt.Errorf(
			"%s endorse that the channel holds another root: %s", strings.Join(read.Organisations, ", "), read.Answer)}
	}
	number, index, err := read.Version(fabric.EntryKey(want.Origin, want.Size))
	if err != nil {
		return nil, err
	}
	block, err := d.block(ctx, number)
	if err != nil {
		return nil, err
	}
	r, err := assemble(block, number, index, call)
	if err != nil {
		return nil, err
	}
	data := r.Marshal()
	if len(data) > fabric.MaxReceipt {
		return nil, fmt.Errorf("block %d makes a receipt of %d bytes, at most %d fit into a proof file: it holds %d transactions; "+
			"the next checkpoint may stand in a smaller one; a channel of its own for the anchor is recommended",
			number, len(data), fabric.MaxReceipt, len(r.Data))
	}
	if _, err := fabric.Verify(data, want, d.channel); err != nil {
		return nil, fmt.Errorf("the receipt does not verify: %w", err)
	}
	return data, nil
}

// readBack has get endorsed. Peers that have not committed the entry yet, while
// others have, make endorsement fail; that passes.
func (d *driver) readBack(ctx context.Context, want fabric.Statement) (fabric.ReadBack, *fabric.Read, error) {
	get := [][]byte{[]byte(fabric.FunctionGet), []byte(want.Origin), strconv.AppendUint(nil, want.Size, 10)}
	deadline := time.Now().Add(settle)
	for {
		e, err := d.n.Endorse(ctx, get...)
		if err == nil {
			call, err := fabric.ReadBackOf(e.Payload)
			if err != nil {
				return call, nil, err
			}
			call = call.Pinned(d.channel)
			read, err := call.Verify(d.channel)
			return call, read, err
		}
		if absent(err) {
			if _, one := d.n.Evaluate(ctx, d.channel.Chaincode, get...); absent(one) {
				return fabric.ReadBack{}, nil, errAbsent
			}
		} else if !errors.Is(err, ErrApart) {
			return fabric.ReadBack{}, nil, fmt.Errorf("reading back: %w", err)
		}
		if time.Now().After(deadline) {
			return fabric.ReadBack{}, nil, fmt.Errorf("reading back, for %v: %w", settle, err)
		}
		if err := pause(ctx, settleStep); err != nil {
			return fabric.ReadBack{}, nil, err
		}
	}
}

// assemble makes a receipt of a block and a read-back.
func assemble(b *common.Block, number, index uint64, read fabric.ReadBack) (*fabric.Receipt, error) {
	data, metadata := b.GetData().GetData(), b.GetMetadata().GetMetadata()
	codes := at(metadata, int(common.BlockMetadataIndex_TRANSACTIONS_FILTER))
	h := b.GetHeader()
	if h.GetNumber() != number || index >= uint64(len(data)) || len(codes) != len(data) ||
		len(h.GetPreviousHash()) != 32 || len(h.GetDataHash()) != 32 {
		return nil, fmt.Errorf("block %d, as a peer gives it, is not whole", number)
	}
	r := &fabric.Receipt{
		Number: number, Data: data, Signatures: at(metadata, int(common.BlockMetadataIndex_SIGNATURES)),
		Index: int(index), Code: int(codes[index]), Read: read,
	}
	copy(r.PreviousHash[:], h.PreviousHash)
	copy(r.DataHash[:], h.DataHash)
	return r, nil
}

// at is list[i], or nothing.
func at(list [][]byte, i int) []byte {
	if i < len(list) {
		return list[i]
	}
	return nil
}
