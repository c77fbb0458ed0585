package chain

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func (s *sealNode) guardStatus() GuardStatus {
	_, g := s.ch.sealer.report()
	return g
}

// TestSkewedMember is a consortium in which one clock is wrong by seconds and by
// minutes, both ways: what the member does, what the others collect, and what
// is shown. Block time is what the true clocks say.
func TestSkewedMember(t *testing.T) {
	all, three := []string{"arbitration-a", "court-a", "notary-a", "vendor-a"}, []string{"arbitration-a", "court-a", "notary-a"}
	cases := []struct {
		skew  time.Duration
		code  Code     // why the member gives no seal
		at    []string // whose seals the others hold
		atOwn []string // whose seals it holds itself
	}{
		{0, "", all, all},
		{3 * time.Second, "", all, all},
		{-3 * time.Second, "", all, all},
		{-5 * time.Second, "", all, all},
		{-6 * time.Second, CodeClockBehind, all, all}, // its seals come a second late
		{59 * time.Second, "", all, all},
		{90 * time.Second, "", three, all}, // it asks for what it did not collect live
		{-90 * time.Second, CodeClockBehind, three, nil},
		{20 * time.Minute, "", three, all},
	}
	for _, c := range cases {
		t.Run(c.skew.String(), func(t *testing.T) {
			f := newFixture(t)
			n := newSealNet(f, f.ids...)
			wrong := n.nodes["vendor-a"]
			n.clock = n.clock.Add(time.Hour)
			wrong.skew = c.skew
			n.blockAt(n.clock)
			n.step(0)
			if g := wrong.guardStatus(); g.Code != c.code || g.OK != (c.code == "") || g.Alarm != (c.code != "") {
				t.Errorf("status of the skewed member %+v", g)
			}
			n.step(defaultReseal)
			n.step(time.Second)
			n.wantSeals("court-a", 1, c.at...)
			n.wantSeals("vendor-a", 1, c.atOwn...)
			if size, _ := n.nodes["court-a"].ch.SealedHead(); size != 1 {
				t.Errorf("the others have sealed %d", size)
			}
			n.step(defaultReseal / 2) // one that gives no seal says its time
			off, known := n.nodes["court-a"].ch.sealer.offset("vendor-a")
			if !known || (off-c.skew).Abs() > time.Second {
				t.Errorf("the others take its clock to be %s ahead (known %v), it is %s", off, known, c.skew)
			}
			for _, id := range three {
				if off, known := wrong.ch.sealer.offset(id); !known || (off+c.skew).Abs() > time.Second {
					t.Errorf("it takes the clock of %s to be %s ahead (known %v)", id, off, known)
				}
			}
		})
	}
}

// blockAt commits an empty height with a block time.
func (n *sealNet) blockAt(at time.Time) {
	n.f.tb.Helper()
	for _, id := range n.f.ids {
		node := n.nodes[id]
		st := node.ch.app.state()
		blk := must[*block](n.f.tb)(execute(n.f.c, st, node.ch.store, st.height+1, at, nil))
		node.ch.app.block = blk
		must[any](n.f.tb)(node.ch.app.Commit(n.f.tb.Context(), nil))
	}
}

// TestClockIsMended: seal times never go back; a clock that was ahead by minutes
// and is put right makes its member wait so long, and no longer.
func TestClockIsMended(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, f.ids...)
	wrong := n.nodes["vendor-a"]
	wrong.skew = 90 * time.Second
	n.block()
	n.step(time.Second)
	n.wantSeals("court-a", 1, "arbitration-a", "court-a", "notary-a")
	wrong.skew = 0
	for range 8 {
		n.step(defaultReseal)
		if g := wrong.guardStatus(); g.OK || g.Code != CodeClockBack || !g.Alarm {
			t.Fatalf("status while the clock is behind the last seal: %+v", g)
		}
	}
	n.step(defaultReseal)
	n.step(defaultReseal)
	n.wantSeals("court-a", 1, f.ids...)
	if g := wrong.guardStatus(); !g.OK || g.Code != "" {
		t.Errorf("status %+v", g)
	}
}

