package tsa

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"qifeng/internal/gm"
)

// Digests that a token can be made with, by name.
var digests = map[string]struct {
	oid        asn1.ObjectIdentifier
	hash       crypto.Hash // 0 for SM3
	rsa, ecdsa asn1.ObjectIdentifier
}{
	"SHA1":   {asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, crypto.SHA1, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}},
	"SHA256": {asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, crypto.SHA256, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}},
	"SHA384": {asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, crypto.SHA384, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}},
	"SHA512": {asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, crypto.SHA512, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}},
	"SM3":    {asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 401}, 0, nil, nil},
}

// Sum is the digest of data by the name of its algorithm.
func Sum(name string, data []byte) []byte {
	if name == "SM3" {
		d := gm.SM3(data)
		return d[:]
	}
	h := digests[name].hash.New()
	h.Write(data)
	return h.Sum(nil)
}

var (
	tag0 = der.Tag(0).ContextSpecific().Constructed()
	tag1 = der.Tag(1).ContextSpecific().Constructed()
	tag4 = der.Tag(4).ContextSpecific().Constructed()
)

// OIDs of a token's content types, right and wrong.
var (
	OIDSignedData   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	OIDSMSignedData = asn1.ObjectIdentifier{1, 2, 156, 10197, 6, 1, 4, 2, 2}
	OIDTSTInfo      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	OIDData         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
)

// Spec is a token to be made. Its zero values are what an honest authority would say; every field
// can be made to lie.
type Spec struct {
	Signer       *Entity
	Certificates [][]byte // in the token; nil for the signer's alone
	NoSigner     bool     // leave the field of certificates out
	Lists        [][]byte

	ContentType  asn1.ObjectIdentifier // of the ContentInfo
	Version      int                   // of the SignedData, 3
	EContentType asn1.ObjectIdentifier // of the content, and of the signed attribute
	SignedType   asn1.ObjectIdentifier // of the signed attribute, where it differs
	Digest       string                // of the signer, by default that of its key
	PSS          bool
	SM2Plain     bool   // name the signature SM2 (…301.1) instead of SM2-with-SM3 (…501)
	KeyID        bool   // name the signer by its key identifier
	ESS          string // "v1", "v2" (default), "both", "none", "issuer" (v2 with the issuer), "wrong issuer", "other" (of another certificate)
	Unsigned     bool   // add an unsigned attribute
	Twice        bool   // two signer infos
	InfosVersion int    // of the signer info, 1 or, with KeyID, 3
	Digests      string // the algorithm in front of the content, where it is not the signer's
	Repeat       bool   // the content type attribute twice
	WrongDigest  bool   // a message digest of something else

	InfoVersion int // of the TSTInfo, 1
	Policy      asn1.ObjectIdentifier
	ImprintOf   string // digest algorithm of the imprint
	Imprint     []byte
	Serial      *big.Int
	Time        time.Time
	TimeText    string // as it is written, where Time does not do
	Accuracy    time.Duration
	NoAccuracy  bool
	Nonce       *big.Int
	Name        []byte // DER of the Name of the authority; nil for the signer's subject
	NoName      bool
	Critical    bool // add a critical extension
}

// Token makes the token: DER of a ContentInfo.
func (s Spec) Token() ([]byte, error) {
	s.defaults()
	info, err := s.info()
	if err != nil {
		return nil, err
	}
	signer, err := s.signerInfo(info)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(s.ContentType)
		b.AddASN1(tag0, func(b *cryptobyte.Builder) {
			b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(int64(s.Version))
				b.AddASN1(der.SET, func(b *cryptobyte.Builder) { addAlgorithm(b, digests[s.Digests].oid) })
				b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(s.EContentType)
					b.AddASN1(tag0, func(b *cryptobyte.Builder) { b.AddASN1OctetString(info) })
				})
				if !s.NoSigner {
					b.AddASN1(tag0, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(s.Certificates, nil)) })
				}
				if len(s.Lists) > 0 {
					b.AddASN1(tag1, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(s.Lists, nil)) })
				}
				b.AddASN1(der.SET, func(b *cryptobyte.Builder) {
					b.AddBytes(signer)
					if s.Twice {
						b.AddBytes(signer)
					}
				})
			})
		})
	})
	return b.Bytes()
}

