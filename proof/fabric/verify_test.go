package fabric_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"qifeng/proof/fabric"
	"qifeng/proof/fabric/fabrictest"
	"qifeng/proof/merkle"
)

const origin = "qifeng/demo-0a1b2c3d"

var note, want = fabrictest.Note(origin, 42)

// world is a channel with the parts of a good receipt, any of which a case bends
// before they are put together.
type world struct {
	*fabrictest.Channel
	put, get *fabrictest.Call
	pinned   *fabric.Channel
	want     fabric.Statement
	block    *common.Block // set by build
	envelope []byte        // ours, if a case makes it itself
	receipt  *fabric.Receipt
}

func newWorld(t testing.TB, bft bool) *world {
	c := fabrictest.New(t, bft)
	return &world{Channel: c, put: c.Put(t, note, want), get: c.Get(t, want, 7, 1), pinned: c.Pinned(), want: want}
}

func (w *world) build() {
	if w.envelope == nil {
		w.envelope = w.Envelope(w.put.Endorse().Payload())
	}
	w.block = w.Block(7, sha256.Sum256([]byte("6")), w.Envelope([]byte("another's")), w.envelope)
	w.receipt = fabrictest.Receipt(w.block, 1, w.get.Endorse().ReadBack())
}

func (w *world) verify() (*fabric.Endorsed, error) {
	return fabric.Verify(w.receipt.Marshal(), w.want, w.pinned)
}

// revoke pins a certificate as revoked, and others that nobody has.
func revoke(o *fabric.Organisation, cert *x509.Certificate) {
	o.Revoked = [][]byte{{1}, cert.SerialNumber.Bytes(), bytes.Repeat([]byte{0xff}, 12)}
}

// A receipt against which only a revocation stands is told apart from a false one.
func TestRevoked(t *testing.T) {
	w := newWorld(t, false)
	w.build()
	revoke(&w.pinned.Organisations[1], w.Peers[1].Cert)
	if _, err := w.verify(); !errors.Is(err, fabric.ErrRevoked) || !errors.Is(err, fabric.ErrReceipt) {
		t.Errorf("revoked: %v", err)
	}
	w.want.Size++
	if _, err := w.verify(); errors.Is(err, fabric.ErrRevoked) || !errors.Is(err, fabric.ErrReceipt) {
		t.Errorf("revoked, and of another state: %v", err)
	}
	w.want.Size--
	revoke(&w.pinned.Organisations[1], w.Peers[0].Cert) // another organisation's serial number
	if _, err := w.verify(); err != nil {
		t.Errorf("nothing of its own is revoked: %v", err)
	}
}

func TestVerify(t *testing.T) {
	for _, bft := range []bool{false, true} {
		w := newWorld(t, bft)
		w.build()
		got, err := w.verify()
		if err != nil {
			t.Fatalf("bft %v: %v", bft, err)
		}
		if got.TxID != w.put.Header.TxId || got.Block != 7 || got.Note != want.Note || !got.Claimed.Equal(w.put.Header.Timestamp.AsTime()) ||
			!slices.Equal(got.Organisations, []string{"Org1MSP", "Org2MSP"}) || !slices.Equal(got.ReadBack, got.Organisations) {
			t.Errorf("bft %v: %+v", bft, got)
		}
		if n := len(got.Orderers); n != w.pinned.Orderers.Signatures {
			t.Errorf("bft %v: %d orderers: %v", bft, n, got.Orderers)
		}
	}
}

