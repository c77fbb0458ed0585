package anchor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// The stored format is in the package documentation.

// format stands in the store with the chain's id. A store of another format is
// refused, never guessed at.
const format = "qifeng-anchor/1"

const (
	kVersion = 'v'
	kReceipt = 'r'
	kPending = 'p'
	kAlarm   = 'a'
)

// version begins each body.
const version = 1

// sumSize is the length of the checksum that ends a value.
const sumSize = 64

// DamagedError (Tampered) says that a stored value is not what was written. It is
// never served; a backup has it, or the witness gives another receipt.
type DamagedError struct {
	What string // the value, by name and size
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the anchor store is damaged: %s: %v", e.What, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// kinds gives each kind of anchor its byte, and the order in which receipts are
// carried by a proof file.
var kinds = []struct {
	code byte
	kind proof.AnchorKind
}{{2, proof.AnchorRFC3161}, {3, proof.AnchorWitness}, {1, proof.AnchorFabric}}

func kindCode(k proof.AnchorKind) byte {
	for _, x := range kinds {
		if x.kind == k {
			return x.code
		}
	}
	return 0
}

func kindOf(code byte) (proof.AnchorKind, bool) {
	for _, x := range kinds {
		if x.code == code {
			return x.kind, true
		}
	}
	return "", false
}

func kindOrder(k proof.AnchorKind) int {
	for i, x := range kinds {
		if x.kind == k {
			return i
		}
	}
	return len(kinds)
}

// receipt is a stored receipt and its place among those of its name.
type receipt struct {
	Stored
	previous uint64 // size of the one before, 0 for none
}

// pending is a statement that a witness may have been given.
type pending struct {
	size  uint64
	since time.Time
	note  []byte
}

// storedAlarm is an alarm, and when an operator had looked at it.
type storedAlarm struct {
	Alarm
	number  uint64
	resumed time.Time // zero while it is open
}

func receiptKey(name string, size uint64) []byte { return numbered(kReceipt, name, size) }
func alarmKey(name string, number uint64) []byte { return numbered(kAlarm, name, number) }
func pendingKey(name string) []byte              { return append([]byte{kPending}, name...) }
func numbered(k byte, name string, n uint64) []byte {
	b := append([]byte{k}, name...)
	return binary.BigEndian.AppendUint64(append(b, 0), n)
}

// seal ends a body with its checksum.
func seal(key, body []byte) []byte {
	sum := checksum(key, body)
	return append(append(body, sum.SM3[:]...), sum.SHA256[:]...)
}

func checksum(key, body []byte) merkle.Digest {
	h := merkle.NewHash()
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(key))))
	h.Write(key)
	h.Write(body)
	return h.Sum()
}

var errChecksum = errors.New("its checksum is another one")

// unseal returns a reader of the body, once its checksum is right.
func unseal(key, value []byte) (*fields, error) {
	if len(value) < sumSize {
		return nil, fmt.Errorf("it has %d bytes", len(value))
	}
	body, sum := value[:len(value)-sumSize], value[len(value)-sumSize:]
	if checksum(key, body) != (merkle.Digest{SM3: [32]byte(sum), SHA256: [32]byte(sum[32:])}) {
		return nil, errChecksum
	}
	f := &fields{b: body}
	if v := f.byte(); f.err == nil && v != version {
		return nil, fmt.Errorf("it is of version %d, this is %d", v, version)
	}
	return f, f.err
}

func encodeReceipt(key []byte, r *receipt) []byte {
	b := []byte{version, kindCode(r.Kind)}
	b = binary.BigEndian.AppendUint64(b, r.previous)
	b = appendTime(appendTime(b, r.StoredAt), r.Time)
	return seal(key, appendBytes(appendBytes(b, r.Note), r.Data))
}

