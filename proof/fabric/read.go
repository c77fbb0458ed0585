package fabric

import (
	"fmt"
	"slices"

	"qifeng/evidence/canon"
)

// ReadBackOf takes an endorsed call out of the payload that would be submitted
// (common.Payload, not signed), as drivers get it.
func ReadBackOf(payload []byte) (ReadBack, error) {
	c, err := takeApart(payload)
	if err != nil {
		return ReadBack{}, fmt.Errorf("reading an endorsed call: %w", err)
	}
	return ReadBack{
		ChannelHeader: c.channelHeader, SignatureHeader: c.signatureHeader,
		Proposal: c.proposal, Response: c.response, Endorsements: c.endorsements,
	}, nil
}

// Pinned leaves out the endorsements of organisations that are not pinned: a
// receipt carries none.
func (b ReadBack) Pinned(c *Channel) ReadBack {
	b.Endorsements = slices.DeleteFunc(slices.Clone(b.Endorsements), func(e Endorsement) bool {
		id, err := parseIdentity(e.Endorser)
		return err == nil && !slices.ContainsFunc(c.Organisations, func(o Organisation) bool { return o.MSP == id.msp })
	})
	return b
}

// Marshal writes the call as it stands in a receipt without parts: signed evidence of what the
// channel answered, whatever that was.
func (b ReadBack) Marshal() []byte {
	w := canon.NewWriter(nil)
	b.write(w, nil)
	return w.Bytes()
}

// Read is an answer of the chaincode that enough pinned organisations endorsed.
type Read struct {
	TxID          string
	Args          [][]byte // of the call; the first is the function
	Answer        []byte
	Organisations []string // sorted
	call          *call
}

// Verify checks an endorsed call against a pinned channel, whatever it asked.
// Endorsements of organisations that are not pinned count for nothing.
func (b ReadBack) Verify(ch *Channel) (*Read, error) {
	orgs, err := newMSPs(ch.Organisations)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	c := b.call()
	if err := c.check(ch, orgs, true, true); err != nil {
		return nil, fmt.Errorf("%w: endorsed call: %w", ErrReceipt, err)
	}
	return &Read{TxID: c.txID, Args: c.args, Answer: c.answer, Organisations: c.by, call: c}, nil
}

func (b ReadBack) call() *call {
	return &call{
		channelHeader: b.ChannelHeader, signatureHeader: b.SignatureHeader,
		proposal: b.Proposal, response: b.Response, endorsements: b.Endorsements,
	}
}

// Version is the place (block, transaction) of the last valid transaction that
// wrote a key that was read.
func (r *Read) Version(key string) (block, tx uint64, err error) { return r.call.version(key) }

// Writes says whether the call, once submitted, writes anything.
func (r *Read) Writes() bool { return len(r.call.writes.Writes) > 0 }
