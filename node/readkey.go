package node

import (
	"context"
	"errors"
	"io/fs"

	"qifeng/api/client"
	"qifeng/api/httpsig"
	"qifeng/evidence"
)

// readingKey loads --read-key, or the home's read key. why says what it is
// needed for; without it nothing is begun.
func (a *app) readingKey(whyZH, whyEN string) (*userKey, error) {
	path := a.readKey
	if path == "" {
		path = a.home.path(readKey)
	}
	key, err := loadUserKey(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, usagef("%s: %s\n%s", path, a.lang.T(whyZH, whyEN), a.howToRead(path))
	case err != nil:
		return nil, usagef("--read-key: %w", err)
	}
	return key, nil
}

// howToRead says how a read key is made and registered. Both are commands of the
// member's administrator, at the member's home.
func (a *app) howToRead(path string) string {
	home := shellQuote(string(a.home))
	return a.lang.T("没有读取密钥（用途 read）。请生成并登记：", "There is no read key (purpose read). Make one and register it:") +
		"\n  qifeng key new read --home " + home + " --out " + shellQuote(path) +
		"\n  qifeng key register " + shellQuote(path) + " --home " + home + " --purpose read"
}

// readingClient is a client that signs what it reads with key.
func (a *app) readingClient(key *userKey) (*client.Client, error) {
	return a.clientWith(client.Options{KeyID: httpsig.KeyID(key.Member, key.Name), Signer: key})
}

// canRead asks the register whether key opens anything, so that nothing is sent
// whose proof could not be fetched. A node that does not answer says nothing of
// the key; what comes next will tell of it.
func (a *app) canRead(ctx context.Context, c *client.Client, key *userKey) error {
	keys, err := c.Keys(ctx, key.Member)
	if err != nil {
		return nil
	}
	id := httpsig.KeyID(key.Member, key.Name)
	for _, k := range keys {
		switch {
		case k.Name != key.Name || k.PublicKey != key.Public().String():
		case k.RevokedAt != nil:
			return usagef("--read-key: %s", a.lang.T(id+" 已吊销：请换一把", id+" is revoked: use another"))
		case k.Purpose != string(evidence.Read):
			return usagef("--read-key: %s", a.lang.T(id+" 的登记用途是 "+k.Purpose+"，不是 read", id+" is registered for "+k.Purpose+", not for read"))
		default:
			return nil
		}
	}
	return usagef("--read-key: %s\n  qifeng key register KEYFILE --home HOME --purpose read",
		a.lang.T(id+" 尚未登记。请登记：", id+" is not registered. Register it:"))
}
