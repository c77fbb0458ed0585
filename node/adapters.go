package node

import (
	"fmt"

	"qifeng/archive"
	"qifeng/chain"
	"qifeng/evidence"
	"qifeng/internal/gm"
)

// register is the part of the chain that knows user keys.
type register interface {
	Key(member, name string) (chain.Key, bool, error)
}

// submitKeys lets the archive ask the chain's register, without either room
// knowing the other.
type submitKeys struct{ register }

// SubmitKey returns the key of a member that may sign statements now.
func (s submitKeys) SubmitKey(member, name string) (gm.PublicKey, error) {
	k, ok, err := s.Key(member, name)
	switch {
	case err != nil:
		return gm.PublicKey{}, err
	case !ok:
		return gm.PublicKey{}, fmt.Errorf("%w: %s of %s", archive.ErrUnknownKey, name, member)
	case k.RevokedAt != nil:
		return gm.PublicKey{}, fmt.Errorf("%w: %s of %s", archive.ErrKeyRevoked, name, member)
	case k.Purpose != evidence.Submit:
		return gm.PublicKey{}, fmt.Errorf("%w: %s of %s", archive.ErrKeyPurpose, name, member)
	}
	return k.PublicKey, nil
}
