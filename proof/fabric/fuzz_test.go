package fabric_test

import (
	"bytes"
	"errors"
	"testing"

	"qifeng/proof/fabric"
)

// Whatever is not the receipt is refused, and nothing panics.
func FuzzVerify(f *testing.F) {
	w := newWorld(f, false)
	w.build()
	good := w.receipt.Marshal()
	b := newWorld(f, true)
	b.build()
	other := b.receipt.Marshal()
	f.Add(good)
	f.Add(other)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := fabric.Verify(data, want, w.pinned)
		if err == nil != bytes.Equal(data, good) || err != nil && !errors.Is(err, fabric.ErrReceipt) {
			t.Fatalf("%v", err)
		}
	})
}

// What is read as a receipt or as an entry is written again byte for byte.
func FuzzParse(f *testing.F) {
	w := newWorld(f, true)
	w.build()
	f.Add(w.receipt.Marshal())
	f.Add(want.Marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := fabric.ParseReceipt(data); err == nil && !bytes.Equal(r.Marshal(), data) {
			t.Fatal("a receipt has two spellings")
		}
		if s, err := fabric.ParseStatement(data); err == nil && !bytes.Equal(s.Marshal(), data) {
			t.Fatal("an entry has two spellings")
		}
	})
}

// The protocol buffers inside are reached past the JSON.
func FuzzParts(f *testing.F) {
	w := newWorld(f, false)
	w.build()
	good := w.receipt
	f.Add(good.Data[1], good.Signatures, good.Read.Response, good.Read.Proposal, good.Read.ChannelHeader, good.Read.Endorsements[0].Endorser)
	f.Fuzz(func(t *testing.T, envelope, signatures, response, proposal, header, endorser []byte) {
		r := *good
		r.Data = [][]byte{r.Data[0], envelope}
		r.Signatures = signatures
		r.Read.Response, r.Read.Proposal, r.Read.ChannelHeader = response, proposal, header
		r.Read.Endorsements = []fabric.Endorsement{{Endorser: endorser, Signature: good.Read.Endorsements[0].Signature}, good.Read.Endorsements[1]}
		bad := r.Marshal()
		_, err := fabric.Verify(bad, want, w.pinned)
		if err == nil != bytes.Equal(bad, good.Marshal()) {
			t.Fatalf("%v", err)
		}
	})
}
