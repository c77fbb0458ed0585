package chain

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// Messages on the seal channel, one per CometBFT message (a BytesValue).
// Numbers are big endian; ids are a length byte and the member id. Every message
// has exactly one form and no trailing bytes.
//
//	live   0x01 seal                        a seal that its member just gave
//	want   0x02 size(8) n(1) n × id         "send me the seals of size, I have those"
//	answer 0x03 n(1) n × seal               first seals, at most one per member
//	clock  0x04 time(8)                     the sender's clock, from one that gives no seal
//
//	seal   id size(8) sm3 root(32) sha256 root(32) time(8) log(64) ed25519(64) sm2(64)
//
// The roots stand in a seal so that a seal on another ledger than ours is
// evidence and not noise.
const (
	msgLive   = 0x01
	msgWant   = 0x02
	msgAnswer = 0x03
	msgClock  = 0x04
)

// wireSeal is a seal with what it seals.
type wireSeal struct {
	size uint64
	root merkle.Digest
	seal checkpoint.Seal
}

// message is a decoded message: seals for live and answer, size and have for
// want, time for clock.
type message struct {
	kind  byte
	seals []wireSeal
	size  uint64
	have  []string // sorted
	time  int64    // Unix seconds
}

func encodeMessage(m message) []byte {
	b := []byte{m.kind}
	switch m.kind {
	case msgLive:
		return appendSeal(b, m.seals[0])
	case msgWant:
		b = binary.BigEndian.AppendUint64(b, m.size)
		b = append(b, byte(len(m.have)))
		for _, id := range m.have {
			b = appendID(b, id)
		}
	case msgAnswer:
		b = append(b, byte(len(m.seals)))
		for _, s := range m.seals {
			b = appendSeal(b, s)
		}
	case msgClock:
		b = binary.BigEndian.AppendUint64(b, uint64(m.time))
	}
	return b
}

func appendID(b []byte, id string) []byte {
	return append(append(b, byte(len(id))), id...)
}

func appendSeal(b []byte, s wireSeal) []byte {
	b = appendID(b, s.seal.Member)
	b = binary.BigEndian.AppendUint64(b, s.size)
	b = append(b, s.root.SM3[:]...)
	b = append(b, s.root.SHA256[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.seal.Time))
	b = append(b, s.seal.Log[:]...)
	b = append(b, s.seal.Ed25519[:]...)
	return append(b, s.seal.SM2[:]...)
}

var errWire = errors.New("malformed seal message")

// reader takes bytes off a message; the first shortage sticks.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || len(r.b) < n {
		r.bad = true
		return make([]byte, n)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

func (r *reader) time() int64 {
	t := r.uint64()
	r.bad = r.bad || t == 0 || t > checkpoint.MaxSize
	return int64(t)
}

func (r *reader) size() uint64 {
	n := r.uint64()
	r.bad = r.bad || n == 0 || n > checkpoint.MaxSize
	return n
}

func (r *reader) id() string {
	n := int(r.byte())
	if n > checkpoint.MaxMemberID {
		r.bad = true
		return ""
	}
	id := string(r.take(n))
	r.bad = r.bad || checkpoint.CheckMemberID(id) != nil
	return id
}

func (r *reader) seal() (s wireSeal) {
	s.seal.Member = r.id()
	s.size = r.size()
	copy(s.root.SM3[:], r.take(32))
	copy(s.root.SHA256[:], r.take(32))
	s.seal.Time = r.time()
	copy(s.seal.Log[:], r.take(64))
	copy(s.seal.Ed25519[:], r.take(64))
	copy(s.seal.SM2[:], r.take(64))
	return s
}

// decodeMessage accepts exactly what encodeMessage writes.
func decodeMessage(b []byte) (message, error) {
	if len(b) == 0 || len(b) > maxSealMessage {
		return message{}, fmt.Errorf("%w: %d bytes", errWire, len(b))
	}
	r := &reader{b: bytes.Clone(b)}
	m := message{kind: r.byte()}
	switch m.kind {
	case msgLive:
		m.seals = append(m.seals, r.seal())
	case msgWant:
		m.size = r.size()
		n := int(r.byte())
		r.bad = r.bad || n > checkpoint.MaxMembers
		for i := 0; i < n && !r.bad; i++ {
			m.have = append(m.have, r.id())
			r.bad = r.bad || i > 0 && m.have[i-1] >= m.have[i]
		}
	case msgAnswer:
		n := int(r.byte())
		r.bad = r.bad || n == 0 || n > checkpoint.MaxMembers
		for i := 0; i < n && !r.bad; i++ {
			m.seals = append(m.seals, r.seal())
			r.bad = r.bad || i > 0 && (m.seals[i-1].seal.Member >= m.seals[i].seal.Member || m.seals[0].size != m.seals[i].size)
		}
	case msgClock:
		m.time = r.time()
	default:
		return message{}, fmt.Errorf("%w: kind %#x", errWire, m.kind)
	}
	if r.bad || len(r.b) != 0 {
		return message{}, fmt.Errorf("%w: kind %#x of %d bytes", errWire, m.kind, len(b))
	}
	return m, nil
}
