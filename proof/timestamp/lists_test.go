package timestamp_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"qifeng/proof/timestamp"
	"qifeng/test/tsa"
)

// list is a revocation list of the fixture's intermediate, good for a day around the token's time.
func (f *fixture) list(t testing.TB, entries ...tsa.Revoked) []byte {
	t.Helper()
	return makeList(t, f.Intermediate, -12*time.Hour, 12*time.Hour, nil, entries...)
}

func makeList(t testing.TB, by *tsa.Entity, from, until time.Duration, change func(*smx509.RevocationList), entries ...tsa.Revoked) []byte {
	t.Helper()
	list, err := by.List(at.Add(from), at.Add(until), entries, change)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRevocation(t *testing.T) {
	for _, alg := range algs {
		f := newFixture(t, tsa.Shape{Alg: alg, Points: "http://ca.example/"})
		stranger := newFixture(t, tsa.Shape{Alg: alg, Fresh: true})
		serial := f.Signer.Certificate.SerialNumber
		revoked := func(since time.Duration, reason int, more ...pkix.Extension) tsa.Revoked {
			return tsa.Revoked{Serial: serial, Time: at.Add(since), Reason: reason, Extensions: more}
		}
		other := tsa.Revoked{Serial: big.NewInt(7), Time: at.Add(-time.Hour), Reason: 1}
		invalidity := func(since time.Duration) pkix.Extension {
			value, err := asn1.MarshalWithParams(at.Add(since).Truncate(time.Second), "generalized")
			if err != nil {
				t.Fatal(err)
			}
			return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 24}, Value: value}
		}
		point := func(value string) func(*smx509.RevocationList) {
			return func(l *smx509.RevocationList) {
				l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte(value)}}
			}
		}
		uri := "http://ca.example/signer.crl"
		for _, c := range []struct {
			name  string
			lists [][]byte
			state timestamp.Revocation
			err   error
		}{
			{"none", nil, timestamp.NotChecked, nil},
			{"current", [][]byte{f.list(t)}, timestamp.NotRevoked, nil},
			{"current, others revoked", [][]byte{f.list(t, other)}, timestamp.NotRevoked, nil},
			{"of later", [][]byte{makeList(t, f.Intermediate, 24*time.Hour, 48*time.Hour, nil)}, timestamp.NotRevoked, nil},
			{"of after the certificate", [][]byte{makeList(t, f.Intermediate, 11*365*24*time.Hour, 12*365*24*time.Hour, nil)}, timestamp.NotChecked, nil},
			{"run out", [][]byte{makeList(t, f.Intermediate, -2*time.Hour, -time.Hour, nil)}, timestamp.NotChecked, nil},
			{"of the root alone", [][]byte{makeList(t, f.Root, -time.Hour, time.Hour, nil)}, timestamp.NotChecked, nil},
			{"of both", [][]byte{f.list(t), makeList(t, f.Root, -time.Hour, time.Hour, nil)}, timestamp.NotRevoked, nil},
			{"run out, and current", [][]byte{makeList(t, f.Intermediate, -2*time.Hour, -time.Hour, nil), f.list(t)}, timestamp.NotRevoked, nil},

			{"revoked before", [][]byte{f.list(t, revoked(-time.Hour, 4))}, "", timestamp.ErrRevoked},
			{"revoked before, and the list has run out", [][]byte{makeList(t, f.Intermediate, -2*time.Hour, -time.Hour, nil, revoked(-3*time.Hour, 4))}, "", timestamp.ErrRevoked},
			{"revoked at this second", [][]byte{f.list(t, revoked(0, 4))}, "", timestamp.ErrRevoked},
			{"revoked later, superseded", [][]byte{f.list(t, revoked(time.Hour, 4))}, timestamp.RevokedLater, nil},
			{"revoked later, unspecified", [][]byte{f.list(t, revoked(time.Hour, 0))}, timestamp.RevokedLater, nil},
			{"revoked later by one list of two", [][]byte{f.list(t, revoked(time.Hour, 4)), f.list(t)}, timestamp.RevokedLater, nil},
			{"revoked later by the second list of two", [][]byte{f.list(t), f.list(t, revoked(time.Hour, 4))}, timestamp.RevokedLater, nil},
			{"until before from", [][]byte{resigned(t, f, at.Add(-48*time.Hour))}, "", timestamp.ErrList},
			{"resigned as it was", [][]byte{resigned(t, f, at.Add(12*time.Hour))}, timestamp.NotRevoked, nil},
			{"revoked later, key compromise", [][]byte{f.list(t, revoked(time.Hour, 1))}, "", timestamp.ErrRevoked},
			{"revoked later, on hold", [][]byte{f.list(t, revoked(time.Hour, 6))}, "", timestamp.ErrRevoked},
			{"revoked later, no reason", [][]byte{f.list(t, revoked(time.Hour, -1))}, "", timestamp.ErrRevoked},
			{"revoked later, doubtful since before", [][]byte{f.list(t, revoked(time.Hour, 4, invalidity(-time.Hour)))}, "", timestamp.ErrRevoked},
			{"revoked later, doubtful since later", [][]byte{f.list(t, revoked(time.Hour, 4, invalidity(time.Minute)))}, timestamp.RevokedLater, nil},
			{"revoked among others", [][]byte{f.list(t, other, revoked(-time.Hour, 4))}, "", timestamp.ErrRevoked},
			{"revoked by the second list", [][]byte{f.list(t), f.list(t, revoked(-time.Hour, 4))}, "", timestamp.ErrRevoked},
			{"the CA is revoked", [][]byte{makeList(t, f.Root, -time.Hour, time.Hour, nil, tsa.Revoked{Serial: f.Intermediate.Certificate.SerialNumber, Time: at.Add(-time.Hour), Reason: 4})}, "", timestamp.ErrRevoked},

			{"of another CA of the same name", [][]byte{makeList(t, stranger.Intermediate, -time.Hour, time.Hour, nil)}, "", timestamp.ErrList},
			{"by the root in the CA's place", [][]byte{makeList(t, &tsa.Entity{Certificate: f.Intermediate.Certificate, Key: f.Root.Key}, -time.Hour, time.Hour, nil)}, "", timestamp.ErrList},
			{"of nobody in the chain", [][]byte{makeList(t, &tsa.Entity{Certificate: named(t, alg), Key: f.Root.Key}, -time.Hour, time.Hour, nil)}, "", timestamp.ErrList},
			{"delta", [][]byte{makeList(t, f.Intermediate, -time.Hour, time.Hour, func(l *smx509.RevocationList) {
				l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
			})}, "", timestamp.ErrList},
			{"critical extension of an entry", [][]byte{f.list(t, tsa.Revoked{Serial: big.NewInt(9), Time: at, Reason: -1,
				Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: []byte{5, 0}}}})}, "", timestamp.ErrList},
			{"of users alone", [][]byte{makeList(t, f.Intermediate, -time.Hour, time.Hour, point("\x30\x03\x81\x01\xff"))}, timestamp.NotRevoked, nil},
			{"of CAs alone", [][]byte{makeList(t, f.Intermediate, -time.Hour, time.Hour, point("\x30\x03\x82\x01\xff"))}, "", timestamp.ErrList},
			{"of some reasons", [][]byte{makeList(t, f.Intermediate, -time.Hour, time.Hour, point("\x30\x04\x83\x02\x06\x40"))}, "", timestamp.ErrList},
			{"indirect", [][]byte{makeList(t, f.Intermediate, -time.Hour, time.Hour, point("\x30\x03\x84\x01\xff"))}, "", timestamp.ErrList},
			{"of this point", [][]byte{makeList(t, f.Intermediate, -time.Hour, time.Hour, point(fullName(uri)))}, timestamp.NotRevoked, nil},
			{"of another point", [][]byte{makeList(t, f.Intermediate, -time.Hour, time.Hour, point(fullName(uri+"2")))}, "", timestamp.ErrList},
			{"five", [][]byte{f.list(t), f.list(t), f.list(t), f.list(t), f.list(t)}, "", timestamp.ErrList},
			{"no list", [][]byte{{0xa1, 0}}, "", timestamp.ErrList},
			{"an empty sequence", [][]byte{{0x30, 0}}, "", timestamp.ErrList},
		} {
			t.Run(string(alg)+"/"+c.name, func(t *testing.T) {
				token := f.token(t, func(s *tsa.Spec) { s.Lists = c.lists })
				got, err := timestamp.Verify(token, statement, f.authority)
				if c.err != nil {
					if !errors.Is(err, c.err) || !errors.Is(err, timestamp.ErrToken) {
						t.Fatalf("%+v, error %v, want %v", got, err, c.err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got.Revoked != c.state || got.ListFrom.IsZero() != got.ListUntil.IsZero() || c.state != timestamp.NotChecked && got.ListFrom.IsZero() {
					t.Fatalf("%+v, want %q", got, c.state)
				}
			})
		}
	}
}

// resigned is a list that ends at another time: the library makes none that ends before it begins.
func resigned(t *testing.T, f *fixture, until time.Time) []byte {
	t.Helper()
	list, err := smx509.ParseRevocationList(f.list(t))
	if err != nil {
		t.Fatal(err)
	}
	const utc = "060102150405Z"
	tbs := bytes.Replace(list.RawTBSRevocationList, []byte(list.NextUpdate.UTC().Format(utc)), []byte(until.UTC().Format(utc)), 1)
	var opts crypto.SignerOpts = crypto.SHA256
	sum := tsa.Sum("SHA256", tbs)
	if list.SignatureAlgorithm == smx509.SM2WithSM3 {
		opts, sum = sm2.DefaultSM2SignerOpts, tbs
	}
	signature, err := f.Intermediate.Key.Sign(rand.Reader, sum, opts)
	if err != nil {
		t.Fatal(err)
	}
	in := cryptobyte.String(list.Raw)
	var algorithm cryptobyte.String
	if !in.ReadASN1(&in, der.SEQUENCE) || !in.SkipASN1(der.SEQUENCE) || !in.ReadASN1Element(&algorithm, der.SEQUENCE) {
		t.Fatal("not found")
	}
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(algorithm)
		b.AddASN1BitString(signature)
	})
	return b.BytesOrPanic()
}

