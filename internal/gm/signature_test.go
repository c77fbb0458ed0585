package gm

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"

	second "github.com/tjfoc/gmsm/sm2"
)

// The signature examples of the standards, as openssl tests them (test/sm2_internal_test.c,
// sm2_sig_test, at 0223dfcf): the one of GB/T 32918.2-2016 annex A (also draft-shen-sm2-ecdsa-02)
// is on an example curve with its own id, the one of GB/T 32918.5-2017 annex A on the recommended
// curve with the default id.
var standardExamples = []struct {
	name           string
	curve          curve
	id, d, k, r, s string
}{
	{
		"GB/T 32918.2 annex A", exampleCurve, "ALICE123@YAHOO.COM",
		"128B2FA8BD433C6C068C8D803DFF79792A519A55171B1B650C23661D15897263",
		"6CB28D99385C175C94F94E934817663FC176D925DD72B727260DBAAE1FB2F96F",
		"40F1EC59F793D9F49E09DCEF49130D4194F79FB1EED2CAA55BACDB49C4E755D1",
		"6FC6DAC32C5D5CF10C77DFB20F7C2EB667A457872FB09EC56327A67EC7DEEBE7",
	},
	{
		"GB/T 32918.5 annex A", sm2Curve, "1234567812345678",
		"3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8",
		"59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21",
		"F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3",
		"B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA",
	},
}

var exampleMessage = []byte("message digest")

// TestNaiveStandardExamples makes sure that the third SM2 of these tests is the standard's.
func TestNaiveStandardExamples(t *testing.T) {
	for _, tt := range standardExamples {
		t.Run(tt.name, func(t *testing.T) {
			d := hexInt(tt.d)
			r, s := tt.curve.sign(tt.id, d, hexInt(tt.k), exampleMessage)
			if r.Cmp(hexInt(tt.r)) != 0 || s.Cmp(hexInt(tt.s)) != 0 {
				t.Errorf("sign = %X, %X, want %s, %s", r, s, tt.r, tt.s)
			}
			pub := tt.curve.mul(d, tt.curve.base())
			if !tt.curve.verify(tt.id, pub, exampleMessage, r, s) {
				t.Error("the standard's signature does not verify")
			}
			if tt.curve.verify(tt.id, pub, []byte("message digesT"), r, s) {
				t.Error("another message verifies")
			}
		})
	}
}

func TestStandardExample(t *testing.T) {
	const (
		pub = "sm2:0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
		sig = "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
	)
	k, err := ParsePublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	if own := sm2Key(t, hexInt(standardExamples[1].d)); own.Public() != k {
		t.Errorf("the example's private key gives %v", own.Public())
	}
	if err := k.Verify(exampleMessage, decodeHex(t, sig)); err != nil {
		t.Errorf("Verify: %v", err)
	}
	if err := k.VerifySecond(exampleMessage, decodeHex(t, sig)); err != nil {
		t.Errorf("VerifySecond: %v", err)
	}
	if err := VerifyBoth(k, exampleMessage, decodeHex(t, sig)); err != nil {
		t.Errorf("VerifyBoth: %v", err)
	}
}

