package sm2public

import (
	"crypto/elliptic"
	"encoding/asn1"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	second "github.com/tjfoc/gmsm/sm2"
)

// lib is the curve of the first library: affine points over math/big, infinity is (0, 0).
var lib elliptic.Curve = sm2.P256()

type xy struct{ x, y *big.Int }

func (p xy) infinity() bool { return p.x.Sign() == 0 && p.y.Sign() == 0 }
func (p xy) String() string { return fmt.Sprintf("(%x, %x)", p.x, p.y) }
func (p xy) neg() xy        { return xy{p.x, new(big.Int).Sub(bigP, p.y)} }
func (p xy) mul(k *big.Int) xy {
	if p.infinity() {
		return p
	}
	return pair(lib.ScalarMult(p.x, p.y, bytesOf(new(big.Int).Mod(k, bigN))))
}
func (p xy) add(q xy) xy        { return pair(lib.Add(p.x, p.y, q.x, q.y)) }
func pair(x, y *big.Int) xy     { return xy{x, y} }
func generator(k *big.Int) xy   { return xy{bigX, bigY}.mul(k) }
func bytesOf(v *big.Int) []byte { b := bytes32(v); return b[:] }

func (p xy) affine(t testing.TB) affine { return affine{elementOf(t, p.x), elementOf(t, p.y)} }

func (p *jacobian) point() xy {
	if p.isInfinity() {
		return xy{new(big.Int), new(big.Int)}
	}
	a := normalize([]jacobian{*p})[0]
	return xy{a.x.value(), a.y.value()}
}

func (p xy) equal(q xy) bool { return p.x.Cmp(q.x) == 0 && p.y.Cmp(q.y) == 0 }

// jacobianOf gives a point in coordinates with a z that is not 1.
func jacobianOf(t testing.TB, p xy, z *big.Int) jacobian {
	if p.infinity() {
		return jacobian{}
	}
	a, e := p.affine(t), elementOf(t, z)
	var j jacobian
	var e2 element
	e2.mul(&e, &e)
	j.x.mul(&a.x, &e2)
	e2.mul(&e2, &e)
	j.y.mul(&a.y, &e2)
	j.z = e
	return j
}

// TestAddAndDouble takes all pairs of small and large multiples of G, among them equal points,
// opposite points and infinity, the first with several z.
func TestAddAndDouble(t *testing.T) {
	var points []xy
	for k := range int64(7) {
		points = append(points, generator(big.NewInt(k)))
		if k > 0 {
			points = append(points, generator(new(big.Int).Sub(bigN, big.NewInt(k))))
		}
	}
	for _, p := range points {
		for _, z := range []*big.Int{big.NewInt(1), big.NewInt(5), new(big.Int).Sub(bigP, big.NewInt(1))} {
			d := jacobianOf(t, p, z)
			d.double()
			if want := p.add(p); !d.point().equal(want) {
				t.Errorf("2·%v = %v, want %v", p, d.point(), want)
			}
			for _, q := range points {
				if q.infinity() {
					continue
				}
				j, a := jacobianOf(t, p, z), q.affine(t)
				j.add(&a)
				if want := p.add(q); !j.point().equal(want) {
					t.Errorf("%v + %v = %v, want %v", p, q, j.point(), want)
				}
			}
		}
	}
}

// cornerScalars are factors whose digits meet every bound.
func cornerScalars(rng *rand.Rand) []*big.Int {
	max := new(big.Int).Sub(bigR, big.NewInt(1))
	out := []*big.Int{bigN, max, new(big.Int).Sub(bigN, big.NewInt(1)), new(big.Int).Add(bigN, big.NewInt(1)), new(big.Int).Rsh(bigN, 1)}
	for k := range int64(300) {
		out = append(out, big.NewInt(k), new(big.Int).Sub(bigN, big.NewInt(k)))
	}
	for i := range uint(256) {
		power := new(big.Int).Lsh(big.NewInt(1), i)
		out = append(out, power, new(big.Int).Sub(power, big.NewInt(1)), new(big.Int).Sub(max, power))
	}
	for range 100 {
		out = append(out, toBig(corner(rng, bigN)))
	}
	return out
}