// TestRevocationSecond: whoever is revoked in the very second of the token is revoked.
func TestRevocationSecond(t *testing.T) {
	f := newFixture(t, tsa.Shape{Alg: tsa.ECDSA})
	whole := at.Truncate(time.Second)
	for since, want := range map[time.Duration]error{-time.Second: timestamp.ErrRevoked, 0: timestamp.ErrRevoked, time.Second: nil} {
		token := f.token(t, func(s *tsa.Spec) {
			s.Time, s.Lists = whole, [][]byte{f.list(t, tsa.Revoked{Serial: f.Signer.Certificate.SerialNumber, Time: whole.Add(since), Reason: 4})}
		})
		if _, err := timestamp.Verify(token, statement, f.authority); !errors.Is(err, want) {
			t.Errorf("revoked %v after the token: %v", since, err)
		}
	}
}

// A list signed with SHA-1 is refused, which the library alone would take.
func TestListSHA1(t *testing.T) {
	f := newFixture(t, tsa.Shape{Alg: tsa.RSA})
	weak := makeList(t, f.Intermediate, -time.Hour, time.Hour, func(l *smx509.RevocationList) { l.SignatureAlgorithm = smx509.SHA1WithRSA })
	refused(t, f.token(t, func(s *tsa.Spec) { s.Lists = [][]byte{weak} }), f.authority, "SHA1-RSA is not taken")
}

