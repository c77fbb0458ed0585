package gm

import (
	"bytes"
	"errors"
	"math/big"
	"math/rand/v2"
	"sync"
	"testing"
)

// agree judges a signature with the key, with its verifier and with the second library, and says
// what they say.
func agree(t *testing.T, v *Verifier, msg, sig []byte) bool {
	t.Helper()
	own, first, second := v.Verify(msg, sig), v.Key().Verify(msg, sig), v.Key().VerifySecond(msg, sig)
	if (own == nil) != (first == nil) || (first == nil) != (second == nil) {
		t.Fatalf("key %v, message %x, signature %x: verifier %v, Verify %v, VerifySecond %v", v.Key(), msg, sig, own, first, second)
	}
	if own != nil && !errors.Is(own, ErrSignature) {
		t.Fatalf("verifier: %v", own)
	}
	return own == nil
}

// TestVerifier signs with both libraries, under ordinary and edge keys, and flips bits of message
// and signature.
func TestVerifier(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 42))
	n := sm2Curve.n
	keys := []*PrivateKey{generate(t, Ed25519), generate(t, SM2), generate(t, SM2), hexKey(t, standardExamples[1].d)}
	for _, d := range []int64{1, 2, 3, 4} {
		keys = append(keys, sm2Key(t, big.NewInt(d)), sm2Key(t, new(big.Int).Sub(n, big.NewInt(d+1))))
	}
	for i, k := range keys {
		v, other := k.Public().Verifier(), keys[(i+1)%len(keys)].Public().Verifier()
		if v.Key() != k.Public() {
			t.Errorf("Key = %v", v.Key())
		}
		for _, size := range []int{0, 1, 31, 32, 33, 600} {
			msg := make([]byte, size)
			for i := range msg {
				msg[i] = byte(rng.Uint32())
			}
			sig, err := k.Sign(msg)
			if err != nil {
				t.Fatal(err)
			}
			sigs := [][]byte{sig}
			if k.Public().Alg() == SM2 {
				sigs = append(sigs, signSecond(t, k, msg))
			}
			for _, sig := range sigs {
				if !agree(t, v, msg, sig) {
					t.Fatalf("key %v: a good signature is refused", k.Public())
				}
				if agree(t, other, msg, sig) || agree(t, v, append(bytes.Clone(msg), 0), sig) {
					t.Fatalf("key %v: accepted for another key or message", k.Public())
				}
				for range 3 {
					bad := bytes.Clone(sig)
					bad[rng.IntN(64)] ^= 1 << rng.IntN(8)
					if agree(t, v, msg, bad) {
						t.Fatalf("key %v: accepted with a flipped bit", k.Public())
					}
				}
			}
		}
	}
}

func hexKey(t *testing.T, d string) *PrivateKey {
	t.Helper()
	return sm2Key(t, hexInt(d))
}

// TestVerifierRefuses gives what is no signature of anything: integers out of range, r + s = n, the
// point at infinity, other lengths, no key.
func TestVerifierRefuses(t *testing.T) {
	n, d, msg := sm2Curve.n, big.NewInt(123456789), []byte("m")
	k := sm2Key(t, d)
	raw := k.Public().Bytes()
	e := sm2Curve.digest(string(signerID), point{new(big.Int).SetBytes(raw[1:33]), new(big.Int).SetBytes(raw[33:])}, msg)
	e.Mod(e, n)
	infinity := new(big.Int).Add(d, big.NewInt(1))
	infinity.ModInverse(infinity, n)
	infinity.Mul(infinity, d).Mul(infinity, e).Neg(infinity).Mod(infinity, n)
	one, below := big.NewInt(1), new(big.Int).Sub(n, big.NewInt(1))
	join := func(r, s *big.Int) []byte { return append(bytes32(r), bytes32(s)...) }
	sig, err := k.Sign(msg)
	if err != nil {
		t.Fatal(err)
	}
	v := k.Public().Verifier()
	for name, bad := range map[string][]byte{
		"infinity":    join(e, infinity),
		"r+s=n":       join(one, below),
		"r=s=n-1":     join(below, below),
		"r=s=1":       join(one, one),
		"r=0":         join(new(big.Int), one),
		"s=0":         join(one, new(big.Int)),
		"r=n":         join(n, one),
		"s=n":         join(one, n),
		"all ones":    bytes.Repeat([]byte{0xff}, 64),
		"all zeros":   make([]byte, 64),
		"empty":       nil,
		"short":       sig[:63],
		"long":        append(bytes.Clone(sig), 0),
		"halves swap": append(bytes.Clone(sig[32:]), sig[:32]...),
	} {
		if agree(t, v, msg, bad) {
			t.Errorf("%s is accepted", name)
		}
	}
	if (PublicKey{}).Verifier().Verify(msg, sig) == nil || (PublicKey{alg: SM2, raw: "x"}).Verifier().Verify(msg, sig) == nil || (&Verifier{}).Verify(msg, sig) == nil {
		t.Error("the verifier of no key accepts")
	}
}

// TestVerifierConcurrentUse is for the race detector.
func TestVerifierConcurrentUse(t *testing.T) {
	k := generate(t, SM2)
	v := k.Public().Verifier()
	sig, err := k.Sign([]byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if err := v.Verify([]byte("m"), sig); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
