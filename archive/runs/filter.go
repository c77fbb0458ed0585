package runs

import (
	"encoding/binary"
	"math/bits"
)

// filter says of most fingerprints that are not in a run that they are not. It
// is the split block Bloom filter of Apache Parquet: one block of 32 bytes per
// fingerprint, one bit in each of its eight words. The block is chosen by the
// first bits, so fingerprints in rising order fill it from front to back.
type filter []byte

const filterBlock = 32

var salts = [8]uint32{0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31}

func filterSize(ids int64) int64 {
	return (ids*filterBits/(8*filterBlock) + 1) * filterBlock
}

func (f filter) block(p Print) []byte {
	n, _ := bits.Mul64(uint64(p), uint64(len(f)/filterBlock))
	return f[n*filterBlock : n*filterBlock+filterBlock]
}

func (f filter) add(p Print) {
	b := f.block(p)
	for i, salt := range salts {
		w := b[4*i : 4*i+4]
		binary.BigEndian.PutUint32(w, binary.BigEndian.Uint32(w)|1<<(uint32(p>>16)*salt>>27))
	}
}

// pass adds to out the index of each fingerprint that may be in. It looks at all
// bits and branches once, since a branch at each would be guessed wrong half the
// time; most of the time goes into waiting for memory.
func (f filter) pass(prints []Print, out []int) []int {
	for i, p := range prints {
		b, x := f.block(p), uint32(p>>16)
		all := ^uint32(0)
		for j, salt := range salts {
			all &= binary.BigEndian.Uint32(b[4*j:4*j+4]) >> (x * salt >> 27)
		}
		if all&1 != 0 {
			out = append(out, i)
		}
	}
	return out
}
