package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/gin-gonic/gin"

	"qifeng/api/wire"
	"qifeng/chain"
	"qifeng/evidence"
)

// postKey hands a signed key entry to the chain and waits until it is in a
// block: POST /v1/keys. The chain decides; what is checked here before only
// makes the answer quick and clear. An entry that has taken effect already is
// answered with 200, so a retry is harmless.
func (s *Server) postKey(c *gin.Context) error {
	body, err := io.ReadAll(c.Request.Body)
	if err != nil {
		return bodyFault(err)
	}
	entry, err := s.checkEntry(body)
	if err != nil {
		return err
	}
	key, done, err := s.effect(entry)
	if err != nil {
		return err
	}
	if done {
		return render(c, http.StatusOK, wire.KeyResult{Committed: true, Key: key})
	}
	// Seen lately is not yet in: then the wait tells.
	if err := s.cfg.Chain.Submit(c.Request.Context(), body); err != nil && !errors.Is(err, chain.ErrDuplicate) {
		return err
	}
	d := keyWait
	if asked := preferred(c.Request.Header).wait; asked > 0 {
		d = asked
		applied(c, preferences{wait: d})
	}
	err = s.wait(c, d, func() (bool, error) {
		key, done, err = s.effect(entry)
		return done, err
	})
	if err != nil {
		return err
	}
	status := http.StatusAccepted
	if done {
		status = http.StatusCreated
	}
	return render(c, status, wire.KeyResult{Committed: done, Key: key})
}

// checkEntry reads a key entry and checks its signature with the member's admin key.
func (s *Server) checkEntry(body []byte) (*evidence.KeyEntry, error) {
	entry, err := evidence.ParseKeyEntry(body)
	if err != nil {
		return nil, bodyInvalid(err)
	}
	p := s.cfg.Chain.Policy()
	member, ok := p.Epochs[len(p.Epochs)-1].Member(entry.Member)
	if !ok {
		return nil, faultf(invalid, "member", "is no member of this consortium")
	}
	if err := entry.Signed.Verify(p.Chain, member.Admin); err != nil {
		return nil, &fault{kind: badSignature, field: "sig", cause: err,
			detail: fmt.Sprintf("a key entry is signed with the admin key of %s for chain %s", entry.Member, p.Chain)}
	}
	return entry, nil
}

// effect reports whether an entry has taken effect, with the key as it stands.
// An entry that never can is a conflict.
func (s *Server) effect(e *evidence.KeyEntry) (*wire.Key, bool, error) {
	key, ok, err := s.cfg.Chain.Key(e.Member, e.Key)
	if err != nil {
		return nil, false, fmt.Errorf("finding key %s of %s: %w", e.Key, e.Member, err)
	}
	if e.Action == evidence.Revoke {
		if !ok {
			return nil, false, faultf(conflict, "key", "%s has no key of the name %q to revoke", e.Member, e.Key)
		}
		return wireKey(key), key.RevokedAt != nil, nil
	}
	switch {
	case !ok:
		return nil, false, nil
	case key.PublicKey != e.PublicKey || key.Purpose != e.Purpose || key.RevokedAt != nil:
		return nil, false, &fault{kind: conflict, field: "key", mend: "choose another name",
			detail: fmt.Sprintf("the name %q of %s is taken; a name serves one key for ever", e.Key, e.Member)}
	}
	return wireKey(key), true, nil
}

// getKeys lists the registered keys, of one member or of all: GET /v1/keys[?member=].
func (s *Server) getKeys(c *gin.Context) error {
	member, err := memberParam(c.Request.URL.RawQuery)
	if err != nil {
		return err
	}
	keys, err := s.cfg.Chain.Keys(member)
	if errors.Is(err, chain.ErrNotFound) {
		return faultf(notFound, "member", "is no member of this consortium")
	}
	if err != nil {
		return fmt.Errorf("listing keys: %w", err)
	}
	out := wire.Keys{Keys: make([]wire.Key, len(keys))}
	for i := range keys {
		out.Keys[i] = *wireKey(keys[i])
	}
	return render(c, http.StatusOK, out)
}

func wireKey(k chain.Key) *wire.Key {
	return &wire.Key{
		Member: k.Member, Name: k.Name, PublicKey: k.PublicKey.String(), Purpose: string(k.Purpose),
		Index: k.Index, RevokedAt: k.RevokedAt,
	}
}