// fullName is an IssuingDistributionPoint of one address.
func fullName(uri string) string {
	name := "\x86" + string(rune(len(uri))) + uri
	full := "\xa0" + string(rune(len(name))) + name
	point := "\xa0" + string(rune(len(full))) + full
	return "\x30" + string(rune(len(point))) + point
}

// named is a CA's certificate with a name that is not in any chain.
func named(t *testing.T, alg tsa.Alg) *smx509.Certificate {
	c, err := tsa.NewChain(tsa.Shape{Alg: alg, Intermediate: func(c *smx509.Certificate) { c.Subject.CommonName = "Somebody else" }})
	if err != nil {
		t.Fatal(err)
	}
	return c.Intermediate.Certificate
}

func TestAddLists(t *testing.T) {
	for _, alg := range algs {
		f := newFixture(t, tsa.Shape{Alg: alg, Points: "http://ca.example/"})
		token := f.token(t, nil)
		mine, roots := f.list(t), makeList(t, f.Root, -time.Hour, time.Hour, nil)
		with, err := timestamp.AddLists(token, [][]byte{mine})
		if err != nil {
			t.Fatal(err)
		}
		if with, err = timestamp.AddLists(with, [][]byte{roots, mine}); err != nil {
			t.Fatal(err)
		}
		if want := len(token) + len(mine) + len(roots); len(with) < want || len(with) > want+8 {
			t.Fatalf("%d bytes, want a little more than %d", len(with), want)
		}
		got, err := timestamp.Verify(with, statement, f.authority)
		if err != nil || got.Revoked != timestamp.NotRevoked || !got.ListFrom.Equal(at.Add(-12*time.Hour).Truncate(time.Second)) {
			t.Fatalf("%+v, %v", got, err)
		}
		same, err := timestamp.AddLists(token, nil)
		if err != nil || string(same) != string(token) {
			t.Fatalf("adding nothing changes the token: %v", err)
		}
		for name, lists := range map[string][][]byte{
			"garbage": {[]byte("x")}, "a token": {token}, "too long": {makeList(t, f.Intermediate, -time.Hour, time.Hour, nil, many(600)...)},
			"too long together": {makeList(t, f.Intermediate, -time.Hour, time.Hour, nil, many(400)...), makeList(t, f.Intermediate, -time.Hour, time.Hour, nil, many(401)...)},
			"five":              {f.list(t), f.list(t, many(1)...), f.list(t, many(2)...), f.list(t, many(3)...), f.list(t, many(4)...)},
		} {
			if _, err := timestamp.AddLists(token, lists); !errors.Is(err, timestamp.ErrList) {
				t.Errorf("%s: error %v", name, err)
			}
		}
		if _, err := timestamp.AddLists([]byte("x"), nil); !errors.Is(err, timestamp.ErrToken) {
			t.Errorf("error %v", err)
		}
		points, err := timestamp.DistributionPoints(token, statement, f.authority)
		if err != nil || len(points) != 2 || strings.Join(points[0], " ") != "http://ca.example/signer.crl" || strings.Join(points[1], " ") != "http://ca.example/root.crl" {
			t.Fatalf("%v, %v", points, err)
		}
	}
}

func many(n int) (out []tsa.Revoked) {
	for i := range n {
		out = append(out, tsa.Revoked{Serial: big.NewInt(int64(i + 10)), Time: at, Reason: -1})
	}
	return out
}