func (s *Spec) defaults() {
	def := func(oid *asn1.ObjectIdentifier, d asn1.ObjectIdentifier) {
		if *oid == nil {
			*oid = d
		}
	}
	def(&s.ContentType, OIDSignedData)
	def(&s.EContentType, OIDTSTInfo)
	def(&s.SignedType, s.EContentType)
	def(&s.Policy, asn1.ObjectIdentifier{1, 2, 3, 4, 1})
	if s.Version == 0 {
		s.Version = 3
	}
	if s.InfoVersion == 0 {
		s.InfoVersion = 1
	}
	if s.Digest == "" {
		s.Digest = "SHA256"
		if isSM2(s.Signer) {
			s.Digest = "SM3"
		}
	}
	if s.Digests == "" {
		s.Digests = s.Digest
	}
	if s.InfosVersion == 0 {
		s.InfosVersion = 1
		if s.KeyID {
			s.InfosVersion = 3
		}
	}
	if s.ImprintOf == "" {
		s.ImprintOf = s.Digest
	}
	if s.Certificates == nil {
		s.Certificates = [][]byte{s.Signer.Certificate.Raw}
	}
	if s.Serial == nil {
		s.Serial = big.NewInt(time.Now().UnixNano())
	}
	if s.Time.IsZero() {
		s.Time = time.Now()
	}
	if s.TimeText == "" {
		s.TimeText = s.Time.UTC().Format("20060102150405.999Z")
	}
	if s.Accuracy == 0 && !s.NoAccuracy {
		s.Accuracy = 500 * time.Millisecond
	}
	if s.Name == nil && !s.NoName {
		s.Name = s.Signer.Certificate.RawSubject
	}
}

func isSM2(e *Entity) bool {
	_, ok := e.Key.(*sm2.PrivateKey)
	return ok
}

func addAlgorithm(b *cryptobyte.Builder, oid asn1.ObjectIdentifier) {
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1NULL()
	})
}

// info is the TSTInfo.
func (s *Spec) info() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(int64(s.InfoVersion))
		b.AddASN1ObjectIdentifier(s.Policy)
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			addAlgorithm(b, digests[s.ImprintOf].oid)
			b.AddASN1OctetString(s.Imprint)
		})
		b.AddASN1BigInt(s.Serial)
		b.AddASN1(der.GeneralizedTime, func(b *cryptobyte.Builder) { b.AddBytes([]byte(s.TimeText)) })
		if s.Accuracy > 0 {
			b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
				if v := int64(s.Accuracy / time.Second); v > 0 {
					b.AddASN1Int64(v)
				}
				if v := int64(s.Accuracy % time.Second / time.Millisecond); v > 0 {
					b.AddASN1Int64WithTag(v, der.Tag(0).ContextSpecific())
				}
				if v := int64(s.Accuracy % time.Millisecond / time.Microsecond); v > 0 {
					b.AddASN1Int64WithTag(v, der.Tag(1).ContextSpecific())
				}
			})
		}
		if s.Nonce != nil {
			b.AddASN1BigInt(s.Nonce)
		}
		if s.Name != nil {
			b.AddASN1(tag0, func(b *cryptobyte.Builder) {
				b.AddASN1(tag4, func(b *cryptobyte.Builder) { b.AddBytes(s.Name) })
			})
		}
		if s.Critical {
			b.AddASN1(tag1, func(b *cryptobyte.Builder) {
				b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 3, 9})
					b.AddASN1Boolean(true)
					b.AddASN1OctetString([]byte("x"))
				})
			})
		}
	})
	return b.Bytes()
}

