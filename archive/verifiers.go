package archive

import (
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"qifeng/internal/gm"
)

// verifiers keeps the tables of the keys that submit most. A table takes memory
// and the time of about ten verifications, so a key gets one only after some
// statements, and only the last keptVerifiers keys keep theirs.
type verifiers struct {
	mu     sync.Mutex // guards the count in seen
	seen   *lru.Cache[gm.PublicKey, int]
	tables *lru.Cache[gm.PublicKey, *gm.Verifier]
}

func newVerifiers() *verifiers {
	seen, err := lru.New[gm.PublicKey, int](keptCounts)
	if err == nil {
		var tables *lru.Cache[gm.PublicKey, *gm.Verifier]
		if tables, err = lru.New[gm.PublicKey, *gm.Verifier](keptVerifiers); err == nil {
			return &verifiers{seen: seen, tables: tables}
		}
	}
	panic(err) // the sizes are constants above zero
}

// verify checks a signature as k.Verify does.
func (v *verifiers) verify(k gm.PublicKey, msg, sig []byte) error {
	if table, ok := v.tables.Get(k); ok {
		return table.Verify(msg, sig)
	}
	err := k.Verify(msg, sig)
	if err == nil && v.due(k) {
		v.tables.Add(k, k.Verifier())
	}
	return err
}

// due counts a statement of k and says, once, that k has earned a table.
func (v *verifiers) due(k gm.PublicKey) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	n, _ := v.seen.Get(k)
	if n++; n >= verifierAfter {
		v.seen.Remove(k)
		return true
	}
	v.seen.Add(k, n)
	return false
}
