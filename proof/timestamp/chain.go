package timestamp

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"qifeng/internal/gm"
)

var (
	oidExtKeyUsage    = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

	directoryName = der.Tag(4).ContextSpecific().Constructed() // choice of GeneralName
)

// signatures are the algorithms that certificates and lists may be signed with.
var signatures = []smx509.SignatureAlgorithm{
	smx509.SHA256WithRSA, smx509.SHA384WithRSA, smx509.SHA512WithRSA,
	smx509.SHA256WithRSAPSS, smx509.SHA384WithRSAPSS, smx509.SHA512WithRSAPSS,
	smx509.ECDSAWithSHA256, smx509.ECDSAWithSHA384, smx509.ECDSAWithSHA512,
	smx509.SM2WithSM3,
}

func parseRoots(a *Authority) ([]*smx509.Certificate, error) {
	if a == nil || len(a.Roots) == 0 || len(a.Roots) > MaxRoots {
		return nil, fmt.Errorf("an authority has 1 to %d root certificates", MaxRoots)
	}
	var roots []*smx509.Certificate
	for i, raw := range a.Roots {
		root, err := parseRoot(raw)
		if err != nil {
			return nil, fmt.Errorf("root certificate %d: %w", i+1, err)
		}
		if slices.ContainsFunc(roots, root.Equal) {
			return nil, fmt.Errorf("root certificate %d stands there twice", i+1)
		}
		roots = append(roots, root)
	}
	return roots, nil
}

// parseRoot reads a pinned certificate: a CA's, or the authority's own.
func parseRoot(raw []byte) (*smx509.Certificate, error) {
	if len(raw) > MaxRootBytes {
		return nil, fmt.Errorf("%d bytes, at most %d are taken", len(raw), MaxRootBytes)
	}
	root, err := smx509.ParseCertificate(raw)
	if err != nil {
		return nil, err
	}
	if err := checkKey(root); err != nil {
		return nil, err
	}
	if checkUsage(root) == nil {
		return root, nil
	}
	if root.Version == 3 && (!root.BasicConstraintsValid || !root.IsCA) || root.KeyUsage != 0 && root.KeyUsage&smx509.KeyUsageCertSign == 0 {
		return nil, errors.New("neither a CA's certificate nor a time-stamp authority's")
	}
	return root, nil
}

// parseCertificates reads the token's. Those with keys or signatures that are not taken are left
// out: an authority may carry one for other readers.
func parseCertificates(field cryptobyte.String) ([]*smx509.Certificate, error) {
	var out []*smx509.Certificate
	for n := 0; !field.Empty(); n++ {
		var raw cryptobyte.String
		if n == maxCertificates {
			return nil, fmt.Errorf("more than %d certificates", maxCertificates)
		}
		if !field.ReadASN1Element(&raw, der.SEQUENCE) {
			return nil, errors.New("among the certificates is something else")
		}
		cert, err := smx509.ParseCertificate(raw)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", n+1, err)
		}
		if checkKey(cert) == nil && slices.Contains(signatures, cert.SignatureAlgorithm) && !slices.ContainsFunc(out, cert.Equal) {
			out = append(out, cert)
		}
	}
	return out, nil
}

func findSigner(s *signerInfo, certificates, roots []*smx509.Certificate) (*smx509.Certificate, error) {
	var found *smx509.Certificate
	for _, cert := range slices.Concat(certificates, roots) {
		if s.issuer != nil {
			if s.serial.Cmp(cert.SerialNumber) != 0 || !bytes.Equal(s.issuer, cert.RawIssuer) {
				continue
			}
		} else if !bytes.Equal(s.keyID, cert.SubjectKeyId) {
			continue
		}
		if found != nil && !found.Equal(cert) {
			return nil, errors.New("two certificates could be the signer's")
		}
		found = cert
	}
	if found == nil {
		return nil, errors.New("the signer's certificate is not inside, or its key or signature is of a kind that is not taken")
	}
	return found, nil
}

// checkUsage checks that a certificate is a time-stamp authority's: RFC 3161 §2.3, and, as openssl
// has it, a key for signatures alone.
func checkUsage(cert *smx509.Certificate) error {
	count, critical := 0, false
	for _, e := range cert.Extensions {
		if e.Id.Equal(oidExtKeyUsage) {
			count++
			critical = e.Critical
		}
	}
	if count != 1 || len(cert.UnknownExtKeyUsage) != 0 || len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != smx509.ExtKeyUsageTimeStamping {
		return errors.New("the signer's certificate is not for time-stamping alone")
	}
	if !critical {
		return errors.New("the signer's certificate does not mark time-stamping as critical")
	}
	const signing = smx509.KeyUsageDigitalSignature | smx509.KeyUsageContentCommitment
	if cert.KeyUsage != 0 && (cert.KeyUsage&signing == 0 || cert.KeyUsage&^signing != 0) {
		return errors.New("the key usage of the signer's certificate is not signatures alone")
	}
	if cert.IsCA {
		return errors.New("the signer's certificate is a CA's")
	}
	return nil
}

