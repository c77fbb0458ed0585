package tsa

import (
	"encoding/asn1"
	"errors"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// Request is a TimeStampReq (RFC 3161 §2.4.1).
type Request struct {
	Hash    string // name of the imprint's digest algorithm
	Imprint []byte
	Nonce   *big.Int // nil where absent
	CertReq bool
}

// ParseRequest reads a request without a policy or extensions.
func ParseRequest(raw []byte) (*Request, error) {
	in, bad := cryptobyte.String(raw), errors.New("malformed request")
	var seq, imprint, id cryptobyte.String
	var version int64
	var oid asn1.ObjectIdentifier
	r := &Request{}
	if !in.ReadASN1(&seq, der.SEQUENCE) || !in.Empty() || !seq.ReadASN1Integer(&version) || version != 1 ||
		!seq.ReadASN1(&imprint, der.SEQUENCE) || !imprint.ReadASN1(&id, der.SEQUENCE) || !id.ReadASN1ObjectIdentifier(&oid) ||
		!imprint.ReadASN1Bytes(&r.Imprint, der.OCTET_STRING) || !imprint.Empty() {
		return nil, bad
	}
	for name, d := range digests {
		if d.oid.Equal(oid) {
			r.Hash = name
		}
	}
	if seq.PeekASN1Tag(der.INTEGER) {
		r.Nonce = new(big.Int)
		if !seq.ReadASN1Integer(r.Nonce) {
			return nil, bad
		}
	}
	if seq.PeekASN1Tag(der.BOOLEAN) && !seq.ReadASN1Boolean(&r.CertReq) || !seq.Empty() {
		return nil, bad
	}
	return r, nil
}

// Marshal is the request in DER.
func (r *Request) Marshal() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			addAlgorithm(b, digests[r.Hash].oid)
			b.AddASN1OctetString(r.Imprint)
		})
		if r.Nonce != nil {
			b.AddASN1BigInt(r.Nonce)
		}
		if r.CertReq {
			b.AddASN1Boolean(true)
		}
	})
	return b.Bytes()
}

// Granted wraps a token into the answer of an authority.
func Granted(token []byte) []byte { return response(0, -1, token) }

// Rejection is an answer without a token, with a bit of PKIFailureInfo.
func Rejection(failInfo int) []byte { return response(2, failInfo, nil) }

func response(status int64, failInfo int, token []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(status)
			if failInfo >= 0 {
				b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(der.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte("not today")) })
				})
				bits := make([]byte, failInfo/8+1)
				bits[failInfo/8] = 0x80 >> (failInfo % 8)
				b.AddASN1(der.BIT_STRING, func(b *cryptobyte.Builder) {
					b.AddUint8(uint8(7 - failInfo%8))
					b.AddBytes(bits)
				})
			}
		})
		b.AddBytes(token)
	})
	return b.BytesOrPanic()
}
