package fabrictest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/types/known/timestamppb"

	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/proof/merkle"
)

// Channel is a channel in memory: three organisations of which two must endorse,
// and one raft orderer or four BFT orderers.
type Channel struct {
	ID, Chaincode string
	CAs           []*CA
	Peers         []*Identity // one of each organisation
	Client        *Identity   // of the first
	OrdererCA     *CA
	Orderers      []*Identity
	BFT           bool
}

// New makes a channel.
func New(tb testing.TB, bft bool) *Channel {
	tb.Helper()
	c := &Channel{ID: "anchors", Chaincode: "anchor", BFT: bft, OrdererCA: NewCA(tb, "OrdererMSP")}
	for i := range 3 {
		ca := NewCA(tb, fmt.Sprintf("Org%dMSP", i+1))
		c.CAs = append(c.CAs, ca)
		c.Peers = append(c.Peers, ca.Issue(tb, fmt.Sprintf("peer0.org%d", i+1), "peer"))
	}
	c.Client = c.CAs[0].Issue(tb, "node", "client")
	n := 1
	if bft {
		n = 4
	}
	for i := range n {
		c.Orderers = append(c.Orderers, c.OrdererCA.Issue(tb, fmt.Sprintf("o%d", i+1), "orderer"))
	}
	return c
}

// Pinned is the channel as a verifier pins it.
func (c *Channel) Pinned() *fabric.Channel {
	out := &fabric.Channel{Name: "fabric", Channel: c.ID, Chaincode: c.Chaincode, Endorsements: 2,
		Orderers: fabric.Orderers{Organisations: []fabric.Organisation{c.OrdererCA.Organisation()}, Signatures: 1}}
	for _, ca := range c.CAs {
		out.Organisations = append(out.Organisations, ca.Organisation())
	}
	if c.BFT {
		for i, o := range c.Orderers {
			out.Orderers.Consenters = append(out.Orderers.Consenters, fabric.Consenter{ID: uint64(i + 1), MSP: "OrdererMSP", Certificate: o.Cert.Raw})
		}
		out.Orderers.Signatures = 3
	}
	return out
}

// Note makes a note of a state of the ledger, with a line that nobody signed, and
// what a channel holds of it.
func Note(origin string, size uint64) ([]byte, fabric.Statement) {
	s := fabric.Statement{Origin: origin, Size: size, Root: merkle.LeafHash(fmt.Append(nil, origin, size))}
	note := append(checkpoint.Checkpoint{Origin: origin, Size: size, Root: s.Root}.Body(), "\n— nobody c2lnbmF0dXJl\n"...)
	s.Note = merkle.Sum(note)
	return note, s
}

// Call is a call of the chaincode in the making; every field may be changed
// before Endorse.
type Call struct {
	Header    *common.ChannelHeader
	Signature *common.SignatureHeader
	Ext       *peer.ChaincodeHeaderExtension
	Spec      *peer.ChaincodeSpec
	Action    *peer.ChaincodeAction
	Event     *peer.ChaincodeEvent
	Results   *kvrwset.KVRWSet
	Endorsers []*Identity
	SignAs    func(id *Identity, parts ...[]byte) []byte

	// What Endorse makes of them.
	HeaderBytes, SignatureBytes, Proposal, Response []byte
	Endorsements                                    []*peer.Endorsement
}

// NewCall prepares a call of the chaincode that two peers endorse.
func (c *Channel) NewCall(tb testing.TB, args ...[]byte) *Call {
	tb.Helper()
	nonce := make([]byte, 24)
	if _, err := rand.Read(nonce); err != nil {
		tb.Fatal(err)
	}
	creator := c.Client.Serialized()
	id := sha256.Sum256(slices.Concat(nonce, creator))
	txID := hex.EncodeToString(id[:])
	return &Call{
		Header: &common.ChannelHeader{Type: int32(common.HeaderType_ENDORSER_TRANSACTION), Timestamp: timestamppb.New(Now.Add(1234 * time.Microsecond)),
			ChannelId: c.ID, TxId: txID},
		Signature: &common.SignatureHeader{Creator: creator, Nonce: nonce},
		Ext:       &peer.ChaincodeHeaderExtension{ChaincodeId: &peer.ChaincodeID{Name: c.Chaincode}},
		Spec:      &peer.ChaincodeSpec{ChaincodeId: &peer.ChaincodeID{Name: c.Chaincode}, Input: &peer.ChaincodeInput{Args: args}},
		Action:    &peer.ChaincodeAction{Response: &peer.Response{Status: 200}, ChaincodeId: &peer.ChaincodeID{Name: c.Chaincode, Version: "1"}},
		Results:   &kvrwset.KVRWSet{},
		Endorsers: []*Identity{c.Peers[0], c.Peers[1]},
		SignAs:    (*Identity).Sign,
	}
}