func decodeReceipt(name string, size uint64, value []byte) (*receipt, error) {
	f, err := unseal(receiptKey(name, size), value)
	if err != nil {
		return nil, err
	}
	r := &receipt{Stored: Stored{Name: name, Size: size}}
	kind, known := kindOf(f.byte())
	r.Kind, r.previous = kind, f.uint64()
	r.StoredAt, r.Time = f.time(), f.time()
	r.Note, r.Data = f.bytes(maxNote), f.bytes(maxData)
	if err := f.end(); err != nil {
		return nil, err
	}
	switch {
	case !known:
		return nil, errors.New("its kind is not known")
	case len(r.Note) == 0:
		return nil, errors.New("it has no note")
	case r.previous >= size || size > checkpoint.MaxSize:
		return nil, fmt.Errorf("its size is %d after %d", size, r.previous)
	}
	return r, nil
}

func encodePending(key []byte, p *pending) []byte {
	b := binary.BigEndian.AppendUint64([]byte{version}, p.size)
	return seal(key, appendBytes(appendTime(b, p.since), p.note))
}

func decodePending(name string, value []byte) (*pending, error) {
	f, err := unseal(pendingKey(name), value)
	if err != nil {
		return nil, err
	}
	p := &pending{size: f.uint64(), since: f.time(), note: f.bytes(maxNote)}
	if err := f.end(); err != nil {
		return nil, err
	}
	if len(p.note) == 0 || p.size == 0 || p.size > checkpoint.MaxSize {
		return nil, fmt.Errorf("it has %d bytes of note for size %d", len(p.note), p.size)
	}
	return p, nil
}

func encodeAlarm(key []byte, a *storedAlarm) []byte {
	b := appendTime(appendTime([]byte{version}, a.At), a.resumed)
	b = binary.BigEndian.AppendUint64(b, a.Size)
	return seal(key, appendBytes(appendBytes(appendBytes(b, a.Ours), a.Theirs), []byte(a.Text)))
}

func decodeAlarm(name string, number uint64, value []byte) (*storedAlarm, error) {
	f, err := unseal(alarmKey(name, number), value)
	if err != nil {
		return nil, err
	}
	a := &storedAlarm{number: number}
	a.Name, a.At, a.resumed, a.Size = name, f.time(), f.time(), f.uint64()
	a.Ours, a.Theirs, a.Text = f.bytes(maxNote), f.bytes(maxStatement), string(f.bytes(maxText))
	if err := f.end(); err != nil {
		return nil, err
	}
	return a, nil
}

func appendBytes(b, v []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, make([]byte, 12)...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix()))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

// fields reads a body; its first error stays.
type fields struct {
	b   []byte
	err error
}

func (f *fields) take(n int) []byte {
	if f.err == nil && len(f.b) < n {
		f.err = errors.New("it ends early")
	}
	if f.err != nil {
		return make([]byte, min(n, 16))
	}
	v := f.b[:n]
	f.b = f.b[n:]
	return v
}

func (f *fields) byte() byte     { return f.take(1)[0] }
func (f *fields) uint64() uint64 { return binary.BigEndian.Uint64(f.take(8)) }

func (f *fields) bytes(limit int) []byte {
	n := binary.BigEndian.Uint32(f.take(4))
	if f.err == nil && n > uint32(limit) {
		f.err = fmt.Errorf("a part has %d bytes, at most %d", n, limit)
	}
	if f.err != nil {
		return nil
	}
	return slices.Clone(f.take(int(n)))
}

func (f *fields) time() time.Time {
	b := f.take(12)
	sec, nano := binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])
	if f.err == nil && (nano >= 1e9 || sec > math.MaxInt64 && int64(sec) < minSecond || int64(sec) > maxSecond) {
		f.err = errors.New("a moment is none")
	}
	if f.err != nil || sec == 0 && nano == 0 {
		return time.Time{}
	}
	return time.Unix(int64(sec), int64(nano)).UTC()
}

// Moments are of the years 1 to 9999, which is what a token can state.
const (
	minSecond = -62135596800
	maxSecond = 253402300799
)

func (f *fields) end() error {
	if f.err == nil && len(f.b) > 0 {
		f.err = fmt.Errorf("%d bytes follow it", len(f.b))
	}
	return f.err
}
