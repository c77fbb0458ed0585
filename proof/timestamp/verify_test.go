package timestamp_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"qifeng/proof/timestamp"
	"qifeng/test/tsa"
)

var (
	algs      = []tsa.Alg{tsa.RSA, tsa.ECDSA, tsa.SM2}
	statement = []byte("qifeng/test\n7\n…\n")
	at        = time.Now().UTC().Truncate(time.Millisecond)
)

// fixture is a chain with the authority that pins its root.
type fixture struct {
	*tsa.Chain
	authority *timestamp.Authority
}

func newFixture(t testing.TB, s tsa.Shape) *fixture {
	t.Helper()
	c, err := tsa.NewChain(s)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{c, &timestamp.Authority{Name: "test", Roots: [][]byte{c.Root.Certificate.Raw}}}
}

// token makes a token over the statement, honest but for what change does.
func (f *fixture) token(t testing.TB, change func(*tsa.Spec)) []byte {
	t.Helper()
	s := tsa.Spec{
		Signer: f.Signer, Certificates: [][]byte{f.Signer.Certificate.Raw, f.Intermediate.Certificate.Raw},
		Time: at, Nonce: big.NewInt(77), Serial: big.NewInt(5),
	}
	if change != nil {
		change(&s)
	}
	if s.Imprint == nil {
		name := s.ImprintOf
		if name == "" {
			name = s.Digest
		}
		if name == "" {
			name = "SHA256"
			if strings.HasSuffix(f.Signer.Certificate.Subject.CommonName, "sm2") {
				name = "SM3"
			}
		}
		s.Imprint = tsa.Sum(name, statement)
	}
	token, err := s.Token()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestAccept(t *testing.T) {
	for _, alg := range algs {
		f := newFixture(t, tsa.Shape{Alg: alg})
		for _, c := range []struct {
			name      string
			change    func(*tsa.Spec)
			algorithm string // where it is not the usual
			hash      string
		}{
			{name: "usual"},
			{name: "certificate by ESSCertID", change: func(s *tsa.Spec) { s.ESS = "v1" }},
			{name: "by both", change: func(s *tsa.Spec) { s.ESS = "both" }},
			{name: "with its issuer", change: func(s *tsa.Spec) { s.ESS = "issuer" }},
			{name: "by key identifier", change: func(s *tsa.Spec) { s.KeyID = true }},
			{name: "unsigned attribute", change: func(s *tsa.Spec) { s.Unsigned = true }},
			{name: "no name", change: func(s *tsa.Spec) { s.NoName = true }},
			{name: "imprint SHA-512", change: func(s *tsa.Spec) { s.ImprintOf = "SHA512" }, hash: "SHA512"},
			{name: "imprint SM3", change: func(s *tsa.Spec) { s.ImprintOf = "SM3" }, hash: "SM3"},
			{name: "root inside too", change: func(s *tsa.Spec) { s.Certificates = append(s.Certificates, f.Root.Certificate.Raw) }},
		} {
			t.Run(string(alg)+"/"+c.name, func(t *testing.T) {
				got, err := timestamp.Verify(f.token(t, c.change), statement, f.authority)
				if err != nil {
					t.Fatal(err)
				}
				want := &timestamp.Token{
					Time: at, Accuracy: 500 * time.Millisecond, Policy: "1.2.3.4.1", Serial: "5", Nonce: "77",
					Signer: "CN=Test authority " + string(alg) + ",O=Test", Hash: "SHA256", Revoked: timestamp.NotChecked,
					Algorithm: map[tsa.Alg]string{tsa.RSA: "RSA-SHA256", tsa.ECDSA: "ECDSA-SHA256", tsa.SM2: "SM2-SM3"}[alg],
				}
				if alg == tsa.SM2 {
					want.Hash = "SM3"
				}
				if c.hash != "" {
					want.Hash = c.hash
				}
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("got  %+v\nwant %+v", got, want)
				}
			})
		}
	}
}

