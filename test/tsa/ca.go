package tsa

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"

	"qifeng/internal/gm"
)

// Names of the revocation lists below an authority's address.
const (
	signerList = "signer.crl" // by the intermediate
	rootList   = "root.crl"
)

// Alg is the algorithm of an authority's keys.
type Alg string

// The algorithms.
const (
	RSA   Alg = "rsa"   // 2048 bits, SHA-256
	ECDSA Alg = "ecdsa" // P-256, SHA-256
	SM2   Alg = "sm2"   // SM3
)

// Entity is a certificate with its key.
type Entity struct {
	Certificate *smx509.Certificate
	Key         crypto.Signer
}

// PEM is the certificate in PEM.
func (e *Entity) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.Certificate.Raw})
}

// Chain is what an authority signs with.
type Chain struct {
	Root, Intermediate, Signer *Entity
}

// Shape says what the certificates of a chain are like.
type Shape struct {
	Alg Alg
	// Fresh makes keys of its own, where RSA chains of one process share them otherwise.
	Fresh bool
	// Points is the address of the folder of revocation lists, with a slash at its end; empty for none.
	Points string
	// NotBefore and NotAfter of the signer's certificate; zero for an hour ago and in ten years. The CAs'
	// are from 2020 to 2060.
	NotBefore, NotAfter time.Time
	// Signer and Intermediate, where set, change the templates.
	Signer, Intermediate func(*smx509.Certificate)
}

// The extension that makes a certificate a time-stamp authority's.
var (
	oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidStamping    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
)

// Usage is the extended key usage extension for the purposes given; none is time-stamping.
func Usage(critical bool, purposes ...asn1.ObjectIdentifier) pkix.Extension {
	if len(purposes) == 0 {
		purposes = []asn1.ObjectIdentifier{oidStamping}
	}
	value, err := asn1.Marshal(purposes)
	if err != nil {
		panic(err) // a constant of a test
	}
	return pkix.Extension{Id: oidExtKeyUsage, Critical: critical, Value: value}
}

// rsaKeys are made once for a process: making them is slow.
var rsaKeys = sync.OnceValues(func() (keys [3]*rsa.PrivateKey, err error) {
	for i := range keys {
		if keys[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return keys, err
		}
	}
	return keys, nil
})

func newKey(alg Alg, fresh bool, i int) (crypto.Signer, error) {
	switch alg {
	case RSA:
		if fresh {
			return rsa.GenerateKey(rand.Reader, 2048)
		}
		keys, err := rsaKeys()
		return keys[i], err
	case ECDSA:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case SM2:
		return sm2.GenerateKey(rand.Reader)
	}
	return nil, fmt.Errorf("algorithm %q is not known", alg)
}

// NewChain makes the certificates of an authority.
func NewChain(s Shape) (*Chain, error) {
	c := &Chain{}
	old, far := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC)
	root := &smx509.Certificate{
		Subject: pkix.Name{Organization: []string{"Test"}, CommonName: "Test root " + string(s.Alg)}, NotBefore: old, NotAfter: far,
		BasicConstraintsValid: true, IsCA: true, KeyUsage: smx509.KeyUsageCertSign | smx509.KeyUsageCRLSign,
	}
	var err error
	if c.Root, err = s.issue(0, root, nil); err != nil {
		return nil, err
	}
	middle := &smx509.Certificate{
		Subject: pkix.Name{Organization: []string{"Test"}, CommonName: "Test CA " + string(s.Alg)}, NotBefore: old, NotAfter: far,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true, KeyUsage: smx509.KeyUsageCertSign | smx509.KeyUsageCRLSign,
	}
	signer := &smx509.Certificate{
		Subject:   pkix.Name{Organization: []string{"Test"}, CommonName: "Test authority " + string(s.Alg)},
		NotBefore: s.NotBefore, NotAfter: s.NotAfter, KeyUsage: smx509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{Usage(true)},
	}
	if s.NotBefore.IsZero() {
		signer.NotBefore = time.Now().Add(-time.Hour)
	}
	if s.NotAfter.IsZero() {
		signer.NotAfter = time.Now().AddDate(10, 0, 0)
	}
	if s.Points != "" {
		middle.CRLDistributionPoints = []string{s.Points + rootList}
		signer.CRLDistributionPoints = []string{s.Points + signerList}
	}
	if s.Intermediate != nil {
		s.Intermediate(middle)
	}
	if s.Signer != nil {
		s.Signer(signer)
	}
	if c.Intermediate, err = s.issue(1, middle, c.Root); err != nil {
		return nil, err
	}
	if c.Signer, err = s.issue(2, signer, c.Intermediate); err != nil {
		return nil, err
	}
	return c, nil
}

func (s *Shape) issue(i int, template *smx509.Certificate, by *Entity) (*Entity, error) {
	key, err := newKey(s.Alg, s.Fresh, i)
	if err != nil {
		return nil, err
	}
	spki, err := smx509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	id := gm.SM3(spki)
	template.SubjectKeyId = id[:20]
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, err
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.Certificate, by.Key
	}
	raw, err := smx509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("issuing %q: %w", template.Subject.CommonName, err)
	}
	cert, err := smx509.ParseCertificate(raw)
	return &Entity{Certificate: cert, Key: key}, err
}

// Revoked is one entry of a list. Reason -1 leaves the reason out.
type Revoked struct {
	Serial     *big.Int
	Time       time.Time
	Reason     int
	Extensions []pkix.Extension
}

// List makes the issuer's revocation list.
func (e *Entity) List(from, until time.Time, entries []Revoked, change func(*smx509.RevocationList)) ([]byte, error) {
	list := &smx509.RevocationList{Number: big.NewInt(1), ThisUpdate: from, NextUpdate: until}
	for _, r := range entries {
		// Not the newer field of entries: it takes no reason 0, which authorities write all the same.
		entry := pkix.RevokedCertificate{SerialNumber: r.Serial, RevocationTime: r.Time, Extensions: r.Extensions}
		if r.Reason >= 0 {
			value, err := asn1.Marshal(asn1.Enumerated(r.Reason))
			if err != nil {
				return nil, err
			}
			entry.Extensions = append(entry.Extensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 21}, Value: value})
		}
		list.RevokedCertificates = append(list.RevokedCertificates, entry)
	}
	if change != nil {
		change(list)
	}
	return smx509.CreateRevocationList(rand.Reader, list, e.Certificate, e.Key)
}
