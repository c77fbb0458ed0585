package evidence

import (
	"crypto/rand"
	"fmt"

	"qifeng/evidence/canon"
	"qifeng/proof/merkle"
)

// Claim is one fact about a person, a company or an action. The salt keeps its
// leaf from being guessed.
type Claim struct {
	Name  string
	Salt  [16]byte
	Value string
}

// Claims is a claims file: the content of an identity or signing record. It
// stays with the submitter; the record carries only its root.
type Claims []Claim

const claimsType = "qifeng-claims"

var (
	claimsFields = canon.Fields("claims", "type", "v")
	claimFields  = canon.Fields("name", "salt", "value")
)

// ParseClaims reads a claims file; white space and key order are free.
func ParseClaims(data []byte) (Claims, error) {
	data, err := canon.Canonicalize(data, MaxClaimsBytes)
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	d := canon.NewDecoder(data)
	var out Claims
	seen := map[string]bool{}
	for key := range d.Object(claimsFields) {
		switch key {
		case "claims":
			for range d.Array(1, MaxClaims) {
				c := decodeClaim(d)
				if seen[c.Name] {
					d.FailAt("name", "%q appears twice", c.Name)
				}
				seen[c.Name] = true
				out = append(out, c)
			}
		case "type":
			d.Enum(claimsType)
		case "v":
			d.Int(Version, Version)
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	return out, nil
}

func decodeClaim(d *canon.Decoder) (c Claim) {
	for key := range d.Object(claimFields) {
		switch key {
		case "name":
			if c.Name = d.String(MaxClaimName); c.Name == "" {
				d.Fail("is empty")
			}
		case "salt":
			d.HexInto(c.Salt[:])
		case "value":
			c.Value = d.String(MaxClaimValue)
		}
	}
	return c
}

// NewClaims salts facts, in the order given.
func NewClaims(names, values []string) Claims {
	out := make(Claims, len(names))
	for i := range names {
		out[i] = Claim{Name: names[i], Value: values[i]}
		rand.Read(out[i].Salt[:]) // never fails (crypto/rand)
	}
	return out
}

// Marshal returns the canonical claims file, or why it would not be valid.
func (cs Claims) Marshal() ([]byte, error) {
	w := &canon.Writer{}
	w.Object().Key("claims").Array()
	for _, c := range cs {
		w.Raw(c.leaf())
	}
	w.EndArray().Key("type").String(claimsType).Key("v").Int(Version).EndObject()
	if _, err := ParseClaims(w.Bytes()); err != nil {
		return nil, err
	}
	return w.Bytes(), nil
}

// leaf returns the canonical bytes of one claim, its leaf data.
func (c Claim) leaf() []byte {
	w := &canon.Writer{}
	w.Object().Key("name").String(c.Name).Key("salt").Hex(c.Salt[:]).Key("value").String(c.Value).EndObject()
	return w.Bytes()
}

// Root returns the root of the salted claims tree, which the record carries.
func (cs Claims) Root() merkle.Digest {
	leaves := make([]merkle.Digest, len(cs))
	for i, c := range cs {
		leaves[i] = merkle.LeafHash(c.leaf())
	}
	return merkle.Root(leaves)
}