func TestAcceptKinds(t *testing.T) {
	for _, c := range []struct {
		name   string
		alg    tsa.Alg
		change func(*tsa.Spec)
		want   string
	}{
		{"RSA-PSS", tsa.RSA, func(s *tsa.Spec) { s.PSS = true }, "RSA-PSS-SHA256"},
		{"RSA-PSS with SHA-512", tsa.RSA, func(s *tsa.Spec) { s.PSS, s.Digest = true, "SHA512" }, "RSA-PSS-SHA512"},
		{"RSA with SHA-384", tsa.RSA, func(s *tsa.Spec) { s.Digest = "SHA384" }, "RSA-SHA384"},
		{"ECDSA with SHA-512", tsa.ECDSA, func(s *tsa.Spec) { s.Digest = "SHA512" }, "ECDSA-SHA512"},
		{"SM2 named by 301.1", tsa.SM2, func(s *tsa.Spec) { s.SM2Plain = true }, "SM2-SM3"},
		{"SM2 under GM/T 0010", tsa.SM2, func(s *tsa.Spec) { s.ContentType = tsa.OIDSMSignedData }, "SM2-SM3"},
		{"SM2 under GM/T 0010, version 1", tsa.SM2, func(s *tsa.Spec) { s.ContentType, s.Version = tsa.OIDSMSignedData, 1 }, "SM2-SM3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, tsa.Shape{Alg: c.alg})
			got, err := timestamp.Verify(f.token(t, c.change), statement, f.authority)
			if err != nil {
				t.Fatal(err)
			}
			if got.Algorithm != c.want {
				t.Fatalf("algorithm %s, want %s", got.Algorithm, c.want)
			}
		})
	}
}

func TestRefuse(t *testing.T) {
	other := big.NewInt(0).Lsh(big.NewInt(1), 200)
	for _, alg := range algs {
		f := newFixture(t, tsa.Shape{Alg: alg})
		stranger := newFixture(t, tsa.Shape{Alg: alg, Fresh: true})
		for _, c := range []struct {
			name   string
			change func(*tsa.Spec)
			want   string
		}{
			{"another statement", func(s *tsa.Spec) { s.Imprint = make([]byte, 32) }, "does not cover this statement"},
			{"SHA-1 imprint", func(s *tsa.Spec) { s.ImprintOf = "SHA1" }, "imprint: digest algorithm 1.3.14.3.2.26 is not taken"},
			{"content is data", func(s *tsa.Spec) { s.EContentType = tsa.OIDData }, "want TSTInfo"},
			{"signed content type is data", func(s *tsa.Spec) { s.SignedType = tsa.OIDData }, "signed content type"},
			{"SignedData version 1", func(s *tsa.Spec) { s.Version = 1 }, "SignedData of version 1"},
			{"content type", func(s *tsa.Spec) { s.ContentType = tsa.OIDData }, "want SignedData"},
			{"two signers", func(s *tsa.Spec) { s.Twice = true }, "more than one signer"},
			{"no signing certificate", func(s *tsa.Spec) { s.ESS = "none" }, "no signing certificate attribute"},
			{"another signing certificate", func(s *tsa.Spec) { s.ESS = "other" }, "of another certificate"},
			{"the certificate of another issuer", func(s *tsa.Spec) { s.ESS = "wrong issuer" }, "of another certificate"},
			{"signer info of version 2", func(s *tsa.Spec) { s.InfosVersion = 2 }, "signer info of version 2, want 1"},
			{"signer info by key of version 1", func(s *tsa.Spec) { s.InfosVersion, s.KeyID = 1, true }, "signer info of version 1, want 3"},
			{"another digest in front", func(s *tsa.Spec) { s.Digests = "SHA512" }, "not among the digest algorithms"},
			{"an attribute twice", func(s *tsa.Spec) { s.Repeat = true }, "stands twice"},
			{"two certificates of one key", func(s *tsa.Spec) {
				s.KeyID, s.Certificates = true, append(s.Certificates, reissued(t, f))
			}, "two certificates could be"},
			{"wrong message digest", func(s *tsa.Spec) { s.WrongDigest = true }, "message digest is not"},
			{"TSTInfo version 2", func(s *tsa.Spec) { s.InfoVersion = 2 }, "TSTInfo of version 2"},
			{"critical extension", func(s *tsa.Spec) { s.Critical = true }, "critical extension"},
			{"serial of 201 bits", func(s *tsa.Spec) { s.Serial = other }, "malformed serial"},
			{"no certificates", func(s *tsa.Spec) { s.NoSigner = true }, "signer's certificate is not inside"},
			{"no intermediate", func(s *tsa.Spec) { s.Certificates = s.Certificates[:1] }, "no chain to a pinned root"},
			{"name of another", func(s *tsa.Spec) { s.Name = f.Root.Certificate.RawSubject }, "names another authority"},
			{"foreign signer", func(s *tsa.Spec) {
				s.Signer, s.Certificates = stranger.Signer, [][]byte{stranger.Signer.Certificate.Raw, stranger.Intermediate.Certificate.Raw}
			}, "no chain to a pinned root"},
			{"foreign root inside", func(s *tsa.Spec) {
				s.Signer, s.Certificates = stranger.Signer, [][]byte{stranger.Signer.Certificate.Raw, stranger.Intermediate.Certificate.Raw, stranger.Root.Certificate.Raw}
			}, "no chain to a pinned root"},
			{"the right certificate, another's key", func(s *tsa.Spec) {
				s.Signer = &tsa.Entity{Certificate: f.Signer.Certificate, Key: f.Intermediate.Key}
			}, "does not verify"},
			{"the CA signs", func(s *tsa.Spec) { s.Signer = f.Intermediate }, "not for time-stamping"},
			{"before the certificate", func(s *tsa.Spec) { s.Time = at.Add(-2 * time.Hour) }, "no chain to a pinned root"},
			{"after the certificate", func(s *tsa.Spec) { s.Time = at.AddDate(11, 0, 0) }, "no chain to a pinned root"},
			{"zero time", func(s *tsa.Spec) { s.TimeText = "00010101000000Z" }, "no time"},
			{"accuracy of two hours", func(s *tsa.Spec) { s.Accuracy = 2 * time.Hour }, "accuracy"},
			{"nine certificates", func(s *tsa.Spec) { s.Certificates = slices.Repeat(s.Certificates[:1], 9) }, "more than 8 certificates"},
			{"no certificate", func(s *tsa.Spec) { s.Certificates = append(s.Certificates, []byte{0xa1, 0}) }, "something else"},
			{"too long", func(s *tsa.Spec) { s.Lists = [][]byte{make([]byte, timestamp.MaxTokenBytes)} }, "at most 16384"},
		} {
			t.Run(string(alg)+"/"+c.name, func(t *testing.T) {
				refused(t, f.token(t, c.change), f.authority, c.want)
			})
		}
	}
}

