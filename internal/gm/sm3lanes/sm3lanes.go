// Package sm3lanes computes SM3 (GB/T 32905) of many messages at once, one message in each lane of
// the processor's wide registers.
//
// SM3 of one message is a chain in which each step waits for the last, so a core is mostly idle.
// Messages that have nothing to do with each other can share the steps: AVX2 does eight of them in
// little more than the time of one, AVX-512 sixteen. The digests are those of one by one hashing,
// bit for bit; nothing but time depends on which messages are hashed together.
//
// It is not a hash for general use: there is no streaming, and where the processor has no kernel
// ([Width] is 0) there is no hash at all, because package gm, its only caller, then asks its library.
//
// How it works: a [kernel] runs the same number of blocks in all lanes. A lane takes a message,
// offers its blocks in up to three runs (the block that begins with the prefix, the whole blocks of
// the message where they lie, the padded end), and takes the next message when it is done; each
// step runs as many blocks as the shortest run of a lane has. So lanes stay full with messages of
// different lengths, and a message is copied only where prefix and padding force it.
//
// Messages may hold anything. Lengths are the caller's: the work is proportional to them.
package sm3lanes

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

const blockSize = 64

// kernel runs n blocks in each of width lanes: lane i of state, one row per word, takes n·64 bytes
// from data[i]. words is scratch: up to 68 words of every lane. All width pointers must be readable for n·64 bytes, and n >= 1.
type kernel struct {
	name   string
	width  int
	blocks func(state *[8][maxWidth]uint32, data *[maxWidth]*byte, words *[68 * maxWidth]uint32, n int)
}

// Width is the number of messages that are hashed at once; 0 means that [Sum] must not be called.
func Width() int {
	if len(kernels) == 0 {
		return 0
	}
	return kernels[0].width
}

// Sum sets sums[i] to SM3(prefix ‖ messages[i]) for every message. sums must be as long as messages
// and the prefix at most 63 bytes long. It allocates nothing, keeps no reference to the messages and
// is safe for concurrent use.
func Sum(sums [][32]byte, prefix []byte, messages [][]byte) {
	m := machines.Get().(*machine)
	defer machines.Put(m)
	m.sum(kernels[0], sums, prefix, messages)
}

var machines = sync.Pool{New: func() any { return new(machine) }}

// machine is the scratch of one Sum, about 9 KiB.
type machine struct {
	state [8][maxWidth]uint32
	words [68 * maxWidth]uint32
	data  [maxWidth]*byte
	lanes [maxWidth]lane
}

// lane is one message on its way.
type lane struct {
	index  int    // of the message
	length int    // of prefix and message
	blocks []byte // the current run: whole blocks that the kernel has not seen; empty in an idle lane
	rest   []byte // of the message, what no run holds yet
	filled int    // bytes of buf that wait for the rest
	ended  bool   // the current run is the last
	buf    [2 * blockSize]byte
}

func (m *machine) sum(k kernel, sums [][32]byte, prefix []byte, messages [][]byte) {
	if len(sums) != len(messages) || len(prefix) > maxPrefix {
		panic("sm3lanes: sums and messages differ in number, or the prefix is too long")
	}
	next, active := 0, 0
	for i := range k.width {
		if m.lanes[i].blocks = nil; next < len(messages) {
			m.start(i, next, prefix, messages[next])
			next, active = next+1, active+1
		}
	}
	for active > 0 {
		n := m.step(k)
		for i := range k.width {
			l := &m.lanes[i]
			if len(l.blocks) == 0 {
				continue // idle: there is no message left for it
			}
			if l.blocks = l.blocks[n*blockSize:]; len(l.blocks) > 0 {
				continue
			}
			if !l.ended {
				l.advance()
				continue
			}
			m.finish(i, &sums[l.index])
			if next < len(messages) {
				m.start(i, next, prefix, messages[next])
				next++
			} else {
				l.blocks = nil
				active--
			}
		}
	}
	clear(m.data[:]) // the last references to messages: finished lanes hold none
}

// step runs as many blocks as every lane in use has, and says how many. One lane at least is in use.
func (m *machine) step(k kernel) int {
	n := maxRun
	var some *byte
	for i := range k.width {
		if b := m.lanes[i].blocks; len(b) > 0 {
			n, some = min(n, len(b)/blockSize), &b[0]
			m.data[i] = some
		} else {
			m.data[i] = nil
		}
	}
	for i := range k.width {
		if m.data[i] == nil {
			m.data[i] = some // an idle lane computes what nobody reads
		}
	}
	k.blocks(&m.state, &m.data, &m.words, n)
	return n
}

// start puts a message into lane i.
func (m *machine) start(i, index int, prefix, message []byte) {
	for w, v := range initial {
		m.state[w][i] = v
	}
	l := &m.lanes[i]
	l.index, l.length, l.rest, l.ended = index, len(prefix)+len(message), message, false
	l.filled = copy(l.buf[:], prefix)
	if l.filled > 0 && l.length >= blockSize {
		l.rest = message[copy(l.buf[l.filled:blockSize], message):]
		l.blocks, l.filled = l.buf[:blockSize], 0
		return
	}
	l.advance()
}

// advance makes the next run: the whole blocks of the message, or the padded end.
func (l *lane) advance() {
	if l.filled == 0 && len(l.rest) >= blockSize {
		n := len(l.rest) / blockSize * blockSize
		l.blocks, l.rest = l.rest[:n], l.rest[n:]
		return
	}
	n := l.filled + copy(l.buf[l.filled:], l.rest)
	l.buf[n] = 0x80
	end := blockSize
	if n+1+8 > blockSize {
		end = 2 * blockSize
	}
	clear(l.buf[n+1 : end-8])
	binary.BigEndian.PutUint64(l.buf[end-8:end], uint64(l.length)<<3)
	l.blocks, l.rest, l.ended = l.buf[:end], nil, true
}

// finish takes the digest out of lane i.
func (m *machine) finish(i int, sum *[32]byte) {
	for w := range m.state {
		binary.BigEndian.PutUint32(sum[4*w:], m.state[w][i])
	}
}

// initial is the initial value of GB/T 32905 §4.1.
var initial = [8]uint32{0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e}

// roundConstants are T(j)<<<j of GB/T 32905 §4.2.
var roundConstants = func() (t [64]uint32) {
	for j := range t {
		c := uint32(0x79cc4519)
		if j >= 16 {
			c = 0x7a879d8a
		}
		t[j] = bits.RotateLeft32(c, j)
	}
	return t
}()
