package anchor

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"qifeng/proof"
)

var (
	someTime    = time.Date(2026, 11, 22, 3, 4, 5, 678901234, time.UTC)
	someReceipt = &receipt{previous: 6, Stored: Stored{Name: "tsa-a", Kind: proof.AnchorRFC3161, Size: 7, Note: []byte("a note\n"),
		Data: []byte("a token"), StoredAt: someTime, Time: someTime.Add(-time.Second)}}
	somePending = &pending{size: 7, since: someTime, note: []byte("a note\n")}
	someAlarm   = &storedAlarm{number: 3, resumed: someTime, Alarm: Alarm{Name: "tsa-a", At: someTime, Size: 7, Ours: []byte("ours"),
		Theirs: []byte("theirs"), Text: "text"}}
)

// values are one stored value of each kind, and how it is read back.
func values() map[string]struct {
	want  any
	value []byte
	read  func([]byte) (any, error)
} {
	type row = struct {
		want  any
		value []byte
		read  func([]byte) (any, error)
	}
	bare := &receipt{Stored: Stored{Name: "w", Kind: proof.AnchorWitness, Size: 1, Note: []byte("n")}}
	return map[string]row{
		"receipt": {someReceipt, encodeReceipt(receiptKey("tsa-a", 7), someReceipt),
			func(v []byte) (any, error) { return decodeReceipt("tsa-a", 7, v) }},
		"bare receipt": {bare, encodeReceipt(receiptKey("w", 1), bare), func(v []byte) (any, error) {
			r, err := decodeReceipt("w", 1, v)
			if r != nil && len(r.Data) == 0 {
				r.Data = nil
			}
			return r, err
		}},
		"pending": {somePending, encodePending(pendingKey("tsa-a"), somePending), func(v []byte) (any, error) { return decodePending("tsa-a", v) }},
		"alarm":   {someAlarm, encodeAlarm(alarmKey("tsa-a", 3), someAlarm), func(v []byte) (any, error) { return decodeAlarm("tsa-a", 3, v) }},
	}
}

func TestValues(t *testing.T) {
	for name, test := range values() {
		t.Run(name, func(t *testing.T) {
			got, err := test.read(test.value)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Fatalf("read back: %+v, %v, want %+v", got, err, test.want)
			}
			for i := range len(test.value) * 8 {
				flipped := bytes.Clone(test.value)
				flipped[i/8] ^= 1 << (i % 8)
				if got, err := test.read(flipped); err == nil {
					t.Fatalf("bit %d is flipped, and it reads %+v", i, got)
				}
			}
			for n := range len(test.value) {
				if _, err := test.read(test.value[:n]); err == nil {
					t.Fatalf("cut to %d bytes, it reads", n)
				}
			}
			if _, err := test.read(append(bytes.Clone(test.value), 0)); err == nil {
				t.Error("with a byte more, it reads")
			}
		})
	}
	// A value is bound to its key.
	v := encodeReceipt(receiptKey("tsa-a", 7), someReceipt)
	if _, err := decodeReceipt("tsa-a", 8, v); err == nil {
		t.Error("the receipt of size 7 reads as one of size 8")
	}
	if _, err := decodeReceipt("tsa-b", 7, v); err == nil {
		t.Error("the receipt of tsa-a reads as one of tsa-b")
	}
}

// What has a right checksum and is no value is refused too.
func TestStrictValues(t *testing.T) {
	key := receiptKey("tsa-a", 7)
	body := func(change func(b []byte) []byte) []byte {
		v := encodeReceipt(key, someReceipt)
		return seal(key, change(bytes.Clone(v[:len(v)-sumSize])))
	}
	for name, v := range map[string][]byte{
		"version":         body(func(b []byte) []byte { b[0] = 2; return b }),
		"kind":            body(func(b []byte) []byte { b[1] = 4; return b }),
		"no kind":         body(func(b []byte) []byte { b[1] = 0; return b }),
		"previous":        body(func(b []byte) []byte { b[9] = 7; return b }),
		"nanoseconds":     body(func(b []byte) []byte { b[18] = 0xff; return b }),
		"a far year":      body(func(b []byte) []byte { b[10] = 0x7f; return b }),
		"an ancient year": body(func(b []byte) []byte { b[10] = 0x80; return b }),
		"length":          body(func(b []byte) []byte { b[37]++; return b }),
		"a byte more":     body(func(b []byte) []byte { return append(b, 0) }),
		"a byte less":     body(func(b []byte) []byte { return b[:len(b)-1] }),
		"empty":           seal(key, nil),
		"a long note": encodeReceipt(key, &receipt{Stored: Stored{Kind: proof.AnchorFabric, Size: 7,
			Note: make([]byte, maxNote+1)}}),
		"no note": encodeReceipt(key, &receipt{Stored: Stored{Kind: proof.AnchorFabric, Size: 7}}),
	} {
		if r, err := decodeReceipt("tsa-a", 7, v); err == nil {
			t.Errorf("%s: it reads %+v", name, r)
		}
	}
}

// FuzzValue: nothing panics, and what reads is written as it was. The checksum is
// made right, so that what is behind it is reached.
func FuzzValue(f *testing.F) {
	for _, test := range values() {
		f.Add(test.value[:len(test.value)-sumSize])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if r, err := decodeReceipt("tsa-a", 7, seal(receiptKey("tsa-a", 7), bytes.Clone(body))); err == nil {
			same(t, body, encodeReceipt(receiptKey("tsa-a", 7), r))
		}
		if p, err := decodePending("tsa-a", seal(pendingKey("tsa-a"), bytes.Clone(body))); err == nil {
			same(t, body, encodePending(pendingKey("tsa-a"), p))
		}
		if a, err := decodeAlarm("tsa-a", 3, seal(alarmKey("tsa-a", 3), bytes.Clone(body))); err == nil {
			same(t, body, encodeAlarm(alarmKey("tsa-a", 3), a))
		}
	})
}

func same(t *testing.T, body, again []byte) {
	t.Helper()
	if !bytes.Equal(body, again[:len(again)-sumSize]) {
		t.Errorf("%x is read, and written as %x", body, again[:len(again)-sumSize])
	}
}