// reissued is another certificate of the signer's key.
func reissued(t *testing.T, f *fixture) []byte {
	template := *f.Signer.Certificate
	template.SerialNumber = big.NewInt(99)
	raw, err := smx509.CreateCertificate(rand.Reader, &template, f.Intermediate.Certificate, f.Signer.Key.Public(), f.Intermediate.Key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func refused(t *testing.T, token []byte, a *timestamp.Authority, want string) {
	t.Helper()
	got, err := timestamp.Verify(token, statement, a)
	if err == nil || got != nil {
		t.Fatalf("accepted: %+v", got)
	}
	if !errors.Is(err, timestamp.ErrToken) || !strings.Contains(err.Error(), want) {
		t.Fatalf("error %q, want one with %q", err, want)
	}
}

func TestRefuseAlgorithms(t *testing.T) {
	for _, c := range []struct {
		name   string
		alg    tsa.Alg
		change func(*tsa.Spec)
		want   string
	}{
		{"RSA with SHA-1", tsa.RSA, func(s *tsa.Spec) { s.Digest, s.ImprintOf = "SHA1", "SHA256" }, "1.3.14.3.2.26 is not taken"},
		{"RSA-PSS with SHA-1", tsa.RSA, func(s *tsa.Spec) { s.PSS, s.Digest, s.ImprintOf = true, "SHA1", "SHA256" }, "1.3.14.3.2.26 is not taken"},
		{"ECDSA with SHA-1", tsa.ECDSA, func(s *tsa.Spec) { s.Digest, s.ImprintOf = "SHA1", "SHA256" }, "1.3.14.3.2.26 is not taken"},
		{"RSA-PSS with another's key", tsa.RSA, func(s *tsa.Spec) {
			other := newFixture(t, tsa.Shape{Alg: tsa.RSA, Fresh: true})
			s.PSS, s.Signer = true, &tsa.Entity{Certificate: s.Signer.Certificate, Key: other.Signer.Key}
		}, "does not verify"},
		{"SM2 with SHA-256", tsa.SM2, func(s *tsa.Spec) { s.Digest = "SHA256" }, "does not go with the signer's key"},
		{"RSA under GM/T 0010", tsa.RSA, func(s *tsa.Spec) { s.ContentType = tsa.OIDSMSignedData }, "content type of GM/T 0010"},
		{"ECDSA under GM/T 0010, version 1", tsa.ECDSA, func(s *tsa.Spec) { s.ContentType, s.Version = tsa.OIDSMSignedData, 1 }, "content type of GM/T 0010"},
		{"RSA under GM/T 0010 is still no version 2", tsa.RSA, func(s *tsa.Spec) { s.ContentType, s.Version = tsa.OIDSMSignedData, 2 }, "version 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, tsa.Shape{Alg: c.alg})
			refused(t, f.token(t, c.change), f.authority, c.want)
		})
	}
}

func TestRefuseCertificates(t *testing.T) {
	serverAuth := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	unknown := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 7}, Critical: true, Value: []byte{5, 0}}
	stamping := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	for _, alg := range algs {
		for _, c := range []struct {
			name                 string
			signer, intermediate func(*smx509.Certificate)
			want                 string
		}{
			{name: "usage not critical", signer: func(c *smx509.Certificate) { c.ExtraExtensions[0] = tsa.Usage(false) }, want: "as critical"},
			{name: "two usages", signer: func(c *smx509.Certificate) { c.ExtraExtensions[0] = tsa.Usage(true, stamping, serverAuth) }, want: "time-stamping alone"},
			{name: "another usage", signer: func(c *smx509.Certificate) { c.ExtraExtensions[0] = tsa.Usage(true, serverAuth) }, want: "time-stamping alone"},
			{name: "no usage", signer: func(c *smx509.Certificate) { c.ExtraExtensions = nil }, want: "time-stamping alone"},
			{name: "key for encipherment", signer: func(c *smx509.Certificate) { c.KeyUsage |= smx509.KeyUsageKeyEncipherment }, want: "signatures alone"},
			{name: "signer is a CA", signer: func(c *smx509.Certificate) { c.BasicConstraintsValid, c.IsCA = true, true }, want: "is a CA's"},
			{name: "intermediate is no CA", intermediate: func(c *smx509.Certificate) { c.IsCA, c.MaxPathLenZero = false, false }, want: "no chain"},
			{name: "intermediate may not sign certificates", intermediate: func(c *smx509.Certificate) { c.KeyUsage = smx509.KeyUsageCRLSign }, want: "no chain"},
			{name: "intermediate for servers", intermediate: func(c *smx509.Certificate) {
				c.ExtraExtensions = append(c.ExtraExtensions, tsa.Usage(false, serverAuth))
			}, want: "no chain"},
			{name: "signer with an unknown critical extension", signer: func(c *smx509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, unknown) }, want: "no chain"},
			{name: "intermediate with one", intermediate: func(c *smx509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, unknown) }, want: "no chain"},
			{name: "intermediate expired", intermediate: func(c *smx509.Certificate) { c.NotAfter = at.Add(-time.Minute) }, want: "no chain"},
		} {
			t.Run(string(alg)+"/"+c.name, func(t *testing.T) {
				f := newFixture(t, tsa.Shape{Alg: alg, Signer: c.signer, Intermediate: c.intermediate})
				refused(t, f.token(t, nil), f.authority, c.want)
			})
		}
	}
}

