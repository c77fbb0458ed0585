package chain

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// party is one member with all its keys, as only a test has them together.
type party struct {
	card   *evidence.Card
	home   string
	seals  checkpoint.SealKeys
	intake *gm.PrivateKey
	admin  *gm.PrivateKey
}

// fixture is a consortium of four: one of each role.
type fixture struct {
	tb      testing.TB
	parties map[string]*party
	ids     []string
	raw     []byte
	c       *consortium
}

func must[T any](tb testing.TB) func(T, error) T {
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

func freePort(tb testing.TB) int {
	l := must[net.Listener](tb)(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func newFixture(tb testing.TB) *fixture {
	tb.Helper()
	return newFixtureOf(tb, checkpoint.Quorum{Members: 3, NeutralRoles: 2}, "arbitration-a", "court-a", "notary-a", "vendor-a")
}

// newFixtureOf makes a consortium of members named after their roles.
func newFixtureOf(tb testing.TB, q checkpoint.Quorum, ids ...string) *fixture {
	tb.Helper()
	f := &fixture{tb: tb, parties: map[string]*party{}, ids: ids}
	g := &evidence.Genesis{Name: "test", CreatedAt: time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond), Quorum: q}
	for _, id := range f.ids {
		role, _, _ := strings.Cut(id, "-")
		p := newParty(tb, id, checkpoint.Role(role))
		f.parties[id] = p
		g.Cards = append(g.Cards, p.card)
	}
	f.raw = must[[]byte](tb)(g.Marshal())
	f.c = must[*consortium](tb)(newConsortium(f.raw))
	for _, id := range f.ids {
		if err := InitGuard(f.guardPath(id), f.c.origin); err != nil {
			tb.Fatal(err)
		}
	}
	return f
}

func newParty(tb testing.TB, id string, role checkpoint.Role) *party {
	tb.Helper()
	key := func(alg gm.Alg) *gm.PrivateKey { return must[*gm.PrivateKey](tb)(gm.GenerateKey(alg)) }
	p := &party{home: tb.TempDir(), intake: key(gm.SM2), admin: key(gm.SM2),
		seals: checkpoint.SealKeys{Log: key(gm.Ed25519), Ed25519: key(gm.Ed25519), SM2: key(gm.SM2)}}
	consensus, nodeID, err := InitKeys(filepath.Join(p.home, "consensus.json"), filepath.Join(p.home, "node.json"))
	if err != nil {
		tb.Fatal(err)
	}
	card := &evidence.Card{Admin: p.admin.Public(), Consensus: consensus, ID: id, Intake: p.intake.Public(),
		Log: p.seals.Log.Public(), Name: id, NodeID: nodeID, Peer: fmt.Sprintf("127.0.0.1:%d", freePort(tb)), Role: role,
		SealEd25519: p.seals.Ed25519.Public(), SealSM2: p.seals.SM2.Public()}
	p.card = must[*evidence.Card](tb)(evidence.ParseCard(must[[]byte](tb)(card.Sign(p.admin))))
	return p
}

func (f *fixture) guardPath(id string) string { return filepath.Join(f.parties[id].home, "guard.json") }

func (f *fixture) config(id string) Config {
	p := f.parties[id]
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("QIFENG_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	return Config{Dir: filepath.Join(p.home, "data"), Genesis: f.raw, Self: id, Keys: p.seals, GuardPath: f.guardPath(id),
		ConsensusKeyPath: filepath.Join(p.home, "consensus.json"), NodeKeyPath: filepath.Join(p.home, "node.json"),
		Listen: p.card.Peer, Reseal: 500 * time.Millisecond, Logger: log}
}

// baseTime is the receipt time of the first batch of a fixture.
var baseTime = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// header is a well-formed batch header of seq; change may spoil it.
func header(node string, seq uint64, change func(*evidence.Batch)) *evidence.Batch {
	at := baseTime.Add(time.Duration(seq) * time.Second)
	b := &evidence.Batch{Node: node, Seq: seq, RegistrySize: 1, FirstReceivedAt: at, LastReceivedAt: at.Add(500 * time.Millisecond),
		Streams: map[evidence.Stream]evidence.StreamRoot{evidence.Contract: {Count: 1, Root: merkle.LeafHash(fmt.Append(nil, node, seq))}}}
	if change != nil {
		change(b)
	}
	return b
}

func (f *fixture) batch(node string, seq uint64, change func(*evidence.Batch)) []byte {
	f.tb.Helper()
	return must[[]byte](f.tb)(header(node, seq, change).Sign(f.c.chainID, f.parties[node].intake))
}

func (f *fixture) register(member, name string) []byte {
	f.tb.Helper()
	pub := must[*gm.PrivateKey](f.tb)(gm.GenerateKey(gm.SM2)).Public()
	e := evidence.KeyEntry{Action: evidence.Register, Key: name, Member: member, PublicKey: pub, Purpose: evidence.Submit, SignedAt: baseTime}
	return must[[]byte](f.tb)(e.Sign(f.c.chainID, f.parties[member].admin))
}

func (f *fixture) revoke(member, name string) []byte {
	f.tb.Helper()
	e := evidence.KeyEntry{Action: evidence.Revoke, Key: name, Member: member, SignedAt: baseTime}
	return must[[]byte](f.tb)(e.Sign(f.c.chainID, f.parties[member].admin))
}

// wait polls until ok or a deadline.
func wait(tb testing.TB, what string, within time.Duration, ok func() bool) {
	tb.Helper()
	deadline := time.Now().Add(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			tb.Fatalf("not within %s: %s", within, what)
		}
		<-tick.C
	}
}
