package runs

import (
	"encoding/binary"
	"math/bits"
)

// filter says of most fingerprints that are not in a run that they are not. It
// is the split block Bloom filter of Apache Parquet, of that many groups of 32
// bytes: a fingerprint has one group, and one bit in each of its eight words.
// The group is chosen by the first bits, so fingerprints in rising order fill
// the filter from front to back.
type filter uint64

const (
	filterGroup    = 32
	groupsPerBlock = (blockSize - blockTail) / filterGroup
)

var salts = [8]uint32{0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31}

func filterOf(ids int64) filter { return filter(ids*filterBits/(8*filterGroup) + 1) }

// blocks is how many blocks of the file hold it.
func (f filter) blocks() int64 { return (int64(f) + groupsPerBlock - 1) / groupsPerBlock }

// group is where the group of a fingerprint is: the block, and the byte in it.
func (f filter) group(p Print) (block int64, at int) {
	n, _ := bits.Mul64(uint64(p), uint64(f))
	return int64(n / groupsPerBlock), int(n%groupsPerBlock) * filterGroup
}

// mark adds a fingerprint to its group.
func mark(group []byte, p Print) {
	for i, salt := range salts {
		w := group[4*i : 4*i+4]
		binary.BigEndian.PutUint32(w, binary.BigEndian.Uint32(w)|1<<(uint32(p>>16)*salt>>27))
	}
}

// marked says that a fingerprint may be in its group. It looks at all bits and
// branches once, since a branch at each would be guessed wrong half the time.
func marked(group []byte, p Print) bool {
	all, x := ^uint32(0), uint32(p>>16)
	for i, salt := range salts {
		all &= binary.BigEndian.Uint32(group[4*i:4*i+4]) >> (x * salt >> 27)
	}
	return all&1 != 0
}