// TestClockEstimate: whole seconds and delays of the network blur it by a
// second, one wrong sample does not move it.
func TestClockEstimate(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, f.ids...)
	s := n.nodes["court-a"].ch.sealer
	base := n.clock
	for i, c := range []struct{ ahead, late time.Duration }{{0, 0}, {0, 900 * time.Millisecond}, {7 * time.Second, 100 * time.Millisecond}, {-42 * time.Second, 300 * time.Millisecond}} {
		s.clocks = map[string]*clock{}
		for k := range 20 {
			made := base.Add(time.Duration(k) * 1370 * time.Millisecond)
			n.clock = made.Add(c.late)
			sample := made.Add(c.ahead)
			if k == 13 {
				sample = sample.Add(-time.Hour)
			}
			s.hear("vendor-a", sample.Unix())
		}
		if off, known := s.offset("vendor-a"); !known || (off-c.ahead).Abs() > time.Second || off%time.Second != 0 {
			t.Errorf("case %d: %s, want %s", i, off, c.ahead)
		}
		if len(s.clocks["vendor-a"].samples) != clockSamples {
			t.Errorf("%d samples are kept", len(s.clocks["vendor-a"].samples))
		}
	}
	if off, known := s.offset("court-a"); !known || off != 0 {
		t.Errorf("the own clock is %s ahead of itself", off)
	}
	if _, known := s.offset("notary-a"); known {
		t.Error("a clock is known that was never heard of")
	}
	if text := absence(MemberStatus{ID: "vendor-a", Connected: true, ClockKnown: true, ClockOffset: 90 * time.Second}); !strings.Contains(text, "clock is 1m30s off") {
		t.Errorf("a member whose seals are not collected: %s", text)
	}
}

// TestGreetingIsNotLive: what a member sends when it connects may be old, and
// says nothing of its clock.
func TestGreetingIsNotLive(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, f.ids...)
	n.block()
	n.step(time.Second)
	n.step(2 * defaultHeartbeat) // nobody seals a chain that has halted
	for _, node := range n.nodes {
		for _, peer := range node.peers() {
			node.ch.sealer.receive(inbound{peer: peer})
		}
	}
	n.flush()
	if off, known := n.nodes["court-a"].ch.sealer.offset("vendor-a"); known {
		t.Errorf("an old seal gave an offset of %s", off)
	}
}

// TestOldGuard: a home put back by hand, guard and all. The others remember
// what its keys sealed; nothing more is sealed until that is verified.
func TestOldGuard(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, f.ids...)
	n.block()
	n.block(f.batch("court-a", 1, nil))
	n.step(time.Second)
	old := n.nodes["vendor-a"].ch.sealer.guard.have
	n.block(f.batch("court-a", 2, nil))
	n.block(f.batch("court-a", 3, nil))
	n.step(time.Second)
	n.wantSeals("court-a", 4, f.ids...)

	n.clock = n.clock.Add(time.Minute)
	var blocks [][]byte
	for i := range uint64(3) {
		blocks = append(blocks, must[[]byte](t)(n.nodes["court-a"].ch.Entry(i+1)))
	}
	if err := n.nodes["vendor-a"].ch.store.close(); err != nil {
		t.Fatal(err)
	}
	delete(n.nodes, "vendor-a")
	if err := os.RemoveAll(filepath.Join(f.config("vendor-a").Dir, "ledger")); err != nil {
		t.Fatal(err)
	}
	g := openGuard(f.guardPath("vendor-a"), f.c.origin)
	if err := g.advance(old); err != nil {
		t.Fatal(err)
	}
	restored := n.open("vendor-a")
	f.block(restored.ch)
	restored.syncing = true
	for _, tx := range blocks[:2] {
		f.block(restored.ch, tx)
	}
	for range 4 { // it asks, and hears of its own seals
		n.clock = n.clock.Add(askEvery)
		restored.ch.sealer.asking.reset()
		restored.ch.sealer.ask()
		n.flush()
	}
	court := n.nodes["court-a"].ch
	n.wantSeals("vendor-a", 3, f.ids...)
	if why := restored.ch.sealer.guard.doubt; why == nil || why.code != CodeGuardOld {
		t.Fatalf("the guard is not in doubt: %+v, alarms %+v", why, restored.ch.alarms)
	}
	restored.syncing = false
	restored.cut = true // the others' seals do not come
	n.step(defaultReseal)
	if g := restored.guardStatus(); g.OK || g.Code != CodeGuardOld || !g.Alarm {
		t.Errorf("status %+v", g)
	}
	restored.cut = false
	f.block(restored.ch, blocks[2])
	for range 3 {
		n.step(defaultReseal)
	}
	if g := restored.guardStatus(); !g.OK || restored.ch.sealer.guard.have.size != 4 {
		t.Errorf("status %+v, guard %+v", g, restored.ch.sealer.guard.have)
	}
	n.block(f.batch("court-a", 4, nil))
	n.step(time.Second)
	if !slices.Contains(court.book.seals(t, 5), "vendor-a") {
		t.Error("vendor-a does not seal again")
	}
	var codes []string
	for _, a := range restored.ch.alarms {
		codes = append(codes, fmt.Sprint(a.Code))
	}
	if !slices.Equal(codes, []string{"guard-old", "guard-remade"}) {
		t.Errorf("alarms %v", codes)
	}
}
