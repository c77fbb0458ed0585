package gm

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/emmansun/gmsm/sm2"
)

// PublicKey is a valid SM2 or Ed25519 public key. It is comparable, equal values are equal keys,
// and it may be a map key. The zero value is no key: it verifies nothing.
type PublicKey struct {
	alg Alg
	raw string // 65 bytes 04‖x‖y, or 32 bytes; a string so that the key is comparable and cannot change
}

// NewPublicKey makes a key from its raw bytes: 65 bytes 04‖x‖y on the curve for SM2, 32 for Ed25519.
func NewPublicKey(alg Alg, raw []byte) (PublicKey, error) {
	switch alg {
	case SM2:
		if len(raw) != sm2KeySize || raw[0] != 4 {
			return PublicKey{}, fmt.Errorf("sm2 public key: want 65 bytes beginning with 04, got %d bytes", len(raw))
		}
		// The library refuses coordinates that are not reduced and points off the curve.
		if _, err := sm2.NewPublicKey(raw); err != nil {
			return PublicKey{}, fmt.Errorf("sm2 public key: %w", err)
		}
	case Ed25519:
		if len(raw) != ed25519KeySize {
			return PublicKey{}, fmt.Errorf("ed25519 public key: want 32 bytes, got %d", len(raw))
		}
		if err := checkEd25519([32]byte(raw)); err != nil {
			return PublicKey{}, fmt.Errorf("ed25519 public key: %w", err)
		}
	default:
		return PublicKey{}, fmt.Errorf("public key: unknown algorithm %d", alg)
	}
	return PublicKey{alg: alg, raw: string(raw)}, nil
}

// ParsePublicKey reads the text form, and no other spelling of it.
func ParsePublicKey(s string) (PublicKey, error) {
	if len(s) > maxKeyText {
		return PublicKey{}, fmt.Errorf("parsing public key: %d characters are too many", len(s))
	}
	name, digits, found := strings.Cut(s, ":")
	if !found {
		return PublicKey{}, fmt.Errorf("parsing public key: no algorithm before a colon")
	}
	var alg Alg
	switch name {
	case SM2.String():
		alg = SM2
	case Ed25519.String():
		alg = Ed25519
	default:
		return PublicKey{}, errors.New("parsing public key: the algorithm before the colon is neither sm2 nor ed25519")
	}
	raw, err := hex.DecodeString(digits)
	if err != nil {
		return PublicKey{}, fmt.Errorf("parsing public key: %w", err)
	}
	if hex.EncodeToString(raw) != digits {
		return PublicKey{}, fmt.Errorf("parsing public key: hex digits must be lower case")
	}
	k, err := NewPublicKey(alg, raw)
	if err != nil {
		return PublicKey{}, fmt.Errorf("parsing public key: %w", err)
	}
	return k, nil
}

// String is the text form, empty for the zero value.
func (k PublicKey) String() string {
	if k.IsZero() {
		return ""
	}
	return k.alg.String() + ":" + hex.EncodeToString([]byte(k.raw))
}

// Alg is the key's algorithm, 0 for the zero value.
func (k PublicKey) Alg() Alg { return k.alg }

// Bytes are the raw bytes (65 for SM2, 32 for Ed25519), the caller's own copy.
func (k PublicKey) Bytes() []byte { return []byte(k.raw) }

// IsZero says that k is no key.
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// The DER of a SubjectPublicKeyInfo up to the key's own bytes (RFC 5480 with the SM2 curve
// 1.2.156.10197.1.301, and RFC 8410).
var (
	sm2SPKI     = mustHex("3059301306072a8648ce3d020106082a811ccf5501822d034200")
	ed25519SPKI = mustHex("302a300506032b6570032100")
)

// MarshalSPKI is the key as a DER SubjectPublicKeyInfo, as openssl reads it; nil for the zero value.
func (k PublicKey) MarshalSPKI() []byte {
	switch k.alg {
	case SM2:
		return append(append([]byte(nil), sm2SPKI...), k.raw...)
	case Ed25519:
		return append(append([]byte(nil), ed25519SPKI...), k.raw...)
	}
	return nil
}

// smallOrder are the canonical encodings, without the sign bit, of the y coordinates of the eight
// points of small order: 0 (order 4), 1 (the identity), p-1 (order 2) and two of order 8. Under
// such a key anybody can make a signature that verifies, so its owner could deny every one.
var smallOrder = [...][32]byte{
	{},
	{1},
	[32]byte(mustHex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")),
	[32]byte(mustHex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")),
	[32]byte(mustHex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")),
}

// checkEd25519 refuses points of small order and encodings of y that are not below the field prime
// p = 2^255-19, which would be second spellings of another key. A y that belongs to no point is
// not found here; nothing ever verifies under it.
func checkEd25519(raw [32]byte) error {
	y := raw
	y[31] &= 0x7f
	for _, s := range smallOrder {
		if y == s {
			return fmt.Errorf("point of small order")
		}
	}
	if y[31] != 0x7f || y[0] < 0xed {
		return nil
	}
	for _, b := range y[1:31] {
		if b != 0xff {
			return nil
		}
	}
	return fmt.Errorf("encoding is not canonical")
}

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err) // a constant of this package
	}
	return b
}
