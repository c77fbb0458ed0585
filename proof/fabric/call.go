package fabric

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"qifeng/proof/fabric/internal/wire"
)

// headerEndorser is common.HeaderType ENDORSER_TRANSACTION.
const headerEndorser = 3

// call is one call of the chaincode with the endorsements under its answer: the
// submitted transaction and the read-back have this in common.
type call struct {
	channelHeader, signatureHeader []byte
	proposal                       []byte // ChaincodeProposalPayload
	response                       []byte // ProposalResponsePayload
	endorsements                   []Endorsement

	// What check finds.
	txID    string
	claimed time.Time
	creator []byte
	args    [][]byte
	event   *wire.ChaincodeEvent // nil: none
	answer  []byte
	writes  *wire.KVRWSet // reads and writes of the chaincode's own namespace
	by      []string      // organisations whose endorsement verifies, sorted
}

// check verifies everything that does not depend on what was called. exact: the
// headers and the proposal must have no other spelling, because nobody signed
// them one by one. foreign: endorsements of organisations that are not pinned are
// passed over, since the channel may have more than the verifier trusts; those of
// pinned ones must verify.
func (c *call) check(ch *Channel, orgs msps, exact, foreign bool) error {
	read := unmarshal
	if exact {
		read = unmarshalExact
	}
	var header wire.ChannelHeader
	if err := read(c.channelHeader, &header); err != nil {
		return fmt.Errorf("channel header: %w", err)
	}
	var signer wire.SignatureHeader
	if err := read(c.signatureHeader, &signer); err != nil {
		return fmt.Errorf("signature header: %w", err)
	}
	if err := c.checkHeaders(ch, &header, &signer); err != nil {
		return err
	}
	var payload wire.ChaincodeProposalPayload
	if err := read(c.proposal, &payload); err != nil {
		return fmt.Errorf("proposal: %w", err)
	}
	var spec wire.ChaincodeInvocationSpec
	if err := unmarshal(payload.Input, &spec); err != nil {
		return fmt.Errorf("proposal's input: %w", err)
	}
	if name := spec.GetChaincodeSpec().GetChaincodeId().GetName(); name != ch.Chaincode {
		return fmt.Errorf("proposal calls chaincode %q, not %q", name, ch.Chaincode)
	}
	input := spec.ChaincodeSpec.GetInput()
	if input.GetIsInit() || len(input.GetDecorations()) > 0 {
		return errors.New("proposal initialises the chaincode, or decorates the call")
	}
	c.args = input.GetArgs()
	if err := c.checkResponse(ch); err != nil {
		return err
	}
	return c.checkEndorsements(ch, orgs, foreign)
}

func (c *call) checkHeaders(ch *Channel, header *wire.ChannelHeader, signer *wire.SignatureHeader) error {
	if header.Type != headerEndorser {
		return fmt.Errorf("transaction of type %d, not %d (endorser transaction)", header.Type, headerEndorser)
	}
	if header.ChannelId != ch.Channel {
		return fmt.Errorf("transaction of channel %q, not %q", header.ChannelId, ch.Channel)
	}
	if header.Epoch != 0 {
		return fmt.Errorf("transaction of epoch %d, not 0", header.Epoch)
	}
	var ext wire.ChaincodeHeaderExtension
	if err := unmarshal(header.Extension, &ext); err != nil {
		return fmt.Errorf("channel header's extension: %w", err)
	}
	if name := ext.GetChaincodeId().GetName(); name != ch.Chaincode {
		return fmt.Errorf("transaction of chaincode %q, not %q", name, ch.Chaincode)
	}
	if len(signer.Nonce) == 0 || len(signer.Creator) == 0 {
		return errors.New("signature header without nonce or creator")
	}
	id := sha256.Sum256(slices.Concat(signer.Nonce, signer.Creator))
	if header.TxId != hex.EncodeToString(id[:]) {
		return errors.New("transaction id is not the digest of nonce and creator")
	}
	if header.Timestamp.CheckValid() != nil { // nil too
		return errors.New("channel header without a time")
	}
	c.txID, c.creator, c.claimed = header.TxId, signer.Creator, header.Timestamp.AsTime()
	return nil
}

