package timestamp_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"qifeng/proof/timestamp"
	"qifeng/test/tsa"
)

// The tests here are tokens of somebody who holds no key of the authority's: what he can have believed, and
// what he can have a verifier spend.

var oidAlternative, oidConstraints = asn1.ObjectIdentifier{2, 5, 29, 17}, asn1.ObjectIdentifier{2, 5, 29, 30}

func mustIssue(t testing.TB, template *smx509.Certificate, by *tsa.Entity, key crypto.Signer) *tsa.Entity {
	t.Helper()
	parent, signer := template, key
	if by != nil {
		parent, signer = by.Certificate, by.Key
	}
	raw, err := smx509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := smx509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &tsa.Entity{Certificate: cert, Key: key}
}

// names are n alternative names of one letter: the dearest for their length.
func names(n int, last ...byte) pkix.Extension {
	var value []asn1.RawValue
	for range n {
		value = append(value, asn1.RawValue{Class: 2, Tag: 2, Bytes: []byte("a")})
	}
	for _, b := range last {
		value = append(value, asn1.RawValue{Class: 2, Tag: 2, Bytes: []byte{b}})
	}
	raw, err := asn1.Marshal(value)
	if err != nil {
		panic(err)
	}
	return pkix.Extension{Id: oidAlternative, Value: raw}
}

// excluded are n constraints, none of which fits the names.
func excluded(n int) pkix.Extension {
	type subtree struct{ Base asn1.RawValue }
	var value struct {
		Excluded []subtree `asn1:"tag:1"`
	}
	for range n {
		value.Excluded = append(value.Excluded, subtree{asn1.RawValue{Class: 2, Tag: 2, Bytes: []byte("z")}})
	}
	raw, err := asn1.Marshal(value)
	if err != nil {
		panic(err)
	}
	return pkix.Extension{Id: oidConstraints, Critical: true, Value: raw}
}

// maze is a token whose signer and six CAs are the attacker's: the CAs bear one name, so that each may stand
// above each, and the way never comes to a pinned root.
func maze(t testing.TB, f *fixture, key func() crypto.Signer, names, constraints func(i int) []pkix.Extension) []byte {
	t.Helper()
	one := key()
	ca := func(i int) *smx509.Certificate {
		return &smx509.Certificate{
			SerialNumber: big.NewInt(int64(i + 10)), Subject: pkix.Name{CommonName: "x"}, NotBefore: at.Add(-time.Hour), NotAfter: at.Add(time.Hour),
			BasicConstraintsValid: true, IsCA: true, ExtraExtensions: constraints(i),
		}
	}
	var all [][]byte
	var last *tsa.Entity
	for i := range 6 {
		// All with one key: each is the issuer of each.
		last = mustIssue(t, ca(i), &tsa.Entity{Certificate: ca(i), Key: one}, one)
		all = append(all, last.Certificate.Raw)
	}
	leaf := &smx509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Test authority ecdsa"}, NotBefore: at.Add(-time.Hour), NotAfter: at.Add(time.Hour),
		KeyUsage: smx509.KeyUsageDigitalSignature, ExtraExtensions: append([]pkix.Extension{tsa.Usage(true)}, names(0)...),
	}
	signerKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer := mustIssue(t, leaf, last, signerKey)
	token := f.token(t, func(s *tsa.Spec) { s.Signer, s.Certificates = signer, append(all, signer.Certificate.Raw) })
	if len(token) > timestamp.MaxTokenBytes {
		t.Fatalf("%d bytes", len(token))
	}
	return token
}

// version1 takes version and extensions out of a certificate and has it signed again.
func version1(t testing.TB, cert *smx509.Certificate, by *tsa.Entity) *smx509.Certificate {
	t.Helper()
	in := cryptobyte.String(cert.RawTBSCertificate)
	var tbs cryptobyte.String
	tag0, tag3 := der.Tag(0).ContextSpecific().Constructed(), der.Tag(3).ContextSpecific().Constructed()
	ok := in.ReadASN1(&tbs, der.SEQUENCE) && tbs.SkipASN1(tag0)
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		for ok && !tbs.Empty() {
			var one cryptobyte.String
			var tag der.Tag
			if ok = tbs.ReadAnyASN1Element(&one, &tag); tag != tag3 {
				b.AddBytes(one)
			}
		}
	})
	raw, err := b.Bytes()
	if !ok || err != nil {
		t.Fatal("the certificate cannot be taken apart")
	}
	sum := sha256.Sum256(raw)
	sig, err := by.Key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: raw}, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}, asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := smx509.ParseCertificate(whole)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestChains: a signer below two CAs, or below something that is no CA for it.
