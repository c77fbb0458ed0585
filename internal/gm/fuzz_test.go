package gm

import (
	"bytes"
	"errors"
	"math/big"
	"testing"
)

func FuzzParsePublicKey(f *testing.F) {
	f.Add(sm2Key(f, big.NewInt(5)).Public().String())
	f.Add(generate(f, Ed25519).Public().String())
	f.Add("sm2:04")
	f.Add("ed25519:")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParsePublicKey(s)
		if err != nil {
			if !k.IsZero() {
				t.Errorf("an error and the key %v", k)
			}
			return
		}
		if k.String() != s {
			t.Errorf("%q is a second spelling of %s", s, k)
		}
		if again, err := NewPublicKey(k.Alg(), k.Bytes()); err != nil || again != k {
			t.Errorf("NewPublicKey = %v, %v", again, err)
		}
		if k.Alg() == SM2 && !secondKey(k).Curve.IsOnCurve(secondKey(k).X, secondKey(k).Y) {
			t.Errorf("%s is not on the second library's curve", s)
		}
	})
}

func FuzzParsePrivateKey(f *testing.F) {
	for _, alg := range []Alg{SM2, Ed25519} {
		k := generate(f, alg)
		text, err := k.MarshalPEM()
		if err != nil {
			f.Fatal(err)
		}
		der, err := k.marshalPKCS8()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, der)
	}
	f.Fuzz(func(t *testing.T, text, der []byte) {
		one, err1 := ParsePrivateKey(text)
		two, err2 := parsePKCS8(der)
		if err1 == nil {
			roundTrip(t, one)
		}
		if err2 == nil {
			roundTrip(t, two)
		}
	})
}

func roundTrip(t *testing.T, k *PrivateKey) {
	t.Helper()
	text, err := k.MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParsePrivateKey(text)
	if err != nil || !same(back, k) {
		t.Fatalf("our own encoding: %v", err)
	}
	sig, err := back.Sign(text)
	if err != nil || k.Public().Verify(text, sig) != nil {
		t.Fatalf("a parsed key does not sign: %v", err)
	}
}

func FuzzParseDER(f *testing.F) {
	good, err := MarshalDER(append(bytes32(big.NewInt(1)), bytes32(new(big.Int).Sub(sm2Curve.n, big.NewInt(1)))...))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{0x30, 6, 2, 1, 5, 2, 1, 6})
	f.Fuzz(func(t *testing.T, der []byte) {
		sig, err := ParseDER(der)
		if err != nil {
			return
		}
		again, err := MarshalDER(sig)
		if err != nil || !bytes.Equal(again, der) {
			t.Errorf("ParseDER(%x) = %x, which is %x, %v", der, sig, again, err)
		}
	})
}

// FuzzVerify gives both libraries the same signature: a real one, changed by mask, or any bytes.
// They must agree, with each other, with the key's verifier and with the naive third.
func FuzzVerify(f *testing.F) {
	keys := []*PrivateKey{sm2Key(f, big.NewInt(1)), sm2Key(f, new(big.Int).Sub(sm2Curve.n, big.NewInt(2))), generate(f, SM2), generate(f, Ed25519)}
	var verifiers []*Verifier
	for _, k := range keys {
		verifiers = append(verifiers, k.Public().Verifier())
	}
	f.Add(byte(0), []byte("m"), []byte(nil), []byte(nil))
	f.Add(byte(1), []byte(""), make([]byte, 64), []byte(nil))
	f.Add(byte(2), []byte("m"), []byte{1}, []byte(nil))
	f.Add(byte(3), []byte("m"), []byte(nil), []byte(nil))
	f.Add(byte(2), []byte("m"), []byte(nil), append(bytes32(big.NewInt(1)), bytes32(new(big.Int).Sub(sm2Curve.n, big.NewInt(1)))...))
	f.Fuzz(func(t *testing.T, which byte, msg, mask, raw []byte) {
		k := keys[int(which)%len(keys)]
		sig, err := k.Sign(msg)
		if err != nil {
			t.Fatal(err)
		}
		want := true
		for i := range min(len(mask), len(sig)) {
			sig[i] ^= mask[i]
			want = want && mask[i] == 0
		}
		if raw != nil {
			sig = raw
		}
		err = VerifyBoth(k.Public(), msg, sig)
		if errors.Is(err, ErrDisagree) {
			t.Fatalf("key %v, message %x, signature %x: %v", k.Public(), msg, sig, err)
		}
		if own := verifiers[int(which)%len(keys)].Verify(msg, sig); (own == nil) != (err == nil) {
			t.Errorf("key %v, message %x, signature %x: the verifier differs: %v, not %v", k.Public(), msg, sig, own, err)
		}
		if raw == nil && (err == nil) != want {
			t.Errorf("key %v, message %x, signature %x: %v", k.Public(), msg, sig, err)
		}
		if k.Public().Alg() == SM2 && naiveVerify(k.Public(), msg, sig) != (err == nil) {
			t.Errorf("key %v, message %x, signature %x: the naive verifier differs: %v", k.Public(), msg, sig, err)
		}
	})
}
