// Package fabrictest makes receipts of a Fabric channel that exists in memory
// only: real certificates, real signatures and the messages of fabric-protos, so
// that tests need no network and the verifier's own messages meet the originals.
package fabrictest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"

	"qifeng/proof/fabric"
)

// Now is when everything happens; certificates are valid a year around it.
var Now = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)

// CA issues the identities of one MSP.
type CA struct {
	MSP  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Identity is a member of an MSP that signs as Fabric does.
type Identity struct {
	MSP  string
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
}

// NewCA makes an organisation.
func NewCA(tb testing.TB, mspID string) *CA {
	tb.Helper()
	key := newKey(tb)
	tmpl := &x509.Certificate{
		Subject: pkix.Name{CommonName: "ca." + mspID}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return &CA{MSP: mspID, key: key, cert: issue(tb, tmpl, nil, key, key)}
}

// Below makes a CA that this one certifies, of the same MSP.
func (ca *CA) Below(tb testing.TB) *CA {
	tb.Helper()
	key := newKey(tb)
	tmpl := &x509.Certificate{
		Subject: pkix.Name{CommonName: "ica." + ca.MSP}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return &CA{MSP: ca.MSP, key: key, cert: issue(tb, tmpl, ca.cert, key, ca.key)}
}

// Issue makes an identity with a role: "peer", "orderer", "client", "admin" or none.
func (ca *CA) Issue(tb testing.TB, name, role string) *Identity {
	tb.Helper()
	key := newKey(tb)
	tmpl := &x509.Certificate{Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature}
	if role != "" {
		tmpl.Subject.OrganizationalUnit = []string{role}
	}
	return &Identity{MSP: ca.MSP, Cert: issue(tb, tmpl, ca.cert, key, ca.key), Key: key}
}

// Revoke lists certificates of identities as the CA's revocation list does, in PEM.
func (ca *CA) Revoke(tb testing.TB, ids ...*Identity) []byte {
	tb.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: Now, NextUpdate: Now.AddDate(0, 1, 0)}
	for _, id := range ids {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: id.Cert.SerialNumber, RevocationTime: Now})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.cert, ca.key)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// DER is the CA's certificate.
func (ca *CA) DER() []byte { return ca.cert.Raw }

// Organisation is what a verifier pins of it.
func (ca *CA) Organisation() fabric.Organisation {
	return fabric.Organisation{MSP: ca.MSP, Roots: [][]byte{ca.cert.Raw}, NodeOUs: true}
}

// Serialized is the identity as it stands in messages.
func (id *Identity) Serialized() []byte {
	return marshal(&msp.SerializedIdentity{Mspid: id.MSP, IdBytes: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Cert.Raw})})
}

// Sign signs with the low s.
func (id *Identity) Sign(parts ...[]byte) []byte { return id.sign(false, parts...) }

// SignHigh signs with the high s, which Fabric refuses.
func (id *Identity) SignHigh(parts ...[]byte) []byte { return id.sign(true, parts...) }

func (id *Identity) sign(high bool, parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	r, s, err := ecdsa.Sign(rand.Reader, id.Key, h.Sum(nil))
	if err != nil {
		panic(err)
	}
	if n := id.Key.Params().N; (s.Cmp(new(big.Int).Rsh(n, 1)) > 0) != high {
		s.Sub(n, s)
	}
	out, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		panic(err)
	}
	return out
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func issue(tb testing.TB, tmpl, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	tb.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		tb.Fatal(err)
	}
	tmpl.SerialNumber, tmpl.NotBefore, tmpl.NotAfter = serial, Now.AddDate(0, -6, 0), Now.AddDate(0, 6, 0)
	if parent == nil {
		parent = tmpl
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), by)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

func marshal(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// Identity is the CA as if it were a member, for tests of what must be refused.
func (ca *CA) Identity() *Identity { return &Identity{MSP: ca.MSP, Cert: ca.cert, Key: ca.key} }
