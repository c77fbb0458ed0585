package gm

import (
	"hash"

	"github.com/emmansun/gmsm/sm3"
	second "github.com/tjfoc/gmsm/sm3"
)

// SM3 is the SM3 digest of data (GB/T 32905).
func SM3(data []byte) [32]byte { return sm3.Sum(data) }

// NewSM3 is a streaming SM3.
func NewSM3() hash.Hash { return sm3.New() }

// SM3Second is the SM3 digest of data, computed by the second library.
func SM3Second(data []byte) [32]byte {
	var sum [32]byte
	copy(sum[:], second.Sm3Sum(data))
	return sum
}

// NewSM3Second is a streaming SM3 of the second library.
func NewSM3Second() hash.Hash { return secondSM3{second.New()} }

// secondSM3 mends Sum: the library's own hashes its argument, and gives back the digest alone.
type secondSM3 struct{ hash.Hash }

func (h secondSM3) Sum(b []byte) []byte { return append(b, h.Hash.Sum(nil)...) }
