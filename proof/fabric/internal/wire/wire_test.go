package wire

import (
	"slices"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Our messages are Fabric's, field by field; what is left out is listed here, and
// refused by the verifier as unknown.
func TestFieldsAreFabrics(t *testing.T) {
	pairs := []struct {
		ours, theirs proto.Message
		left         []protoreflect.Name
	}{
		{&Envelope{}, &common.Envelope{}, nil},
		{&Payload{}, &common.Payload{}, nil},
		{&Header{}, &common.Header{}, nil},
		{&ChannelHeader{}, &common.ChannelHeader{}, nil},
		{&SignatureHeader{}, &common.SignatureHeader{}, nil},
		{&IdentifierHeader{}, &common.IdentifierHeader{}, nil},
		{&Metadata{}, &common.Metadata{}, nil},
		{&MetadataSignature{}, &common.MetadataSignature{}, nil},
		{&SerializedIdentity{}, &msp.SerializedIdentity{}, nil},
		{&ChaincodeID{}, &peer.ChaincodeID{}, nil},
		{&ChaincodeHeaderExtension{}, &peer.ChaincodeHeaderExtension{}, nil},
		{&ChaincodeInput{}, &peer.ChaincodeInput{}, nil},
		{&ChaincodeSpec{}, &peer.ChaincodeSpec{}, nil},
		{&ChaincodeInvocationSpec{}, &peer.ChaincodeInvocationSpec{}, nil},
		{&ChaincodeProposalPayload{}, &peer.ChaincodeProposalPayload{}, []protoreflect.Name{"TransientMap"}}, // never in what is hashed
		{&Transaction{}, &peer.Transaction{}, nil},
		{&TransactionAction{}, &peer.TransactionAction{}, nil},
		{&ChaincodeActionPayload{}, &peer.ChaincodeActionPayload{}, nil},
		{&ChaincodeEndorsedAction{}, &peer.ChaincodeEndorsedAction{}, nil},
		{&Endorsement{}, &peer.Endorsement{}, nil},
		{&ProposalResponsePayload{}, &peer.ProposalResponsePayload{}, nil},
		{&ChaincodeAction{}, &peer.ChaincodeAction{}, nil},
		{&Response{}, &peer.Response{}, nil},
		{&ChaincodeEvent{}, &peer.ChaincodeEvent{}, nil},
		{&TxReadWriteSet{}, &rwset.TxReadWriteSet{}, nil},
		{&NsReadWriteSet{}, &rwset.NsReadWriteSet{}, []protoreflect.Name{"collection_hashed_rwset"}},   // no private data
		{&KVRWSet{}, &kvrwset.KVRWSet{}, []protoreflect.Name{"range_queries_info", "metadata_writes"}}, // no such calls
		{&KVRead{}, &kvrwset.KVRead{}, nil},
		{&KVWrite{}, &kvrwset.KVWrite{}, nil},
		{&Version{}, &kvrwset.Version{}, nil},
	}
	all := File_proof_fabric_internal_wire_wire_proto.Messages()
	if all.Len() != len(pairs) {
		t.Errorf("%d messages, %d are compared", all.Len(), len(pairs))
	}
	for _, p := range pairs {
		ours, theirs := p.ours.ProtoReflect().Descriptor(), p.theirs.ProtoReflect().Descriptor()
		if ours.Name() != theirs.Name() {
			t.Errorf("%s is compared with %s", ours.Name(), theirs.Name())
		}
		var left []protoreflect.Name
		for i := range theirs.Fields().Len() {
			f := theirs.Fields().Get(i)
			g := ours.Fields().ByNumber(f.Number())
			if g == nil {
				left = append(left, f.Name())
				continue
			}
			kind := f.Kind()
			if kind == protoreflect.EnumKind {
				kind = protoreflect.Int32Kind // the same on the wire; the numbers are compared
			}
			if g.Name() != f.Name() || g.Kind() != kind || g.Cardinality() != f.Cardinality() || g.IsMap() != f.IsMap() {
				t.Errorf("%s field %d: %v %v %v, in Fabric %v %v %v", ours.Name(), f.Number(), g.Name(), g.Cardinality(), g.Kind(), f.Name(), f.Cardinality(), f.Kind())
			}
		}
		if !slices.Equal(left, p.left) || ours.Fields().Len()+len(left) != theirs.Fields().Len() {
			t.Errorf("%s: without %v, wanted without %v", ours.Name(), left, p.left)
		}
	}
}
