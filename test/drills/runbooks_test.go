package drills

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qifeng/api/client"
)

// spoil changes a byte in the middle of a file.
func (n *network) spoil(path string) {
	n.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		n.t.Fatalf("%s has %d bytes: %v", path, len(b), err)
	}
	b[len(b)/2] ^= 0x10
	if err := os.WriteFile(path, b, 0o600); err != nil {
		n.t.Fatal(err)
	}
}

func (n *network) one(pattern string) string {
	n.t.Helper()
	list, err := filepath.Glob(pattern)
	if err != nil || len(list) == 0 {
		n.t.Fatalf("nothing is %s: %v", pattern, err)
	}
	return list[0]
}

// TestRunbookCorruptFile is "Corrupt file" of docs/operations.md, for each of the
// sorts of files that it tells apart.
func TestRunbookCorruptFile(t *testing.T) {
	asked(t)
	n := newNetwork(t, plain)
	n.ready(vendor)
	records := n.sealed("preserved", 4)
	backup := filepath.Join(t.TempDir(), "backup")
	n.qifeng(0, "backup", "--home", n.Home(vendor), "--to", backup)
	n.stop(vendor)
	home, data := n.Home(vendor), filepath.Join(n.Home(vendor), "data")
	holds := func() {
		t.Helper()
		n.qifeng(0, "fsck", "--home", home)
		n.start(vendor, plain)
		n.seals(vendor)
		for id := range records {
			n.holds(t.Context(), id)
		}
		n.stop(vendor)
	}

	t.Log("a batch of the archive: it comes back from the backup")
	batch := n.one(filepath.Join(data, "archive", "batches", "*", "*.batch"))
	n.spoil(batch)
	name := strings.TrimPrefix(batch, home+"/")
	n.says(n.qifeng(1, "fsck", "--home", home), "wrong: "+name, "put this file back from a backup")
	good, err := os.ReadFile(n.one(filepath.Join(backup, "batches", "*", filepath.Base(batch))))
	if err == nil {
		err = os.WriteFile(batch, good, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	holds()

	t.Log("the chain: it comes back from the others")
	n.spoil(n.one(filepath.Join(data, "chain", "ledger", "*.log")))
	n.says(n.qifeng(1, "fsck", "--home", home), "wrong: data/chain/ledger", "leave it away and start")
	if err := os.Rename(filepath.Join(data, "chain"), filepath.Join(t.TempDir(), "chain")); err != nil {
		t.Fatal(err)
	}
	n.start(vendor, plain)
	n.seals(vendor)
	n.stop(vendor)
	holds()

	t.Log("the index: it is derived")
	index := filepath.Join(data, "archive", "index")
	n.spoil(n.one(filepath.Join(index, "runs", "*.run")))
	n.says(n.qifeng(1, "fsck", "--home", home), "wrong: data/archive/index/runs/", "move data/archive/index away")
	if err := os.Rename(index, filepath.Join(t.TempDir(), "index")); err != nil {
		t.Fatal(err)
	}
	holds() // made again by the node itself

	t.Log("the guard: it is made again from the others' seals, and fsck says that it is not readable")
	guard := filepath.Join(home, "keys", "guard.json")
	n.spoil(guard)
	n.says(n.qifeng(1, "fsck", "--home", home), "wrong: keys/guard.json")
	n.start(vendor, plain)
	n.refuses(vendor, "guard-unreadable")
	n.stop(vendor)
	if err := os.Rename(guard, guard+".damaged"); err != nil {
		t.Fatal(err)
	}
	n.start(vendor, plain)
	n.seals(vendor)
	n.stop(vendor)
	holds()
}

// TestRunbookLostKey is "Lost key" of docs/operations.md: a user's key is replaced,
// a node's key comes back from its copy.
func TestRunbookLostKey(t *testing.T) {
	asked(t)
	n := newNetwork(t, plain)
	n.ready(vendor)
	records := n.sealed("with the old key", 2)
	home, out := n.Home(vendor), filepath.Join(t.TempDir(), "orders.pem")

	t.Log("a submit key")
	n.qifeng(0, "key", "revoke", "submit", "--home", home)
	n.eventually(30e9, "the old key is refused", func() error {
		_, err := n.submit(t.Context(), "with a revoked key")
		var p *client.Problem
		if !errors.As(err, &p) || p.Code != "revoked-key" {
			return errors.Join(errors.New("it is taken"), err)
		}
		return nil
	})
	n.qifeng(0, "key", "new", "orders", "--home", home, "--out", out)
	n.qifeng(0, "key", "register", out, "--home", home)
	doc := filepath.Join(t.TempDir(), "contract.txt")
	if err := os.WriteFile(doc, []byte("with the new key"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.qifeng(0, "submit", doc, "--home", home, "--key", out, "--wait")
	n.qifeng(0, "verify", doc, "--policy", filepath.Join(n.Home(steady), "policy.txt"))
	for id := range records {
		n.holds(t.Context(), id) // what the old key submitted stays proved
	}

	for _, name := range []string{"seal-sm2.pem", "intake.pem", "consensus.json"} {
		t.Logf("%s of the node, which has a copy", name)
		path := filepath.Join(home, "keys", name)
		copied, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		n.stop(vendor)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		n.says(n.qifeng(1, "fsck", "--home", home), "wrong: keys/"+name)
		n.start(vendor, plain)
		<-n.Nodes[vendor].Done
		if log, err := os.ReadFile(n.Nodes[vendor].Log); err != nil || !bytes.Contains(log, []byte(name)) {
			t.Errorf("it ends without naming %s: %v", name, err)
		}
		n.goesOn(steady)
		if err := os.WriteFile(path, copied, 0o600); err != nil {
			t.Fatal(err)
		}
		n.start(vendor, plain)
		n.seals(vendor)
	}
	n.noAlarms()
}

// goesOn checks that the chain goes on at a member: a later block is sealed.
func (n *network) goesOn(member string) {
	n.t.Helper()
	before, err := n.status(member)
	if err != nil {
		n.t.Fatal(err)
	}
	n.eventually(60e9, "the others go on", func() error {
		st, err := n.status(member)
		if err == nil && (st.Ledger.Height <= before.Ledger.Height || !of(st, member).Fresh) {
			err = errors.New("no later block")
		}
		return err
	})
}