// TestEd25519Vector is RFC 8032 §7.1 TEST 2.
func TestEd25519Vector(t *testing.T) {
	k, err := newPrivateKey(Ed25519, decodeHex(t, "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := k.Public().String(), "ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"; got != want {
		t.Errorf("public key = %s, want %s", got, want)
	}
	want := "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
	sig, err := k.Sign([]byte{0x72})
	if err != nil || fmt.Sprintf("%x", sig) != want {
		t.Errorf("Sign = %x, %v, want %s", sig, err, want)
	}
	if err := VerifyBoth(k.Public(), []byte{0x72}, sig); err != nil {
		t.Error(err)
	}
}

// TestLibrariesAgree signs random messages with one library and judges them, whole and corrupted,
// with both, and some with the naive third.
func TestLibrariesAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 60 {
		k, err := GenerateKey(SM2)
		if err != nil {
			t.Fatal(err)
		}
		msg := make([]byte, rng.IntN(300))
		for i := range msg {
			msg[i] = byte(rng.Uint32())
		}
		sig, err := k.Sign(msg)
		if err != nil {
			t.Fatal(err)
		}
		if err := VerifyBoth(k.Public(), msg, sig); err != nil {
			t.Fatalf("signature by emmansun/gmsm: %v", err)
		}
		if round%10 == 0 && !naiveVerify(k.Public(), msg, sig) {
			t.Fatal("the naive verifier refuses a signature by emmansun/gmsm")
		}
		theirs := signSecond(t, k, msg)
		if err := VerifyBoth(k.Public(), msg, theirs); err != nil {
			t.Fatalf("signature by tjfoc/gmsm: %v", err)
		}
		for range 4 {
			bad, badMsg := bytes.Clone(sig), bytes.Clone(msg)
			if bit := rng.IntN(8 * (len(sig) + len(msg))); bit < 8*len(sig) {
				bad[bit/8] ^= 1 << (bit % 8)
			} else {
				badMsg[bit/8-len(sig)] ^= 1 << (bit % 8)
			}
			if err := VerifyBoth(k.Public(), badMsg, bad); !errors.Is(err, ErrSignature) || errors.Is(err, ErrDisagree) {
				t.Fatalf("one flipped bit: %v", err)
			}
		}
	}
}

// signSecond signs with tjfoc/gmsm.
func signSecond(t *testing.T, k *PrivateKey, msg []byte) []byte {
	t.Helper()
	priv := &second.PrivateKey{PublicKey: *secondKey(k.Public()), D: new(big.Int).SetBytes(k.raw())}
	r, s, err := second.Sm2Sign(priv, msg, signerID, nil)
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes32(r), bytes32(s)...)
}

func secondKey(k PublicKey) *second.PublicKey {
	raw := k.Bytes()
	return &second.PublicKey{Curve: second.P256Sm2(), X: new(big.Int).SetBytes(raw[1:33]), Y: new(big.Int).SetBytes(raw[33:])}
}

// TestEveryBit flips each bit of one signature, one message and one key.
func TestEveryBit(t *testing.T) {
	for _, alg := range []Alg{SM2, Ed25519} {
		k, err := GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		msg := []byte("evidence")
		sig, err := k.Sign(msg)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 8 * len(sig) {
			bad := bytes.Clone(sig)
			bad[i/8] ^= 1 << (i % 8)
			if err := k.Public().Verify(msg, bad); !errors.Is(err, ErrSignature) {
				t.Errorf("%v: signature bit %d: %v", alg, i, err)
			}
		}
		for i := range 8 * len(msg) {
			bad := bytes.Clone(msg)
			bad[i/8] ^= 1 << (i % 8)
			if err := k.Public().Verify(bad, sig); !errors.Is(err, ErrSignature) {
				t.Errorf("%v: message bit %d: %v", alg, i, err)
			}
		}
		for i := range 8 * len(k.Public().Bytes()) {
			raw := k.Public().Bytes()
			raw[i/8] ^= 1 << (i % 8)
			if other, err := NewPublicKey(alg, raw); err == nil && other.Verify(msg, sig) == nil {
				t.Errorf("%v: key bit %d: verifies under another key", alg, i)
			}
		}
	}
}

// TestEdgeKeys uses the smallest and largest private keys and keys whose coordinates begin with a
// zero byte, where an unpadded encoding would enter Z.
func TestEdgeKeys(t *testing.T) {
	ds := []*big.Int{big.NewInt(1), big.NewInt(2), big.NewInt(3), new(big.Int).Sub(sm2Curve.n, big.NewInt(2)), new(big.Int).Sub(sm2Curve.n, big.NewInt(3))}
	short := 0
	for d := int64(4); short < 4; d++ {
		if raw := sm2Key(t, big.NewInt(d)).Public().Bytes(); raw[1] == 0 || raw[33] == 0 {
			ds = append(ds, big.NewInt(d))
			short++
		}
	}
	for _, d := range ds {
		k := sm2Key(t, d)
		for _, msg := range [][]byte{nil, []byte("x"), make([]byte, 1000)} {
			sig, err := k.Sign(msg)
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyBoth(k.Public(), msg, sig); err != nil {
				t.Errorf("d = %v: %v", d, err)
			}
			if !naiveVerify(k.Public(), msg, sig) {
				t.Errorf("d = %v: the naive verifier refuses", d)
			}
			if err := VerifyBoth(k.Public(), msg, signSecond(t, k, msg)); err != nil {
				t.Errorf("d = %v, signed by tjfoc/gmsm: %v", d, err)
			}
		}
	}
}