// Put prepares the call that stores a statement.
func (c *Channel) Put(tb testing.TB, note []byte, s fabric.Statement) *Call {
	tb.Helper()
	k := c.NewCall(tb, []byte("put"), note, []byte("0"), nil)
	k.Results.Reads = []*kvrwset.KVRead{{Key: fabric.EntryKey(s.Origin, s.Size)}, {Key: fabric.HeadKey(s.Origin)}}
	k.Results.Writes = []*kvrwset.KVWrite{
		{Key: fabric.EntryKey(s.Origin, s.Size), Value: s.Marshal()},
		{Key: fabric.HeadKey(s.Origin), Value: s.Marshal()},
	}
	k.Event = &peer.ChaincodeEvent{ChaincodeId: c.Chaincode, TxId: k.Header.TxId, EventName: "checkpoint", Payload: s.Marshal()}
	return k
}

// Get prepares the call that reads a statement back from where it was written.
func (c *Channel) Get(tb testing.TB, s fabric.Statement, block, tx uint64) *Call {
	tb.Helper()
	k := c.NewCall(tb, []byte("get"), []byte(s.Origin), fmt.Append(nil, s.Size))
	k.Results.Reads = []*kvrwset.KVRead{{Key: fabric.EntryKey(s.Origin, s.Size), Version: &kvrwset.Version{BlockNum: block, TxNum: tx}}}
	k.Action.Response.Payload = s.Marshal()
	return k
}

// Endorse has the call endorsed.
func (k *Call) Endorse() *Call {
	k.Header.Extension = marshal(k.Ext)
	k.HeaderBytes, k.SignatureBytes = marshal(k.Header), marshal(k.Signature)
	k.Proposal = marshal(&peer.ChaincodeProposalPayload{Input: marshal(&peer.ChaincodeInvocationSpec{ChaincodeSpec: k.Spec})})
	k.Action.Results = marshal(&rwset.TxReadWriteSet{NsRwset: []*rwset.NsReadWriteSet{
		{Namespace: "_lifecycle", Rwset: marshal(&kvrwset.KVRWSet{Reads: []*kvrwset.KVRead{{Key: "namespaces/fields/anchor/Sequence", Version: &kvrwset.Version{BlockNum: 3}}}})},
		{Namespace: k.Ext.ChaincodeId.Name, Rwset: marshal(k.Results)},
	}})
	if k.Event != nil {
		k.Action.Events = marshal(k.Event)
	}
	hash := sha256.Sum256(slices.Concat(k.HeaderBytes, k.SignatureBytes, k.Proposal))
	k.Response = marshal(&peer.ProposalResponsePayload{ProposalHash: hash[:], Extension: marshal(k.Action)})
	k.Endorsements = nil
	for _, e := range k.Endorsers {
		k.Endorsements = append(k.Endorsements, &peer.Endorsement{Endorser: e.Serialized(), Signature: k.SignAs(e, k.Response, e.Serialized())})
	}
	return k
}

// Payload is the endorsed call as it would be submitted, not signed yet.
func (k *Call) Payload() []byte {
	action := &peer.ChaincodeActionPayload{ChaincodeProposalPayload: k.Proposal,
		Action: &peer.ChaincodeEndorsedAction{ProposalResponsePayload: k.Response, Endorsements: k.Endorsements}}
	tx := &peer.Transaction{Actions: []*peer.TransactionAction{{Header: k.SignatureBytes, Payload: marshal(action)}}}
	return marshal(&common.Payload{Header: &common.Header{ChannelHeader: k.HeaderBytes, SignatureHeader: k.SignatureBytes}, Data: marshal(tx)})
}

