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
