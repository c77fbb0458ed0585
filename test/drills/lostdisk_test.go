package drills

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"qifeng/api/client"
	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/test/testnet"
)

// qifeng runs a command to its end and returns what it printed.
func (n *network) qifeng(code int, args ...string) string {
	n.t.Helper()
	r := testnet.Must(n.t, code, append(args, "--lang", "en")...)
	return r.Out + r.Err
}

// says runs a command that must end well and print all of words.
func (n *network) says(out string, words ...string) {
	n.t.Helper()
	for _, w := range words {
		if !strings.Contains(out, w) {
			n.t.Errorf("it does not say %q:\n%s", w, out)
		}
	}
}

func (n *network) policy() *checkpoint.Policy {
	n.t.Helper()
	return testnet.Policy(n.t, filepath.Join(n.Home(steady), "policy.txt"))
}

// sealed submits contracts and keeps their proofs.
func (n *network) sealed(what string, count int) map[evidence.ID]*proof.File {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	out := map[evidence.ID]*proof.File{}
	for i := range count {
		id, err := n.submit(ctx, fmt.Sprintf("%s %d", what, i))
		if err == nil {
			out[id], err = n.cl.WaitProof(ctx, id)
		}
		if err != nil {
			n.t.Fatalf("%s %d: %v", what, i, err)
		}
	}
	return out
}

// TestLostDisk is the runbook "Lost disk" of docs/operations.md, on a vendor under
// load: backup while it runs, loss of the home, restore, start. What was sealed
// before the backup is served and proves; what came after is named; nothing is
// signed twice. It is short enough for `go test ./...`.
func TestLostDisk(t *testing.T) {
	n := newNetwork(t, plain)
	n.ready(vendor)
	policy := n.policy()
	before := n.sealed("before the backup", 3)

	ctx, stopLoad := context.WithCancel(t.Context())
	loaded := n.load(ctx)
	dir := filepath.Join(t.TempDir(), "backup")
	n.says(n.qifeng(0, "backup", "--home", n.Home(vendor), "--to", dir), "backed up vendor-a", "WARNING: the backup holds the signing keys")
	n.says(n.qifeng(2, "backup", "--home", n.Home(steady), "--to", dir), "another node")
	n.says(n.qifeng(0, "backup", "--home", n.Home(vendor), "--to", dir), "backed up vendor-a") // only what is new
	n.says(n.qifeng(0, "restore", "--from", dir, "--check"), "every file is what the manifest says")
	stopLoad()
	during := loaded()
	after := n.sealed("after the backup", 3)

	n.Nodes[vendor].End(n.t, syscall.SIGKILL)
	if err := os.RemoveAll(n.Home(vendor)); err != nil {
		t.Fatal(err)
	}
	n.damaged(dir)
	n.says(n.qifeng(0, "restore", "--from", dir, "--home", n.Home(vendor)), "put back into", "marked as restored", "not started since", "good: ", "qifeng start --home")
	n.says(n.qifeng(1, "restore", "--from", dir, "--home", n.Home(vendor)), "not empty")
	for _, mark := range []string{"data/restored", "data/archive/RESTORED"} {
		if _, err := os.Stat(filepath.Join(n.Home(vendor), mark)); err != nil {
			t.Error(err)
		}
	}
	began := time.Now()
	n.start(vendor, plain)
	n.seals(vendor)
	t.Logf("sealing again %s after the start", time.Since(began).Round(time.Millisecond))

	for id, f := range before {
		n.holds(t.Context(), id)
		proves(t, f, policy, id)
	}
	st, err := n.status(vendor)
	if err != nil || st.Intake.Lost == nil || st.Intake.Lost.Records < uint64(len(after)) {
		t.Fatalf("%+v, %v", st.Intake.Lost, err)
	}
	gone := 0
	for id, f := range after {
		proves(t, f, policy, id)
		n.lost(id)
	}
	for _, id := range during {
		if records, err := n.cl.Record(t.Context(), id); err == nil && len(records) > 0 {
			n.holds(t.Context(), id)
		} else {
			n.lost(id)
			gone++
		}
	}
	t.Logf("of %d records taken in while it was backed up %d are lost; %s", len(during), gone, st.Intake.Lost.Detail)
	if want := uint64(len(after) + gone); st.Intake.Lost.Records < want {
		t.Errorf("%d lost records are named, %d were lost", st.Intake.Lost.Records, want)
	}
	n.says(n.qifeng(0, "status", "--home", n.Home(vendor)), "restored from a backup", "a mirror must answer",
		fmt.Sprintf("batch %d, ledger entry", st.Intake.Lost.Last), "ALARM: gap")
	n.proved("after the restore")
	n.once()
	n.stop(vendor)
	n.says(n.qifeng(0, "fsck", "--home", n.Home(vendor)), "lost when this home was restored", "good: ")
}

