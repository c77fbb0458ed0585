package sm2public

import (
	"encoding/binary"
	"math/bits"
)

// order is n, the order of the base point, least significant limb first.
var order = [4]uint64{0x53bbf40939d54123, 0x7203df6b21c6052b, 0xffffffffffffffff, 0xfffffffeffffffff}

// limbs are the limbs of a big-endian number.
func limbs(b *[32]byte) [4]uint64 {
	return [4]uint64{
		binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint64(b[16:]),
		binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[:]),
	}
}

func isZero(x *[4]uint64) bool { return x[0]|x[1]|x[2]|x[3] == 0 }

// less says that x < y.
func less(x, y *[4]uint64) bool {
	_, b := subLimbs(x, y)
	return b == 1
}

func subLimbs(x, y *[4]uint64) (z [4]uint64, borrow uint64) {
	for i := range z {
		z[i], borrow = bits.Sub64(x[i], y[i], borrow)
	}
	return z, borrow
}

func addLimbs(x, y *[4]uint64) (z [4]uint64, carry uint64) {
	for i := range z {
		z[i], carry = bits.Add64(x[i], y[i], carry)
	}
	return z, carry
}

// addOrder is x + y mod n, of numbers below n.
func addOrder(x, y *[4]uint64) [4]uint64 {
	z, carry := addLimbs(x, y)
	if d, borrow := subLimbs(&z, &order); carry == 1 || borrow == 0 {
		return d
	}
	return z
}

// subOrder is x - y mod n, of numbers below n.
func subOrder(x, y *[4]uint64) [4]uint64 {
	z, borrow := subLimbs(x, y)
	if borrow == 1 {
		z, _ = addLimbs(&z, &order)
	}
	return z
}
