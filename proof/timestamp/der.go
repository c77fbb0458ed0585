package timestamp

import (
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"qifeng/internal/gm"
)

var (
	tag0      = der.Tag(0).ContextSpecific().Constructed()
	tag1      = der.Tag(1).ContextSpecific().Constructed()
	tag0Plain = der.Tag(0).ContextSpecific()
	tag1Plain = der.Tag(1).ContextSpecific()
)

var (
	oidSignedData   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidSMSignedData = asn1.ObjectIdentifier{1, 2, 156, 10197, 6, 1, 4, 2, 2} // GM/T 0010
	oidTSTInfo      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}

	oidContentType          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningCertificate   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningCertificateV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}

	oidRSA   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidPSS   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidSM2   = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301}
	oidSM2_1 = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301, 1}
	oidSMSM3 = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 501}
)

// hashing is a digest algorithm that a token may use.
type hashing struct {
	name  string
	oid   asn1.ObjectIdentifier
	std   crypto.Hash           // 0 for SM3
	rsa   asn1.ObjectIdentifier // signature algorithm of RSA with it
	ecdsa asn1.ObjectIdentifier
}

// hashings are all of them. SHA-1 is none: two statements of one imprint can be made.
var hashings = []*hashing{
	{"SHA256", asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, crypto.SHA256,
		asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}},
	{"SHA384", asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, crypto.SHA384,
		asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}},
	{"SHA512", asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, crypto.SHA512,
		asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}},
	{"SM3", asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 401}, 0, nil, nil},
}

func hashingOf(oid asn1.ObjectIdentifier) (*hashing, error) {
	for _, h := range hashings {
		if h.oid.Equal(oid) {
			return h, nil
		}
	}
	return nil, fmt.Errorf("digest algorithm %v is not taken (SHA-256, SHA-384, SHA-512 and SM3 are)", oid)
}

// sum is the digest of data; SM3 by both libraries.
func (h *hashing) sum(data []byte) ([]byte, error) {
	if h.std != 0 {
		var d hash.Hash = h.std.New()
		d.Write(data)
		return d.Sum(nil), nil
	}
	first, second := gm.SM3(data), gm.SM3Second(data)
	if first != second {
		return nil, fmt.Errorf("%w on an SM3 digest", gm.ErrDisagree)
	}
	return first[:], nil
}

// algorithm is an AlgorithmIdentifier.
type algorithm struct {
	oid    asn1.ObjectIdentifier
	params cryptobyte.String // the element, empty where absent
}

func readAlgorithm(in *cryptobyte.String) (algorithm, error) {
	var a algorithm
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, der.SEQUENCE) || !seq.ReadASN1ObjectIdentifier(&a.oid) {
		return a, errors.New("malformed algorithm identifier")
	}
	if !seq.Empty() {
		var tag der.Tag
		if !seq.ReadAnyASN1Element(&a.params, &tag) || !seq.Empty() {
			return a, fmt.Errorf("malformed parameters of algorithm %v", a.oid)
		}
	}
	return a, nil
}

// plain says that the parameters are absent or NULL, which are the same (RFC 5754 §2).
func (a *algorithm) plain() bool { return len(a.params) == 0 || string(a.params) == "\x05\x00" }

// readHashing reads the identifier of a digest algorithm.
func readHashing(in *cryptobyte.String) (*hashing, error) {
	a, err := readAlgorithm(in)
	if err != nil {
		return nil, err
	}
	if !a.plain() {
		return nil, fmt.Errorf("digest algorithm %v with parameters", a.oid)
	}
	return hashingOf(a.oid)
}

// readOctets reads an OCTET STRING of at least one byte.
func readOctets(in *cryptobyte.String) ([]byte, bool) {
	var out cryptobyte.String
	ok := in.ReadASN1(&out, der.OCTET_STRING) && len(out) > 0
	return out, ok
}
