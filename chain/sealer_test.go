package chain

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// sealNet is a network of sealers without goroutines, sockets or clocks: what
// one sends lies in its outbox until flush delivers it.
type sealNet struct {
	f     *fixture
	clock time.Time
	nodes map[string]*sealNode
}

type sealNode struct {
	net     *sealNet
	id      string
	ch      *Chain
	syncing bool
	cut     bool // sends and receives nothing
	skew    time.Duration
	sent    []parcel
}

type parcel struct {
	to  string // "" for all
	raw []byte
}

func newSealNet(f *fixture, ids ...string) *sealNet {
	n := &sealNet{f: f, clock: f.c.genesis.CreatedAt.Add(time.Minute).Truncate(time.Second), nodes: map[string]*sealNode{}}
	for _, id := range ids {
		n.open(id)
	}
	return n
}

func (n *sealNet) open(id string) *sealNode {
	n.f.tb.Helper()
	node := &sealNode{net: n, id: id}
	cfg := n.f.config(id)
	cfg.Now = func() time.Time { return n.clock.Add(node.skew) }
	cfg.Reseal = defaultReseal
	cfg = cfg.withDefaults()
	node.ch = must[*Chain](n.f.tb)(open(cfg, n.f.c))
	n.f.tb.Cleanup(func() { _ = node.ch.store.close() })
	node.ch.sealer.net = node
	node.ch.sealer.syncing = func() bool { return node.syncing }
	node.ch.sealer.started = n.clock
	node.ch.sealer.knew = node.ch.sealer.guard.have.size
	n.nodes[id] = node
	return node
}

func (s *sealNode) broadcast(raw []byte)         { s.send("", raw) }
func (s *sealNode) send(peer string, raw []byte) { s.sent = append(s.sent, parcel{peer, raw}) }

func (s *sealNode) peers() []string {
	var out []string
	for id, p := range s.net.nodes {
		if id != s.id && !p.cut && !s.cut {
			out = append(out, p.nodeID())
		}
	}
	slices.Sort(out)
	return out
}

func (s *sealNode) nodeID() string { return s.net.f.c.members[s.id].nodeID }

// block commits one height everywhere.
func (n *sealNet) block(txs ...[]byte) {
	for _, id := range n.f.ids {
		if node, ok := n.nodes[id]; ok {
			n.f.block(node.ch, txs...)
		}
	}
}

// step lets time pass, ticks every sealer and delivers until nothing is under
// way.
func (n *sealNet) step(d time.Duration) {
	n.clock = n.clock.Add(d)
	for _, id := range n.f.ids {
		if node, ok := n.nodes[id]; ok {
			node.ch.sealer.onTick()
		}
	}
	n.flush()
}

func (n *sealNet) flush() {
	n.f.tb.Helper()
	for busy := true; busy; {
		busy = false
		for _, id := range n.f.ids {
			from, ok := n.nodes[id]
			if !ok {
				continue
			}
			parcels := from.sent
			from.sent = nil
			for _, p := range parcels {
				busy = true
				for _, to := range n.nodes {
					if to.id == id || from.cut || to.cut || p.to != "" && p.to != to.nodeID() {
						continue
					}
					m := must[message](n.f.tb)(decodeMessage(p.raw))
					to.ch.sealer.receive(inbound{peer: from.nodeID(), msg: &m})
				}
			}
		}
	}
}

func (s *sealNode) seals(size uint64) []string {
	s.net.f.tb.Helper()
	seals, err := s.ch.book.firsts(size)
	if err != nil {
		s.net.f.tb.Fatal(err)
	}
	var out []string
	for _, x := range seals {
		out = append(out, x.Member)
	}
	return out
}

func (n *sealNet) wantSeals(id string, size uint64, want ...string) {
	n.f.tb.Helper()
	if got := n.nodes[id].seals(size); !slices.Equal(got, want) {
		n.f.tb.Errorf("%s holds seals of %v on size %d, want %v", id, got, size, want)
	}
}

