// Package sm2public verifies SM2 signatures (GB/T 32918.2) of keys that come back again and again.
//
// A key's verifier holds a table of multiples of the key's point, made once; with it and one of the
// base point a verification is some seventy point additions, where a library that meets the key for
// the first time needs hundreds of doublings, tables and an inversion.
//
// It handles public data only: keys, digests and signatures. Its time depends on them, and nothing
// here must ever touch a private key or a nonce. It does no hashing and knows no messages; package
// gm, its only caller, does that. It is not what a verdict rests on: whoever checks a proof asks the
// two libraries of package gm.
//
// The arithmetic is written for reading: numbers modulo p in field.go, modulo n in scalar.go, points
// and tables in point.go, the standard's equation below. No case is left out of the addition of
// points, so that a signature made to meet one (equal points, opposite points, infinity) is judged
// like any other.
//
// Whoever makes keys and signatures may lie: all is checked, and nothing panics.
package sm2public

import (
	"errors"
	"sync"
)

const (
	// keyWidth makes a key's table 43 rows of 32 points: 86 KiB.
	keyWidth = 6
	// baseWidth makes the base point's table, which all keys share, 33 rows of 128 points: 264 KiB.
	baseWidth = 8
)

// KeySize is the memory of a Key in bytes, nearly all of it the table.
const KeySize = (256 + keyWidth) / keyWidth << (keyWidth - 1) * 64

var (
	// curveB is the b of the curve, and base its base point (GB/T 32918.5).
	curveB = element{0x90d230632bc0dd42, 0x71cf379ae9b537ab, 0x527981505ea51c3c, 0x240fe188ba20e2c8}
	base   = affine{
		x: element{0x61328990f418029e, 0x3e7981eddca6c050, 0xd6a1ed99ac24c3c3, 0x91167a5ee1c13b05},
		y: element{0xc1354e593c2d0ddd, 0xc1f5e5788d3295fa, 0x8d4cfb066e2a48f8, 0x63cd65d481d735bd},
	}
	baseTable = sync.OnceValue(func() *table { return newTable(base, baseWidth) })
)

// Key is a public key that is ready for many verifications. It is safe for concurrent use.
type Key struct{ table *table }

// NewKey makes a Key of the big-endian coordinates of a point on the curve. It takes about a
// millisecond.
func NewKey(x, y [32]byte) (*Key, error) {
	var p affine
	if !p.x.fromBytes(&x) || !p.y.fromBytes(&y) {
		return nil, errors.New("sm2 public key: coordinate is not below the field prime")
	}
	if !p.onCurve() {
		return nil, errors.New("sm2 public key: point is not on the curve")
	}
	return &Key{newTable(p, keyWidth)}, nil
}

// Verify judges the signature (r, s) of the digest e = SM3(Z ‖ M), all big-endian.
func (k *Key) Verify(e, r, s [32]byte) bool {
	rr, ss, ee := limbs(&r), limbs(&s), limbs(&e)
	// 1 <= r, s < n
	if isZero(&rr) || isZero(&ss) || !less(&rr, &order) || !less(&ss, &order) {
		return false
	}
	// t = r + s must not be 0.
	t := addOrder(&rr, &ss)
	if isZero(&t) {
		return false
	}
	// (x, y) = s·G + t·P; infinity has no x.
	var sum jacobian
	baseTable().addMultiple(&sum, &ss)
	k.table.addMultiple(&sum, &t)
	if sum.isInfinity() {
		return false
	}
	// e + x = r modulo n: x is v = r − e, or v + n where that is still below p.
	if d, borrow := subLimbs(&ee, &order); borrow == 0 {
		ee = d
	}
	v := subOrder(&rr, &ee)
	if sum.hasX(&v) {
		return true
	}
	v, carry := addLimbs(&v, &order)
	return carry == 0 && sum.hasX(&v)
}

// hasX says that v is the point's x coordinate; a v that is not below p is none.
func (p *jacobian) hasX(v *[4]uint64) bool {
	if !less(v, &[4]uint64{p0, p1, p2, p3}) {
		return false
	}
	var zz, x element
	zz.mul(&p.z, &p.z)
	x.mul((*element)(v), &montSquare)
	x.mul(&x, &zz)
	return x == p.x
}
