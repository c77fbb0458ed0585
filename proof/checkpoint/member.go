package checkpoint

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"

	"qifeng/internal/gm"
)

// A Role says what a member is. Court, notary and arbitration are neutral.
type Role string

// The closed list of roles.
const (
	Court       Role = "court"
	Notary      Role = "notary"
	Arbitration Role = "arbitration"
	Vendor      Role = "vendor"
)

// roles in text order, which is the order of require lines.
var roles = [...]Role{Arbitration, Court, Notary, Vendor}

// ParseRole accepts the four role words.
func ParseRole(s string) (Role, error) {
	if Role(s).index() < 0 {
		return "", fmt.Errorf("%w role %q", ErrMalformed, s)
	}
	return Role(s), nil
}

// Neutral reports whether the role has no interest in the contracts.
func (r Role) Neutral() bool { return r == Court || r == Notary || r == Arbitration }

// index is the place of r in roles, or -1.
func (r Role) index() int { return slices.Index(roles[:], r) }

// A KeyKind names one of a member's keys, by its word in the policy text.
type KeyKind string

// The keys of a member that a policy states.
const (
	KeySealSM2     KeyKind = "seal-sm2"
	KeySealEd25519 KeyKind = "seal-ed25519"
	KeyLog         KeyKind = "log"
	KeyIntake      KeyKind = "intake"
	KeyAdmin       KeyKind = "admin"
)

// A Member is an organisation with one vote, and its public keys.
type Member struct {
	ID          string
	Role        Role
	SealSM2     gm.PublicKey // SM2 cosignatures
	SealEd25519 gm.PublicKey // C2SP cosignature/v1
	Log         gm.PublicKey // Ed25519, the C2SP log line
	Intake      gm.PublicKey // SM2, receipts and batch headers
	Admin       gm.PublicKey // SM2, key entries and the member card
}

type memberKey struct {
	kind KeyKind
	alg  gm.Alg
	key  gm.PublicKey
}

// keys lists the member's keys in the order of the policy text.
func (m Member) keys() [5]memberKey {
	return [5]memberKey{
		{KeySealSM2, gm.SM2, m.SealSM2},
		{KeySealEd25519, gm.Ed25519, m.SealEd25519},
		{KeyLog, gm.Ed25519, m.Log},
		{KeyIntake, gm.SM2, m.Intake},
		{KeyAdmin, gm.SM2, m.Admin},
	}
}

// validate checks the member by itself: id, role, and a key of the right
// algorithm at each place.
func (m Member) validate() error {
	if err := CheckMemberID(m.ID); err != nil {
		return err
	}
	if m.Role.index() < 0 {
		return fmt.Errorf("%w role %q of %s", ErrMalformed, m.Role, m.ID)
	}
	for _, k := range m.keys() {
		if k.key.IsZero() {
			return fmt.Errorf("%w: member %s has no %s key", ErrPolicy, m.ID, k.kind)
		}
		if k.key.Alg() != k.alg {
			return fmt.Errorf("%w: the %s key of %s is %s, want %s", ErrPolicy, k.kind, m.ID, k.key.Alg(), k.alg)
		}
	}
	return nil
}

// CheckMemberID accepts 2 to 32 lower-case letters, digits and dashes that
// begin with a letter and do not end with a dash. Such an id is a valid C2SP
// key name and never an origin, which holds a slash. "none" is refused: it is
// predefined in tlog-policy and could not be a witness there.
func CheckMemberID(id string) error {
	n := len(id)
	if n < 2 || n > MaxMemberID || id[0] < 'a' || id[0] > 'z' || id[n-1] == '-' || !onlyBytes(id, isIDByte) {
		return fmt.Errorf("%w member id %q: want 2 to %d of a-z, 0-9 and dash, a letter first, no dash last",
			ErrMalformed, id, MaxMemberID)
	}
	if id == "none" {
		return fmt.Errorf("%w member id %q: a reserved word of tlog-policy", ErrMalformed, id)
	}
	return nil
}

func compareMembers(a, b Member) int { return cmp.Compare(a.ID, b.ID) }

// Signature types of c2sp.org/signed-note.
var (
	typeLog         = []byte{0x01}
	typeCosignature = []byte{0x04}
	typeSM2         = []byte("\xff" + sm2CosignatureV1)
)

// keyID is SHA-256(name LF type key)[:4], big endian (c2sp.org/signed-note).
func keyID(name string, typ []byte, key gm.PublicKey) uint32 {
	h := sha256.New()
	h.Write([]byte(name))
	h.Write([]byte{'\n'})
	h.Write(typ)
	h.Write(key.Bytes())
	var sum [sha256.Size]byte
	return binary.BigEndian.Uint32(h.Sum(sum[:0]))
}

// vkey is the C2SP text form of an Ed25519 verifier key.
func vkey(name string, typ []byte, key gm.PublicKey) string {
	raw := append(slices.Clone(typ), key.Bytes()...)
	return fmt.Sprintf("%s+%08x+%s", name, keyID(name, typ, key), base64.StdEncoding.EncodeToString(raw))
}
