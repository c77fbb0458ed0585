package fabric_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/encoding/protowire"

	"qifeng/proof/fabric"
	"qifeng/proof/fabric/fabrictest"
)

// bomb is a value with a unit in it that stands there very often: in a receipt it
// takes a part, and a number for every time that the part is meant.
type bomb struct {
	before, part, after []byte
	times               int
}

func newBomb(unit []byte, size int) bomb {
	return bomb{part: bytes.Repeat(unit, size/62/len(unit)), times: 62}
}

func (b bomb) bytes() []byte { return slices.Concat(b.before, bytes.Repeat(b.part, b.times), b.after) }

// in puts the bomb into a field of a message whose other fields are given.
func (b bomb) in(before []byte, field protowire.Number, after []byte) bomb {
	head := protowire.AppendTag(slices.Clone(before), field, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(b.bytes())))
	return bomb{append(head, b.before...), b.part, append(slices.Clone(b.after), after...), b.times}
}

func (b bomb) text() string {
	e := base64.StdEncoding.EncodeToString
	return `["` + e(b.before) + `"` + strings.Repeat(`,0,""`, b.times-1) + `,0,"` + e(b.after) + `"]`
}

// with writes a receipt with the bomb in the place of one of its values.
func (b bomb) with(r *fabric.Receipt, at string) []byte {
	write := func(name string, v []byte) string {
		if name == at {
			return b.text()
		}
		return `["` + base64.StdEncoding.EncodeToString(v) + `"]`
	}
	hash := r.DataHash
	if at == "data" {
		hash = sha256.Sum256(b.bytes())
	}
	var ends []string
	for _, e := range r.Read.Endorsements {
		ends = append(ends, fmt.Sprintf(`{"endorser":%s,"signature":%s}`, write("", e.Endorser), write("", e.Signature)))
	}
	return fmt.Appendf(nil, `{"block":{"data":[%s],"data_hash":"%s","number":%d,"previous_hash":"%s","signatures":%s},"code":0,"index":0,"parts":["%s"],`+
		`"read":{"channel_header":%s,"endorsements":[%s],"proposal":%s,"response":%s,"signature_header":%s},"type":"qifeng-fabric-receipt","v":1}`,
		write("data", r.Data[r.Index]), hex.EncodeToString(hash[:]), r.Number, hex.EncodeToString(r.PreviousHash[:]), write("signatures", r.Signatures),
		base64.StdEncoding.EncodeToString(b.part), write("", r.Read.ChannelHeader), strings.Join(ends, ","), write("proposal", r.Read.Proposal),
		write("response", r.Read.Response), write("", r.Read.SignatureHeader))
}

// TestBombs: receipts that are small, stand for much, and are refused at once. They
// are made of true ones, which anybody may have.
func TestBombs(t *testing.T) {
	const (
		all   = 250 << 10 // that a receipt may stand for, but for the rest of it
		worst = 200 * time.Millisecond
	)
	w := newWorld(t, false)
	w.envelope = w.Envelope(w.put.Endorse().Payload())
	w.block = w.Block(7, sha256.Sum256(nil), w.envelope)
	w.receipt = fabrictest.Receipt(w.block, 0, w.Get(t, want, 7, 0).Endorse().ReadBack())
	if _, err := w.verify(); err != nil {
		t.Fatal(err)
	}
	header := func() []byte {
		return field(1, marshal(&common.Header{ChannelHeader: w.put.HeaderBytes, SignatureHeader: w.put.SignatureBytes}))
	}
	// envelope wraps the payload of the one action; nobody needs to have signed it to have it read.
	envelope := func(b bomb) bomb {
		b = b.in(field(1, w.put.SignatureBytes), 2, nil) // TransactionAction
		b = b.in(nil, 1, nil).in(header(), 2, nil)       // Transaction, Payload
		return b.in(nil, 1, field(2, []byte("x")))
	}
	// endorsed has what the bomb is in as the results of the answer, or as its endorsements.
	endorsed := func(results, endorsements *bomb) bomb {
		var out bomb
		rest := slices.Concat(field(3, marshal(&peer.Response{Status: 200})), field(4, marshal(&peer.ChaincodeID{Name: "anchor"})))
		sum := sha256.Sum256(slices.Concat(w.put.HeaderBytes, w.put.SignatureBytes, w.put.Proposal))
		if results != nil {
			out = results.in(nil, 1, rest).in(field(1, sum[:]), 2, nil).in(nil, 1, nil)
		} else {
			out = *endorsements
			out.before = append(field(1, w.put.Response), out.before...)
		}
		return envelope(out.in(field(1, w.put.Proposal), 2, nil))
	}
	set := func(unit ...byte) *bomb {
		b := newBomb(unit, all-30<<10).in(field(1, []byte("anchor")), 2, nil).in(nil, 2, nil)
		return &b
	}
	names := newBomb([]byte{0x12, 0}, all-30<<10)
	endorsers := func(p []byte) *bomb {
		id := marshal(&msp.SerializedIdentity{Mspid: "Other", IdBytes: p})
		return &bomb{part: field(2, marshal(&peer.Endorsement{Endorser: id, Signature: []byte("x")})), times: 30}
	}
	// A certificate of another organisation's, as long as it may be: it is read, and passed over.
	long := fabrictest.NewCA(t, "Other").Issue(t, strings.Repeat("x", 5000), strings.Repeat("y", 500)).Cert.Raw
	for _, c := range []struct {
		name, at string
		b        bomb
	}{
		{"orderers' signatures", "signatures", newBomb([]byte{0x12, 0}, all-20<<10)},
		{"actions", "data", newBomb([]byte{0x0a, 0}, all-20<<10).in(header(), 2, nil).in(nil, 1, field(2, []byte("x")))},
		{"endorsements", "data", envelope(newBomb([]byte{0x12, 0}, all-20<<10).in(nil, 2, nil))},
		{"reads", "data", endorsed(set(0x0a, 0), nil)},
		{"versions", "data", endorsed(set(0x0a, 2, 0x12, 0), nil)},
		{"namespaces", "data", endorsed(&names, nil)},
		{"reads of the read-back", "response", newBomb([]byte{0x0a, 0}, all-20<<10)},
		{"fields of the proposal", "proposal", newBomb([]byte{0x0a, 0}, all-20<<10)},
		{"endorsers without a certificate", "data", endorsed(nil, endorsers(bytes.Repeat([]byte("-----BEGIN CERTIFICATE-----\n"), 270)))},
		{"endorsers that begin often", "data", endorsed(nil, endorsers(bytes.Repeat([]byte("-----BEGIN X-----\n-----END Y-----\n"), 220)))},
		{"long certificates", "data", endorsed(nil, endorsers(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: long})))},
	} {
		receipt := c.b.with(w.receipt, c.at)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, err := fabric.Verify(receipt, w.want, w.pinned)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		t.Logf("%s: %d bytes stand for %d: %v, %d MiB: %v", c.name, len(receipt), len(c.b.bytes()), took, (after.TotalAlloc-before.TotalAlloc)>>20, err)
		if err == nil || strings.Contains(err.Error(), "reading a receipt") {
			t.Errorf("%s: %v: it is not what it should be", c.name, err)
		}
		if took > worst {
			t.Errorf("%s: %v", c.name, took)
		}
	}
}

// field is one field of a message.
func field(n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), v)
}