func TestMultiples(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	scalars := cornerScalars(rng)
	point := generator(toBig(corner(rng, bigN)))
	for width := 2; width <= 8; width++ {
		for _, p := range []xy{{bigX, bigY}, point} {
			table := newTable(p.affine(t), width)
			for i, k := range scalars {
				if width != keyWidth && width != baseWidth && i%7 != 0 {
					continue
				}
				var got jacobian
				b := bytes32(k)
				factor := limbs(&b)
				table.addMultiple(&got, &factor)
				if want := p.mul(k); !got.point().equal(want) {
					t.Fatalf("width %d: %x·%v = %v, want %v", width, k, p, got.point(), want)
				}
			}
		}
	}
}

// signature is a case for all verifiers: a key, a digest and two integers of 32 bytes.
type signature struct {
	name    string
	key     xy
	e, r, s *big.Int
	want    bool
}

func mod(v *big.Int) *big.Int { return v.Mod(v, bigN) }

// signatureFor gives the digest for which (r, s) is a signature of the key.
func signatureFor(name string, key xy, r, s *big.Int) signature {
	t := mod(new(big.Int).Add(r, s))
	sum := generator(s).add(key.mul(t))
	e := mod(new(big.Int).Sub(r, sum.x))
	return signature{name, key, e, r, s, !sum.infinity() && t.Sign() != 0}
}

// keyFor gives the key for which (r, s) leads to the point: (point − s·G)/(r+s).
func keyFor(point xy, r, s *big.Int) xy {
	inv := mod(new(big.Int).Add(r, s))
	inv.ModInverse(inv, bigN)
	return point.add(generator(s).neg()).mul(inv)
}

// withX finds points whose x is the first ones from v upwards.
func withX(v *big.Int, count int) []xy {
	var out []xy
	for x := new(big.Int).Set(v); len(out) < count && x.Cmp(bigP) < 0; x.Add(x, big.NewInt(1)) {
		y2 := new(big.Int).Exp(x, big.NewInt(3), bigP)
		y2.Sub(y2, new(big.Int).Mul(x, big.NewInt(3))).Add(y2, bigB).Mod(y2, bigP)
		if y := new(big.Int).ModSqrt(y2, bigP); y != nil {
			out = append(out, xy{new(big.Int).Set(x), y})
		}
	}
	return out
}

func corners(rng *rand.Rand) []signature {
	one, below := big.NewInt(1), new(big.Int).Sub(bigN, big.NewInt(1))
	half := new(big.Int).Rsh(bigN, 1)
	values := []*big.Int{one, two, big.NewInt(5), big.NewInt(64), big.NewInt(128), half, new(big.Int).Add(half, one), new(big.Int).Sub(bigN, two), below}
	for range 3 {
		values = append(values, toBig(corner(rng, bigN)))
	}
	var out []signature
	// Keys that are small multiples of G meet equal and opposite points on the way, and infinity.
	for _, d := range []*big.Int{one, two, big.NewInt(3), new(big.Int).Sub(bigN, two), below, half, toBig(corner(rng, bigN))} {
		for _, r := range values {
			for _, s := range values {
				if r.Sign() > 0 && s.Sign() > 0 {
					out = append(out, signatureFor(fmt.Sprintf("d=%x r=%x s=%x", d, r, s), generator(d), r, s))
				}
			}
		}
	}
	// Points whose x is 0 or little, and not below n.
	r, s := toBig(corner(rng, half)), toBig(corner(rng, half))
	r.Add(r, one)
	s.Add(s, one)
	for _, point := range slices.Concat(withX(new(big.Int), 3), withX(bigN, 3), withX(new(big.Int).Sub(bigP, big.NewInt(100)), 3)) {
		for _, r := range []*big.Int{r, one, below} {
			key := keyFor(point, r, s)
			out = append(out, signatureFor(fmt.Sprintf("x=%x r=%x", point.x, r), key, r, s))
		}
	}
	// r + s = n, and the two that lead to infinity: s = −t·d.
	key := generator(big.NewInt(77))
	out = append(out, signature{"r+s=n", key, one, half, new(big.Int).Sub(bigN, half), false})
	t := big.NewInt(1000)
	s = mod(new(big.Int).Mul(big.NewInt(-77), t))
	r = mod(new(big.Int).Sub(t, s))
	out = append(out, signature{"infinity", key, r, r, s, false})
	return out
}