// checkResponse reads what the chaincode answered, wrote and announced, and that
// it is the answer to this proposal.
func (c *call) checkResponse(ch *Channel) error {
	var response wire.ProposalResponsePayload
	if err := unmarshal(c.response, &response); err != nil {
		return fmt.Errorf("response: %w", err)
	}
	h := sha256.Sum256(slices.Concat(c.channelHeader, c.signatureHeader, c.proposal))
	if !bytes.Equal(h[:], response.ProposalHash) {
		return errors.New("response to another proposal: the proposal hash differs")
	}
	var action wire.ChaincodeAction
	if err := unmarshal(response.Extension, &action); err != nil {
		return fmt.Errorf("chaincode action: %w", err)
	}
	if name := action.GetChaincodeId().GetName(); name != ch.Chaincode {
		return fmt.Errorf("response of chaincode %q, not %q", name, ch.Chaincode)
	}
	if status := action.GetResponse().GetStatus(); status != 200 {
		return fmt.Errorf("the chaincode answered with status %d, not 200", status)
	}
	c.answer = action.Response.Payload
	if len(action.Events) > 0 {
		c.event = &wire.ChaincodeEvent{}
		if err := unmarshal(action.Events, c.event); err != nil {
			return fmt.Errorf("event: %w", err)
		}
		if c.event.ChaincodeId != ch.Chaincode || c.event.TxId != c.txID {
			return errors.New("event of another chaincode or transaction")
		}
	}
	var results wire.TxReadWriteSet
	if err := unmarshal(action.Results, &results); err != nil {
		return fmt.Errorf("read-write set: %w", err)
	}
	if results.DataModel != 0 {
		return fmt.Errorf("read-write set of data model %d, not 0", results.DataModel)
	}
	for _, ns := range results.NsRwset {
		if ns.Namespace != ch.Chaincode {
			continue // the peer's own look at the chaincode's definition
		}
		if c.writes != nil {
			return errors.New("read-write set with two parts of one chaincode")
		}
		c.writes = &wire.KVRWSet{}
		if err := unmarshal(ns.Rwset, c.writes); err != nil {
			return fmt.Errorf("read-write set of %q: %w", ns.Namespace, err)
		}
	}
	if c.writes == nil {
		return errors.New("the chaincode neither read nor wrote its state")
	}
	return nil
}

func (c *call) checkEndorsements(ch *Channel, orgs msps, foreign bool) error {
	if len(c.endorsements) > maxEndorsements {
		return fmt.Errorf("%d endorsements, at most %d", len(c.endorsements), maxEndorsements)
	}
	for i, e := range c.endorsements {
		id, err := parseIdentity(e.Endorser)
		if err == nil && foreign && orgs[id.msp] == nil {
			continue
		}
		if err == nil {
			err = orgs.judge(id, rolePeer, c.claimed, slices.Concat(c.response, e.Endorser), e.Signature)
		}
		if err != nil {
			return fmt.Errorf("endorsement %d: %w", i, err)
		}
		if !slices.Contains(c.by, id.msp) {
			c.by = append(c.by, id.msp)
		}
	}
	if len(c.by) < ch.Endorsements {
		return fmt.Errorf("endorsed by %d pinned organisations (%s), %d are needed", len(c.by), quoted(c.by), ch.Endorsements)
	}
	slices.Sort(c.by)
	return nil
}

// value returns what the call wrote under a key.
func (c *call) value(key string) ([]byte, error) {
	var out []byte
	for _, w := range c.writes.Writes {
		if w.Key != key {
			continue
		}
		if out != nil || w.IsDelete || len(w.Value) == 0 {
			return nil, fmt.Errorf("key %q is written twice, deleted or emptied", key)
		}
		out = w.Value
	}
	if out == nil {
		return nil, fmt.Errorf("key %q is not written", key)
	}
	return out, nil
}

// version returns where what the call read under a key was written.
func (c *call) version(key string) (block, tx uint64, err error) {
	var out *wire.Version
	for _, r := range c.writes.Reads {
		if r.Key != key {
			continue
		}
		if out != nil || r.Version == nil {
			return 0, 0, fmt.Errorf("key %q was read twice, or is not there", key)
		}
		out = r.Version
	}
	if out == nil {
		return 0, 0, fmt.Errorf("key %q was not read", key)
	}
	return out.BlockNum, out.TxNum, nil
}
