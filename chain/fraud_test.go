package chain

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"

	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// frauds reads the proofs that a node has kept; each must be proved against the
// policy of the genesis.
func frauds(t *testing.T, ch *Chain) map[string]*proof.FraudReport {
	t.Helper()
	out := map[string]*proof.FraudReport{}
	files, err := filepath.Glob(filepath.Join(ch.cfg.FraudDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		f, err := proof.ParseFraud(must[[]byte](t)(os.ReadFile(path)))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		r := proof.VerifyFraud(f, ch.Policy(), proof.Options{Second: true})
		if r.Result != proof.Proved {
			t.Errorf("%s is not proved:\n%s", path, r.Text(proof.English))
		}
		out[filepath.Base(path)] = r
	}
	return out
}

// lie is a correct seal of a member on a root that no ledger here has.
func (n *sealNet) lie(member string, size uint64, other string) wireSeal {
	w := wireSeal{size: size, root: merkle.LeafHash([]byte(other))}
	w.seal = must[checkpoint.Seal](n.f.tb)(checkpoint.Sign(n.f.c.checkpoint(size, w.root), member, n.clock.Unix(), n.f.parties[member].seals))
	return w
}

func (s *sealNode) hears(from string, kind byte, w wireSeal) {
	s.ch.sealer.receive(inbound{peer: s.net.f.c.members[from].nodeID, msg: &message{kind: kind, seals: []wireSeal{w}}})
}

// TestSplitViewIsKept: two seals of one member for one size with different
// roots become a proof, in whatever order and by whatever way they come.
func TestSplitViewIsKept(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, f.ids...)
	court := n.nodes["court-a"]
	n.block()
	n.block(f.batch("court-a", 1, nil))

	t.Log("the lie comes first: an alarm, and a proof once the other seal is here")
	lie := n.lie("vendor-a", 2, "another ledger")
	court.hears("vendor-a", msgLive, lie)
	if len(court.ch.alarms) != 1 || court.ch.alarms[0].Code != CodeSplitView || len(frauds(t, court.ch)) != 0 {
		t.Fatalf("alarms %+v, proofs %v", court.ch.alarms, frauds(t, court.ch))
	}
	n.step(time.Second)
	if r := frauds(t, court.ch)["split-view-vendor-a-2.json"]; r == nil || r.Number != 2 || r.Fraud.Member != "vendor-a" {
		t.Fatalf("proofs %v", frauds(t, court.ch))
	}

	t.Log("the lie comes last, by another member's answer")
	court.hears("notary-a", msgAnswer, n.lie("notary-a", 1, "x"))
	t.Log("two lies of one who has not sealed our root")
	size := n.nodes["court-a"].ch.Size() + 1
	n.nodes["arbitration-a"].cut = true
	n.block(f.batch("court-a", 2, nil))
	n.step(time.Second)
	court.hears("vendor-a", msgAnswer, n.lie("arbitration-a", size, "x"))
	court.hears("vendor-a", msgAnswer, n.lie("arbitration-a", size, "y"))
	t.Log("its own seals, made elsewhere")
	court.hears("vendor-a", msgLive, n.lie("court-a", size, "z"))
	got := frauds(t, court.ch)
	for _, name := range []string{"split-view-notary-a-1.json", fmt.Sprintf("split-view-arbitration-a-%d.json", size), fmt.Sprintf("split-view-court-a-%d.json", size)} {
		if got[name] == nil {
			t.Errorf("no %s among %d proofs", name, len(got))
		}
	}
	before := must[os.FileInfo](t)(os.Stat(filepath.Join(court.ch.cfg.FraudDir, "split-view-notary-a-1.json")))
	court.hears("notary-a", msgAnswer, n.lie("notary-a", 1, "once more"))
	if after := must[os.FileInfo](t)(os.Stat(filepath.Join(court.ch.cfg.FraudDir, "split-view-notary-a-1.json"))); !os.SameFile(before, after) {
		t.Error("a proof was replaced")
	}

	t.Log("what a crash left out is written at the next start")
	if err := os.RemoveAll(court.ch.cfg.FraudDir); err != nil {
		t.Fatal(err)
	}
	if err := court.ch.store.close(); err != nil {
		t.Fatal(err)
	}
	delete(n.nodes, "court-a")
	if again := frauds(t, n.open("court-a").ch); len(again) != len(got) {
		t.Errorf("%d proofs after a restart, %d before", len(again), len(got))
	}
}

// TestDoubleBatchIsKept: a second header for one number, by a block or by
// whoever submits it.
func TestDoubleBatchIsKept(t *testing.T) {
	f := newFixture(t)
	ch := f.ledgerOf("court-a")
	longer := func(d time.Duration) func(*evidence.Batch) {
		return func(b *evidence.Batch) { b.LastReceivedAt = b.LastReceivedAt.Add(d) }
	}
	check := func(tx []byte) {
		t.Helper()
		res, err := ch.app.CheckTx(t.Context(), &abci.RequestCheckTx{Tx: tx})
		if err != nil || code(res.Code) != codeSeq {
			t.Errorf("CheckTx: %+v %v", res, err)
		}
	}
	f.block(ch, f.batch("vendor-a", 1, nil), f.batch("vendor-a", 1, longer(time.Second)))
	if got := frauds(t, ch); len(ch.alarms) != 1 || ch.alarms[0].Code != CodeDoubleBatch || got["double-batch-vendor-a-1.json"] == nil {
		t.Fatalf("two in one block: alarms %+v, proofs %v", ch.alarms, got)
	}
	f.block(ch, f.batch("vendor-a", 2, nil))
	check(f.batch("vendor-a", 2, nil)) // the same header, signed again
	check(spoil(f.batch("vendor-a", 2, longer(time.Second))))
	if len(ch.alarms) != 1 {
		t.Fatalf("alarms without a lie: %+v", ch.alarms[1:])
	}
	for range 3 {
		check(f.batch("vendor-a", 2, longer(time.Minute)))
	}
	if got := frauds(t, ch); len(ch.alarms) != 2 || got["double-batch-vendor-a-2.json"] == nil || got["double-batch-vendor-a-2.json"].Number != 2 {
		t.Errorf("submitted: alarms %d, proofs %v", len(ch.alarms), got)
	}
}

// TestFraudThatCannotBeWritten changes nothing but that there is no file.
func TestFraudThatCannotBeWritten(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, f.ids...)
	n.block()
	n.step(time.Second)
	court := n.nodes["court-a"]
	if err := os.WriteFile(court.ch.cfg.FraudDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	court.hears("vendor-a", msgLive, n.lie("vendor-a", 1, "another ledger"))
	if len(court.ch.alarms) != 1 {
		t.Errorf("alarms %+v", court.ch.alarms)
	}
}

func TestFraudsAreBounded(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, f.ids...)
	n.block()
	n.step(time.Second)
	court := n.nodes["court-a"]
	if err := os.MkdirAll(court.ch.cfg.FraudDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range maxFrauds {
		if err := os.WriteFile(filepath.Join(court.ch.cfg.FraudDir, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	court.hears("vendor-a", msgLive, n.lie("vendor-a", 1, "another ledger"))
	if files := must[[]os.DirEntry](t)(os.ReadDir(court.ch.cfg.FraudDir)); len(files) != maxFrauds {
		t.Errorf("%d files", len(files))
	}
}
