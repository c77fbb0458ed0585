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

// keep writes a file of testdata/ of package proof/fabric, for tests that have no
// network, if it is told where to:
//
//	QIFENG_FABRIC_FIXTURE=$PWD/proof/fabric/testdata/raft go test ./anchor/fabric -run 'TestRaft$'
func keep(t *testing.T, name string, b []byte) {
	t.Helper()
	dir := os.Getenv("QIFENG_FABRIC_FIXTURE")
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// keepChannel writes what a court holds.
func keepChannel(t *testing.T, chain *anchortest.Chain, pinned *fabric.Channel) {
	t.Helper()
	roots, err := (&proof.AnchorRoots{Chain: chain.Policy.Chain, Fabric: []fabric.Channel{*pinned}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	policy, err := chain.Policy.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	keep(t, "anchor-roots.json", roots)
	keep(t, "policy.txt", policy)
}

// keepReceipt writes a receipt and the note that it covers.
func keepReceipt(t *testing.T, name string, cp anchor.Checkpoint, receipt []byte) {
	t.Helper()
	keep(t, name+".json", receipt)
	keep(t, name+".note.txt", cp.Note)
}
