package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
	"qifeng/test/tsa"
)

// sealedGenesis is the checkpoint of a ledger that has its genesis alone, sealed
// with the keys of all homes.
func sealedGenesis(t *testing.T, n *testNet) string {
	t.Helper()
	policy, err := loadPolicy(n.home(0).path(policyName))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(n.home(0).path(genesisName))
	if err != nil {
		t.Fatal(err)
	}
	cp := checkpoint.Checkpoint{Origin: checkpoint.Origin(policy.Chain), Size: 1, Root: merkle.Root([]merkle.Digest{merkle.LeafHash(raw)})}
	var seals []checkpoint.Seal
	for i, m := range n.state.Members {
		cfg, err := n.home(i).config()
		if err != nil {
			t.Fatal(err)
		}
		_, keys, err := nodeKeys(n.home(i), cfg)
		if err != nil {
			t.Fatal(err)
		}
		s, err := checkpoint.Sign(cp, m.ID, time.Now().Unix(), keys)
		if err != nil {
			t.Fatal(err)
		}
		seals = append(seals, s)
	}
	note, err := checkpoint.Note(cp, seals, &policy.Epochs[0])
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, t.TempDir(), "note.txt", string(note))
}

// TestAnchorTestSaysWhatIsWrong: without a running node, by a checkpoint in a
// file; each fault of a real authority is named with what to do about it.
func TestAnchorTestSaysWhatIsWrong(t *testing.T) {
	n := newTestNet(t)
	h := n.home(0)
	good := anchoredHome(t, n, 0, "")
	locked := tsa.Start(t, tsa.Config{Alg: tsa.ECDSA, User: "u", Password: "p"})
	appendConfig(t, h, fmt.Sprintf("[anchor.locked]\nkind = 'rfc3161'\nurl = '%s'\nroots = 'tsa-roots.pem'\n"+
		"[anchor.slow]\nkind = 'rfc3161'\ntimeout = '1s'\nurl = '%s'\nroots = 'tsa-roots.pem'\n"+
		"[anchor.nowhere]\nkind = 'rfc3161'\nurl = 'http://127.0.0.1:1/'\nroots = 'tsa-roots.pem'\n", locked.URL, good.URL))
	n.command("anchor", "roots", "--home", string(h), "--force")
	note := sealedGenesis(t, n)
	test := func(name string) (int, string) {
		return n.run("anchor", "test", name, "--home", string(h), "--checkpoint", note)
	}

	code, out := test("tsa")
	if code != 0 || !strings.Contains(out, "anchor tsa works: ledger size 1") || !strings.Contains(out, "fingerprint") {
		t.Fatalf("%d %s", code, out)
	}
	if entries, err := os.ReadDir(h.path("data")); err == nil && len(entries) > 0 {
		t.Errorf("the test wrote into the home: %v", entries)
	}
	for _, tc := range []struct {
		name, anchor string
		fault        tsa.Fault
		want         string
	}{
		{"nobody listens", "nowhere", tsa.Fault{}, "does it run"},
		{"it wants a password", "locked", tsa.Fault{}, "user and password_file"},
		{"it hangs", "slow", tsa.Fault{Hang: true}, "raise timeout"},
		{"another path", "tsa", tsa.Fault{Status: 404}, "see url"},
		{"a page for people", "tsa", tsa.Fault{Body: []byte("<html>"), Type: "text/html"}, "no time-stamp authority"},
		{"it refuses the digest", "tsa", tsa.Fault{RejectAlg: true}, "see hash"},
	} {
		good.Fail(tc.fault)
		code, out := test(tc.anchor)
		if code != 1 || !strings.Contains(out, "how to mend it: ") || !strings.Contains(out, tc.want) {
			t.Errorf("%s: %d %s", tc.name, code, out)
		}
	}
	good.Fail(tsa.Fault{})

	// The roots of another authority under the same name.
	other := tsa.Start(t, tsa.Config{Alg: tsa.ECDSA})
	writeFile(t, string(h), "tsa-roots.pem", string(other.RootPEM()))
	n.command("anchor", "roots", "--home", string(h), "--force")
	if code, out := test("tsa"); code != 1 || !strings.Contains(out, "qifeng anchor roots --force") {
		t.Errorf("%d %s", code, out)
	}
	// What is not sealed is not anchored, what is no note is unreadable.
	raw, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(raw), "\n")
	note = writeFile(t, t.TempDir(), "few.txt", strings.Join(lines[:len(lines)-5], ""))
	if code, out := test("tsa"); code != 3 {
		t.Errorf("without its quorum: %d %s", code, out)
	}
	note = filepath.Join(t.TempDir(), "none")
	if code, out := test("tsa"); code != 2 {
		t.Errorf("a file that is not there: %d %s", code, out)
	}
}
