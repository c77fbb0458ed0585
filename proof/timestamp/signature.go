package timestamp

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha1" // #nosec: ESSCertID of RFC 2634 knows no other
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"qifeng/internal/gm"
)

const sm2SM3 = "SM2-SM3" // as a token's algorithm is named

var errSignature = errors.New("the token's signature does not verify")

// checkSignerInfo checks the signed attributes and the signature over them, and names the algorithm.
func checkSignerInfo(sd *signedData, cert *smx509.Certificate) (string, error) {
	s := &sd.signer
	var oid asn1.ObjectIdentifier
	values, ok := s.attributes[oidContentType.String()]
	if !ok || !values.ReadASN1ObjectIdentifier(&oid) || !values.Empty() || !oid.Equal(oidTSTInfo) {
		return "", errors.New("the signed content type is not TSTInfo")
	}
	sum, err := s.hash.sum(sd.content)
	if err != nil {
		return "", err
	}
	values, ok = s.attributes[oidMessageDigest.String()]
	if !ok {
		return "", errors.New("no signed message digest")
	}
	if digest, ok := readOctets(&values); !ok || !values.Empty() || !bytes.Equal(digest, sum) {
		return "", errors.New("the signed message digest is not that of the TSTInfo")
	}
	if err := s.checkCertificate(cert); err != nil {
		return "", err
	}
	return s.verify(cert)
}

// checkCertificate checks that the signed attributes name the certificate (RFC 5816 §2.2.1).
// Of several only the first is the signer's; the others would only narrow the chain.
func (s *signerInfo) checkCertificate(cert *smx509.Certificate) error {
	found := false
	for _, attribute := range []asn1.ObjectIdentifier{oidSigningCertificate, oidSigningCertificateV2} {
		values, present := s.attributes[attribute.String()]
		if !present {
			continue
		}
		found = true
		var signing, ids, id cryptobyte.String
		if !values.ReadASN1(&signing, der.SEQUENCE) || !values.Empty() ||
			!signing.ReadASN1(&ids, der.SEQUENCE) || !ids.ReadASN1(&id, der.SEQUENCE) {
			return errors.New("malformed signing certificate attribute")
		}
		if err := matchID(id, cert, attribute.Equal(oidSigningCertificateV2)); err != nil {
			return err
		}
	}
	if !found {
		return errors.New("no signing certificate attribute")
	}
	return nil
}

// matchID compares an ESSCertID, or an ESSCertIDv2, with the certificate.
func matchID(id cryptobyte.String, cert *smx509.Certificate, v2 bool) error {
	var want []byte
	if v2 {
		h := hashings[0] // SHA-256 is the default
		var err error
		if id.PeekASN1Tag(der.SEQUENCE) {
			if h, err = readHashing(&id); err != nil {
				return fmt.Errorf("signing certificate attribute: %w", err)
			}
		}
		if want, err = h.sum(cert.Raw); err != nil {
			return err
		}
	} else {
		sum := sha1.Sum(cert.Raw)
		want = sum[:]
	}
	mismatch := errors.New("the signing certificate attribute is of another certificate")
	if digest, ok := readOctets(&id); !ok || !bytes.Equal(digest, want) {
		return mismatch
	}
	if id.Empty() {
		return nil
	}
	var pair, names, name, issuer cryptobyte.String
	serial := new(big.Int)
	if !id.ReadASN1(&pair, der.SEQUENCE) || !id.Empty() || !pair.ReadASN1(&names, der.SEQUENCE) ||
		!pair.ReadASN1Integer(serial) || !pair.Empty() ||
		!names.ReadASN1(&name, directoryName) || !names.Empty() || !name.ReadASN1Element(&issuer, der.SEQUENCE) || !name.Empty() {
		return errors.New("malformed issuer in the signing certificate attribute")
	}
	if serial.Cmp(cert.SerialNumber) != 0 || !bytes.Equal(issuer, cert.RawIssuer) {
		return mismatch
	}
	return nil
}

// verify checks the signature itself. The algorithm must be the key's, and its digest that of the signer info.
func (s *signerInfo) verify(cert *smx509.Certificate) (string, error) {
	unfit := fmt.Errorf("signature algorithm %v with digest %s does not go with the signer's key", s.algorithm.oid, s.hash.name)
	switch pub := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if s.hash.std == 0 {
			return "", unfit
		}
		return s.verifyRSA(pub, unfit)
	case *ecdsa.PublicKey:
		if pub.Curve == sm2.P256() {
			oid := s.algorithm.oid
			if s.hash.std != 0 || !s.algorithm.plain() || !oid.Equal(oidSM2_1) && !oid.Equal(oidSMSM3) && !oid.Equal(oidSM2) {
				return "", unfit
			}
			return sm2SM3, verifySM2(pub, s.signed, s.signature)
		}
		if s.hash.std == 0 || !s.algorithm.plain() || !s.algorithm.oid.Equal(s.hash.ecdsa) {
			return "", unfit
		}
		sum, err := s.hash.sum(s.signed)
		if err != nil {
			return "", err
		}
		if !ecdsa.VerifyASN1(pub, sum, s.signature) {
			return "", errSignature
		}
		return "ECDSA-" + s.hash.name, nil
	}
	return "", unfit
}

