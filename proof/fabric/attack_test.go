package fabric_test

import (
	"bytes"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"qifeng/proof/fabric"
	"qifeng/proof/fabric/fabrictest"
)

// again is a second certificate for an identity's key.
func again(t *testing.T, ca *fabrictest.CA, id *fabrictest.Identity) *fabrictest.Identity {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(4711), Subject: pkix.Name{CommonName: "again", OrganizationalUnit: id.Cert.Subject.OrganizationalUnit},
		NotBefore: id.Cert.NotBefore, NotAfter: id.Cert.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	parent := ca.Identity()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent.Cert, id.Key.Public(), parent.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &fabrictest.Identity{MSP: id.MSP, Cert: cert, Key: id.Key}
}

// TestAttacks: receipts by somebody who lacks an organisation or an orderer, or who
// has them all but bends what they signed.
func TestAttacks(t *testing.T) {
	other, otherWant := fabrictest.Note(origin, 43)
	zero := timestamppb.New(time.Time{})
	cases := []struct {
		name   string
		bft    bool
		before func(t *testing.T, w *world)
		after  func(t *testing.T, w *world)
		says   string
	}{
		// A time that the library takes for now: such a verdict would change with the day.
		{"zero time", false, func(_ *testing.T, w *world) { w.put.Header.Timestamp = zero }, nil, "claimed time is none"},
		{"zero time of the read-back", false, func(_ *testing.T, w *world) { w.get.Header.Timestamp = zero }, nil, "claimed time is none"},
		// Votes counted twice.
		{"one key, two certificates, one organisation", false, func(t *testing.T, w *world) {
			w.put.Endorsers = []*fabrictest.Identity{w.Peers[0], again(t, w.CAs[0], w.Peers[0])}
		}, nil, "endorsed by 1"},
		{"one certificate under another organisation's name", false, func(_ *testing.T, w *world) {
			twin := *w.Peers[0]
			twin.MSP = "Org2MSP"
			w.put.Endorsers = []*fabrictest.Identity{w.Peers[0], &twin}
		}, nil, "unknown authority"},
		{"an orderer with two certificates of one key", false, nil, func(t *testing.T, w *world) {
			w.receipt.Signatures = w.Sign(w.block.Header, w.Orderers[0], again(t, w.OrdererCA, w.Orderers[0]))
		}, "second one"},
		{"an orderer endorses", false, func(t *testing.T, w *world) { w.put.Endorsers[1] = w.CAs[1].Issue(t, "o", "orderer") }, nil, `roles ["orderer"]`},
		{"an admin endorses the read-back", false, func(t *testing.T, w *world) { w.get.Endorsers[1] = w.CAs[1].Issue(t, "a", "admin") }, nil, `roles ["admin"]`},
		{"a client orders", false, nil, func(t *testing.T, w *world) {
			w.receipt.Signatures = w.Sign(w.block.Header, w.OrdererCA.Issue(t, "c", "client"))
		}, `roles ["client"]`},
		{"a peer's organisation orders", false, nil, func(t *testing.T, w *world) {
			w.receipt.Signatures = w.Sign(w.block.Header, w.CAs[0].Issue(t, "o", "orderer"))
		}, "not a pinned organisation"},
		// What was signed, said of something else.
		{"orderer's signature over another header", false, nil, func(_ *testing.T, w *world) {
			h := proto.Clone(w.block.Header).(*common.BlockHeader)
			h.Number++
			w.receipt.Signatures = w.Sign(h, w.Orderers[0])
		}, "does not verify"},
		{"a read-back of the place alone", false, func(t *testing.T, w *world) { // of another entry, written there
			w.get = w.Get(t, otherWant, 7, 1)
		}, nil, "asks for something else"},
		{"asked for this, read that", false, func(_ *testing.T, w *world) {
			w.get.Results.Reads[0].Key = fabric.EntryKey(origin, 43)
		}, nil, "was not read"},
		{"read at two places", false, func(_ *testing.T, w *world) {
			r := proto.Clone(w.get.Results.Reads[0]).(*kvrwset.KVRead)
			r.Version.BlockNum = 3
			w.get.Results.Reads = append(w.get.Results.Reads, r)
		}, nil, "read twice"},
		{"read-back by the function put", false, func(_ *testing.T, w *world) { w.get.Spec.Input.Args[0] = []byte("put") }, nil, "asks for something else"},
		{"read-back of head", false, func(_ *testing.T, w *world) {
			w.get.Spec.Input.Args = [][]byte{[]byte("head"), []byte(origin)}
		}, nil, "asks for something else"},
		{"read-back with an argument more", false, func(_ *testing.T, w *world) {
			w.get.Spec.Input.Args = append(w.get.Spec.Input.Args, nil)
		}, nil, "asks for something else"},
		{"size with a zero in front", false, func(_ *testing.T, w *world) { w.get.Spec.Input.Args[2] = []byte("042") }, nil, "asks for something else"},
		{"read-back that failed", false, func(_ *testing.T, w *world) { w.get.Action.Response.Status = 404 }, nil, "status 404"},
		{"read-back by another chaincode", false, func(_ *testing.T, w *world) { w.get.Ext.ChaincodeId.Name = "other" }, nil, "of chaincode"},
		{"a note that only begins so", false, func(_ *testing.T, w *world) {
			w.put.Spec.Input.Args[1] = bytes.Replace(note, []byte("\n\n"), []byte("\nmore\n\n"), 1)
		}, nil, "note that was put is not of"},
		{"the entry of another, in our transaction", false, func(_ *testing.T, w *world) {
			w.put.Results.Writes[0].Value = otherWant.Marshal()
		}, nil, "another entry was written"},
		{"another's note, our entry", false, func(_ *testing.T, w *world) { w.put.Spec.Input.Args[1] = other }, nil, "note that was put is not of"},
		{"two entries, the first ours", false, func(_ *testing.T, w *world) {
			w.put.Results.Writes = append(w.put.Results.Writes, proto.Clone(w.put.Results.Writes[0]).(*kvrwset.KVWrite))
			w.put.Results.Writes[2].Value = otherWant.Marshal()
		}, nil, "written twice"},
		// Protocol buffers that say two things.
		{"two timestamps in the read-back", false, nil, func(_ *testing.T, w *world) {
			w.receipt.Read.ChannelHeader = append(marshal(&common.ChannelHeader{Epoch: 1}), w.receipt.Read.ChannelHeader...)
		}, "spelled in another way"},
		{"an endorser with two names", false, func(t *testing.T, w *world) {
			k := w.put.Endorse()
			twice := append(marshal(&msp.SerializedIdentity{Mspid: "Org3MSP"}), w.Peers[0].Serialized()...)
			k.Endorsements = []*peer.Endorsement{k.Endorsements[0], {Endorser: twice, Signature: w.Peers[0].Sign(k.Response, twice)}}
			w.envelope = w.Envelope(k.Payload())
		}, nil, "endorsed by 1"},
		{"the end of the answer said to be the endorser's beginning", false, func(_ *testing.T, w *world) {
			k := w.put.Endorse()
			var p peer.ProposalResponsePayload
			unmarshal(k.Response, &p)
			head := marshal(&peer.ProposalResponsePayload{ProposalHash: p.ProposalHash})
			tail := k.Response[len(head):]
			k.Response = head
			for _, e := range k.Endorsements {
				e.Endorser = append(slices.Clone(tail), e.Endorser...)
			}
			w.envelope = w.Envelope(k.Payload())
		}, nil, "chaincode \"\""},
		// A block's data hash knows no borders.
		{"two envelopes said to be one", false, nil, func(_ *testing.T, w *world) {
			w.receipt.Data, w.receipt.Index = [][]byte{slices.Concat(w.receipt.Data...)}, 0
		}, "spelled in another way"},
		{"one envelope said to be two", false, nil, func(_ *testing.T, w *world) {
			var env common.Envelope
			unmarshal(w.receipt.Data[0], &env)
			n := len(marshal(&common.Envelope{Payload: env.Payload}))
			w.receipt.Data = [][]byte{w.receipt.Data[0][:n], w.receipt.Data[0][n:], w.receipt.Data[1]}
			w.receipt.Index = 2
		}, "no payload or no signature"},
		{"ours inside another's", false, func(t *testing.T, w *world) {
			// An envelope that the channel never saw as a transaction, in an argument of one.
			ours := w.Envelope(w.put.Endorse().Payload())
			carrier := w.NewCall(t, []byte("x"), ours)
			w.envelope = w.Envelope(carrier.Endorse().Payload())
		}, func(_ *testing.T, w *world) {
			whole := slices.Concat(w.receipt.Data...)
			at := bytes.Index(whole, marshal(&common.Envelope{Payload: w.put.Payload()}))
			end := at + len(marshal(&common.Envelope{Payload: w.put.Payload()}))
			end += 2 + int(whole[end+1]) // its signature
			w.receipt.Data, w.receipt.Index = [][]byte{whole[:at], whole[at:end], whole[end:]}, 1
		}, "envelope 0"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.bft)
			if c.before != nil {
				c.before(t, w)
			}
			w.build()
			if c.after != nil {
				c.after(t, w)
			}
			_, err := w.verify()
			if !errors.Is(err, fabric.ErrReceipt) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want an error that says %q", err, c.says)
			}
		})
	}
}

