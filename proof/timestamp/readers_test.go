package timestamp_test

import (
	"bytes"
	"crypto/sha256"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	second "github.com/digitorus/timestamp"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"qifeng/proof/timestamp"
	"qifeng/test/tsa"
)

// openssl says whether `openssl ts -verify` takes a token over the statement.
func openssl(t testing.TB, dir string, token []byte, root []byte) bool {
	t.Helper()
	for name, data := range map[string][]byte{"token": token, "statement": statement, "root.pem": root} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command("openssl", "ts", "-verify", "-data", "statement", "-token_in", "-in", "token", "-CAfile", "root.pem")
	c.Dir = dir
	out, err := c.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return err == nil && bytes.Contains(out, []byte("Verification: OK"))
}

// opensslText is what openssl reads of the token that it verified last.
func opensslText(t testing.TB, dir string) string {
	t.Helper()
	c := exec.Command("openssl", "ts", "-reply", "-token_in", "-in", "token", "-token_out", "-text")
	c.Dir = dir
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// secondReader says what digitorus/timestamp reads of a token; nil where it refuses it. It checks the
// signature, and no chain, and its BER reader panics on lengths that lead behind the end.
func secondReader(token []byte) (ts *second.Timestamp) {
	defer func() {
		if recover() != nil {
			ts = nil
		}
	}()
	ts, err := second.Parse(token)
	if err != nil {
		return nil
	}
	sum := sha256.Sum256(statement)
	if !bytes.Equal(ts.HashedMessage, sum[:]) {
		return nil
	}
	return ts
}

func same(ts *second.Timestamp, got *timestamp.Token) bool {
	return ts.Time.Equal(got.Time) && ts.Accuracy == got.Accuracy && ts.SerialNumber.String() == got.Serial &&
		ts.Policy.String() == got.Policy && ts.Nonce != nil && ts.Nonce.String() == got.Nonce
}

// TestReaders has tokens of `openssl ts` read by openssl and by digitorus/timestamp too: all agree on
// the good ones and on what they say, and whatever is changed inside what is signed is refused.
func TestReaders(t *testing.T) {
	for _, alg := range []tsa.Alg{tsa.RSA, tsa.ECDSA} {
		t.Run(string(alg), func(t *testing.T) {
			a := tsa.Start(t, tsa.Config{Alg: alg})
			authority := &timestamp.Authority{Name: "test", Roots: [][]byte{a.Root()}}
			token, err := a.Token(statement)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			got, err := timestamp.Verify(token, statement, authority)
			if err != nil {
				t.Fatal(err)
			}
			if !openssl(t, dir, token, a.RootPEM()) {
				t.Fatal("openssl refuses the token")
			}
			ts := secondReader(token)
			if ts == nil || !same(ts, got) {
				t.Fatalf("we read %+v, the second reader %+v", got, ts)
			}
			if openssl(t, dir, token, a.Chain.Intermediate.PEM()) {
				t.Fatal("openssl takes any root: the test tests nothing")
			}
			openssl(t, dir, token, a.RootPEM())
			text := opensslText(t, dir)
			signed := signedParts(t, token)
			stricter := map[string]int{}
			for i := range token {
				changed := bytes.Clone(token)
				changed[i] ^= 1 << (i % 8)
				_, err := timestamp.Verify(changed, statement, authority)
				ours, read := err == nil, secondReader(changed)
				// Both others encode the signed attributes anew before they check them, so that some changes of
				// a tag are lost on them; what they read must be the same.
				if ours && read == nil || read != nil && signed(i) && !same(read, got) {
					t.Fatalf("byte %d: our error: %v, the second reader reads %+v", i, err, read)
				}
				if read != nil && !ours {
					stricter["digitorus/timestamp"]++
				}
				if i%23 != 0 { // a process each
					continue
				}
				theirs := openssl(t, dir, changed, a.RootPEM())
				if ours && !theirs || theirs && signed(i) && opensslText(t, dir) != text {
					t.Fatalf("byte %d, bit %d, behind %x: our error: %v, openssl accepts: %v", i, i%8, token[max(0, i-20):i+1], err, theirs)
				}
				if theirs && !ours {
					stricter["openssl"]++
				}
			}
			t.Logf("of changes that alter nothing that is said, refused here and accepted there: %v", stricter)
		})
	}
}

// signedParts says which bytes of a token are signed, or the signature: the TSTInfo, the signed attributes,
// and what follows the algorithm. Other bytes, of lengths, identifiers and certificates, one reader may take
// and another not.
func signedParts(t *testing.T, token []byte) func(int) bool {
	info := bytes.Index(token, []byte{0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04, 0xa0})
	attributes := bytes.LastIndex(token, []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03})
	algorithm, size := bytes.LastIndex(token, []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0}), 13
	if algorithm < attributes {
		algorithm, size = bytes.LastIndex(token, []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02}), 10
	}
	if info < 0 || attributes < info || algorithm < attributes {
		t.Fatal("not found")
	}
	in := cryptobyte.String(token[info:])
	var content cryptobyte.String
	if !in.SkipASN1(der.OBJECT_IDENTIFIER) || !in.ReadASN1Element(&content, der.Tag(0).ContextSpecific().Constructed()) {
		t.Fatal("not found")
	}
	return func(i int) bool {
		return i >= info+13+8 && i < info+13+len(content) || i >= attributes && i < algorithm-2 || i >= algorithm+size+4 // behind its own header
	}
}

