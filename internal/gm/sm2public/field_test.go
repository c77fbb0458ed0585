package sm2public

import (
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"testing"
)

func hexInt(s string) *big.Int {
	v, ok := new(big.Int).SetString(s, 16)
	if !ok {
		panic("bad constant " + s)
	}
	return v
}

// The recommended curve, GB/T 32918.5-2017.
var (
	bigP = hexInt("FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF")
	bigN = hexInt("FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123")
	bigB = hexInt("28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93")
	bigX = hexInt("32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7")
	bigY = hexInt("BC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0")
	two  = big.NewInt(2)
	// bigR is the Montgomery factor.
	bigR = new(big.Int).Lsh(big.NewInt(1), 256)
)

func toBig(x [4]uint64) *big.Int {
	var b [32]byte
	for i, v := range x {
		binary.BigEndian.PutUint64(b[24-8*i:], v)
	}
	return new(big.Int).SetBytes(b[:])
}

func bytes32(v *big.Int) (out [32]byte) {
	v.FillBytes(out[:])
	return out
}

// value is what an element stands for.
func (x *element) value() *big.Int {
	v := new(big.Int).ModInverse(bigR, bigP)
	return v.Mul(v, toBig(*x)).Mod(v, bigP)
}

func elementOf(t testing.TB, v *big.Int) element {
	t.Helper()
	var x element
	b := bytes32(v)
	if !x.fromBytes(&b) {
		t.Fatalf("%x is not below p", v)
	}
	return x
}

// cornerLimbs are limbs where carries and borrows could go wrong: those of p and n, their
// neighbours, halves, runs of ones and zeros.
var cornerLimbs = []uint64{
	0, 1, 2, p0, p0 - 1, p1, p1 - 1, p1 + 1, p3, p3 - 1, p3 + 1, order[0], order[1], 1 << 63, 1<<63 - 1,
	1 << 32, 1<<32 - 1, 1<<32 + 1, 0x00000000fffffffe, 0x8000000080000000,
}

// corner is a number below m of such limbs, now and then of random ones.
func corner(rng *rand.Rand, m *big.Int) [4]uint64 {
	for {
		var x [4]uint64
		for i := range x {
			x[i] = rng.Uint64()
			if rng.IntN(8) > 0 {
				x[i] = cornerLimbs[rng.IntN(len(cornerLimbs))]
			}
		}
		if toBig(x).Cmp(m) < 0 {
			return x
		}
	}
}

// checkField holds the operations on two reduced numbers against math/big.
func checkField(t *testing.T, a, b [4]uint64) {
	t.Helper()
	x, y := element(a), element(b)
	bx, by := toBig(a), toBig(b)
	mod := func(v *big.Int) *big.Int { return v.Mod(v, bigP) }
	rInv := new(big.Int).ModInverse(bigR, bigP)
	var sum, diff, prod element
	sum.add(&x, &y)
	diff.sub(&x, &y)
	prod.mul(&x, &y)
	product := mod(new(big.Int).Mul(bx, by))
	for _, tt := range []struct {
		name string
		got  element
		want *big.Int
	}{
		{"add", sum, mod(new(big.Int).Add(bx, by))},
		{"sub", diff, mod(new(big.Int).Sub(bx, by))},
		{"mul", prod, mod(product.Mul(product, rInv))},
	} {
		if toBig(tt.got).Cmp(tt.want) != 0 {
			t.Fatalf("%s of %x and %x = %x, want %x", tt.name, bx, by, toBig(tt.got), tt.want)
		}
	}
	// Operands and result may be the same variable.
	var square, back element
	square.mul(&x, &x)
	back.sub(&y, &x)
	one, other := x, x
	one.mul(&one, &one)
	other.sub(&y, &other)
	if one != square || other != back {
		t.Fatalf("mul or sub in place of %x and %x", bx, by)
	}
}

func TestField(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 40_000 {
		checkField(t, corner(rng, bigP), corner(rng, bigP))
	}
	for range 30 {
		x := element(corner(rng, bigP))
		var inv element
		inv.invert(&x)
		want := new(big.Int).ModInverse(x.value(), bigP)
		if want == nil {
			want = new(big.Int) // of 0
		}
		if inv.value().Cmp(want) != 0 {
			t.Fatalf("inverse of %x = %x, want %x", x.value(), inv.value(), want)
		}
	}
}

func TestScalars(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 40_000 {
		x, y := corner(rng, bigN), corner(rng, bigN)
		sum, diff := addOrder(&x, &y), subOrder(&x, &y)
		want := new(big.Int).Add(toBig(x), toBig(y))
		if toBig(sum).Cmp(want.Mod(want, bigN)) != 0 {
			t.Fatalf("%x + %x = %x", toBig(x), toBig(y), toBig(sum))
		}
		want.Sub(toBig(x), toBig(y))
		if toBig(diff).Cmp(want.Mod(want, bigN)) != 0 {
			t.Fatalf("%x - %x = %x", toBig(x), toBig(y), toBig(diff))
		}
		if less(&x, &y) != (toBig(x).Cmp(toBig(y)) < 0) || isZero(&x) != (toBig(x).Sign() == 0) {
			t.Fatalf("%x < %x", toBig(x), toBig(y))
		}
		for width := 2; width <= 8; width++ {
			at := rng.IntN(270)
			v := new(big.Int).Rsh(toBig(x), uint(at))
			if want := v.Mod(v, big.NewInt(1<<width)).Int64(); int64(window(&x, at, width)) != want {
				t.Fatalf("window of %d bits at %d of %x", width, at, toBig(x))
			}
		}
	}
}

func TestConstants(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, want *big.Int
	}{
		{"p", toBig([4]uint64{p0, p1, p2, p3}), bigP},
		{"n", toBig(order), bigN},
		{"1", montOne.value(), big.NewInt(1)},
		{"R²", toBig(montSquare), new(big.Int).Mod(new(big.Int).Mul(bigR, bigR), bigP)},
		{"b", curveB.value(), bigB},
		{"x of G", base.x.value(), bigX},
		{"y of G", base.y.value(), bigY},
	} {
		if tt.got.Cmp(tt.want) != 0 {
			t.Errorf("%s = %x, want %x", tt.name, tt.got, tt.want)
		}
	}
	if !base.onCurve() {
		t.Error("G is not on the curve")
	}
	var x element
	for _, v := range []*big.Int{bigP, new(big.Int).Add(bigP, big.NewInt(1)), new(big.Int).Sub(bigR, big.NewInt(1))} {
		if b := bytes32(v); x.fromBytes(&b) {
			t.Errorf("%x is taken for a coordinate", v)
		}
	}
}

func FuzzField(f *testing.F) {
	f.Add(make([]byte, 32), bigP.Bytes())
	f.Add(new(big.Int).Sub(bigP, two).Bytes(), new(big.Int).Sub(bigP, big.NewInt(1)).Bytes())
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var x, y [32]byte
		copy(x[:], a)
		copy(y[:], b)
		lx, ly := limbs(&x), limbs(&y)
		if toBig(lx).Cmp(bigP) < 0 && toBig(ly).Cmp(bigP) < 0 {
			checkField(t, lx, ly)
		}
	})
}