func (s *Spec) signerInfo(info []byte) ([]byte, error) {
	attributes, err := s.attributes(info)
	if err != nil {
		return nil, err
	}
	algorithm, signature, err := s.sign(attributes)
	if err != nil {
		return nil, err
	}
	cert := s.Signer.Certificate
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(int64(s.InfosVersion))
		if s.KeyID {
			b.AddASN1(der.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(cert.SubjectKeyId) })
		} else {
			b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(cert.RawIssuer)
				b.AddASN1BigInt(cert.SerialNumber)
			})
		}
		addAlgorithm(b, digests[s.Digest].oid)
		implicit := bytes.Clone(attributes)
		implicit[0] = byte(tag0)
		b.AddBytes(implicit)
		b.AddBytes(algorithm)
		b.AddASN1OctetString(signature)
		if s.Unsigned {
			b.AddASN1(tag1, func(b *cryptobyte.Builder) { b.AddBytes(attribute(asn1.ObjectIdentifier{1, 2, 3, 8}, []byte{5, 0})) })
		}
	})
	return b.Bytes()
}

func attribute(oid asn1.ObjectIdentifier, value []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(der.SET, func(b *cryptobyte.Builder) { b.AddBytes(value) })
	})
	return b.BytesOrPanic()
}

// attributes is the SET OF signed attributes.
func (s *Spec) attributes(info []byte) ([]byte, error) {
	if s.WrongDigest {
		info = append(bytes.Clone(info), 0)
	}
	kind, err := asn1.Marshal(s.SignedType)
	if err != nil {
		return nil, err
	}
	digest, err := asn1.Marshal(Sum(s.Digest, info))
	if err != nil {
		return nil, err
	}
	all := [][]byte{
		attribute(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}, kind),
		attribute(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}, digest),
	}
	if s.ESS == "v1" || s.ESS == "both" {
		all = append(all, attribute(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}, s.ess("SHA1")))
	}
	if s.ESS != "v1" && s.ESS != "none" {
		all = append(all, attribute(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}, s.ess("SHA256")))
	}
	if s.Repeat {
		all = append(all, all[0])
	}
	slices.SortFunc(all, bytes.Compare)
	var b cryptobyte.Builder
	b.AddASN1(der.SET, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(all, nil)) })
	return b.Bytes()
}

// ess is the signing certificate attribute's value.
func (s *Spec) ess(digest string) []byte {
	cert := s.Signer.Certificate
	sum := Sum(digest, cert.Raw)
	if s.ESS == "other" {
		sum = Sum(digest, cert.RawTBSCertificate)
	}
	serial := cert.SerialNumber
	if s.ESS == "wrong issuer" {
		serial = new(big.Int).Add(serial, big.NewInt(1))
	}
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1OctetString(sum)
				if strings.HasSuffix(s.ESS, "issuer") {
					b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
							b.AddASN1(tag4, func(b *cryptobyte.Builder) { b.AddBytes(cert.RawIssuer) })
						})
						b.AddASN1BigInt(serial)
					})
				}
			})
		})
	})
	return b.BytesOrPanic()
}

// sign signs the attributes, and returns the DER of the algorithm identifier too.
func (s *Spec) sign(attributes []byte) (algorithm, signature []byte, err error) {
	d := digests[s.Digest]
	var b cryptobyte.Builder
	switch key := s.Signer.Key.(type) {
	case *sm2.PrivateKey:
		oid := asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 501}
		if s.SM2Plain {
			oid = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301, 1}
		}
		addAlgorithm(&b, oid)
		signature, err = key.Sign(rand.Reader, attributes, sm2.DefaultSM2SignerOpts)
	case *rsa.PrivateKey:
		var opts crypto.SignerOpts = d.hash
		if s.PSS {
			addPSS(&b, d.oid, d.hash.Size())
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: d.hash}
		} else {
			addAlgorithm(&b, d.rsa)
		}
		signature, err = key.Sign(rand.Reader, Sum(s.Digest, attributes), opts)
	default:
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(d.ecdsa) })
		signature, err = key.Sign(rand.Reader, Sum(s.Digest, attributes), d.hash)
	}
	if err != nil {
		return nil, nil, err
	}
	algorithm, err = b.Bytes()
	return algorithm, signature, err
}

func addPSS(b *cryptobyte.Builder, digest asn1.ObjectIdentifier, salt int) {
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10})
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(tag0, func(b *cryptobyte.Builder) { addAlgorithm(b, digest) })
			b.AddASN1(tag1, func(b *cryptobyte.Builder) {
				b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8})
					addAlgorithm(b, digest)
				})
			})
			b.AddASN1(der.Tag(2).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(salt)) })
		})
	})
}
