package frequent

import (
	"testing"

	"qifeng/internal/gm"
)

// TestVerify asks for more signatures than a key needs to get a table: a right
// one holds and a wrong one does not, before and after.
func TestVerify(t *testing.T) {
	for _, alg := range []gm.Alg{gm.SM2, gm.Ed25519} {
		t.Run(alg.String(), func(t *testing.T) {
			key, err := gm.GenerateKey(alg)
			if err != nil {
				t.Fatal(err)
			}
			k, pub := New(), key.Public()
			for i := range 2 * tableAfter {
				msg := []byte{byte(i)}
				sig, err := key.Sign(msg)
				if err != nil {
					t.Fatal(err)
				}
				if err := k.Verify(pub, msg, sig); err != nil {
					t.Fatalf("signature %d: %v", i, err)
				}
				if k.Verify(pub, []byte("another"), sig) == nil {
					t.Fatalf("signature %d holds for another message", i)
				}
				if got, want := k.tables.Contains(pub), i+1 >= tableAfter; got != want {
					t.Fatalf("after %d right signatures there is a table: %t", i+1, got)
				}
			}
		})
	}
}

// TestBound lets more keys come than have a place.
func TestBound(t *testing.T) {
	k := New()
	for range keptTables + 2 {
		key, err := gm.GenerateKey(gm.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := key.Sign(nil)
		if err != nil {
			t.Fatal(err)
		}
		for range tableAfter {
			if err := k.Verify(key.Public(), nil, sig); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := k.tables.Len(); n != keptTables {
		t.Errorf("%d tables are kept", n)
	}
}
