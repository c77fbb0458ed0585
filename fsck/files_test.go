package fsck_test

import (
	"bytes"
	"os"
	"testing"

	"qifeng/fsck"
)

// TestSomeBytes changes bytes all over the files whose form is not ours to choose.
func TestSomeBytes(t *testing.T) {
	for _, pattern := range []string{
		ledgerDir + "/*.ldb", ledgerDir + "/MANIFEST-*", cometDir + "blockstore.db/*.ldb", cometDir + "state.db/*.ldb", cometDir + "cs.wal/wal",
		"data/archive/journal/*.journal", "keys/consensus.last-signed.json", "keys/consensus.json", "keys/node.json", "keys/intake.pem", "keys/guard.json",
	} {
		t.Run(pattern, func(t *testing.T) {
			t.Parallel()
			d := newDamaged(t, vendor)
			path := d.path(pattern)
			good, err := os.ReadFile(path)
			d.ok(err)
			for at := len(good) - 1; at >= 0; at -= max(1, len(good)/10) {
				if good[at] == '\n' || good[at] == ' ' { // may be another kind of space
					continue
				}
				bad := bytes.Clone(good)
				bad[at] ^= 0x10
				d.ok(os.WriteFile(path, bad, 0o600))
				if r := check(t, d.dir, vendor); r.Result != fsck.Wrong {
					t.Errorf("byte %d of %d changed from %q to %q: %s", at, len(good), good[at], bad[at], r.Result)
				}
			}
		})
	}
}