// proves holds a proof that was fetched earlier against the policy.
func proves(t *testing.T, f *proof.File, p *checkpoint.Policy, id evidence.ID) {
	t.Helper()
	if r := proof.Verify(f, p, nil, proof.Options{}); r.Result != proof.Proved {
		t.Errorf("the proof of %s that was kept:\n%s", id, r.Text(proof.English))
	}
}

// lost checks that the vendor does not have a record and says what it lost.
func (n *network) lost(id evidence.ID) {
	n.t.Helper()
	_, err := n.cl.Record(n.t.Context(), id)
	var p *client.Problem
	if !errors.As(err, &p) || p.Status != 404 || !strings.Contains(p.Detail, "were lost after a backup: a mirror must answer") {
		n.t.Errorf("%s: %v", id, err)
	}
}

// damaged checks that a backup with a changed or a truncated file is refused.
func (n *network) damaged(dir string) {
	n.t.Helper()
	batches, err := filepath.Glob(filepath.Join(dir, "batches", "*", "*.batch"))
	if err != nil || len(batches) == 0 {
		n.t.Fatalf("the backup has no batches: %v", err)
	}
	for _, path := range []string{batches[0], filepath.Join(dir, "MANIFEST")} {
		whole, err := os.ReadFile(path)
		if err != nil {
			n.t.Fatal(err)
		}
		flipped := bytes.Clone(whole)
		flipped[len(flipped)/2] ^= 1
		for _, bad := range [][]byte{flipped, whole[:len(whole)-1]} {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				n.t.Fatal(err)
			}
			n.says(n.qifeng(1, "restore", "--from", dir, "--home", n.Home(vendor)), path, "damaged")
			if _, err := os.Stat(n.Home(vendor)); !errors.Is(err, os.ErrNotExist) {
				n.t.Fatalf("a refused restore leaves a home: %v", err)
			}
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			n.t.Fatal(err)
		}
	}
}

// once checks that nothing was signed twice: no other member has an alarm or a
// fraud proof, the restored one has no alarms but those of a restored home, and
// the ledger's entries hold by a second implementation of its rules.
func (n *network) once() {
	n.t.Helper()
	n.noAlarms(vendor)
	st, err := n.status(vendor)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, a := range append(st.Ledger.Alarms, st.Intake.Alarms...) {
		if !strings.Contains(a, " guard-remade: ") && !strings.Contains(a, " released: ") && !strings.HasPrefix(a, "gap: ") {
			n.t.Errorf("an alarm of the restored member: %s", a)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(n.Home(vendor), "data", "fraud", "*")); len(files) > 0 {
		n.t.Errorf("fraud proofs at the restored member: %v", files)
	}
	for _, m := range []string{steady, vendor} {
		n.says(n.qifeng(0, "monitor", "http://"+n.APIs[m], "--policy", filepath.Join(n.Home(steady), "policy.txt"),
			"--home", n.Home(vendor), "--read-key", filepath.Join(n.Home(vendor), "keys", "read.pem"),
			"--state", filepath.Join(n.t.TempDir(), "state"), "--once", "--entries"), "first")
	}
}