func (s *signerInfo) verifyRSA(pub *rsa.PublicKey, unfit error) (string, error) {
	sum, err := s.hash.sum(s.signed)
	if err != nil {
		return "", err
	}
	if s.algorithm.oid.Equal(oidPSS) {
		salt, err := parsePSS(s.algorithm.params, s.hash)
		if err != nil {
			return "", err
		}
		if rsa.VerifyPSS(pub, s.hash.std, sum, s.signature, &rsa.PSSOptions{SaltLength: salt}) != nil {
			return "", errSignature
		}
		return "RSA-PSS-" + s.hash.name, nil
	}
	if !s.algorithm.plain() || !s.algorithm.oid.Equal(oidRSA) && !s.algorithm.oid.Equal(s.hash.rsa) {
		return "", unfit
	}
	if rsa.VerifyPKCS1v15(pub, s.hash.std, sum, s.signature) != nil {
		return "", errSignature
	}
	return "RSA-" + s.hash.name, nil
}

// parsePSS reads RSASSA-PSS-params (RFC 4055 §3.1) and returns the length of the salt. Both
// digests must be the signer's; the defaults, all SHA-1, are refused with it.
func parsePSS(params cryptobyte.String, want *hashing) (int, error) {
	bad := errors.New("malformed parameters of RSA-PSS, or another digest in them")
	var seq, explicit, mgf cryptobyte.String
	if !params.ReadASN1(&seq, der.SEQUENCE) || !params.Empty() || !seq.ReadASN1(&explicit, tag0) {
		return 0, bad
	}
	if h, err := readHashing(&explicit); err != nil || h != want || !explicit.Empty() || !seq.ReadASN1(&explicit, tag1) {
		return 0, bad
	}
	a, err := readAlgorithm(&explicit)
	if err != nil || !a.oid.Equal(oidMGF1) || !explicit.Empty() {
		return 0, bad
	}
	mgf = a.params
	if h, err := readHashing(&mgf); err != nil || h != want || !mgf.Empty() {
		return 0, bad
	}
	salt := int64(20) // the default
	if tag := der.Tag(2).ContextSpecific().Constructed(); seq.PeekASN1Tag(tag) {
		if !seq.ReadASN1(&explicit, tag) || !explicit.ReadASN1Integer(&salt) || !explicit.Empty() {
			return 0, bad
		}
	}
	if tag := der.Tag(3).ContextSpecific().Constructed(); seq.PeekASN1Tag(tag) {
		var trailer int64
		if !seq.ReadASN1(&explicit, tag) || !explicit.ReadASN1Integer(&trailer) || !explicit.Empty() || trailer != 1 {
			return 0, bad
		}
	}
	// Zero would make the library find out the length by itself; nobody signs without salt.
	if !seq.Empty() || salt < 1 || salt > maxRSA/8 {
		return 0, bad
	}
	return int(salt), nil
}

// verifySM2 asks both libraries, with the signature in strict DER.
func verifySM2(pub *ecdsa.PublicKey, msg, sig []byte) error {
	raw := make([]byte, 65)
	raw[0] = 4
	if pub.X == nil || pub.Y == nil || pub.X.Sign() < 0 || pub.Y.Sign() < 0 || pub.X.BitLen() > 256 || pub.Y.BitLen() > 256 {
		return errors.New("the SM2 key is no point")
	}
	pub.X.FillBytes(raw[1:33])
	pub.Y.FillBytes(raw[33:])
	key, err := gm.NewPublicKey(gm.SM2, raw)
	if err != nil {
		return err
	}
	rs, err := gm.ParseDER(sig)
	if err != nil {
		return fmt.Errorf("%w: %w", errSignature, err)
	}
	if err := gm.VerifyBoth(key, msg, rs); err != nil {
		return fmt.Errorf("%w: %w", errSignature, err)
	}
	return nil
}

// checkKey refuses keys that no certificate here may have.
func checkKey(cert *smx509.Certificate) error {
	switch pub := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := pub.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("RSA key of %d bits, %d to %d are taken", bits, minRSA, maxRSA)
		}
		return nil
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521(), sm2.P256():
		default:
			return errors.New("elliptic curve is not taken")
		}
		// The library reads curves given by parameters too, and compares half of them.
		spki := cryptobyte.String(cert.RawSubjectPublicKeyInfo)
		var seq cryptobyte.String
		var curve asn1.ObjectIdentifier
		if !spki.ReadASN1(&seq, der.SEQUENCE) {
			return errors.New("malformed key")
		}
		a, err := readAlgorithm(&seq)
		if err != nil || !a.params.ReadASN1ObjectIdentifier(&curve) {
			return errors.New("elliptic curve without a name")
		}
		return nil
	}
	return fmt.Errorf("key of type %T is not taken (RSA, ECDSA and SM2 are)", cert.PublicKey)
}
