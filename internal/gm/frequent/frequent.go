// Package frequent verifies signatures of keys that come often, as those of
// submitters and readers do, by the tables of [gm.Verifier]. It accepts exactly
// what [gm.PublicKey.Verify] accepts; a verdict over a proof does not ask it, for
// the reason that Verifier gives. Whoever signs may lie to it; how many keys it
// remembers is bounded.
package frequent

import (
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"qifeng/internal/gm"
)

const (
	// keptTables bounds the tables: 64 of gm.VerifierSize are below 20 MiB. A key
	// gets one after tableAfter signatures, whose verification took as long as a
	// table does; keptCounts bounds for how many keys that is counted.
	keptTables = 64
	tableAfter = 16
	keptCounts = 1024
)

// Keys keeps the tables of the keys that come most. It is safe for concurrent
// use; its zero value is not.
type Keys struct {
	mu     sync.Mutex // guards the count in seen
	seen   *lru.Cache[gm.PublicKey, int]
	tables *lru.Cache[gm.PublicKey, *gm.Verifier]
}

// New begins with no tables.
func New() *Keys {
	seen, err := lru.New[gm.PublicKey, int](keptCounts)
	if err == nil {
		var tables *lru.Cache[gm.PublicKey, *gm.Verifier]
		if tables, err = lru.New[gm.PublicKey, *gm.Verifier](keptTables); err == nil {
			return &Keys{seen: seen, tables: tables}
		}
	}
	panic(err) // the sizes are constants above zero
}

// Verify checks a signature as k.Verify does.
func (v *Keys) Verify(k gm.PublicKey, msg, sig []byte) error {
	if table, ok := v.tables.Get(k); ok {
		return table.Verify(msg, sig)
	}
	err := k.Verify(msg, sig)
	if err == nil && v.due(k) {
		v.tables.Add(k, k.Verifier())
	}
	return err
}

// due counts a signature of k and says, once, that k has earned a table.
func (v *Keys) due(k gm.PublicKey) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	n, _ := v.seen.Get(k)
	if n++; n >= tableAfter {
		v.seen.Remove(k)
		return true
	}
	v.seen.Add(k, n)
	return false
}
