package sm3lanes

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	second "github.com/tjfoc/gmsm/sm3"
)

// one is the digest that a lane must give, by a library that has no part in this package.
func one(prefix, message []byte) [32]byte {
	return [32]byte(second.Sm3Sum(append(bytes.Clone(prefix), message...)))
}

// each runs f with every kernel of this machine and a machine whose scratch is full of rubbish.
func each(t *testing.T, f func(t *testing.T, k kernel, m *machine)) {
	t.Helper()
	if len(kernels) == 0 {
		t.Skip("no kernel for this processor")
	}
	for _, k := range kernels {
		t.Run(k.name, func(t *testing.T) {
			m := new(machine)
			for i := range m.words {
				m.words[i] = 0xdeadbeef
			}
			for w := range m.state {
				for i := range m.state[w] {
					m.state[w][i] = 0xdeadbeef
				}
			}
			f(t, k, m)
		})
	}
}

func check(t *testing.T, k kernel, m *machine, prefix []byte, messages [][]byte) {
	t.Helper()
	sums := make([][32]byte, len(messages))
	m.sum(k, sums, prefix, messages)
	for i, msg := range messages {
		if want := one(prefix, msg); sums[i] != want {
			t.Fatalf("%s: message %d of %d, %d bytes after a prefix of %d: %x, want %x", k.name, i, len(messages), len(msg), len(prefix), sums[i], want)
		}
	}
}

func random(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func TestEveryLength(t *testing.T) {
	each(t, func(t *testing.T, k kernel, m *machine) {
		rng := rand.New(rand.NewPCG(1, 2))
		for _, prefix := range [][]byte{nil, {0}, random(rng, 31), random(rng, 55), random(rng, 56), random(rng, maxPrefix)} {
			messages := make([][]byte, 301)
			for n := range messages {
				messages[n] = random(rng, n)
				check(t, k, m, prefix, messages[n:n+1])
			}
			check(t, k, m, prefix, messages)
		}
	})
}

func TestEveryBatchSize(t *testing.T) {
	each(t, func(t *testing.T, k kernel, m *machine) {
		rng := rand.New(rand.NewPCG(3, 4))
		for count := range 41 {
			same, mixed := make([][]byte, count), make([][]byte, count)
			for i := range count {
				same[i], mixed[i] = random(rng, 600), random(rng, rng.IntN(2000))
			}
			check(t, k, m, []byte{1}, same)
			check(t, k, m, nil, mixed)
		}
	})
}

// TestRandomMixes has messages that are much longer than their neighbours and than one call of the
// kernel.
func TestRandomMixes(t *testing.T) {
	each(t, func(t *testing.T, k kernel, m *machine) {
		rng := rand.New(rand.NewPCG(5, 6))
		for range 60 {
			messages := make([][]byte, rng.IntN(70))
			for i := range messages {
				limit := []int{1, 70, 700, 7000, 3 * maxRun * blockSize}[rng.IntN(5)]
				messages[i] = random(rng, rng.IntN(limit))
			}
			check(t, k, m, random(rng, rng.IntN(maxPrefix+1)), messages)
		}
	})
}

// TestUnaligned begins messages at every offset.
func TestUnaligned(t *testing.T) {
	each(t, func(t *testing.T, k kernel, m *machine) {
		data := random(rand.New(rand.NewPCG(7, 8)), 1000)
		var messages [][]byte
		for at := range 70 {
			messages = append(messages, data[at:at+900])
		}
		check(t, k, m, nil, messages)
		check(t, k, m, []byte{0}, messages)
	})
}

// TestKernelsAgree compares the kernels, whichever this machine has, block by block: a lane's result
// depends on that lane alone.
func TestKernelsAgree(t *testing.T) {
	each(t, func(t *testing.T, k kernel, m *machine) {
		rng := rand.New(rand.NewPCG(9, 10))
		for lane := range k.width {
			var data [maxWidth]*byte
			for i := range data {
				data[i] = &random(rng, 3*blockSize)[0]
			}
			message := random(rng, 3*blockSize)
			data[lane] = &message[0]
			m.state = [8][maxWidth]uint32{}
			for w, v := range initial {
				m.state[w][lane] = v
			}
			k.blocks(&m.state, &data, &m.words, 3)
			// The padding of 192 bytes is one more block.
			end := make([]byte, blockSize)
			end[0], end[62], end[63] = 0x80, 6, 0
			data[lane] = &end[0]
			k.blocks(&m.state, &data, &m.words, 1)
			var sum [32]byte
			m.finish(lane, &sum)
			if sum != one(nil, message) {
				t.Errorf("lane %d: %x, want %x", lane, sum, one(nil, message))
			}
		}
	})
}

func TestNothingKeptOrAllocated(t *testing.T) {
	each(t, func(t *testing.T, k kernel, m *machine) {
		rng := rand.New(rand.NewPCG(11, 12))
		messages := make([][]byte, 37)
		for i := range messages {
			messages[i] = random(rng, rng.IntN(1000))
		}
		sums := make([][32]byte, len(messages))
		if n := testing.AllocsPerRun(10, func() { m.sum(k, sums, []byte{0}, messages) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		for i, l := range m.lanes {
			if m.data[i] != nil || len(l.rest) != 0 || cap(l.rest) != 0 || cap(l.blocks) != 0 {
				t.Errorf("lane %d still refers to a message", i)
			}
		}
	})
}

func TestMisuse(t *testing.T) {
	each(t, func(t *testing.T, k kernel, m *machine) {
		for name, call := range map[string]func(){
			"fewer sums":      func() { m.sum(k, make([][32]byte, 1), nil, make([][]byte, 2)) },
			"more sums":       func() { m.sum(k, make([][32]byte, 2), nil, make([][]byte, 1)) },
			"prefix too long": func() { m.sum(k, make([][32]byte, 1), make([]byte, maxPrefix+1), make([][]byte, 1)) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: no panic", name)
					}
				}()
				call()
			}()
		}
	})
}

// TestConcurrentUse is for the race detector: machines are pooled.
func TestConcurrentUse(t *testing.T) {
	if Width() == 0 {
		t.Skip("no kernel for this processor")
	}
	rng := rand.New(rand.NewPCG(13, 14))
	messages := make([][]byte, 50)
	want := make([][32]byte, len(messages))
	for i := range messages {
		messages[i] = random(rng, rng.IntN(1000))
		want[i] = one([]byte{0}, messages[i])
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := range messages {
				sums := make([][32]byte, n)
				Sum(sums, []byte{0}, messages[:n])
				if fmt.Sprint(sums) != fmt.Sprint(want[:n]) {
					t.Errorf("%d messages: wrong digests", n)
				}
			}
		})
	}
	wg.Wait()
}

// FuzzSum cuts bytes into messages (a length, twice, then as many bytes) and compares every kernel
// with the second library.
func FuzzSum(f *testing.F) {
	f.Add(uint8(1), []byte("\x00\x03abc\x00\x00\x00\x01d"))
	f.Add(uint8(0), bytes.Repeat(append([]byte{0, 64}, make([]byte, 64)...), 20))
	f.Add(uint8(63), append([]byte{1, 200}, make([]byte, 600)...))
	f.Fuzz(func(t *testing.T, prefix uint8, data []byte) {
		head := make([]byte, int(prefix)%(maxPrefix+1))
		var messages [][]byte
		for len(data) >= 2 {
			n := min(int(data[0])<<8|int(data[1]), len(data)-2)
			messages, data = append(messages, data[2:2+n]), data[2+n:]
		}
		for _, k := range kernels {
			check(t, k, new(machine), head, messages)
		}
	})
}