func TestSealEverySize(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, f.ids...)
	n.block()
	n.block(f.batch("vendor-a", 1, nil))
	n.block(f.batch("vendor-a", 2, nil), f.batch("court-a", 1, nil))
	n.block()
	n.step(time.Second)
	for _, id := range f.ids {
		for _, size := range []uint64{1, 2, 4} {
			n.wantSeals(id, size, f.ids...)
		}
		n.wantSeals(id, 3) // no block ended with it
		ch := n.nodes[id].ch
		for index, size := range map[uint64]uint64{0: 1, 1: 2, 2: 4, 3: 4} {
			note, got, ok, err := ch.Covering(index)
			if err != nil || !ok || got != size {
				t.Fatalf("covering %d at %s: size %d %v %v", index, id, got, ok, err)
			}
			if s, err := checkpoint.Open(note, ch.Policy(), checkpoint.Options{}); err != nil || !s.Verdict.Met || len(s.Seals) != 4 {
				t.Errorf("the note over %d at %s: %+v %v", index, id, s, err)
			}
		}
		if _, _, ok, err := ch.Covering(4); ok || err != nil {
			t.Errorf("covering an entry that is not there: %v %v", ok, err)
		}
		if size, root := ch.SealedHead(); size != 4 || root != ch.app.state().root {
			t.Errorf("sealed head %d", size)
		}
	}
}

func TestResealKeepsTheFirst(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, f.ids...)
	n.block()
	n.step(time.Second)
	first := n.clock
	n.step(defaultReseal - time.Second)
	for range 5 {
		n.step(defaultReseal)
	}
	ch := n.nodes["court-a"].ch
	seals, _, err := ch.Seals(1)
	if err != nil || len(seals) != 4 {
		t.Fatal(seals, err)
	}
	for _, s := range seals {
		if s.Time != first.Unix() {
			t.Errorf("the first seal of %s is dated %d, want %d", s.Member, s.Time, first.Unix())
		}
	}
	note, _, ok, err := ch.Checkpoint()
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	fresh := must[*checkpoint.Sealed](t)(checkpoint.Open(note, ch.Policy(), checkpoint.Options{}))
	for _, s := range fresh.Seals {
		if n.clock.Unix()-s.Time > int64(defaultReseal/time.Second) {
			t.Errorf("the newest seal of %s is %d s old", s.Member, n.clock.Unix()-s.Time)
		}
	}
	// Two heartbeats after the last block nobody seals again.
	n.step(2 * defaultHeartbeat)
	before := ch.book.newestSeals()["vendor-a"].seal.Time
	n.step(defaultReseal)
	if after := ch.book.newestSeals()["vendor-a"].seal.Time; after != before {
		t.Error("a halted chain was sealed again")
	}
	n.block()
	n.step(time.Second)
	if after := ch.book.newestSeals()["vendor-a"].seal.Time; after != n.clock.Unix() {
		t.Error("a heartbeat did not bring sealing back")
	}
}

func TestMissingSealsAreAskedFor(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, f.ids...)
	away := n.nodes["vendor-a"]
	away.cut = true
	n.block()
	n.step(time.Second)
	n.block(f.batch("court-a", 1, nil))
	n.step(time.Second)
	n.block(f.batch("court-a", 2, nil))
	n.step(time.Second)
	n.wantSeals("vendor-a", 2, "vendor-a")
	n.wantSeals("court-a", 2, "arbitration-a", "court-a", "notary-a")
	away.cut = false
	for _, node := range n.nodes { // as AddPeer does
		for _, peer := range node.peers() {
			node.ch.sealer.receive(inbound{peer: peer})
		}
	}
	n.flush()
	for range 8 {
		n.step(askEvery)
	}
	for _, id := range f.ids {
		n.wantSeals(id, 3, f.ids...)
	}
	for size := uint64(1); size <= 2; size++ {
		if got := away.seals(size); len(got) < 3 {
			t.Errorf("vendor-a has only the seals of %v on size %d", got, size)
		}
		if ok, err := away.ch.book.isSealed(size); !ok || err != nil {
			t.Errorf("size %d is not sealed at vendor-a: %v", size, err)
		}
	}
	if _, ok, err := away.ch.store.seek(kUnsealed, 0); ok || err != nil {
		t.Errorf("a sealed size is still asked for: %v", err)
	}
}

