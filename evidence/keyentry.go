package evidence

import (
	"fmt"
	"time"

	"qifeng/evidence/canon"
	"qifeng/internal/gm"
)

// Action is what a key entry does.
type Action string

// Purpose is what a registered key may be used for.
type Purpose string

// The closed lists of key entries.
const (
	Register Action  = "register"
	Revoke   Action  = "revoke"
	Submit   Purpose = "submit"
	Read     Purpose = "read"
)

// KeyEntry is the transaction by which a member registers or revokes a
// submitter's key, signed with the member's admin key. A name is used once:
// after a revocation it is never registered again.
type KeyEntry struct {
	Action    Action
	Key       string // name
	Member    string
	PublicKey gm.PublicKey // register only
	Purpose   Purpose      // register only
	SignedAt  time.Time

	Signed *Signed
}

var keyFields = canon.Fields("action", "key", "member", "public_key?", "purpose?", "signed_at", "v")

// ParseKeyEntry reads a signed key entry.
func ParseKeyEntry(raw []byte) (*KeyEntry, error) {
	s, err := ParseSigned(raw, TypeKey, MaxSignedBytes)
	if err != nil {
		return nil, err
	}
	d := canon.NewDecoder(s.Body)
	k := &KeyEntry{Signed: s}
	for key := range d.Object(keyFields) {
		switch key {
		case "action":
			k.Action = Action(d.Enum(string(Register), string(Revoke)))
		case "key":
			k.Key = decodeKeyName(d, "")
		case "member":
			k.Member = decodeMember(d, "")
		case "public_key":
			k.PublicKey = decodePublicKey(d, 0)
		case "purpose":
			k.Purpose = Purpose(d.Enum(string(Submit), string(Read)))
		case "signed_at":
			k.SignedAt = d.Time()
		case "v":
			d.Int(Version, Version)
		}
	}
	if d.Err() == nil {
		k.checkAction(d)
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("key entry: %w", err)
	}
	return k, nil
}

func (k *KeyEntry) checkAction(d *canon.Decoder) {
	register := k.Action == Register
	if k.PublicKey.IsZero() == register {
		d.FailAt("public_key", "stands in a registration and in no revocation")
	}
	if (k.Purpose == "") == register {
		d.FailAt("purpose", "stands in a registration and in no revocation")
	}
}

// Sign returns the canonical signed entry.
func (k *KeyEntry) Sign(chainID string, admin gm.Signer) ([]byte, error) {
	w := &canon.Writer{}
	w.Object().Key("action").String(string(k.Action)).Key("key").String(k.Key).Key("member").String(k.Member)
	if !k.PublicKey.IsZero() {
		w.Key("public_key").String(k.PublicKey.String())
	}
	putString(w, "purpose", string(k.Purpose))
	w.Key("signed_at").Time(k.SignedAt).Key("v").Int(Version).EndObject()
	raw, err := sign(TypeKey, chainID, w.Bytes(), admin)
	if err != nil {
		return nil, err
	}
	if _, err := ParseKeyEntry(raw); err != nil {
		return nil, err
	}
	return raw, nil
}