// checkSigner checks the certificate, and that it bears the name that the token gives (RFC 3161 §2.4.2).
func checkSigner(cert *smx509.Certificate, info *tstInfo) error {
	if err := checkUsage(cert); err != nil {
		return err
	}
	if len(info.tsa) == 0 {
		return nil
	}
	name, inner := info.tsa, cryptobyte.String(nil)
	if name.ReadASN1(&inner, directoryName) && bytes.Equal(inner, cert.RawSubject) {
		return nil
	}
	for _, e := range cert.Extensions {
		if !e.Id.Equal(oidSubjectAltName) {
			continue
		}
		value := cryptobyte.String(e.Value)
		var names, one cryptobyte.String
		var tag der.Tag
		if !value.ReadASN1(&names, der.SEQUENCE) {
			continue
		}
		for names.ReadAnyASN1Element(&one, &tag) {
			if bytes.Equal(one, info.tsa) {
				return nil
			}
		}
	}
	return errors.New("the token names another authority than its certificate")
}

// buildChain returns a chain from the signer to a pinned root that is valid at the given time.
func buildChain(signer *smx509.Certificate, certificates, roots []*smx509.Certificate, at time.Time) ([]*smx509.Certificate, error) {
	pins, others := smx509.NewCertPool(), smx509.NewCertPool()
	for _, c := range roots {
		pins.AddCert(c)
	}
	for _, c := range below(roots, certificates) {
		others.AddCert(c)
	}
	// The library takes the zero time for now.
	if at.IsZero() {
		return nil, errors.New("the token has no time")
	}
	chains, err := signer.Verify(smx509.VerifyOptions{
		Roots: pins, Intermediates: others, CurrentTime: at,
		KeyUsages: []smx509.ExtKeyUsage{smx509.ExtKeyUsageTimeStamping},
	})
	if err != nil {
		return nil, fmt.Errorf("no chain to a pinned root at %s: %w", at.Format(time.RFC3339), err)
	}
	var first error
	for _, chain := range chains {
		err := checkChain(chain)
		if err == nil {
			return chain, nil
		}
		if first == nil || errors.Is(err, gm.ErrDisagree) {
			first = err
		}
	}
	return nil, first
}

// below returns those of a token's certificates that are CAs' and that a pinned root issued, or one of
// them. No other can stand in a chain, and the library, which looks for chains from the signer upwards,
// follows others for seconds before it finds that they lead nowhere: whoever made them chose how many
// ways there are, how dear each signature is, and how many names each has compared with how many.
func below(roots, certificates []*smx509.Certificate) []*smx509.Certificate {
	rest := slices.DeleteFunc(slices.Clone(certificates), func(c *smx509.Certificate) bool {
		return !c.BasicConstraintsValid || !c.IsCA || slices.ContainsFunc(roots, c.Equal)
	})
	issuers := slices.Clone(roots)
	for i := 0; i < len(issuers); i++ {
		rest = slices.DeleteFunc(rest, func(c *smx509.Certificate) bool {
			issued := bytes.Equal(c.RawIssuer, issuers[i].RawSubject) && c.CheckSignatureFrom(issuers[i]) == nil
			if issued {
				issuers = append(issuers, c)
			}
			return issued
		})
	}
	return issuers[len(roots):]
}

// checkChain has the second library look at what the first has found, and refuses algorithms that are
// not taken.
func checkChain(chain []*smx509.Certificate) error {
	for i, cert := range chain[:len(chain)-1] {
		if err := checkIssued(chain[i+1], cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
			return fmt.Errorf("certificate of %s: %w", cert.Subject, err)
		}
	}
	return nil
}

// checkIssued checks that an issuer's signature is of a kind that is taken, and an SM2 one with both
// libraries. The others are the caller's to check.
func checkIssued(issuer *smx509.Certificate, algorithm smx509.SignatureAlgorithm, signed, signature []byte) error {
	if !slices.Contains(signatures, algorithm) {
		return fmt.Errorf("signature algorithm %v is not taken", algorithm)
	}
	pub, ok := issuer.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil // neither does the library verify one kind with the key of another
	}
	if isSM2 := pub.Curve == sm2.P256(); isSM2 != (algorithm == smx509.SM2WithSM3) {
		return errors.New("the signature algorithm does not go with the issuer's curve")
	} else if isSM2 {
		return verifySM2(pub, signed, signature)
	}
	return nil
}
