package gm

import (
	"encoding/hex"
	"hash"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestSM3Vectors(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"GB/T 32905-2016 A.1", "abc", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"},
		{"GB/T 32905-2016 A.2", strings.Repeat("abcd", 16), "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"},
		// Not in the standard; both libraries' and openssl's answer.
		{"empty", "", "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			one, two := SM3([]byte(tt.in)), SM3Second([]byte(tt.in))
			if got := hex.EncodeToString(one[:]); got != tt.want {
				t.Errorf("SM3 = %s, want %s", got, tt.want)
			}
			if got := hex.EncodeToString(two[:]); got != tt.want {
				t.Errorf("SM3Second = %s, want %s", got, tt.want)
			}
		})
	}
}

// TestSM3Libraries compares both libraries at every length up to some blocks, where padding could
// go wrong, then at random lengths, and a stream written in random pieces.
func TestSM3Libraries(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	lengths := make([]int, 0, 600)
	for n := range 260 {
		lengths = append(lengths, n)
	}
	for range 200 {
		lengths = append(lengths, rng.IntN(20_000))
	}
	for _, n := range lengths {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		want := SM3Second(data)
		if got := SM3(data); got != want {
			t.Fatalf("%d bytes: SM3 = %x, SM3Second = %x", n, got, want)
		}
		for name, h := range map[string]hash.Hash{"NewSM3": NewSM3(), "NewSM3Second": NewSM3Second()} {
			for rest := data; len(rest) > 0; {
				k := 1 + rng.IntN(len(rest))
				h.Write(rest[:k])
				rest = rest[k:]
				h.Sum([]byte("must not disturb the stream"))
			}
			if got := h.Sum([]byte("prefix")); string(got) != "prefix"+string(want[:]) {
				t.Fatalf("%d bytes in pieces: %s = %x, want %x", n, name, got, want)
			}
		}
	}
}

func FuzzSM3(f *testing.F) {
	f.Add([]byte("abc"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if one, two := SM3(data), SM3Second(data); one != two {
			t.Errorf("SM3(%x) = %x, SM3Second = %x", data, one, two)
		}
	})
}
