package timestamp_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"qifeng/proof/timestamp"
	"qifeng/test/tsa"
)

var update = flag.Bool("update", false, "make testdata anew")

// loadFixture reads a token of testdata with its statement and authority.
func loadFixture(t testing.TB, alg tsa.Alg) (token, about []byte, a *timestamp.Authority) {
	t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	block, _ := pem.Decode(read(string(alg) + ".root.pem"))
	if block == nil {
		t.Fatal("no PEM")
	}
	return read(string(alg) + ".token.der"), read("statement.txt"), &timestamp.Authority{Name: "test-" + string(alg), Roots: [][]byte{block.Bytes}}
}

// TestFixtures verifies the tokens of testdata, long after they were made.
func TestFixtures(t *testing.T) {
	if *update {
		makeFixtures(t)
	}
	for _, alg := range algs {
		t.Run(string(alg), func(t *testing.T) {
			token, about, a := loadFixture(t, alg)
			got, err := timestamp.Verify(token, about, a)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.MarshalIndent(got, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", string(alg)+".token.json")
			if *update {
				if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil || string(want) != string(text)+"\n" {
				t.Fatalf("%s is not what is stated: %s, %v", path, text, err)
			}
		})
	}
}

func makeFixtures(t *testing.T) {
	about, err := os.ReadFile("testdata/statement.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range algs {
		a := tsa.Start(t, tsa.Config{Alg: alg, Own: true, Fresh: true})
		token, err := a.Token(about)
		if err != nil {
			t.Fatal(err)
		}
		list, err := a.Chain.Intermediate.List(a.Chain.Signer.Certificate.NotBefore, a.Chain.Signer.Certificate.NotAfter, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token, err = timestamp.AddLists(token, [][]byte{list}); err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{".token.der": token, ".root.pem": a.RootPEM()} {
			if err := os.WriteFile(filepath.Join("testdata", string(alg)+name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestOpensslSM2 has openssl, which reads no SM2 token as a whole, check its parts: the signature over the
// signed attributes, and the chain.
func TestOpensslSM2(t *testing.T) {
	f := newFixture(t, tsa.Shape{Alg: tsa.SM2})
	attributes, signature := signedAttributes(t, f.token(t, nil))
	dir := t.TempDir()
	changed := bytes.Clone(attributes)
	changed[len(changed)-1] ^= 1
	key := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: f.Signer.Certificate.RawSubjectPublicKeyInfo})
	for name, data := range map[string][]byte{
		"attributes": attributes, "changed": changed, "signature": signature, "key.pem": key,
		"root.pem": f.Root.PEM(), "ca.pem": f.Intermediate.PEM(), "signer.pem": f.Signer.PEM(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args string) bool {
		c := exec.Command("openssl", strings.Fields(args)...)
		c.Dir = dir
		out, err := c.CombinedOutput()
		t.Logf("openssl %s: %s", args, out)
		return err == nil
	}
	const dgst = "dgst -sm3 -sigopt distid:1234567812345678 -verify key.pem -signature signature "
	if !run(dgst+"attributes") || run(dgst+"changed") {
		t.Error("openssl judges the signature otherwise")
	}
	// It sets the signer id for the last certificate alone, so one step at a time.
	const verify = "verify -vfyopt distid:1234567812345678 -partial_chain "
	if !run(verify+"-purpose timestampsign -trusted ca.pem signer.pem") || !run(verify+"-trusted root.pem ca.pem") || run(verify+"-trusted root.pem signer.pem") {
		t.Error("openssl judges the chain otherwise")
	}
}

// signedAttributes returns what is signed in a token, and the signature.
func signedAttributes(t *testing.T, token []byte) (attributes, signature []byte) {
	in := cryptobyte.String(token)
	var s, infos cryptobyte.String
	tag0 := der.Tag(0).ContextSpecific().Constructed()
	ok := in.ReadASN1(&in, der.SEQUENCE) && in.SkipASN1(der.OBJECT_IDENTIFIER) && in.ReadASN1(&in, tag0) && in.ReadASN1(&in, der.SEQUENCE) &&
		in.SkipASN1(der.INTEGER) && in.SkipASN1(der.SET) && in.SkipASN1(der.SEQUENCE) && in.SkipASN1(tag0) &&
		in.ReadASN1(&infos, der.SET) && infos.ReadASN1(&infos, der.SEQUENCE) && infos.SkipASN1(der.INTEGER) && infos.SkipASN1(der.SEQUENCE) &&
		infos.SkipASN1(der.SEQUENCE) && infos.ReadASN1Element(&s, tag0) && infos.SkipASN1(der.SEQUENCE) && infos.ReadASN1Bytes(&signature, der.OCTET_STRING)
	if !ok {
		t.Fatal("not found")
	}
	attributes = bytes.Clone(s)
	attributes[0] = 0x31
	return attributes, signature
}
