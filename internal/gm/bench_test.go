package gm

import (
	"crypto/sha256"
	"fmt"
	"math/big"
	"testing"

	second "github.com/tjfoc/gmsm/sm2"
)

// recordSize is about the size of one evidence record.
const recordSize = 600

func BenchmarkSign(b *testing.B) {
	msg := make([]byte, recordSize)
	for _, alg := range []Alg{SM2, Ed25519} {
		k := generate(b, alg)
		b.Run(alg.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Sign(msg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	k := generate(b, SM2)
	priv := &second.PrivateKey{PublicKey: *secondKey(k.Public()), D: new(big.Int).SetBytes(k.raw())}
	b.Run("sm2-second", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := second.Sm2Sign(priv, msg, signerID, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	msg := make([]byte, recordSize)
	for _, alg := range []Alg{SM2, Ed25519} {
		k := generate(b, alg)
		sig, err := k.Sign(msg)
		if err != nil {
			b.Fatal(err)
		}
		run := func(name string, verify func(msg, sig []byte) error) {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := verify(msg, sig); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run(alg.String(), k.Public().Verify)
		run(alg.String()+"-verifier", k.Public().Verifier().Verify)
		if alg == SM2 {
			run("sm2-second", k.Public().VerifySecond)
		}
	}
}

func BenchmarkNewVerifier(b *testing.B) {
	k := generate(b, SM2).Public()
	b.ReportAllocs()
	for b.Loop() {
		k.Verifier()
	}
}

func BenchmarkParsePublicKey(b *testing.B) {
	text := generate(b, SM2).Public().String()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParsePublicKey(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	data := make([]byte, recordSize)
	for _, h := range []struct {
		name string
		sum  func([]byte) [32]byte
	}{{"sm3", SM3}, {"sm3-second", SM3Second}, {"sha256", sha256.Sum256}} {
		b.Run(h.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(recordSize)
			for b.Loop() {
				h.sum(data)
			}
		})
	}
}

// BenchmarkSM3Many is one by one hashing and hashing in bulk of the same messages.
func BenchmarkSM3Many(b *testing.B) {
	for _, size := range []int{65, recordSize, 900} {
		for _, count := range []int{1, 3, 16, 100, 1000} {
			messages := make([][]byte, count)
			for i := range messages {
				messages[i] = make([]byte, size)
			}
			sums := make([][32]byte, count)
			b.Run(fmt.Sprintf("%dx%d/single", count, size), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(count * size))
				for b.Loop() {
					for i, msg := range messages {
						sums[i] = SM3(msg)
					}
				}
			})
			b.Run(fmt.Sprintf("%dx%d/many", count, size), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(count * size))
				for b.Loop() {
					SM3Many(sums, nil, messages)
				}
			})
		}
	}
}