func TestChains(t *testing.T) {
	f := newFixture(t, tsa.Shape{Alg: tsa.ECDSA})
	key := func() crypto.Signer {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	ca := func(name string, change func(*smx509.Certificate), by *tsa.Entity) *tsa.Entity {
		c := &smx509.Certificate{
			SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: name}, NotBefore: at.Add(-time.Hour), NotAfter: at.Add(time.Hour),
			BasicConstraintsValid: true, IsCA: true,
		}
		if change != nil {
			change(c)
		}
		return mustIssue(t, c, by, key())
	}
	one := ca("one", nil, f.Root)
	narrow := ca("narrow", func(c *smx509.Certificate) { c.MaxPathLenZero = true }, f.Root)
	others := ca("others", func(c *smx509.Certificate) { c.ExtraExtensions = []pkix.Extension{excluded(1)} }, f.Root)
	member := ca("member", func(c *smx509.Certificate) { c.IsCA = false }, f.Root)
	old := &tsa.Entity{Certificate: version1(t, member.Certificate, f.Root), Key: member.Key}
	if old.Certificate.Version != 1 || old.Certificate.CheckSignatureFrom(f.Root.Certificate) != nil {
		t.Fatal("no certificate of version 1, or not the root's")
	}
	stranger := newFixture(t, tsa.Shape{Alg: tsa.ECDSA})
	for _, c := range []struct {
		name  string
		chain []*tsa.Entity // from the signer's issuer upwards
		pin   *tsa.Entity   // besides the root
		good  bool
	}{
		{"below one CA", []*tsa.Entity{one}, nil, true},
		{"below two", []*tsa.Entity{ca("two", nil, one), one}, nil, true},
		{"below two, the first missing", []*tsa.Entity{ca("two", nil, one)}, nil, false},
		{"below a CA that may have none below it", []*tsa.Entity{ca("two", nil, narrow), narrow}, nil, false},
		{"below a CA for other names", []*tsa.Entity{others}, nil, false},
		{"below an end entity", []*tsa.Entity{member}, nil, false},
		{"below one of version 1", []*tsa.Entity{old}, nil, false},
		{"below one of version 1 that is pinned", []*tsa.Entity{old}, old, true},
		{"below a CA of somebody else's of the same name", []*tsa.Entity{ca("one", nil, stranger.Root), one}, nil, false},
	} {
		leaf := &smx509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Test authority ecdsa"}, NotBefore: at.Add(-time.Hour), NotAfter: at.Add(time.Hour),
			KeyUsage: smx509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{tsa.Usage(true), names(0, 'z')},
		}
		signer := mustIssue(t, leaf, c.chain[0], key())
		all := [][]byte{signer.Certificate.Raw}
		for _, e := range c.chain {
			all = append(all, e.Certificate.Raw)
		}
		authority := *f.authority
		if c.pin != nil {
			authority.Roots = append(slices.Clone(authority.Roots), c.pin.Certificate.Raw)
		}
		for range 2 {
			_, err := timestamp.Verify(f.token(t, func(s *tsa.Spec) { s.Signer, s.Certificates = signer, all }), statement, &authority)
			if (err == nil) != c.good {
				t.Errorf("%s: %v", c.name, err)
			}
			slices.Reverse(all)
		}
	}
}

// worst is what the dearest forged token may take: much more than any does, much less than is felt. Native
// code on a slow and busy machine; a browser takes some ten times as long.
const worst = 200 * time.Millisecond

// TestMazes: a token by nobody is refused soon, whatever chains it leads to.
func TestMazes(t *testing.T) {
	f := newFixture(t, tsa.Shape{Alg: tsa.ECDSA})
	curve := func(c elliptic.Curve) func() crypto.Signer {
		return func() crypto.Signer {
			k, err := ecdsa.GenerateKey(c, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			return k
		}
	}
	own := func(i int) []pkix.Extension { return []pkix.Extension{names(0, 'b', byte('b'+i))} }
	for _, c := range []struct {
		name               string
		key                func() crypto.Signer
		names, constraints func(i int) []pkix.Extension
	}{
		{"P-521", curve(elliptic.P521()), own, own},
		{"name constraints", curve(elliptic.P256()),
			func(int) []pkix.Extension { return []pkix.Extension{names(1600)} },
			func(i int) []pkix.Extension { return append(own(i), excluded(150)) }},
	} {
		token := maze(t, f, c.key, c.names, c.constraints)
		start := time.Now()
		_, err := timestamp.Verify(token, statement, f.authority)
		took := time.Since(start)
		if err == nil {
			t.Fatalf("%s: accepted", c.name)
		}
		t.Logf("%s: %d bytes, %s: %v", c.name, len(token), took, err)
		if took > worst {
			t.Errorf("%s: %s", c.name, took)
		}
	}
}

// TestOddKeys: the signer's certificate comes from whoever made the token, and so does the key in it. None that
// is no key makes the verifier panic, or verify.
func TestOddKeys(t *testing.T) {
	f := newFixture(t, tsa.Shape{Alg: tsa.RSA})
	pow := func(n uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), n) }
	for name, key := range map[string]*rsa.PublicKey{
		"even":               {N: pow(2047), E: 65537},
		"a power of three":   {N: new(big.Int).Exp(big.NewInt(3), big.NewInt(1300), nil), E: 3},
		"exponent 1":         {N: new(big.Int).Add(pow(2047), big.NewInt(1)), E: 1},
		"even exponent":      {N: new(big.Int).Add(pow(2047), big.NewInt(1)), E: 2},
		"largest exponent":   {N: new(big.Int).Add(pow(8191), big.NewInt(1)), E: 1<<31 - 1},
		"exponent too large": {N: new(big.Int).Add(pow(8191), big.NewInt(1)), E: 1<<31 + 1},
		"8192 bits, even":    {N: pow(8191), E: 65537},
	} {
		leaf := &smx509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "odd"}, NotBefore: at.Add(-time.Hour), NotAfter: at.Add(time.Hour),
			KeyUsage: smx509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{tsa.Usage(true)},
		}
		raw, err := smx509.CreateCertificate(rand.Reader, leaf, f.Root.Certificate, key, f.Root.Key)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		cert, err := smx509.ParseCertificate(raw)
		if err != nil {
			t.Logf("%s: %v", name, err)
			continue
		}
		token := f.token(t, func(s *tsa.Spec) {
			s.Signer, s.Certificates = &tsa.Entity{Certificate: cert, Key: f.Signer.Key}, [][]byte{raw}
		})
		start := time.Now()
		_, err = timestamp.Verify(token, statement, f.authority)
		if t.Logf("%s: %v: %v", name, time.Since(start), err); err == nil || time.Since(start) > worst {
			t.Errorf("%s: %v, %v", name, err, time.Since(start))
		}
	}
}
