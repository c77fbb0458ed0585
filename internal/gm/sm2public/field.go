package sm2public

import "math/bits"

// element is a number modulo p = 2²⁵⁶ − 2²²⁴ − 2⁹⁶ + 2⁶⁴ − 1, the field prime of SM2 (GB/T 32918.5),
// always reduced, in Montgomery form (times 2²⁵⁶), least significant limb first.
type element [4]uint64

const (
	p0 = 0xffffffffffffffff
	p1 = 0xffffffff00000000
	p2 = 0xffffffffffffffff
	p3 = 0xfffffffeffffffff
)

var (
	// montOne is 1, that is 2²⁵⁶ − p.
	montOne = element{0x0000000000000001, 0x00000000ffffffff, 0x0000000000000000, 0x0000000100000000}
	// montSquare is 2⁵¹² mod p: multiplying by it brings a number into Montgomery form.
	montSquare = element{0x0000000200000003, 0x00000002ffffffff, 0x0000000100000001, 0x0000000400000002}
)

func (x *element) isZero() bool { return x[0]|x[1]|x[2]|x[3] == 0 }

// reduce sets z to t, a number below 2p of five limbs, less p if it is not below p.
func (z *element) reduce(t0, t1, t2, t3, t4 uint64) {
	s0, b := bits.Sub64(t0, p0, 0)
	s1, b := bits.Sub64(t1, p1, b)
	s2, b := bits.Sub64(t2, p2, b)
	s3, b := bits.Sub64(t3, p3, b)
	_, b = bits.Sub64(t4, 0, b)
	m := -b // all ones if t < p
	z[0] = s0 ^ m&(s0^t0)
	z[1] = s1 ^ m&(s1^t1)
	z[2] = s2 ^ m&(s2^t2)
	z[3] = s3 ^ m&(s3^t3)
}

// add sets z = x + y.
func (z *element) add(x, y *element) {
	t0, c := bits.Add64(x[0], y[0], 0)
	t1, c := bits.Add64(x[1], y[1], c)
	t2, c := bits.Add64(x[2], y[2], c)
	t3, c := bits.Add64(x[3], y[3], c)
	z.reduce(t0, t1, t2, t3, c)
}

// sub sets z = x - y.
func (z *element) sub(x, y *element) {
	t0, b := bits.Sub64(x[0], y[0], 0)
	t1, b := bits.Sub64(x[1], y[1], b)
	t2, b := bits.Sub64(x[2], y[2], b)
	t3, b := bits.Sub64(x[3], y[3], b)
	m := -b // all ones if p must be added
	var c uint64
	z[0], c = bits.Add64(t0, m&p0, 0)
	z[1], c = bits.Add64(t1, m&p1, c)
	z[2], c = bits.Add64(t2, m&p2, c)
	z[3], _ = bits.Add64(t3, m&p3, c)
}

// mul sets z = x·y / 2²⁵⁶: the Montgomery product. The four operands' rows are added one after the
// other, and after each the lowest limb q is cleared by adding q·p, which needs no multiplication:
// p is −1 modulo 2⁶⁴, and q·p is a few shifts of q (see shift).
func (z *element) mul(x, y *element) {
	var t0, t1, t2, t3, t4 uint64
	y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
	for _, v := range x {
		h0, l0 := bits.Mul64(v, y0)
		h1, l1 := bits.Mul64(v, y1)
		h2, l2 := bits.Mul64(v, y2)
		h3, l3 := bits.Mul64(v, y3)
		var c uint64
		l1, c = bits.Add64(l1, h0, 0)
		l2, c = bits.Add64(l2, h1, c)
		l3, c = bits.Add64(l3, h2, c)
		h3 += c
		t0, c = bits.Add64(t0, l0, 0)
		t1, c = bits.Add64(t1, l1, c)
		t2, c = bits.Add64(t2, l2, c)
		t3, c = bits.Add64(t3, l3, c)
		t4, c = bits.Add64(t4, h3, c)
		t0, t1, t2, t3, t4 = shift(t0, t1, t2, t3, t4, c)
	}
	z.reduce(t0, t1, t2, t3, t4)
}

// shift is (t + t0·p) / 2⁶⁴. With q = t0, q·p is q·2²⁵⁶ − q·2²²⁴ − (q·2³² − q)·2⁶⁴ − q; the last
// term clears the lowest limb. t and the result are below 2p·2⁶⁴ and 2p.
func shift(q, t1, t2, t3, t4, t5 uint64) (r0, r1, r2, r3, r4 uint64) {
	lo, b := bits.Sub64(q<<32, q, 0)
	hi := q>>32 - b
	r0, b = bits.Sub64(t1, lo, 0)
	r1, b = bits.Sub64(t2, hi, b)
	r2, b = bits.Sub64(t3, q<<32, b)
	// q - q>>32 is at least 1 unless q is 0, and then nothing is borrowed.
	r3, b = bits.Add64(t4, q-q>>32-b, 0)
	return r0, r1, r2, r3, t5 + b
}

// fromBytes sets z to a big-endian number and says whether it is below p.
func (z *element) fromBytes(b *[32]byte) bool {
	v := limbs(b)
	if !less(&v, &[4]uint64{p0, p1, p2, p3}) {
		return false
	}
	x := element(v)
	z.mul(&x, &montSquare)
	return true
}

// invert sets z = 1/x, as x^(p-2).
func (z *element) invert(x *element) {
	e := [4]uint64{p0 - 2, p1, p2, p3}
	out, base := montOne, *x
	for i := 255; i >= 0; i-- {
		out.mul(&out, &out)
		if e[i/64]>>(i%64)&1 == 1 {
			out.mul(&out, &base)
		}
	}
	*z = out
}