// Each case bends one thing of a good receipt; the error must name it. before is
// applied before anything is endorsed and signed, so that the bent thing is the
// only fault; after changes the finished receipt.
func TestRefused(t *testing.T) {
	cases := []struct {
		name   string
		bft    bool
		before func(t *testing.T, w *world)
		after  func(t *testing.T, w *world)
		says   string
	}{
		{"another root wanted", false, func(_ *testing.T, w *world) { w.want.Root = merkle.Sum([]byte("x")) }, nil, "the note that was put is not of"},
		{"another size wanted", false, func(_ *testing.T, w *world) { w.want.Size++ }, nil, "the note that was put is not of"},
		{"another origin wanted", false, func(_ *testing.T, w *world) { w.want.Origin = "qifeng/demo-ffffffff" }, nil, "the note that was put is not of"},
		{"foreign channel", false, func(_ *testing.T, w *world) { w.put.Header.ChannelId = "other" }, nil, `of channel "other"`},
		{"foreign channel pinned", false, func(_ *testing.T, w *world) { w.pinned.Channel = "other" }, nil, `of channel "anchors"`},
		{"foreign chaincode in the header", false, func(_ *testing.T, w *world) { w.put.Ext.ChaincodeId.Name = "other" }, nil, `of chaincode "other"`},
		{"foreign chaincode called", false, func(_ *testing.T, w *world) { w.put.Spec.ChaincodeId.Name = "other" }, nil, `calls chaincode "other"`},
		{"foreign chaincode answers", false, func(_ *testing.T, w *world) { w.put.Action.ChaincodeId.Name = "other" }, nil, `response of chaincode "other"`},
		{"configuration transaction", false, func(_ *testing.T, w *world) { w.put.Header.Type = 1 }, nil, "of type 1"},
		{"epoch", false, func(_ *testing.T, w *world) { w.put.Header.Epoch = 1 }, nil, "epoch 1"},
		{"transaction id", false, func(_ *testing.T, w *world) { w.put.Header.TxId = strings.Repeat("0", 64) }, nil, "transaction id"},
		{"no time", false, func(_ *testing.T, w *world) { w.put.Header.Timestamp = nil }, nil, "without a time"},
		{"no nonce", false, func(_ *testing.T, w *world) { w.put.Signature.Nonce = nil }, nil, "without nonce"},
		{"chaincode status", false, func(_ *testing.T, w *world) { w.put.Action.Response.Status = 409 }, nil, "status 409"},
		{"init call", false, func(_ *testing.T, w *world) { w.put.Spec.Input.IsInit = true }, nil, "initialises"},
		{"another function", false, func(_ *testing.T, w *world) { w.put.Spec.Input.Args[0] = []byte("drop") }, nil, "no call of put"},
		{"another note put", false, func(_ *testing.T, w *world) { w.put.Spec.Input.Args[1] = []byte("x") }, nil, "note that was put"},
		{"another size's note put", false, func(_ *testing.T, w *world) { w.put.Spec.Input.Args[1], _ = fabrictest.Note(origin, 41) }, nil, "note that was put"},
		{"other seals put than written", false, func(_ *testing.T, w *world) {
			w.put.Spec.Input.Args[1] = append(slices.Clone(note), "— another bGluZQ==\n"...)
		}, nil, "note's digest differs"},
		{"another entry written", false, func(_ *testing.T, w *world) { w.put.Results.Writes[0].Value[9] ^= 1 }, nil, "another entry was written"},
		{"entry deleted", false, func(_ *testing.T, w *world) { w.put.Results.Writes[0].IsDelete = true }, nil, "deleted"},
		{"entry written twice", false, func(_ *testing.T, w *world) {
			w.put.Results.Writes = append(w.put.Results.Writes, w.put.Results.Writes[0])
		}, nil, "twice"},
		{"entry not written", false, func(_ *testing.T, w *world) { w.put.Results.Writes = w.put.Results.Writes[1:] }, nil, "not written"},
		{"no event", false, func(_ *testing.T, w *world) { w.put.Event = nil }, nil, "does not announce"},
		{"event of another transaction", false, func(_ *testing.T, w *world) { w.put.Event.TxId = "x" }, nil, "event of another"},
		{"event with another entry", false, func(_ *testing.T, w *world) { w.put.Event.Payload = []byte("x") }, nil, "does not announce"},
		{"one organisation", false, func(_ *testing.T, w *world) { w.put.Endorsers = w.Peers[:1] }, nil, "endorsed by 1"},
		{"one organisation twice", false, func(t *testing.T, w *world) {
			w.put.Endorsers = []*fabrictest.Identity{w.Peers[0], w.CAs[0].Issue(t, "peer1.org1", "peer")}
		}, nil, "endorsed by 1"},
		{"pinned and foreign organisation", false, func(t *testing.T, w *world) {
			w.put.Endorsers = []*fabrictest.Identity{w.Peers[0], fabrictest.NewCA(t, "OtherMSP").Issue(t, "p", "peer")}
		}, nil, "endorsed by 1"},
		{"false CA of a pinned organisation", false, func(t *testing.T, w *world) {
			w.put.Endorsers[1] = fabrictest.NewCA(t, "Org2MSP").Issue(t, "p", "peer")
		}, nil, "unknown authority"},
		{"client endorses", false, func(t *testing.T, w *world) { w.put.Endorsers[1] = w.CAs[1].Issue(t, "c", "client") }, nil, `roles ["client"]`},
		{"two roles", false, func(t *testing.T, w *world) { w.put.Endorsers[1] = w.CAs[1].Issue(t, "c", "") }, nil, `roles []`},
		{"a revoked peer endorses", false, func(_ *testing.T, w *world) { revoke(&w.pinned.Organisations[1], w.Peers[1].Cert) }, nil, "certificate revoked"},
		{"a revoked client puts", false, func(_ *testing.T, w *world) { revoke(&w.pinned.Organisations[0], w.Client.Cert) }, nil, "certificate revoked"},
		{"a revoked orderer signs", false, func(_ *testing.T, w *world) { revoke(&w.pinned.Orderers.Organisations[0], w.Orderers[0].Cert) }, nil, "certificate revoked"},
		{"CA endorses", false, func(_ *testing.T, w *world) { w.put.Endorsers[1] = w.CAs[1].Identity() }, nil, "CA's certificate is no identity"},
		{"high s", false, func(_ *testing.T, w *world) { w.put.SignAs = (*fabrictest.Identity).SignHigh }, nil, "high s"},
		{"endorsement of something else", false, func(_ *testing.T, w *world) {
			w.put.SignAs = func(id *fabrictest.Identity, p ...[]byte) []byte { return id.Sign(p[0]) }
		}, nil, "does not verify"},
		{"certificate run out at the claimed time", false, func(_ *testing.T, w *world) {
			w.put.Header.Timestamp = timestamppb.New(fabrictest.Now.AddDate(2, 0, 0))
		}, nil, "expired"},
		{"creator of a foreign organisation", false, func(t *testing.T, w *world) {
			w.Client = fabrictest.NewCA(t, "OtherMSP").Issue(t, "node", "client")
			w.put = w.Put(t, note, want)
		}, nil, "creator"},
		{"creator's signature", false, func(_ *testing.T, w *world) {
			p := w.put.Endorse().Payload()
			w.envelope = marshal(&common.Envelope{Payload: p, Signature: w.Client.Sign(p, []byte("x"))})
		}, nil, "creator"},
		{"response to another proposal", false, func(_ *testing.T, w *world) {
			k := w.put.Endorse()
			k.Proposal = append(slices.Clone(k.Proposal), k.Proposal...)
			w.envelope = w.Envelope(k.Payload())
		}, nil, "proposal hash"},
		{"action with another signature header", false, func(t *testing.T, w *world) {
			k := w.put.Endorse()
			good := k.SignatureBytes
			k.SignatureBytes = w.Put(t, note, want).Endorse().SignatureBytes
			var p common.Payload
			unmarshal(k.Payload(), &p)
			p.Header.SignatureHeader = good
			w.envelope = w.Envelope(marshal(&p))
		}, nil, "another signature header"},
		{"payload without a header", false, func(_ *testing.T, w *world) {
			w.envelope = w.Envelope(marshal(&common.Payload{Data: marshal(&peer.Transaction{Actions: []*peer.TransactionAction{{}}})}))
		}, nil, "of type 0"},
		{"an empty transaction", false, func(_ *testing.T, w *world) {
			var p common.Payload
			unmarshal(w.put.Endorse().Payload(), &p)
			p.Data = marshal(&peer.Transaction{Actions: []*peer.TransactionAction{{Header: p.Header.SignatureHeader}}})
			w.envelope = w.Envelope(marshal(&p))
		}, nil, `calls chaincode ""`},
		{"an empty answer", false, func(_ *testing.T, w *world) {
			k := w.put.Endorse()
			k.Response, k.Endorsements = nil, nil
			w.envelope = w.Envelope(k.Payload())
		}, nil, "proposal hash"},
		{"two actions", false, func(_ *testing.T, w *world) {
			var p common.Payload
			unmarshal(w.put.Endorse().Payload(), &p)
			p.Data = append(p.Data, p.Data...)
			w.envelope = w.Envelope(marshal(&p))
		}, nil, "2 actions"},
		{"unknown field", false, func(_ *testing.T, w *world) {
			w.envelope = w.Envelope(append(w.put.Endorse().Payload(), 0x78, 1)) // field 15
		}, nil, "not known"},
		{"an envelope changed", false, nil, func(_ *testing.T, w *world) { w.receipt.Data[0][0] ^= 1 }, "data hash"},
		{"an envelope added", false, nil, func(_ *testing.T, w *world) { w.receipt.Data = append(w.receipt.Data, []byte("x")) }, "data hash"},
		{"data hash changed with the data", false, nil, func(_ *testing.T, w *world) {
			w.receipt.Data = w.receipt.Data[1:]
			w.receipt.Index, w.receipt.DataHash = 0, sha256.Sum256(w.receipt.Data[0])
		}, "orderer's signature 0"},
		{"another envelope named", false, nil, func(_ *testing.T, w *world) { w.receipt.Index = 0 }, "payload"},
		{"block number", false, nil, func(_ *testing.T, w *world) { w.receipt.Number++ }, "orderer's signature 0"},
		{"previous hash", false, nil, func(_ *testing.T, w *world) { w.receipt.PreviousHash[0]++ }, "orderer's signature 0"},
		{"no orderer", false, nil, func(_ *testing.T, w *world) { w.receipt.Signatures = w.Sign(w.block.Header) }, "0 orderers"},
		{"foreign orderer", false, nil, func(t *testing.T, w *world) {
			w.receipt.Signatures = w.Sign(w.block.Header, fabrictest.NewCA(t, "OrdererMSP").Issue(t, "o", "orderer"))
		}, "unknown authority"},
		{"peer as orderer", false, nil, func(t *testing.T, w *world) {
			w.receipt.Signatures = w.Sign(w.block.Header, w.OrdererCA.Issue(t, "o", "peer"))
		}, `roles ["peer"]`},
		{"orderer twice", false, nil, func(_ *testing.T, w *world) {
			w.receipt.Signatures = w.Sign(w.block.Header, w.Orderers[0], w.Orderers[0])
		}, "second one"},
		{"quorum not met", true, nil, func(_ *testing.T, w *world) { w.receipt.Signatures = w.Sign(w.block.Header, w.Orderers[:2]...) }, "signed by 2"},
		{"consenter twice", true, nil, func(_ *testing.T, w *world) {
			w.receipt.Signatures = w.Sign(w.block.Header, w.Orderers[0], w.Orderers[1], w.Orderers[1])
		}, "second one"},
		{"consenter not pinned", true, nil, func(t *testing.T, w *world) {
			w.Orderers = append(w.Orderers, w.OrdererCA.Issue(t, "o5", "orderer"))
			w.receipt.Signatures = w.Sign(w.block.Header, w.Orderers[2:]...)
		}, "consenter 5 is not pinned"},
		{"consenter under another's number", true, nil, func(_ *testing.T, w *world) {
			w.Orderers[0], w.Orderers[1] = w.Orderers[1], w.Orderers[0]
			w.receipt.Signatures = w.Sign(w.block.Header, w.Orderers[:3]...)
		}, "does not verify"},
		{"raft signature where consenters are pinned", true, nil, func(_ *testing.T, w *world) {
			w.BFT = false
			w.receipt.Signatures = w.Sign(w.block.Header, w.Orderers[:3]...)
		}, "without a consenter's number"},
		{"consenter's number where none are pinned", false, nil, func(_ *testing.T, w *world) {
			w.BFT = true
			w.receipt.Signatures = w.Sign(w.block.Header, w.Orderers[0])
		}, "no consenters are pinned"},
		{"invalidated", false, nil, func(_ *testing.T, w *world) { w.receipt.Code = 11 }, "MVCC_READ_CONFLICT"},
		{"invalidated, said to be valid", false, func(t *testing.T, w *world) {
			w.get.Results.Reads[0].Version = &kvrwset.Version{BlockNum: 7, TxNum: 0}
		}, nil, "ours was not valid"},
		{"written in another block", false, func(_ *testing.T, w *world) { w.get.Results.Reads[0].Version.BlockNum = 6 }, nil, "ours was not valid"},
		{"read-back of an absent key", false, func(_ *testing.T, w *world) { w.get.Results.Reads[0].Version = nil }, nil, "not there"},
		{"read-back without a read", false, func(_ *testing.T, w *world) { w.get.Results.Reads = nil }, nil, "was not read"},
		{"read-back answers another entry", false, func(_ *testing.T, w *world) {
			s := want
			s.Note = merkle.Sum([]byte("x"))
			w.get.Action.Response.Payload = s.Marshal()
		}, nil, "note's digest differs"},
		{"read-back asks for another size", false, func(_ *testing.T, w *world) { w.get.Spec.Input.Args[2] = []byte("41") }, nil, "asks for something else"},
		{"read-back asks for another origin", false, func(_ *testing.T, w *world) { w.get.Spec.Input.Args[1] = []byte("qifeng/x") }, nil, "asks for something else"},
		{"read-back writes", false, func(_ *testing.T, w *world) { w.get.Results.Writes = w.put.Results.Writes }, nil, "it writes"},
		{"read-back on another channel", false, func(_ *testing.T, w *world) { w.get.Header.ChannelId = "other" }, nil, "read-back: transaction of channel"},
		{"read-back by one organisation", false, func(_ *testing.T, w *world) { w.get.Endorsers = w.Peers[:1] }, nil, "read-back: endorsed by 1"},
		{"read-back by a foreign organisation too", false, func(t *testing.T, w *world) {
			w.get.Endorsers = append(w.get.Endorsers, fabrictest.NewCA(t, "OtherMSP").Issue(t, "p", "peer"))
		}, nil, "not a pinned organisation"},
		{"read-back is the transaction", false, func(_ *testing.T, w *world) {
			w.get.Header.TxId, w.get.Signature = w.put.Header.TxId, w.put.Signature
		}, nil, "the transaction itself"},
		{"read-back of another's headers", false, nil, func(t *testing.T, w *world) {
			w.receipt.Read.SignatureHeader = w.Get(t, want, 7, 1).Endorse().SignatureBytes
		}, "transaction id"},
		{"read-back spelled in another way", false, nil, func(_ *testing.T, w *world) {
			w.receipt.Read.SignatureHeader = append(slices.Clone(w.receipt.Read.SignatureHeader), 0x12, 0)
		}, "spelled in another way"},
		{"no endorsements pinned", false, func(_ *testing.T, w *world) { w.pinned.Endorsements = 0 }, nil, "0 endorsements"},
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

func TestAccepted(t *testing.T) {
	cases := []struct {
		name   string
		before func(t *testing.T, w *world)
	}{
		{"a third, unpinned organisation endorsed the transaction", func(t *testing.T, w *world) {
			w.put.Endorsers = append(w.put.Endorsers, fabrictest.NewCA(t, "OtherMSP").Issue(t, "p", "peer"))
		}},
		{"three endorse", func(_ *testing.T, w *world) { w.put.Endorsers, w.get.Endorsers = w.Peers, w.Peers }},
		{"a note with other seals at hand", func(_ *testing.T, w *world) { w.want.Note = merkle.Sum([]byte("x")) }},
		{"others read it back", func(_ *testing.T, w *world) { w.get.Endorsers = w.Peers[1:] }},
		{"intermediate CA", func(t *testing.T, w *world) {
			ica := w.CAs[1].Below(t)
			w.pinned.Organisations[1].Intermediates = [][]byte{ica.DER()}
			w.put.Endorsers[1], w.get.Endorsers[1] = ica.Issue(t, "p", "peer"), ica.Issue(t, "q", "peer")
		}},
		{"no roles in the certificates", func(t *testing.T, w *world) {
			w.pinned.Organisations[1].NodeOUs = false
			w.put.Endorsers[1] = w.CAs[1].Issue(t, "p", "")
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, false)
			c.before(t, w)
			w.build()
			if _, err := w.verify(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A root that has intermediates below it issues no identities, for Fabric and for
// us.
func TestIssuedAboveIntermediate(t *testing.T) {
	w := newWorld(t, false)
	w.pinned.Organisations[1].Intermediates = [][]byte{w.CAs[1].Below(t).DER()}
	w.build()
	if _, err := w.verify(); err == nil || !strings.Contains(err.Error(), "above other CAs") {
		t.Fatal(err)
	}
}

// Every byte of a receipt counts: changed to anything else, it fails.
func TestEveryByte(t *testing.T) {
	for _, bft := range []bool{false, true} {
		w := newWorld(t, bft)
		w.build()
		good := w.receipt.Marshal()
		start := time.Now()
		for i := range good {
			bad := slices.Clone(good)
			bad[i] ^= []byte{0x01, 0x02, 0x20}[i%3]
			if _, err := fabric.Verify(bad, want, w.pinned); err == nil {
				t.Errorf("bft %v: byte %d, %q for %q: verifies", bft, i, bad[i], good[i])
			}
		}
		t.Logf("bft %v: %d bytes in %v", bft, len(good), time.Since(start))
	}
}

func TestReceiptRoundTrip(t *testing.T) {
	w := newWorld(t, false)
	w.build()
	b := w.receipt.Marshal()
	r, err := fabric.ParseReceipt(b)
	if err != nil {
		t.Fatal(err)
	}
	if string(r.Marshal()) != string(b) {
		t.Error("a receipt written again differs")
	}
	for name, bad := range map[string][]byte{
		"too large":     append(slices.Clone(b), make([]byte, fabric.MaxReceipt)...),
		"trailing":      append(slices.Clone(b), ' '),
		"line feed":     []byte(strings.Replace(string(b), `"proposal":["`, `"proposal":["\n`, 1)),
		"empty value":   []byte(strings.Replace(string(b), `"parts":[`, `"parts":["",`, 1)),
		"stray bits":    []byte(strings.Replace(string(b), `"parts":[`, `"parts":["AB==",`, 1)),
		"unknown part":  []byte(strings.Replace(string(b), `"endorser":["",`, `"endorser":["",6`, 1)),
		"ends in part":  []byte(strings.Replace(string(b), `"endorser":["",0,""]`, `"endorser":["",0]`, 1)),
		"empty bytes":   []byte(strings.Replace(string(b), `"endorser":["",0,""]`, `"endorser":[""]`, 1)),
		"blown up":      []byte(strings.Replace(string(b), `"endorser":["",0,""]`, `"endorser":[""`+strings.Repeat(`,0,""`, 64)+`]`, 1)),
		"unknown field": []byte(strings.Replace(string(b), `"v":1`, `"v":1,"w":1`, 1)),
		"version":       []byte(strings.Replace(string(b), `"v":1`, `"v":2`, 1)),
		"index":         []byte(strings.Replace(string(b), `"index":1`, `"index":2`, 1)),
	} {
		if string(bad) == string(b) {
			t.Errorf("%s: the case bends nothing", name)
		}
		if _, err := fabric.ParseReceipt(bad); err == nil && name != "blown up" {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestStatement(t *testing.T) {
	b := want.Marshal()
	got, err := fabric.ParseStatement(b)
	if err != nil || got != want {
		t.Fatalf("%+v, %v", got, err)
	}
	if len(b) > fabric.MaxEntry {
		t.Errorf("%d bytes", len(b))
	}
	for _, bad := range []string{"", "{}", strings.Replace(string(b), `"size":42`, `"size":0`, 1), string(b) + "\n"} {
		if _, err := fabric.ParseStatement([]byte(bad)); err == nil {
			t.Errorf("%q: taken", bad)
		}
	}
}

func TestCheckChannel(t *testing.T) {
	bend := []struct {
		name string
		bft  bool
		do   func(c *fabric.Channel)
	}{
		{"no channel id", false, func(c *fabric.Channel) { c.Channel = "" }},
		{"impossible channel id", false, func(c *fabric.Channel) { c.Channel = "a b" }},
		{"no chaincode", false, func(c *fabric.Channel) { c.Chaincode = "" }},
		{"no organisations", false, func(c *fabric.Channel) { c.Organisations = nil }},
		{"organisation twice", false, func(c *fabric.Channel) { c.Organisations[1] = c.Organisations[0] }},
		{"organisation without roots", false, func(c *fabric.Channel) { c.Organisations[0].Roots = nil }},
		{"organisation without id", false, func(c *fabric.Channel) { c.Organisations[0].MSP = "" }},
		{"root is no certificate", false, func(c *fabric.Channel) { c.Organisations[0].Roots[0] = []byte("x") }},
		{"root is no CA", true, func(c *fabric.Channel) { c.Organisations[0].Roots[0] = c.Orderers.Consenters[0].Certificate }},
		{"revoked consenter", true, func(c *fabric.Channel) {
			cert, err := x509.ParseCertificate(c.Orderers.Consenters[0].Certificate)
			if err != nil {
				t.Fatal(err)
			}
			revoke(&c.Orderers.Organisations[0], cert)
		}},
		{"revoked intermediate", false, func(c *fabric.Channel) {
			ca := fabrictest.NewCA(t, "Org1MSP")
			below := ca.Below(t)
			c.Organisations[0].Roots, c.Organisations[0].Intermediates = [][]byte{ca.DER()}, [][]byte{below.DER()}
			revoke(&c.Organisations[0], below.Identity().Cert)
		}},
		{"serial number twice", false, func(c *fabric.Channel) { c.Organisations[0].Revoked = [][]byte{{1}, {1}} }},
		{"serial numbers that fall", false, func(c *fabric.Channel) { c.Organisations[0].Revoked = [][]byte{{1, 0}, {2}} }},
		{"serial number with a zero in front", false, func(c *fabric.Channel) { c.Organisations[0].Revoked = [][]byte{{0, 1}} }},
		{"empty serial number", false, func(c *fabric.Channel) { c.Organisations[0].Revoked = [][]byte{{}} }},
		{"serial number too long", false, func(c *fabric.Channel) {
			c.Organisations[0].Revoked = [][]byte{bytes.Repeat([]byte{1}, fabric.MaxSerial+1)}
		}},
		{"too many revoked", false, func(c *fabric.Channel) {
			for n := range uint16(fabric.MaxRevoked + 1) {
				c.Organisations[0].Revoked = append(c.Organisations[0].Revoked, binary.BigEndian.AppendUint16([]byte{1}, n))
			}
		}},
		{"too many endorsements", false, func(c *fabric.Channel) { c.Endorsements = 4 }},
		{"no orderers", false, func(c *fabric.Channel) { c.Orderers.Organisations = nil }},
		{"no signatures", false, func(c *fabric.Channel) { c.Orderers.Signatures = 0 }},
		{"two raft signatures", false, func(c *fabric.Channel) { c.Orderers.Signatures = 2 }},
		{"less than a quorum", true, func(c *fabric.Channel) { c.Orderers.Signatures = 2 }},
		{"more than all", true, func(c *fabric.Channel) { c.Orderers.Signatures = 5 }},
		{"consenter id twice", true, func(c *fabric.Channel) { c.Orderers.Consenters[1].ID = 1 }},
		{"consenter id too large", true, func(c *fabric.Channel) { c.Orderers.Consenters[1].ID = 1 << 32 }},
		{"consenter certificate twice", true, func(c *fabric.Channel) {
			c.Orderers.Consenters[1].Certificate = c.Orderers.Consenters[0].Certificate
		}},
		{"consenter of a foreign organisation", true, func(c *fabric.Channel) { c.Orderers.Consenters[1].MSP = "Org1MSP" }},
		{"consenter with a CA's certificate", true, func(c *fabric.Channel) {
			c.Orderers.Consenters[1].Certificate = c.Orderers.Organisations[0].Roots[0]
		}},
	}
	if err := fabric.CheckChannel(nil); err == nil {
		t.Error("nil: taken")
	}
	for _, bft := range []bool{false, true} {
		if err := fabric.CheckChannel(fabrictest.New(t, bft).Pinned()); err != nil {
			t.Errorf("bft %v: %v", bft, err)
		}
	}
	for _, b := range bend {
		c := fabrictest.New(t, b.bft).Pinned()
		b.do(c)
		if err := fabric.CheckChannel(c); !errors.Is(err, fabric.ErrReceipt) {
			t.Errorf("%s: %v", b.name, err)
		}
	}
}

func TestQuorum(t *testing.T) {
	for n, q := range map[int]int{1: 1, 2: 2, 3: 2, 4: 3, 5: 4, 6: 4, 7: 5, 10: 7} {
		if got := fabric.Quorum(n); got != q {
			t.Errorf("%d consenters: %d, not %d", n, got, q)
		}
	}
}

func marshal(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func unmarshal(b []byte, m proto.Message) {
	if err := proto.Unmarshal(b, m); err != nil {
		panic(err)
	}
}