// Envelope signs a payload as the channel's client.
func (c *Channel) Envelope(payload []byte) []byte {
	return marshal(&common.Envelope{Payload: payload, Signature: c.Client.Sign(payload)})
}

// ReadBack is the endorsed call as a receipt carries it.
func (k *Call) ReadBack() fabric.ReadBack {
	out := fabric.ReadBack{ChannelHeader: k.HeaderBytes, SignatureHeader: k.SignatureBytes, Proposal: k.Proposal, Response: k.Response}
	for _, e := range k.Endorsements {
		out.Endorsements = append(out.Endorsements, fabric.Endorsement{Endorser: e.Endorser, Signature: e.Signature})
	}
	return out
}

// Block makes a block of envelopes and has it signed: by the one raft orderer, or
// by a quorum of the BFT orderers.
func (c *Channel) Block(number uint64, previous [32]byte, data ...[]byte) *common.Block {
	sum := sha256.Sum256(slices.Concat(data...))
	header := &common.BlockHeader{Number: number, PreviousHash: previous[:], DataHash: sum[:]}
	signers := c.Orderers[:1]
	if c.BFT {
		signers = c.Orderers[:3]
	}
	return &common.Block{Header: header, Data: &common.BlockData{Data: data},
		Metadata: &common.BlockMetadata{Metadata: [][]byte{c.Sign(header, signers...), nil, make([]byte, len(data)), nil, nil}}}
}

// HeaderBytes is what is signed of a block header.
func HeaderBytes(h *common.BlockHeader) []byte {
	b, err := asn1.Marshal(struct {
		Number                 *big.Int
		PreviousHash, DataHash []byte
	}{new(big.Int).SetUint64(h.Number), h.PreviousHash, h.DataHash})
	if err != nil {
		panic(err)
	}
	return b
}

// Sign makes the SIGNATURES metadata of a block header.
func (c *Channel) Sign(h *common.BlockHeader, signers ...*Identity) []byte {
	value := marshal(&common.OrdererBlockMetadata{LastConfig: &common.LastConfig{Index: 0}, ConsenterMetadata: []byte("consenter")})
	md := &common.Metadata{Value: value}
	for _, o := range signers {
		s := &common.MetadataSignature{}
		if c.BFT {
			s.IdentifierHeader = marshal(&common.IdentifierHeader{Identifier: uint32(slices.Index(c.Orderers, o) + 1), Nonce: []byte("nonce")})
			s.Signature = o.Sign(value, s.IdentifierHeader, HeaderBytes(h))
		} else {
			s.SignatureHeader = marshal(&common.SignatureHeader{Creator: o.Serialized(), Nonce: []byte("nonce")})
			s.Signature = o.Sign(value, s.SignatureHeader, HeaderBytes(h))
		}
		md.Signatures = append(md.Signatures, s)
	}
	return marshal(md)
}

// Receipt puts a block and a read-back together.
func Receipt(b *common.Block, index int, read fabric.ReadBack) *fabric.Receipt {
	r := &fabric.Receipt{Number: b.Header.Number, Data: b.Data.Data, Signatures: b.Metadata.Metadata[0], Index: index, Code: int(b.Metadata.Metadata[2][index]), Read: read}
	copy(r.PreviousHash[:], b.Header.PreviousHash)
	copy(r.DataHash[:], b.Header.DataHash)
	return r
}

// Good makes a receipt that verifies: block 7, the second of two transactions.
func (c *Channel) Good(tb testing.TB, note []byte, s fabric.Statement) *fabric.Receipt {
	tb.Helper()
	put := c.Put(tb, note, s).Endorse()
	b := c.Block(7, sha256.Sum256([]byte("block 6")), c.Envelope([]byte("another's")), c.Envelope(put.Payload()))
	return Receipt(b, 1, c.Get(tb, s, 7, 1).Endorse().ReadBack())
}
