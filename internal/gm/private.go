package gm

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/emmansun/gmsm/sm2"
)

// Signer signs whole messages with one key. Sign returns 64 bytes for both algorithms.
type Signer interface {
	Public() PublicKey
	Sign(msg []byte) ([]byte, error)
}

// PrivateKey is a private key in memory. It implements [Signer] and is safe for concurrent use. No
// fmt verb and no slog handler prints the secret.
type PrivateKey struct {
	pub PublicKey
	// A function and not a pointer: inside an unexported field of another struct fmt cannot call
	// Format, and for %s and %q it follows a pointer and prints the bytes.
	secret func() *secret
}

type secret struct {
	sm2     *sm2.PrivateKey
	ed25519 ed25519.PrivateKey
}

// GenerateKey makes a new key from the system's randomness.
func GenerateKey(alg Alg) (*PrivateKey, error) {
	switch alg {
	case SM2:
		k, err := sm2.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("generating sm2 key: %w", err)
		}
		return newPrivateKey(SM2, k.D.FillBytes(make([]byte, secretSize)))
	case Ed25519:
		seed := make([]byte, secretSize)
		if _, err := rand.Read(seed); err != nil {
			return nil, fmt.Errorf("generating ed25519 key: %w", err)
		}
		return newPrivateKey(Ed25519, seed)
	}
	return nil, fmt.Errorf("generating key: unknown algorithm %d", alg)
}

// newPrivateKey makes a key from an SM2 scalar in 1..n-2 or an Ed25519 seed, 32 bytes each.
func newPrivateKey(alg Alg, raw []byte) (*PrivateKey, error) {
	var s secret
	var point []byte
	if alg == SM2 {
		k, err := sm2.NewPrivateKey(raw)
		if err != nil {
			return nil, errors.New("sm2 private key: scalar is out of range")
		}
		s.sm2 = k
		point = append([]byte{4}, k.X.FillBytes(make([]byte, 32))...)
		point = append(point, k.Y.FillBytes(make([]byte, 32))...)
	} else {
		s.ed25519 = ed25519.NewKeyFromSeed(raw)
		point = s.ed25519[32:]
	}
	pub, err := NewPublicKey(alg, point)
	if err != nil {
		return nil, err
	}
	return &PrivateKey{pub: pub, secret: func() *secret { return &s }}, nil
}

// Public is the public half, the zero key for the zero PrivateKey.
func (k *PrivateKey) Public() PublicKey { return k.pub }

// Sign signs a whole message. SM2 signatures are hedged (the nonce depends on the key, the message
// and fresh randomness), so two signatures of one message differ.
func (k *PrivateKey) Sign(msg []byte) ([]byte, error) {
	switch k.pub.alg {
	case SM2:
		key := k.secret().sm2
		digest, err := sm2.CalculateSM2Hash(&key.PublicKey, msg, signerID)
		if err != nil {
			return nil, fmt.Errorf("signing with sm2: %w", err)
		}
		der, err := sm2.SignASN1(rand.Reader, key, digest, nil)
		if err != nil {
			return nil, fmt.Errorf("signing with sm2: %w", err)
		}
		sig, err := ParseDER(der)
		if err != nil {
			return nil, fmt.Errorf("signing with sm2: %w", err)
		}
		return sig, nil
	case Ed25519:
		return ed25519.Sign(k.secret().ed25519, msg), nil
	}
	return nil, errors.New("signing: private key is the zero value")
}

// raw is the secret itself: an SM2 scalar or an Ed25519 seed.
func (k *PrivateKey) raw() []byte {
	if k.pub.alg == SM2 {
		return k.secret().sm2.D.FillBytes(make([]byte, secretSize))
	}
	return k.secret().ed25519.Seed()
}

// String names the public key only.
func (k PrivateKey) String() string {
	if k.pub.IsZero() {
		return "private key (none)"
	}
	return "private key of " + k.pub.String()
}

// Format prints what String does, for every verb and flag.
func (k PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is what String says.
func (k PrivateKey) LogValue() slog.Value { return slog.StringValue(k.String()) }