// TestLengths has every prefix and every tail fail.
func TestLengths(t *testing.T) {
	f := newFixture(t, tsa.Shape{Alg: tsa.ECDSA})
	token := f.token(t, nil)
	for i := range token {
		if _, err := timestamp.Verify(token[:i], statement, f.authority); err == nil {
			t.Fatalf("a prefix of %d bytes is accepted", i)
		}
	}
	refused(t, append(bytes.Clone(token), 0), f.authority, "not one DER sequence")
	refused(t, nil, f.authority, "not one DER sequence")
	// Something behind the last element, inside the outermost sequence.
	if token[1] != 0x82 {
		t.Fatal("the length has another form")
	}
	longer := append(bytes.Clone(token), 5, 0)
	binary.BigEndian.PutUint16(longer[2:], binary.BigEndian.Uint16(longer[2:])+2)
	refused(t, longer, f.authority, "not a CMS ContentInfo")
}

func TestCheckAuthority(t *testing.T) {
	f := newFixture(t, tsa.Shape{Alg: tsa.SM2})
	root, signer := f.Root.Certificate.Raw, f.Signer.Certificate.Raw
	server := newFixture(t, tsa.Shape{Alg: tsa.ECDSA, Signer: func(c *smx509.Certificate) { c.ExtraExtensions = nil }})
	for _, c := range []struct {
		name  string
		roots [][]byte
		want  string
	}{
		{"a CA", [][]byte{root}, ""},
		{"the authority itself", [][]byte{signer}, ""},
		{"two", [][]byte{root, signer}, ""},
		{"none", nil, "1 to 8"},
		{"nine", slices.Repeat([][]byte{root}, 9), "1 to 8"},
		{"twice", [][]byte{root, root}, "twice"},
		{"no certificate", [][]byte{[]byte("x")}, "root certificate 1"},
		{"tail", [][]byte{append(bytes.Clone(root), 0)}, "trailing"},
		{"too long", [][]byte{make([]byte, timestamp.MaxRootBytes+1)}, "at most"},
		{"another's certificate", [][]byte{server.Signer.Certificate.Raw}, "neither a CA's"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := timestamp.CheckAuthority(&timestamp.Authority{Name: "x", Roots: c.roots})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
		})
	}
	if timestamp.CheckAuthority(nil) == nil || timestamp.CheckAuthority(&timestamp.Authority{Roots: [][]byte{root}}) == nil {
		t.Fatal("an authority without a name is accepted")
	}
	// A pinned authority's own certificate is enough.
	if _, err := timestamp.Verify(f.token(t, func(s *tsa.Spec) { s.NoSigner = true }), statement, &timestamp.Authority{Name: "x", Roots: [][]byte{signer}}); err != nil {
		t.Fatal(err)
	}
}