// TestVerifyCorners judges signatures made to meet the corners of the arithmetic, and what differs from
// them in one number, with this package, with emmansun/gmsm, and with tjfoc/gmsm's curve.
func TestVerifyCorners(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	accepted := 0
	keys := map[string]*Key{}
	for _, c := range corners(rng) {
		key := keys[c.key.String()]
		if key == nil {
			var err error
			if key, err = NewKey(bytes32(c.key.x), bytes32(c.key.y)); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			keys[c.key.String()] = key
		}
		judge(t, key, c)
		if c.want {
			accepted++
		}
		// A digest that is not below n counts as what it leaves.
		if big := new(big.Int).Add(c.e, bigN); big.BitLen() <= 256 {
			judge(t, key, signature{c.name + ", e+n", c.key, big, c.r, c.s, c.want})
		}
		next := func(v *big.Int) *big.Int { return mod(new(big.Int).Add(v, big.NewInt(1))) }
		judge(t, key, signature{c.name + ", e+1", c.key, next(c.e), c.r, c.s, false})
		judge(t, key, signature{c.name + ", -e", c.key, mod(new(big.Int).Sub(new(big.Int), next(c.e))), c.r, c.s, false})
		for name, bad := range map[string]*big.Int{"0": new(big.Int), "n": bigN, "n+1": new(big.Int).Add(bigN, big.NewInt(1)), "2^256-1": new(big.Int).Sub(bigR, big.NewInt(1))} {
			if key.Verify(bytes32(c.e), bytes32(bad), bytes32(c.s)) || key.Verify(bytes32(c.e), bytes32(c.r), bytes32(bad)) {
				t.Errorf("%s: accepted with %s", c.name, name)
			}
		}
		// The same r and s beyond n, where they still fit.
		for _, rs := range [][2]*big.Int{{new(big.Int).Add(c.r, bigN), c.s}, {c.r, new(big.Int).Add(c.s, bigN)}} {
			if max(rs[0].BitLen(), rs[1].BitLen()) <= 256 && key.Verify(bytes32(c.e), bytes32(rs[0]), bytes32(rs[1])) {
				t.Errorf("%s: accepted with n added", c.name)
			}
		}
	}
	if accepted < 500 {
		t.Errorf("only %d signatures were to be accepted: the test tests nothing", accepted)
	}
}

func judge(t *testing.T, key *Key, c signature) {
	t.Helper()
	if got := key.Verify(bytes32(c.e), bytes32(c.r), bytes32(c.s)); got != c.want && !coincides(c) {
		t.Errorf("%s: %v, want %v", c.name, got, c.want)
	}
	if got, other := key.Verify(bytes32(c.e), bytes32(c.r), bytes32(c.s)), libVerify(c); got != other {
		t.Errorf("%s: %v, emmansun/gmsm %v", c.name, got, other)
	}
}

// coincides says that a changed signature is a signature after all: −e−1 may be e.
func coincides(c signature) bool {
	return libVerify(c) && secondVerify(c)
}

