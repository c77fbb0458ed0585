package gm_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"qifeng/internal/gm"
)

func ExampleVerifyBoth() {
	key, err := gm.GenerateKey(gm.SM2)
	if err != nil {
		fmt.Println(err)
		return
	}
	sig, err := key.Sign([]byte("a record"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(gm.VerifyBoth(key.Public(), []byte("a record"), sig))
	err = gm.VerifyBoth(key.Public(), []byte("another record"), sig)
	fmt.Println(errors.Is(err, gm.ErrSignature))
	// Output:
	// <nil>
	// true
}

// TestConcurrentUse is for the race detector: the libraries keep caches of keys.
func TestConcurrentUse(t *testing.T) {
	for _, alg := range []gm.Alg{gm.SM2, gm.Ed25519} {
		key, err := gm.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 5 {
					msg := fmt.Appendf(nil, "%d %d", i, j)
					sig, err := key.Sign(msg)
					if err != nil {
						t.Error(err)
						return
					}
					if err := gm.VerifyBoth(key.Public(), msg, sig); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
}