func TestAskingEnds(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, "court-a", "vendor-a") // no quorum, ever
	for i := range uint64(100) {
		n.block(f.batch("vendor-a", i+1, nil))
	}
	n.step(time.Second)
	count := func(d time.Duration) (sent int) {
		for end := n.clock.Add(d); n.clock.Before(end); {
			n.clock = n.clock.Add(time.Second)
			for _, node := range n.nodes {
				node.ch.sealer.ask()
				sent += len(node.sent)
				node.sent = nil
			}
		}
		return sent
	}
	count(time.Hour)
	// Two members, one question each askEvery for the newest size, and every ten
	// minutes a round of the hundred older ones.
	if got, most := count(time.Hour), 2*(3600/2+6*100+50); got > most {
		t.Errorf("%d questions an hour after an hour without an answer, want at most %d", got, most)
	}
}

func TestCatchingUpSealsTheNewestOnly(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, f.ids...)
	late := n.nodes["vendor-a"]
	late.syncing = true
	n.block()
	n.block(f.batch("court-a", 1, nil))
	n.block(f.batch("court-a", 2, nil))
	n.step(time.Second)
	n.wantSeals("court-a", 3, "arbitration-a", "court-a", "notary-a")
	late.syncing = false
	n.step(time.Second)
	n.wantSeals("court-a", 3, f.ids...)
	n.wantSeals("court-a", 2, "arbitration-a", "court-a", "notary-a")
}

func TestSealThatComesTooEarly(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, f.ids...)
	late := n.nodes["vendor-a"]
	n.block()
	n.step(time.Second)
	delete(n.nodes, "vendor-a")
	n.block(f.batch("court-a", 1, nil))
	n.nodes["vendor-a"] = late
	n.step(time.Second)
	n.wantSeals("vendor-a", 2)
	f.block(late.ch, must[[]byte](t)(n.nodes["court-a"].ch.Entry(1)))
	late.ch.sealer.afterCommit()
	n.flush()
	n.wantSeals("vendor-a", 2, f.ids...)
	n.wantSeals("court-a", 2, f.ids...)
}

func TestForkIsAnAlarm(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, f.ids...)
	n.block()
	n.block(f.batch("court-a", 1, nil))
	n.step(time.Second)
	liar := f.parties["vendor-a"]
	lie := wireSeal{size: 2, root: merkle.LeafHash([]byte("another ledger"))}
	lie.seal = must[checkpoint.Seal](t)(checkpoint.Sign(f.c.checkpoint(lie.size, lie.root), "vendor-a", n.clock.Unix(), liar.seals))
	court := n.nodes["court-a"].ch
	for range 3 {
		court.sealer.receive(inbound{peer: "x", msg: &message{kind: msgLive, seals: []wireSeal{lie}}})
	}
	if len(court.alarms) != 1 || !strings.Contains(court.alarms[0].Text, "two different ledgers") || !strings.Contains(court.alarms[0].Text, "vendor-a") {
		t.Errorf("alarms %+v", court.alarms)
	}
	if kept, err := court.book.conflicts(2, "vendor-a"); kept != 1 || err != nil {
		t.Errorf("%d lies kept, %v", kept, err)
	}
	n.wantSeals("court-a", 2, f.ids...)
	if lies, err := court.book.conflicting(); err != nil || len(lies) != 1 || lies[0].seal.Member != "vendor-a" {
		t.Errorf("lies %v %v", lies, err)
	}
	// A lie about what is not yet in the ledger comes to light when it is.
	early := wireSeal{size: 3, root: lie.root}
	early.seal = must[checkpoint.Seal](t)(checkpoint.Sign(f.c.checkpoint(3, early.root), "vendor-a", n.clock.Unix(), liar.seals))
	court.sealer.receive(inbound{peer: "x", msg: &message{kind: msgLive, seals: []wireSeal{early}}})
	n.block(f.batch("court-a", 2, nil))
	n.step(time.Second)
	if len(court.alarms) != 2 {
		t.Errorf("alarms %+v", court.alarms)
	}
}

