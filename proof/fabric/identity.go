package fabric

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"qifeng/proof/fabric/internal/wire"
)

// Roles that a certificate's organisational unit gives (Fabric: NodeOUs).
const (
	rolePeer    = "peer"
	roleOrderer = "orderer"
	roleAny     = ""
)

var roles = []string{"admin", "client", roleOrderer, rolePeer}

// msp is a pinned organisation, ready to judge identities.
type msp struct {
	id            string
	roots, inters *x509.CertPool
	inner         []*x509.Certificate // CAs that have CAs below them: Fabric takes no identity from these
	issuers       []*x509.Certificate // the others
	nodeOUs       bool
	revoked       [][]byte // serial numbers, rising
}

func newMSP(o *Organisation) (*msp, error) {
	m := &msp{id: o.MSP, roots: x509.NewCertPool(), inters: x509.NewCertPool(), nodeOUs: o.NodeOUs, revoked: o.Revoked}
	if o.MSP == "" || len(o.MSP) > maxName {
		return nil, errors.New("an organisation has no MSP id, or too long a one")
	}
	if len(o.Roots) == 0 || len(o.Roots) > maxCertificates || len(o.Intermediates) > maxCertificates {
		return nil, fmt.Errorf("%q has %d root and %d intermediate certificates, 1 and 0 to %d are right", o.MSP, len(o.Roots), len(o.Intermediates), maxCertificates)
	}
	if len(o.Revoked) > MaxRevoked || !slices.IsSortedFunc(o.Revoked, CompareSerials) {
		return nil, fmt.Errorf("the %d revoked serial numbers of %q are more than %d, or do not rise", len(o.Revoked), o.MSP, MaxRevoked)
	}
	for i, s := range o.Revoked {
		if len(s) == 0 || len(s) > MaxSerial || s[0] == 0 || i > 0 && bytes.Equal(s, o.Revoked[i-1]) {
			return nil, fmt.Errorf("%x among the revoked of %q is no serial number, or stands there twice", s, o.MSP)
		}
	}
	var all, inters []*x509.Certificate
	for i, der := range slices.Concat(o.Roots, o.Intermediates) {
		cert, err := parseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("a CA certificate of %q: %w", o.MSP, err)
		}
		if !cert.IsCA {
			return nil, fmt.Errorf("a CA certificate of %q: it is not a CA's", o.MSP)
		}
		all = append(all, cert)
		if i < len(o.Roots) {
			m.roots.AddCert(cert)
		} else if m.hasRevoked(cert) {
			return nil, fmt.Errorf("an intermediate CA of %q is among its revoked", o.MSP)
		} else {
			m.inters.AddCert(cert)
			inters = append(inters, cert)
		}
	}
	for _, ca := range all {
		above := slices.ContainsFunc(inters, func(child *x509.Certificate) bool {
			return bytes.Equal(child.RawIssuer, ca.RawSubject) && child.CheckSignatureFrom(ca) == nil
		})
		if above {
			m.inner = append(m.inner, ca)
		} else {
			m.issuers = append(m.issuers, ca)
		}
	}
	return m, nil
}

func (m *msp) hasRevoked(cert *x509.Certificate) bool {
	_, found := slices.BinarySearchFunc(m.revoked, cert.SerialNumber.Bytes(), CompareSerials)
	return found
}

func sameKey(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo)
}

func parseCertificate(der []byte) (*x509.Certificate, error) {
	if len(der) > maxCertificate {
		return nil, fmt.Errorf("certificate of %d bytes, at most %d", len(der), maxCertificate)
	}
	return x509.ParseCertificate(der)
}

