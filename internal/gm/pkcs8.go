package gm

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
)

// PKCS#8 is written here and not taken from emmansun's smx509, because that imports crypto/x509
// and with it net: this package is in the court's offline verifier, whose import graph has no
// network. The tests compare with smx509 and openssl, byte for byte.

const pemType = "PRIVATE KEY"

var (
	oidEC      = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}   // id-ecPublicKey, RFC 5480
	oidSM2     = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301} // sm2p256v1, GM/T 0006
	oidEd25519 = asn1.ObjectIdentifier{1, 3, 101, 112}           // RFC 8410
)

// pkcs8 is PrivateKeyInfo (RFC 5208), for both algorithms without attributes.
type pkcs8 struct {
	Version   int
	Algorithm struct {
		ID    asn1.ObjectIdentifier
		Curve asn1.ObjectIdentifier `asn1:"optional"`
	}
	Key []byte
}

// ecKey is ECPrivateKey (RFC 5915).
type ecKey struct {
	Version int
	Key     []byte
	Curve   asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
	Public  asn1.BitString        `asn1:"optional,explicit,tag:1"`
}

// MarshalPEM is the key as unencrypted PKCS#8 in PEM, as openssl writes it.
func (k *PrivateKey) MarshalPEM() ([]byte, error) {
	der, err := k.marshalPKCS8()
	if err != nil {
		return nil, fmt.Errorf("encoding private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

func (k *PrivateKey) marshalPKCS8() ([]byte, error) {
	var p pkcs8
	var err error
	switch k.pub.alg {
	case SM2:
		p.Algorithm.ID, p.Algorithm.Curve = oidEC, oidSM2
		public := asn1.BitString{Bytes: k.pub.Bytes(), BitLength: 8 * sm2KeySize}
		p.Key, err = asn1.Marshal(ecKey{Version: 1, Key: k.raw(), Public: public})
	case Ed25519:
		p.Algorithm.ID = oidEd25519
		p.Key, err = asn1.Marshal(k.raw())
	default:
		err = errors.New("private key is the zero value")
	}
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(p)
}

// ParsePrivateKey reads one PKCS#8 PEM block. Text before BEGIN is ignored; after END only white
// space may follow. Encrypted keys and every other kind of block are refused.
func ParsePrivateKey(text []byte) (*PrivateKey, error) {
	k, err := parsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("parsing private key: %w", err)
	}
	return k, nil
}

func parsePrivateKey(text []byte) (*PrivateKey, error) {
	if len(text) > maxPEM {
		return nil, fmt.Errorf("%d bytes are too many", len(text))
	}
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return nil, errors.New("no PEM block")
	case block.Type != pemType:
		return nil, fmt.Errorf("PEM block is %q, want %q (convert with: openssl pkcs8 -topk8 -nocrypt)", block.Type, pemType)
	case len(block.Headers) != 0:
		return nil, errors.New("PEM block has headers")
	case len(bytes.TrimSpace(rest)) != 0:
		return nil, errors.New("text after the PEM block")
	}
	return parsePKCS8(block.Bytes)
}

// Errors of the DER decoder are not passed on: they could quote the secret.
var errPKCS8 = errors.New("not a PKCS#8 private key of SM2 or Ed25519")

func parsePKCS8(der []byte) (*PrivateKey, error) {
	var p pkcs8
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) != 0 || p.Version != 0 {
		return nil, errPKCS8
	}
	switch {
	case p.Algorithm.ID.Equal(oidEC) && p.Algorithm.Curve.Equal(oidSM2):
		return parseSM2(p.Key)
	case p.Algorithm.ID.Equal(oidEd25519) && p.Algorithm.Curve == nil:
		var seed []byte
		if rest, err := asn1.Unmarshal(p.Key, &seed); err != nil || len(rest) != 0 || len(seed) != secretSize {
			return nil, errPKCS8
		}
		return newPrivateKey(Ed25519, seed)
	}
	return nil, errPKCS8
}

func parseSM2(der []byte) (*PrivateKey, error) {
	var e ecKey
	if rest, err := asn1.Unmarshal(der, &e); err != nil || len(rest) != 0 || e.Version != 1 || len(e.Key) != secretSize {
		return nil, errPKCS8
	}
	if e.Curve != nil && !e.Curve.Equal(oidSM2) {
		return nil, errPKCS8
	}
	k, err := newPrivateKey(SM2, e.Key)
	if err != nil {
		return nil, err
	}
	if e.Public.BitLength != 0 && !bytes.Equal(e.Public.Bytes, k.pub.Bytes()) {
		return nil, errors.New("public key in the file is not the private key's")
	}
	return k, nil
}