// TestReadersFaults has what our strictness refuses seen by openssl: the reasons are not ours alone.
func TestReadersFaults(t *testing.T) {
	for _, alg := range []tsa.Alg{tsa.RSA, tsa.ECDSA} {
		f := newFixture(t, tsa.Shape{Alg: alg})
		dir := t.TempDir()
		for name, c := range map[string]struct {
			change func(*tsa.Spec)
			accept bool
		}{
			"good":                        {nil, true},
			"ESSCertID":                   {func(s *tsa.Spec) { s.ESS = "v1" }, true},
			"SHA-512":                     {func(s *tsa.Spec) { s.Digest = "SHA512" }, true},
			"no signing certificate":      {func(s *tsa.Spec) { s.ESS = "none" }, false},
			"another signing certificate": {func(s *tsa.Spec) { s.ESS = "other" }, false},
			"wrong message digest":        {func(s *tsa.Spec) { s.WrongDigest = true }, false},
			"content is data":             {func(s *tsa.Spec) { s.EContentType = tsa.OIDData }, false},
			"two signers":                 {func(s *tsa.Spec) { s.Twice = true }, false},
			"the CA signs":                {func(s *tsa.Spec) { s.Signer = f.Intermediate }, false},
			"another's key":               {func(s *tsa.Spec) { s.Signer = &tsa.Entity{Certificate: f.Signer.Certificate, Key: f.Intermediate.Key} }, false},
			"TSTInfo version 2":           {func(s *tsa.Spec) { s.InfoVersion = 2 }, false},
			"another statement":           {func(s *tsa.Spec) { s.Imprint = make([]byte, 32) }, false},
		} {
			token := f.token(t, c.change)
			_, err := timestamp.Verify(token, statement, f.authority)
			if theirs := openssl(t, dir, token, f.Root.PEM()); (err == nil) != c.accept || theirs != c.accept {
				t.Errorf("%s, %s: openssl accepts: %v, our error: %v", alg, name, theirs, err)
			}
		}
	}
}

// TestFlips changes every bit of a token: it fails, or says the very same.
func TestFlips(t *testing.T) {
	for _, alg := range algs {
		t.Run(string(alg), func(t *testing.T) {
			f := newFixture(t, tsa.Shape{Alg: alg, Points: "http://ca.example/"})
			token := f.token(t, func(s *tsa.Spec) {
				s.Lists, s.Unsigned, s.ESS = [][]byte{f.list(t, tsa.Revoked{Serial: big.NewInt(9), Time: at, Reason: 1})}, true, "issuer"
				if alg != tsa.SM2 { // there each takes five verifications by both libraries
					s.Certificates = append(s.Certificates, f.Root.Certificate.Raw)
				}
			})
			if alg == tsa.SM2 && testing.Short() {
				t.Skip("both SM libraries on every bit take a quarter of a minute")
			}
			want, err := timestamp.Verify(token, statement, f.authority)
			if err != nil || want.Revoked != timestamp.NotRevoked {
				t.Fatalf("%+v, %v", want, err)
			}
			root := bytes.Index(token, f.Root.Certificate.Raw)
			attribute := bytes.LastIndex(token, []byte{0x30, 0x09, 0x06, 0x03, 0x2a, 0x03, 0x08})
			if root < 0 && alg != tsa.SM2 || attribute < 0 {
				t.Fatal("not found")
			}
			unsigned := map[string]int{}
			for i := range token {
				for bit := range 8 {
					changed := bytes.Clone(token)
					changed[i] ^= 1 << bit
					got, err := timestamp.Verify(changed, statement, f.authority)
					if err != nil {
						continue
					}
					if !reflect.DeepEqual(got, want) {
						t.Fatalf("bit %d of byte %d: %+v", bit, i, got)
					}
					switch {
					case root >= 0 && i >= root && i < root+len(f.Root.Certificate.Raw):
						unsigned["certificate outside of the chain"]++
					case i >= attribute:
						unsigned["unsigned attribute"]++
					default:
						t.Fatalf("bit %d of byte %d of %d can be changed", bit, i, len(token))
					}
				}
			}
			if len(unsigned) != 2 && (alg != tsa.SM2 || len(unsigned) != 1) {
				t.Errorf("of the unsigned parts, %v", unsigned)
			}
			t.Logf("%d bits; accepted, saying the same: %v", 8*len(token), unsigned)
		})
	}
}

// The digest of a statement is all that binds it: every bit of it counts.
func TestStatement(t *testing.T) {
	for _, alg := range algs {
		f := newFixture(t, tsa.Shape{Alg: alg})
		token := f.token(t, nil)
		for i := range statement {
			changed := bytes.Clone(statement)
			changed[i] ^= 0x10
			if _, err := timestamp.Verify(token, changed, f.authority); err == nil {
				t.Fatalf("byte %d of the statement is not covered", i)
			}
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range algs {
		b.Run(string(alg), func(b *testing.B) {
			f := newFixture(b, tsa.Shape{Alg: alg})
			token := f.token(b, func(s *tsa.Spec) { s.Lists = [][]byte{f.list(b)} })
			for b.Loop() {
				if _, err := timestamp.Verify(token, statement, f.authority); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
