package fabric_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"reflect"
	"testing"

	"qifeng/proof/fabric"
)

// Whatever is not the receipt is refused, and nothing panics.
func FuzzVerify(f *testing.F) {
	r := readReal(f, "raft")
	good, want := r.file(f, "receipt.json"), r.statement(f, "receipt")
	content := expanded(f, good)
	f.Add(good)
	f.Add(r.file(f, "race.json"))
	f.Add(readReal(f, "bft").file(f, "receipt.json"))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := fabric.Verify(data, want, &r.roots.Fabric[0])
		if err == nil != reflect.DeepEqual(expanded(t, data), content) || err != nil && !errors.Is(err, fabric.ErrReceipt) {
			t.Fatalf("%v", err)
		}
	})
}

// expanded is what a receipt says, however it is split into parts; nil if it is none.
func expanded(t testing.TB, data []byte) *fabric.Receipt {
	r, err := fabric.ParseReceipt(data)
	if err != nil {
		return nil
	}
	return r
}

// What is read as a receipt says the same when written again; an entry is written
// again byte for byte.
func FuzzParse(f *testing.F) {
	f.Add(readReal(f, "bft").file(f, "receipt.json"))
	f.Add(want.Marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		if r := expanded(t, data); r != nil && !reflect.DeepEqual(expanded(t, r.Marshal()), r) && len(r.Marshal()) <= fabric.MaxReceipt {
			t.Fatal("a receipt written again differs")
		}
		if s, err := fabric.ParseStatement(data); err == nil && !bytes.Equal(s.Marshal(), data) {
			t.Fatal("an entry has two spellings")
		}
	})
}

// The protocol buffers inside are reached past the JSON.
func FuzzParts(f *testing.F) {
	w := readReal(f, "raft")
	want, c := w.statement(f, "receipt"), &w.roots.Fabric[0]
	good := expanded(f, w.file(f, "receipt.json"))
	f.Add(good.Data[0], good.Signatures, good.Read.Response, good.Read.Proposal, good.Read.ChannelHeader, good.Read.Endorsements[0].Endorser)
	f.Fuzz(func(t *testing.T, envelope, signatures, response, proposal, header, endorser []byte) {
		r := *good
		r.Data, r.DataHash = [][]byte{envelope}, sha256.Sum256(envelope)
		r.Signatures = signatures
		r.Read.Response, r.Read.Proposal, r.Read.ChannelHeader = response, proposal, header
		r.Read.Endorsements = []fabric.Endorsement{{Endorser: endorser, Signature: good.Read.Endorsements[0].Signature}, good.Read.Endorsements[1]}
		_, err := fabric.Verify(r.Marshal(), want, c)
		if err == nil != reflect.DeepEqual(&r, good) {
			t.Fatalf("%v", err)
		}
	})
}

// An endorsed call is read and judged without a panic, whatever a driver hands over.
func FuzzReadBack(f *testing.F) {
	w := newWorld(f, false)
	f.Add(w.put.Endorse().Payload())
	f.Add(w.get.Endorse().Payload())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, payload []byte) {
		b, err := fabric.ReadBackOf(payload)
		if err != nil {
			return
		}
		if read, err := b.Pinned(w.pinned).Verify(w.pinned); err == nil {
			read.Writes()
			_, _, _ = read.Version(fabric.EntryKey(want.Origin, want.Size))
		}
		b.Marshal()
	})
}