func TestOwnKeysElsewhere(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, f.ids...)
	n.block()
	n.step(time.Second)
	court := n.nodes["court-a"].ch
	root := court.app.state().root
	n.clock = n.clock.Add(2 * time.Second)
	s := wireSeal{size: 1, root: root, seal: must[checkpoint.Seal](t)(checkpoint.Sign(f.c.checkpoint(1, root), "court-a", n.clock.Unix(), f.parties["court-a"].seals))}
	court.sealer.receive(inbound{peer: "x", msg: &message{kind: msgAnswer, seals: []wireSeal{s}}})
	if len(court.alarms) != 0 {
		t.Fatalf("an own seal in an answer: %+v", court.alarms)
	}
	n.clock = n.clock.Add(2 * time.Second)
	s.seal = must[checkpoint.Seal](t)(checkpoint.Sign(f.c.checkpoint(1, root), "court-a", n.clock.Unix(), f.parties["court-a"].seals))
	court.sealer.receive(inbound{peer: "x", msg: &message{kind: msgLive, seals: []wireSeal{s}}})
	if len(court.alarms) != 1 || !strings.Contains(court.alarms[0].Text, "in use elsewhere") {
		t.Errorf("alarms %+v", court.alarms)
	}
}

func TestMissingGuardIsMadeFromTheOthers(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, "arbitration-a", "court-a", "notary-a")
	n.block()
	n.block(f.batch("court-a", 1, nil))
	n.step(time.Second)
	if err := os.Remove(f.guardPath("vendor-a")); err != nil {
		t.Fatal(err)
	}
	n.clock = n.clock.Add(time.Second)
	lost := n.open("vendor-a")
	court := n.nodes["court-a"].ch
	f.block(lost.ch)
	f.block(lost.ch, must[[]byte](t)(court.Entry(1)))

	// Seals from before the process started do not do, nor two of four.
	n.nodes["notary-a"].cut = true
	n.step(askEvery)
	n.step(askEvery)
	n.step(defaultReseal)
	if seals := lost.seals(2); len(seals) == 0 || slices.Contains(seals, "vendor-a") || !lost.ch.sealer.guard.missing {
		t.Fatalf("vendor-a holds %v and its guard is missing: %v", seals, lost.ch.sealer.guard.missing)
	}
	if _, g := lost.ch.sealer.report(); g.OK || !g.Alarm || !strings.Contains(g.Text, "missing") {
		t.Errorf("guard status %+v", g)
	}
	n.nodes["notary-a"].cut = false
	for range 3 {
		n.step(defaultReseal)
	}
	if g := openGuard(f.guardPath("vendor-a"), f.c.origin); g.missing || g.broken != nil || g.have.size != 2 {
		t.Fatalf("guard on disk %+v", g)
	}
	if !slices.Contains(court.book.seals(t, 2), "vendor-a") {
		t.Error("vendor-a does not seal again")
	}
	if len(lost.ch.alarms) != 1 {
		t.Errorf("alarms %+v", lost.ch.alarms)
	}
}

func (b *book) seals(t *testing.T, size uint64) (out []string) {
	for _, s := range must[[]checkpoint.Seal](t)(b.firsts(size)) {
		out = append(out, s.Member)
	}
	return out
}
