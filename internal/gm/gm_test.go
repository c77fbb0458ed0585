package gm

import "testing"

func TestSmoke(t *testing.T) {
	for _, a := range []Alg{SM2, Ed25519} {
		k, err := GenerateKey(a)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []string{"", "hello"} {
			sig, err := k.Sign([]byte(m))
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyBoth(k.Public(), []byte(m), sig); err != nil {
				t.Fatal(err)
			}
		}
		p, err := k.MarshalPEM()
		if err != nil {
			t.Fatal(err)
		}
		if k2, err := ParsePrivateKey(p); err != nil || k2.Public() != k.Public() {
			t.Fatal(err)
		}
	}
}
