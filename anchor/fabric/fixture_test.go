package fabric

import (
	"os"
	"path/filepath"
	"testing"

	"qifeng/anchor"
	"qifeng/anchor/anchortest"
	"qifeng/proof"
	"qifeng/proof/fabric"
)

// writeFixture keeps what a real network gave, for tests that have none:
//
//	QIFENG_FABRIC_FIXTURE=proof/fabric/testdata/raft go test ./anchor/fabric -run TestRaft
func writeFixture(t *testing.T, dir string, chain *anchortest.Chain, cp anchor.Checkpoint, want fabric.Statement, pinned *fabric.Channel, good, invalidated []byte) {
	t.Helper()
	roots, err := (&proof.AnchorRoots{Chain: chain.Policy.Chain, Fabric: []fabric.Channel{*pinned}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	policy, err := chain.Policy.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"anchor-roots.json": roots, "policy.txt": policy, "note.txt": cp.Note, "statement.json": want.Marshal(),
		"receipt.json": good, "invalidated.json": invalidated,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