// check says whether a certificate is an identity of the MSP with a role, at a time.
//
// Fabric itself judges chains as of the certificate's own first second, that is
// without a time: a transaction by a certificate that has run out is kept out at
// the door (peer, orderer), not by validation. We take the time that the client
// claims in the channel header, since nothing else in a block states one.
func (m *msp) check(cert *x509.Certificate, role string, at time.Time) error {
	if cert.IsCA {
		return errors.New("a CA's certificate is no identity")
	}
	if m.hasRevoked(cert) {
		return fmt.Errorf("%w: serial number %x", ErrRevoked, cert.SerialNumber)
	}
	// The library takes the zero time for now, and a verdict must not change with the day.
	if at.IsZero() {
		return errors.New("the claimed time is none")
	}
	chains, err := cert.Verify(x509.VerifyOptions{
		Roots: m.roots, Intermediates: m.inters, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return fmt.Errorf("certificate at the claimed time %s: %w", at.Format(time.RFC3339), err)
	}
	if !slices.ContainsFunc(chains, func(chain []*x509.Certificate) bool {
		return len(chain) > 1 && !slices.ContainsFunc(m.inner, chain[1].Equal)
	}) {
		return errors.New("certificate issued by a CA above other CAs")
	}
	if !m.nodeOUs {
		return nil
	}
	var has []string
	for _, ou := range cert.Subject.OrganizationalUnit {
		if slices.Contains(roles, ou) {
			has = append(has, ou)
		}
	}
	if len(has) != 1 || role != roleAny && has[0] != role {
		return fmt.Errorf("certificate with roles %q, wanted one: %q", has, role)
	}
	return nil
}

// msps are the pinned organisations by MSP id.
type msps map[string]*msp

func newMSPs(orgs []Organisation) (msps, error) {
	if len(orgs) == 0 || len(orgs) > maxOrganisations {
		return nil, fmt.Errorf("%d organisations, 1 to %d are right", len(orgs), maxOrganisations)
	}
	out := msps{}
	issuers := map[string]string{} // MSP by key
	for i := range orgs {
		m, err := newMSP(&orgs[i])
		if err != nil {
			return nil, err
		}
		if out[m.id] != nil {
			return nil, fmt.Errorf("%q stands twice", m.id)
		}
		// An identity says itself of which MSP it is: two with one CA would be one.
		for _, ca := range m.issuers {
			key := string(ca.RawSubjectPublicKeyInfo)
			if other, ok := issuers[key]; ok && other != m.id {
				return nil, fmt.Errorf("one CA issues the identities of %q and of %q", other, m.id)
			}
			issuers[key] = m.id
		}
		out[m.id] = m
	}
	return out, nil
}

// identity is a serialised identity taken apart, not yet judged.
type identity struct {
	msp  string
	cert *x509.Certificate
}

func parseIdentity(b []byte) (*identity, error) {
	if len(b) > maxIdentity {
		return nil, fmt.Errorf("identity of %d bytes, at most %d", len(b), maxIdentity)
	}
	var s wire.SerializedIdentity
	if err := unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("reading an identity: %w", err)
	}
	block, _ := pem.Decode(s.IdBytes)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("reading an identity: no certificate in PEM")
	}
	cert, err := parseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading an identity: %w", err)
	}
	return &identity{msp: s.Mspid, cert: cert}, nil
}

// judge is the identity's verdict on a signature: it belongs to a pinned
// organisation, has the role, and signed the message.
func (o msps) judge(id *identity, role string, at time.Time, msg, sig []byte) error {
	m := o[id.msp]
	if m == nil {
		return fmt.Errorf("%q is not a pinned organisation", id.msp)
	}
	if err := m.check(id.cert, role, at); err != nil {
		return fmt.Errorf("%q: %w", id.msp, err)
	}
	if err := verifySignature(id.cert, msg, sig); err != nil {
		return fmt.Errorf("%q: %w", id.msp, err)
	}
	return nil
}

// verifySignature checks ECDSA over SHA-256 as Fabric's own crypto provider does,
// which takes the lower of the two values of s only; a second spelling of a
// signature must not pass.
func verifySignature(cert *x509.Certificate, msg, sig []byte) error {
	pub, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() && pub.Curve != elliptic.P384() {
		return errors.New("the key is not ECDSA on P-256 or P-384")
	}
	var v struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(sig, &v); err != nil || len(rest) != 0 {
		return errors.New("the signature is not DER")
	}
	if v.S.Cmp(new(big.Int).Rsh(pub.Params().N, 1)) > 0 {
		return errors.New("the signature has the high s")
	}
	digest := sha256.Sum256(msg)
	if !ecdsa.VerifyASN1(pub, digest[:], sig) {
		return errors.New("the signature does not verify")
	}
	return nil
}

// unmarshal reads a message and refuses fields that are not in it, at any depth:
// what a verifier passes over, an attacker may use.
func unmarshal(b []byte, m proto.Message) error {
	if err := proto.Unmarshal(b, m); err != nil {
		return errors.New("not a protocol buffer of its type")
	}
	return known(m.ProtoReflect())
}

// unmarshalExact reads a message that has no other spelling than the one that the
// library writes. It is for what nobody has signed as a whole, and for parts
// that are hashed one after the other, whose borders nothing else fixes.
func unmarshalExact(b []byte, m proto.Message) error {
	if err := unmarshal(b, m); err != nil {
		return err
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil || string(again) != string(b) {
		return errors.New("a protocol buffer that is spelled in another way than usual")
	}
	return nil
}
