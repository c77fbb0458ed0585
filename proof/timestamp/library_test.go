package timestamp

import (
	"fmt"
	"math/big"
	"testing"
	"time"

	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509/pkix"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

// TestLibraryMixtures: the library meets certificates of a token before we have compared algorithms with
// keys. No mixture of the two verifies, or makes it panic.
func TestLibraryMixtures(t *testing.T) {
	keys := map[string]crypto.Signer{}
	var err error
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		if keys[curve.Params().Name], err = ecdsa.GenerateKey(curve, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	if keys["RSA"], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if keys["SM2"], err = sm2.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	for name, key := range keys {
		template := &smx509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
			BasicConstraintsValid: true, IsCA: true,
		}
		raw, err := smx509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := smx509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkKey(cert); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := checkIssued(cert, cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, ec := cert.PublicKey.(*ecdsa.PublicKey); ec {
			other := smx509.SM2WithSM3
			if name == "SM2" {
				other = smx509.ECDSAWithSHA256
				// The second library is asked, whatever the first said.
				if checkIssued(cert, cert.SignatureAlgorithm, cert.RawTBSCertificate[1:], cert.Signature) == nil {
					t.Error("a signature of something else is taken")
				}
			}
			if checkIssued(cert, other, cert.RawTBSCertificate, cert.Signature) == nil {
				t.Errorf("%s signs as %v", name, other)
			}
		}
		if err := cert.CheckSignatureFrom(cert); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		honest, signature := cert.SignatureAlgorithm, cert.Signature
		for algorithm := smx509.UnknownSignatureAlgorithm; algorithm < 64; algorithm++ {
			for length := 0; length <= len(signature)+1; length += 1 + length/9 {
				cert.SignatureAlgorithm = algorithm
				cert.Signature = append(append([]byte{}, signature...), 0)[:length]
				if err := cert.CheckSignatureFrom(cert); err == nil && !(algorithm == honest && length == len(signature)) {
					t.Errorf("a certificate of %s verifies as %v with %d bytes", name, fmt.Sprint(algorithm), length)
				}
			}
		}
	}
}

func TestCheckKey(t *testing.T) {
	for bits, want := range map[uint]bool{1024: false, 2047: false, 2048: true, 8192: true, 8193: false} {
		cert := &smx509.Certificate{PublicKey: &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: 65537}}
		if err := checkKey(cert); (err == nil) != want {
			t.Errorf("RSA of %d bits: %v", bits, err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if checkKey(&smx509.Certificate{PublicKey: &key.PublicKey}) == nil {
		t.Error("P-224 is taken")
	}
	if checkKey(&smx509.Certificate{PublicKey: "x"}) == nil || checkKey(&smx509.Certificate{}) == nil {
		t.Error("no key is taken for one")
	}
}

// TestExplicitCurve: a curve given by its parameters is no curve that is known by name.
func TestExplicitCurve(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki := []byte("\x30\x0b\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x02\x01")
	if err := checkKey(&smx509.Certificate{PublicKey: &key.PublicKey, RawSubjectPublicKeyInfo: spki}); err == nil {
		t.Error("a curve without a name is taken")
	}
}
