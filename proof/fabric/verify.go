package fabric

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric/internal/wire"
	"qifeng/proof/merkle"
)

// CodeError refuses a transaction that the channel's own peers invalidated.
type CodeError struct{ Code int }

func (e *CodeError) Error() string {
	name := "another reason"
	switch e.Code {
	case 10:
		name = "ENDORSEMENT_POLICY_FAILURE"
	case 11:
		name = "MVCC_READ_CONFLICT"
	case 12:
		name = "PHANTOM_READ_CONFLICT"
	}
	return fmt.Sprintf("the peers invalidated the transaction: validation code %d (%s), not 0 (VALID)", e.Code, name)
}

// Verify checks a receipt against a pinned channel. See the package comment for
// what is then proved, and by whose word.
//
// want.Note is not asked for: a state of the ledger has as many notes as there
// are sets of seals, the channel keeps the digest of the one that came first, and
// the others' receipts are of the same entry. Which note was put is in the result.
//
// An error is ErrReceipt; it is ErrRevoked too where nothing but the revocation of
// a certificate stands against the receipt.
func Verify(receipt []byte, want Statement, c *Channel) (*Endorsed, error) {
	out, err := verify(receipt, want, c)
	if err == nil {
		return out, nil
	}
	if errors.Is(err, ErrRevoked) {
		if _, other := verify(receipt, want, c.withoutRevoked()); other != nil {
			err = other
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrReceipt, err)
}

func verify(receipt []byte, want Statement, c *Channel) (*Endorsed, error) {
	if err := checkChannel(c); err != nil {
		return nil, err
	}
	orgs, err := newMSPs(c.Organisations)
	if err != nil {
		return nil, err
	}
	r, err := ParseReceipt(receipt)
	if err != nil {
		return nil, err
	}
	put, err := r.transaction()
	if err != nil {
		return nil, fmt.Errorf("transaction: %w", err)
	}
	if err := put.check(c, orgs, false, true); err != nil {
		return nil, fmt.Errorf("transaction: %w", err)
	}
	if err := r.checkCreator(put, orgs); err != nil {
		return nil, fmt.Errorf("transaction: %w", err)
	}
	orderers, err := r.checkBlock(&c.Orderers, put.claimed)
	if err != nil {
		return nil, fmt.Errorf("block %d: %w", r.Number, err)
	}
	if r.Code != 0 {
		return nil, &CodeError{r.Code}
	}
	if want.Note, err = put.checkPut(want); err != nil {
		return nil, fmt.Errorf("transaction: %w", err)
	}
	get := r.Read.call()
	if err := get.check(c, orgs, true, false); err != nil {
		return nil, fmt.Errorf("read-back: %w", err)
	}
	if err := get.checkGet(want, r, put.txID); err != nil {
		return nil, fmt.Errorf("read-back: %w", err)
	}
	return &Endorsed{
		TxID: put.txID, Block: r.Number, Organisations: put.by, ReadBack: get.by,
		Orderers: orderers, Claimed: put.claimed, Note: want.Note,
	}, nil
}

// transaction takes our envelope apart.
func (r *Receipt) transaction() (*call, error) {
	var env wire.Envelope
	if err := unmarshal(r.Data[r.Index], &env); err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	return takeApart(env.Payload)
}

// takeApart reads the payload of an envelope that calls a chaincode once.
func takeApart(b []byte) (*call, error) {
	var payload wire.Payload
	if err := unmarshal(b, &payload); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	var tx wire.Transaction
	if err := unmarshal(payload.Data, &tx); err != nil {
		return nil, fmt.Errorf("payload's data: %w", err)
	}
	if len(tx.Actions) != 1 {
		return nil, fmt.Errorf("%d actions, not 1", len(tx.Actions))
	}
	header := payload.GetHeader() // nil where there is none: its fields are empty then
	if !bytes.Equal(tx.Actions[0].Header, header.GetSignatureHeader()) {
		return nil, errors.New("the action has another signature header than the envelope")
	}
	var action wire.ChaincodeActionPayload
	if err := unmarshal(tx.Actions[0].Payload, &action); err != nil {
		return nil, fmt.Errorf("action: %w", err)
	}
	c := &call{
		channelHeader: header.GetChannelHeader(), signatureHeader: header.GetSignatureHeader(),
		proposal: action.ChaincodeProposalPayload, response: action.GetAction().GetProposalResponsePayload(),
	}
	for _, e := range action.GetAction().GetEndorsements() {
		c.endorsements = append(c.endorsements, Endorsement{Endorser: e.Endorser, Signature: e.Signature})
	}
	return c, nil
}

// checkCreator verifies the client's signature over the whole envelope.
func (r *Receipt) checkCreator(put *call, orgs msps) error {
	var env wire.Envelope
	if err := unmarshal(r.Data[r.Index], &env); err != nil {
		return err
	}
	id, err := parseIdentity(put.creator)
	if err == nil {
		err = orgs.judge(id, roleAny, put.claimed, env.Payload, env.Signature)
	}
	if err != nil {
		return fmt.Errorf("creator: %w", err)
	}
	return nil
}

// checkPut says whether the transaction is a put of what is wanted: by its
// arguments, by what it wrote and by what it announced. It returns the digest of
// the note that was put.
func (c *call) checkPut(want Statement) (merkle.Digest, error) {
	if len(c.args) < 2 || string(c.args[0]) != FunctionPut {
		return merkle.Digest{}, fmt.Errorf("it is no call of %s", FunctionPut)
	}
	body := checkpoint.Checkpoint{Origin: want.Origin, Size: want.Size, Root: want.Root}.Body()
	if !bytes.HasPrefix(c.args[1], append(body, '\n')) {
		return merkle.Digest{}, fmt.Errorf("the note that was put is not of %s at size %d with the roots wanted", want.Origin, want.Size)
	}
	want.Note = merkle.Sum(c.args[1])
	entry := want.Marshal()
	value, err := c.value(EntryKey(want.Origin, want.Size))
	if err != nil {
		return merkle.Digest{}, err
	}
	if !bytes.Equal(value, entry) {
		return merkle.Digest{}, fmt.Errorf("another entry was written: %w", differs(value, want))
	}
	if c.event == nil || c.event.EventName != EventName || !bytes.Equal(c.event.Payload, entry) {
		return merkle.Digest{}, fmt.Errorf("the event %q does not announce the entry", EventName)
	}
	return want.Note, nil
}

// checkGet says whether the read-back answers with what is wanted, and read it
// where the transaction wrote it. The version that a peer reads is the place of
// the last valid transaction that wrote the key, so endorsers say by it that ours
// was valid.
func (c *call) checkGet(want Statement, r *Receipt, putID string) error {
	if c.txID == putID {
		return errors.New("it is the transaction itself")
	}
	if len(c.args) != 3 || string(c.args[0]) != FunctionGet || string(c.args[1]) != want.Origin ||
		string(c.args[2]) != strconv.FormatUint(want.Size, 10) {
		return fmt.Errorf("it asks for something else than %s of size %d", want.Origin, want.Size)
	}
	if !bytes.Equal(c.answer, want.Marshal()) {
		return fmt.Errorf("the answer is another entry: %w", differs(c.answer, want))
	}
	if len(c.writes.Writes) > 0 {
		return errors.New("it writes")
	}
	block, tx, err := c.version(EntryKey(want.Origin, want.Size))
	if err != nil {
		return err
	}
	if block != r.Number || tx != uint64(r.Index) {
		return fmt.Errorf("the entry was written by transaction %d of block %d, not %d of %d: ours was not valid", tx, block, r.Index, r.Number)
	}
	return nil
}

// differs says in what an entry is not the one that is wanted.
func differs(data []byte, want Statement) error {
	got, err := ParseStatement(data)
	switch {
	case err != nil:
		return err
	case got.Origin != want.Origin:
		return errors.New("its origin differs")
	case got.Size != want.Size:
		return errors.New("its size differs")
	case got.Root != want.Root:
		return errors.New("its root differs")
	default:
		return errors.New("its note's digest differs")
	}
}