func libVerify(c signature) bool {
	pub, err := sm2.NewPublicKey(append(append([]byte{4}, bytesOf(c.key.x)...), bytesOf(c.key.y)...))
	if err != nil {
		return false
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{c.r, c.s})
	return err == nil && sm2.VerifyASN1(pub, bytesOf(c.e), der)
}

// secondVerify is the equation over the second library's curve.
func secondVerify(c signature) bool {
	curve := second.P256Sm2()
	t := mod(new(big.Int).Add(c.r, c.s))
	x1, y1 := curve.ScalarBaseMult(bytesOf(c.s))
	x2, y2 := curve.ScalarMult(c.key.x, c.key.y, bytesOf(t))
	x, _ := curve.Add(x1, y1, x2, y2)
	return mod(x.Add(x, c.e)).Cmp(c.r) == 0
}

func TestNewKeyRefuses(t *testing.T) {
	x, y := bytes32(bigX), bytes32(bigY)
	if _, err := NewKey(x, y); err != nil {
		t.Fatal(err)
	}
	small := withX(new(big.Int), 1)[0]
	for _, tt := range []struct {
		name string
		x, y [32]byte
	}{
		{"zero", [32]byte{}, [32]byte{}},
		{"swapped", y, x},
		{"x+1", bytes32(new(big.Int).Add(bigX, big.NewInt(1))), y},
		{"x is p", bytes32(bigP), y},
		{"y is p", x, bytes32(bigP)},
		{"x not reduced", bytes32(new(big.Int).Add(small.x, bigP)), bytes32(small.y)},
		{"all ones", [32]byte(slices.Repeat([]byte{0xff}, 32)), y},
	} {
		if k, err := NewKey(tt.x, tt.y); err == nil || k != nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
}

// FuzzVerify makes a signature of any key and any r and s, and judges it, whole and changed, with
// this package and both libraries.
func FuzzVerify(f *testing.F) {
	f.Add([]byte{1}, []byte{1}, []byte{1}, []byte(nil))
	f.Add([]byte{5}, bigN.Bytes(), []byte{64}, []byte{1})
	f.Add(bigX.Bytes(), bigY.Bytes(), bigB.Bytes(), []byte(nil))
	f.Fuzz(func(t *testing.T, d, r, s, change []byte) {
		number := func(b []byte) *big.Int {
			v := new(big.Int).SetBytes(b[:min(len(b), 40)])
			v.Mod(v, new(big.Int).Sub(bigN, big.NewInt(1)))
			return v.Add(v, big.NewInt(1)) // 1..n-1
		}
		c := signatureFor("fuzzed", generator(number(d)), number(r), number(s))
		key, err := NewKey(bytes32(c.key.x), bytes32(c.key.y))
		if err != nil {
			t.Fatal(err)
		}
		if got := key.Verify(bytes32(c.e), bytes32(c.r), bytes32(c.s)); got != c.want || got != libVerify(c) || c.want && !secondVerify(c) {
			t.Fatalf("key %v, e %x, r %x, s %x: %v, want %v, emmansun/gmsm %v, tjfoc/gmsm %v", c.key, c.e, c.r, c.s, got, c.want, libVerify(c), secondVerify(c))
		}
		c.e.Xor(c.e, new(big.Int).SetBytes(change[:min(len(change), 32)]))
		if got := key.Verify(bytes32(c.e), bytes32(c.r), bytes32(c.s)); got != libVerify(c) {
			t.Fatalf("key %v, e %x, r %x, s %x: %v, emmansun/gmsm %v", c.key, c.e, c.r, c.s, got, !got)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	c := signatureFor("", generator(bigX), bigY, bigB)
	key, err := NewKey(bytes32(c.key.x), bytes32(c.key.y))
	if err != nil {
		b.Fatal(err)
	}
	e, r, s := bytes32(c.e), bytes32(c.r), bytes32(c.s)
	b.ReportAllocs()
	for b.Loop() {
		if !key.Verify(e, r, s) {
			b.Fatal("refused")
		}
	}
}
