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
