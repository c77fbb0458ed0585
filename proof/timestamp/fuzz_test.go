package timestamp_test

import (
	"reflect"
	"slices"
	"testing"

	"qifeng/proof/timestamp"
	"qifeng/test/tsa"
)

// FuzzVerify: nothing makes it panic, and whatever verifies says what an honest token said.
func FuzzVerify(f *testing.F) {
	all := &timestamp.Authority{Name: "all"}
	var honest []timestamp.Token
	var about []byte
	for _, alg := range algs {
		token, text, a := loadFixture(f, alg)
		want, err := timestamp.Verify(token, text, a)
		if err != nil {
			f.Fatal(err)
		}
		about, all.Roots, honest = text, append(all.Roots, a.Roots...), append(honest, stripped(want))
		f.Add(token)
	}
	c := newFixture(f, tsa.Shape{Alg: tsa.RSA})
	f.Add(c.token(f, func(s *tsa.Spec) {
		s.ESS, s.PSS, s.KeyID, s.Unsigned, s.Imprint = "both", true, true, true, tsa.Sum("SHA256", about)
	}))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := timestamp.Verify(in, about, all)
		if (err == nil) != (got != nil) {
			t.Fatalf("%+v, error %v", got, err)
		}
		if err == nil && !slices.ContainsFunc(honest, func(w timestamp.Token) bool { return reflect.DeepEqual(stripped(got), w) }) {
			t.Fatalf("%+v", got)
		}
		if out, err := timestamp.AddLists(in, nil); err == nil && len(out) > timestamp.MaxTokenBytes {
			t.Fatalf("%d bytes", len(out))
		}
		timestamp.CheckAuthority(&timestamp.Authority{Name: "x", Roots: [][]byte{in}})
	})
}

// stripped leaves out what a token's lists say: they are unsigned, and may be gone.
func stripped(t *timestamp.Token) timestamp.Token {
	out := *t
	out.Revoked, out.ListFrom, out.ListUntil = timestamp.NotChecked, t.Time, t.Time
	return out
}
