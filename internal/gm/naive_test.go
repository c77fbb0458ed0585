package gm

import (
	"encoding/hex"
	"math/big"
	"testing"
)

// curve is a third SM2, written from GB/T 32918.1 and .2 over math/big: affine points, no tricks,
// any curve. It is checked against the standard's own examples, one of which is on a curve that
// neither library knows, and then judges both libraries.
type curve struct{ p, a, b, gx, gy, n *big.Int }

type point struct{ x, y *big.Int } // x == nil is the point at infinity

func hexInt(s string) *big.Int {
	v, ok := new(big.Int).SetString(s, 16)
	if !ok {
		panic("bad constant " + s)
	}
	return v
}

var (
	// The recommended curve, GB/T 32918.5-2017.
	sm2Curve = curve{
		p:  hexInt("FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF"),
		a:  hexInt("FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFC"),
		b:  hexInt("28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93"),
		gx: hexInt("32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7"),
		gy: hexInt("BC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0"),
		n:  hexInt("FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123"),
	}
	// The curve of the examples in GB/T 32918.2-2016 annex A (and draft-shen-sm2-ecdsa-02).
	exampleCurve = curve{
		p:  hexInt("8542D69E4C044F18E8B92435BF6FF7DE457283915C45517D722EDB8B08F1DFC3"),
		a:  hexInt("787968B4FA32C3FD2417842E73BBFEFF2F3C848B6831D7E0EC65228B3937E498"),
		b:  hexInt("63E4C6D3B23B0C849CF84241484BFE48F61D59A5B16BA06E6E12D1DA27C5249A"),
		gx: hexInt("421DEBD61B62EAB6746434EBC3CC315E32220B3BADD50BDC4C4E6C147FEDD43D"),
		gy: hexInt("0680512BCBB42C07D47349D2153B70C4E5D7FDFCBFA36EA1A85841B9E46E09A2"),
		n:  hexInt("8542D69E4C044F18E8B92435BF6FF7DD297720630485628D5AE74EE7C32E79B7"),
	}
)

func (c curve) add(p, q point) point {
	if p.x == nil {
		return q
	}
	if q.x == nil {
		return p
	}
	var num, den *big.Int
	if p.x.Cmp(q.x) == 0 {
		if p.y.Cmp(q.y) != 0 || p.y.Sign() == 0 {
			return point{}
		}
		num = new(big.Int).Mul(p.x, p.x)
		num.Mul(num, big.NewInt(3)).Add(num, c.a)
		den = new(big.Int).Lsh(p.y, 1)
	} else {
		num = new(big.Int).Sub(q.y, p.y)
		den = new(big.Int).Sub(q.x, p.x)
	}
	den.Mod(den, c.p).ModInverse(den, c.p)
	l := num.Mul(num, den)
	l.Mod(l, c.p)
	x := new(big.Int).Mul(l, l)
	x.Sub(x, p.x).Sub(x, q.x).Mod(x, c.p)
	y := new(big.Int).Sub(p.x, x)
	y.Mul(y, l).Sub(y, p.y).Mod(y, c.p)
	return point{x, y}
}

func (c curve) mul(k *big.Int, p point) point {
	var r point
	for i := k.BitLen() - 1; i >= 0; i-- {
		r = c.add(r, r)
		if k.Bit(i) == 1 {
			r = c.add(r, p)
		}
	}
	return r
}

func (c curve) base() point { return point{c.gx, c.gy} }

func bytes32(v *big.Int) []byte { return v.FillBytes(make([]byte, 32)) }

// digest is e = SM3(Z ‖ M), GB/T 32918.2 §5.5 and §6.1.
func (c curve) digest(id string, pub point, msg []byte) *big.Int {
	z := []byte{byte(len(id) * 8 >> 8), byte(len(id) * 8)}
	z = append(z, id...)
	for _, v := range []*big.Int{c.a, c.b, c.gx, c.gy, pub.x, pub.y} {
		z = append(z, bytes32(v)...)
	}
	za := SM3(z)
	e := SM3(append(za[:], msg...))
	return new(big.Int).SetBytes(e[:])
}

// sign is GB/T 32918.2 §6.1 with a given nonce.
func (c curve) sign(id string, d, k *big.Int, msg []byte) (r, s *big.Int) {
	e := c.digest(id, c.mul(d, c.base()), msg)
	r = new(big.Int).Add(e, c.mul(k, c.base()).x)
	r.Mod(r, c.n)
	inv := new(big.Int).Add(d, big.NewInt(1))
	inv.ModInverse(inv, c.n)
	s = new(big.Int).Mul(r, d)
	s.Sub(k, s).Mul(s, inv).Mod(s, c.n)
	return r, s
}

// verify is GB/T 32918.2 §7.1.
func (c curve) verify(id string, pub point, msg []byte, r, s *big.Int) bool {
	if r.Sign() <= 0 || s.Sign() <= 0 || r.Cmp(c.n) >= 0 || s.Cmp(c.n) >= 0 {
		return false
	}
	t := new(big.Int).Add(r, s)
	if t.Mod(t, c.n); t.Sign() == 0 {
		return false
	}
	p := c.add(c.mul(s, c.base()), c.mul(t, pub))
	if p.x == nil {
		return false
	}
	v := new(big.Int).Add(c.digest(id, pub, msg), p.x)
	return v.Mod(v, c.n).Cmp(r) == 0
}

// naiveVerify judges a signature under an SM2 key of this package.
func naiveVerify(k PublicKey, msg, sig []byte) bool {
	if len(sig) != 64 {
		return false
	}
	raw := k.Bytes()
	pub := point{new(big.Int).SetBytes(raw[1:33]), new(big.Int).SetBytes(raw[33:])}
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	return sm2Curve.verify(string(signerID), pub, msg, r, s)
}

// sm2Key makes the key with the private scalar d.
func sm2Key(t testing.TB, d *big.Int) *PrivateKey {
	t.Helper()
	k, err := newPrivateKey(SM2, bytes32(d))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func decodeHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