// TestCountedTwice: pinned channels in which one would count for two.
func TestCountedTwice(t *testing.T) {
	c := fabrictest.New(t, true)
	p := c.Pinned()
	p.Organisations[1].Roots = append(p.Organisations[1].Roots, c.CAs[0].DER())
	if err := fabric.CheckChannel(p); err == nil || !strings.Contains(err.Error(), `one CA issues the identities of "Org1MSP" and of "Org2MSP"`) {
		t.Errorf("one CA in two organisations: %v", err)
	}
	// A root above the CAs of several organisations issues no identities itself.
	p = c.Pinned()
	root := fabrictest.NewCA(t, "Org1MSP")
	for i := range 2 {
		p.Organisations[i].Roots, p.Organisations[i].Intermediates = [][]byte{root.DER()}, [][]byte{root.Below(t).DER()}
	}
	if err := fabric.CheckChannel(p); err != nil {
		t.Errorf("one root above two CAs: %v", err)
	}
	p.Organisations[1].Intermediates = nil
	if err := fabric.CheckChannel(p); err != nil {
		t.Errorf("one root above a CA, and the CA of another: %v", err)
	}
	p = c.Pinned()
	p.Orderers.Consenters[1].Certificate = again(t, c.OrdererCA, c.Orderers[0]).Cert.Raw
	if err := fabric.CheckChannel(p); err == nil || !strings.Contains(err.Error(), "key stands twice") {
		t.Errorf("one key for two consenters: %v", err)
	}
}