func TestPrivateKeyRange(t *testing.T) {
	n := sm2Curve.n
	tests := []struct {
		name string
		d    *big.Int
		ok   bool
	}{
		{"1", big.NewInt(1), true},
		{"2^255", new(big.Int).Lsh(big.NewInt(1), 255), true},
		{"n-2", new(big.Int).Sub(n, big.NewInt(2)), true},
		{"0", new(big.Int), false},
		{"n-1", new(big.Int).Sub(n, big.NewInt(1)), false}, // 1+d has no inverse
		{"n", n, false},
		{"n+1", new(big.Int).Add(n, big.NewInt(1)), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := newPrivateKey(SM2, bytes32(tt.d)); (err == nil) != tt.ok {
				t.Errorf("newPrivateKey: %v", err)
			}
		})
	}
}

func TestRange(t *testing.T) {
	k := sm2Key(t, big.NewInt(7)).Public()
	n := sm2Curve.n
	one, max := big.NewInt(1), new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	below := new(big.Int).Sub(n, one)
	above := new(big.Int).Add(n, one)
	tests := []struct {
		name string
		r, s *big.Int
		ok   bool // in range, though not a signature of anything
	}{
		{"r=1 s=1", one, one, true},
		{"r=n-1 s=n-1", below, below, true},
		{"r=1 s=n-1, r+s=n", one, below, true},
		{"r=0", new(big.Int), one, false},
		{"s=0", one, new(big.Int), false},
		{"r=n", n, one, false},
		{"s=n", one, n, false},
		{"r=n+1", above, one, false},
		{"s=n+1", one, above, false},
		{"r=2^256-1", max, one, false},
		{"s=2^256-1", one, max, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sig := append(bytes32(tt.r), bytes32(tt.s)...)
			if err := checkRange(sig); (err == nil) != tt.ok {
				t.Errorf("checkRange: %v", err)
			}
			der, err := MarshalDER(sig)
			if (err == nil) != tt.ok {
				t.Errorf("MarshalDER: %v", err)
			}
			if back, err := ParseDER(der); tt.ok && (err != nil || !bytes.Equal(back, sig)) {
				t.Errorf("ParseDER = %x, %v", back, err)
			}
			for name, verify := range map[string]func(msg, sig []byte) error{"Verify": k.Verify, "VerifySecond": k.VerifySecond} {
				if err := verify([]byte("m"), sig); !errors.Is(err, ErrSignature) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

func TestSignatureLength(t *testing.T) {
	for _, alg := range []Alg{SM2, Ed25519} {
		k, err := GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := k.Sign(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range [][]byte{nil, {}, sig[:63], append(bytes.Clone(sig), 0), append([]byte{0}, sig...), make([]byte, 64), make([]byte, 1<<16)} {
			if err := VerifyBoth(k.Public(), nil, bad); !errors.Is(err, ErrSignature) {
				t.Errorf("%v: %d bytes: %v", alg, len(bad), err)
			}
		}
	}
}

// TestInfinity makes the signature that leads a verifier to the point at infinity: r = e,
// s = -e·d/(1+d). Only the key's owner can. tjfoc/gmsm alone accepts it.
func TestInfinity(t *testing.T) {
	n := sm2Curve.n
	d := big.NewInt(123456789)
	k := sm2Key(t, d)
	raw := k.Public().Bytes()
	pub := point{new(big.Int).SetBytes(raw[1:33]), new(big.Int).SetBytes(raw[33:])}
	msg := []byte("a signature that nobody should accept")
	e := sm2Curve.digest(string(signerID), pub, msg)
	e.Mod(e, n)
	s := new(big.Int).Add(d, big.NewInt(1))
	s.ModInverse(s, n)
	s.Mul(s, d).Mul(s, e).Neg(s).Mod(s, n)
	sig := append(bytes32(e), bytes32(s)...)

	if !second.Sm2Verify(secondKey(k.Public()), msg, signerID, e, s) {
		t.Error("tjfoc/gmsm no longer accepts infinity: isInfinity may go")
	}
	if naiveVerify(k.Public(), msg, sig) {
		t.Error("the naive verifier accepts infinity")
	}
	if err := k.Public().Verify(msg, sig); !errors.Is(err, ErrSignature) {
		t.Errorf("Verify: %v", err)
	}
	if err := VerifyBoth(k.Public(), msg, sig); !errors.Is(err, ErrSignature) || errors.Is(err, ErrDisagree) {
		t.Errorf("VerifyBoth: %v", err)
	}
}

func TestDisagreementIsItsOwnError(t *testing.T) {
	refused := fmt.Errorf("x: %w", ErrSignature)
	tests := []struct {
		name          string
		first, second error
		want, not     error
	}{
		{"both accept", nil, nil, nil, ErrDisagree},
		{"both refuse", refused, refused, ErrSignature, ErrDisagree},
		{"only the first accepts", nil, refused, ErrDisagree, ErrSignature},
		{"only the second accepts", refused, nil, ErrDisagree, ErrSignature},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := decide(tt.first, tt.second); !errors.Is(err, tt.want) || errors.Is(err, tt.not) {
				t.Errorf("decide = %v", err)
			}
		})
	}
}

func TestParseDERRefuses(t *testing.T) {
	good, err := MarshalDER(append(bytes32(big.NewInt(5)), bytes32(big.NewInt(6))...))
	if err != nil {
		t.Fatal(err)
	}
	if want := []byte{0x30, 6, 2, 1, 5, 2, 1, 6}; !bytes.Equal(good, want) {
		t.Fatalf("MarshalDER = %x, want %x", good, want)
	}
	long := make([]byte, 33)
	long[0] = 1
	tests := []struct {
		name string
		der  []byte
	}{
		{"empty", nil},
		{"tail", append(bytes.Clone(good), 0)},
		{"third integer inside", []byte{0x30, 9, 2, 1, 5, 2, 1, 6, 2, 1, 7}},
		{"one integer", []byte{0x30, 3, 2, 1, 5}},
		{"padded integer", []byte{0x30, 7, 2, 2, 0, 5, 2, 1, 6}},
		{"long form length", []byte{0x30, 0x81, 6, 2, 1, 5, 2, 1, 6}},
		{"indefinite length", []byte{0x30, 0x80, 2, 1, 5, 2, 1, 6, 0, 0}},
		{"negative r", []byte{0x30, 6, 2, 1, 0x85, 2, 1, 6}},
		{"zero s", []byte{0x30, 6, 2, 1, 5, 2, 1, 0}},
		{"r of 33 bytes", append(append([]byte{0x30, 38, 2, 33}, long...), 2, 1, 6)},
		{"a set", []byte{0x31, 6, 2, 1, 5, 2, 1, 6}},
		{"octet strings", []byte{0x30, 6, 4, 1, 5, 4, 1, 6}},
		{"cut", good[:7]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if sig, err := ParseDER(tt.der); err == nil {
				t.Errorf("ParseDER(%x) = %x", tt.der, sig)
			}
		})
	}
}

func TestZeroKeys(t *testing.T) {
	var k PublicKey
	if !k.IsZero() || k.String() != "" || k.Alg() != 0 || len(k.Bytes()) != 0 || k.MarshalSPKI() != nil {
		t.Errorf("zero PublicKey = %q, %v, %x", k.String(), k.Alg(), k.Bytes())
	}
	sig := append(bytes32(big.NewInt(1)), bytes32(big.NewInt(1))...)
	if k.Verify(nil, sig) == nil || k.VerifySecond(nil, sig) == nil || VerifyBoth(k, nil, sig) == nil {
		t.Error("the zero PublicKey verifies")
	}
	if (PublicKey{alg: 9, raw: "x"}).Verify(nil, sig) == nil || Alg(0).String() != "invalid" {
		t.Error("an unknown algorithm is accepted")
	}
	var p PrivateKey
	if _, err := p.Sign(nil); err == nil || !p.Public().IsZero() {
		t.Error("the zero PrivateKey signs")
	}
	if _, err := p.MarshalPEM(); err == nil {
		t.Error("the zero PrivateKey encodes")
	}
	if _, err := GenerateKey(0); err == nil {
		t.Error("GenerateKey of no algorithm")
	}
}
