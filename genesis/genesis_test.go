package genesis

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

var founded = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// seat is one member of a test consortium; change may spoil its card.
type seat struct {
	id     string
	role   checkpoint.Role
	change func(*evidence.Card)
}

func newKey(t *testing.T, alg gm.Alg) *gm.PrivateKey {
	t.Helper()
	k, err := gm.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func card(t *testing.T, i int, s seat) []byte {
	t.Helper()
	admin := newKey(t, gm.SM2)
	c := evidence.Card{ID: s.id, Name: "机构 " + s.id, Role: s.role,
		Admin: admin.Public(), Intake: newKey(t, gm.SM2).Public(), SealSM2: newKey(t, gm.SM2).Public(),
		SealEd25519: newKey(t, gm.Ed25519).Public(), Log: newKey(t, gm.Ed25519).Public(), Consensus: newKey(t, gm.Ed25519).Public(),
		NodeID: fmt.Sprintf("%040x", i+1), Peer: fmt.Sprintf("127.0.0.1:%d", 8110+i), API: fmt.Sprintf("http://127.0.0.1:%d", 8100+i)}
	if s.change != nil {
		s.change(&c)
	}
	raw, err := c.Sign(admin)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func cards(t *testing.T, seats []seat) [][]byte {
	t.Helper()
	out := make([][]byte, len(seats))
	for i, s := range seats {
		out[i] = card(t, i, s)
	}
	return out
}

func usual() []seat {
	return []seat{{id: "court-a", role: checkpoint.Court}, {id: "notary-a", role: checkpoint.Notary},
		{id: "arbitration-a", role: checkpoint.Arbitration}, {id: "vendor-a", role: checkpoint.Vendor}}
}

func TestBuildIsDeterministic(t *testing.T) {
	p := Plan{Name: "test", Cards: cards(t, usual()), CreatedAt: founded}
	first, err := Build(p)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(p.Cards)
	p.CreatedAt = founded.In(time.FixedZone("CST", 8*3600))
	second, err := Build(p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Read(first.Genesis.Raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Consortium{second, again} {
		if !bytes.Equal(c.Genesis.Raw, first.Genesis.Raw) || !bytes.Equal(c.Text, first.Text) || c.ChainID != first.ChainID {
			t.Fatal("the same cards, name, quorum and time gave other bytes")
		}
	}
	p.CreatedAt = founded.Add(time.Millisecond)
	if other, err := Build(p); err != nil || other.ChainID == first.ChainID {
		t.Fatalf("another time gave the same chain id (error %v)", err)
	}
}

func TestBuildDerivesThePolicy(t *testing.T) {
	c, err := Build(Plan{Name: "test", Cards: cards(t, usual()), CreatedAt: founded})
	if err != nil {
		t.Fatal(err)
	}
	p, err := checkpoint.ParsePolicy(c.Text)
	if err != nil {
		t.Fatal(err)
	}
	if p.Chain != c.ChainID || len(p.Epochs) != 1 || len(p.Epochs[0].Members) != 4 {
		t.Fatalf("policy of chain %s with %d epochs", p.Chain, len(p.Epochs))
	}
	if q := p.Epochs[0].Quorum; q.Members != 3 || q.NeutralRoles != 2 {
		t.Fatalf("default quorum is %d members and %d neutral roles, want 3 and 2", q.Members, q.NeutralRoles)
	}
	if len(c.Stock) != 4 {
		t.Fatalf("%d stock policies, want one per member", len(c.Stock))
	}
	peers := c.Peers("court-a")
	if len(peers) != 3 || slices.ContainsFunc(peers, func(s string) bool { return strings.HasSuffix(s, ":8110") }) {
		t.Fatalf("peers of court-a: %v", peers)
	}
}

func TestTolerance(t *testing.T) {
	vendors := func(n int) (out []seat) {
		for i := range n {
			out = append(out, seat{id: fmt.Sprintf("vendor-%d", i), role: checkpoint.Vendor})
		}
		return out
	}
	tests := []struct {
		name           string
		seats          []seat
		quorum         checkpoint.Quorum
		any, consensus int
		critical       []string
	}{
		{"the usual four", usual(), checkpoint.Quorum{}, 1, 1, nil},
		{"a named role of one", usual(), checkpoint.Quorum{Members: 3, NeutralRoles: 2, Require: []checkpoint.Require{{Role: checkpoint.Court, Count: 1}}}, 0, 1, []string{"court-a"}},
		{"all must seal", usual(), checkpoint.Quorum{Members: 4, NeutralRoles: 2}, 0, 1, []string{"arbitration-a", "court-a", "notary-a", "vendor-a"}},
		{"two neutral members of seven", append(usual()[:2], vendors(5)...), checkpoint.Quorum{}, 0, 2, []string{"court-a", "notary-a"}},
		{"two members", usual()[:2], checkpoint.Quorum{}, 0, 0, []string{"court-a", "notary-a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Build(Plan{Name: "test", Cards: cards(t, tt.seats), Quorum: tt.quorum, CreatedAt: founded})
			if err != nil {
				t.Fatal(err)
			}
			if c.Tolerance.Any != tt.any || c.ConsensusTolerance() != tt.consensus || !slices.Equal(c.Tolerance.Critical, tt.critical) {
				t.Errorf("sealing %d, consensus %d, critical %v; want %d, %d, %v",
					c.Tolerance.Any, c.ConsensusTolerance(), c.Tolerance.Critical, tt.any, tt.consensus, tt.critical)
			}
		})
	}
}

func TestBuildRefuses(t *testing.T) {
	shared := newKey(t, gm.Ed25519).Public()
	flip := func(raw []byte) []byte {
		raw = bytes.Clone(raw)
		i := bytes.Index(raw, []byte(`"name":"`)) + len(`"name":"`)
		raw[i+8]++ // another name under the same signature
		return raw
	}
	with := func(s []seat, i int, change func(*evidence.Card)) []seat {
		s[i].change = change
		return s
	}
	many := func() (out []seat) {
		for i := range 31 {
			out = append(out, seat{id: fmt.Sprintf("notary-%d", i), role: checkpoint.Notary})
		}
		return out
	}
	tests := []struct {
		name  string
		plan  Plan
		wants string
	}{
		{"no cards", Plan{Name: "test"}, "0 member cards"},
		{"31 members", Plan{Name: "test", Cards: cards(t, many())}, "31 member cards"},
		{"an id twice", Plan{Name: "test", Cards: cards(t, append(usual(), usual()[0]))}, "court-a"},
		{"a card twice", Plan{Name: "test", Cards: func() [][]byte { c := cards(t, usual()); return append(c, c[0]) }()}, "court-a"},
		{"a key of two members", Plan{Name: "test", Cards: cards(t, with(with(usual(), 0, func(c *evidence.Card) { c.Log = shared }), 1, func(c *evidence.Card) { c.Log = shared }))}, "log key"},
		{"a key for two purposes", Plan{Name: "test", Cards: cards(t, with(usual(), 2, func(c *evidence.Card) { c.Log, c.SealEd25519 = shared, shared }))}, "arbitration-a"},
		{"a peer address twice", Plan{Name: "test", Cards: cards(t, with(usual(), 3, func(c *evidence.Card) { c.Peer = "127.0.0.1:8110" }))}, "peer address"},
		{"a node id twice", Plan{Name: "test", Cards: cards(t, with(usual(), 3, func(c *evidence.Card) { c.NodeID = fmt.Sprintf("%040x", 1) }))}, "node id"},
		{"a changed card", Plan{Name: "test", Cards: func() [][]byte { c := cards(t, usual()); c[0] = flip(c[0]); return c }()}, "signature"},
		{"a bad name", Plan{Name: "Test!", Cards: cards(t, usual())}, "name"},
		{"two thirds is not more than two thirds", Plan{Name: "test", Cards: cards(t, usual()), Quorum: checkpoint.Quorum{Members: 2, NeutralRoles: 2}}, "2/3"},
		{"more than there are", Plan{Name: "test", Cards: cards(t, usual()), Quorum: checkpoint.Quorum{Members: 5, NeutralRoles: 2}}, "5 of 4"},
		{"vendors alone", Plan{Name: "test", Cards: cards(t, []seat{{id: "v1", role: checkpoint.Vendor}, {id: "v2", role: checkpoint.Vendor}, {id: "v3", role: checkpoint.Vendor}, {id: "v4", role: checkpoint.Vendor}})}, "neutral"},
		{"a role nobody has", Plan{Name: "test", Cards: cards(t, usual()), Quorum: checkpoint.Quorum{Members: 3, NeutralRoles: 2, Require: []checkpoint.Require{{Role: checkpoint.Court, Count: 2}}}}, "court"},
		{"a role named twice", Plan{Name: "test", Cards: cards(t, usual()), Quorum: checkpoint.Quorum{Members: 3, NeutralRoles: 2, Require: []checkpoint.Require{{Role: checkpoint.Court, Count: 1}, {Role: checkpoint.Court, Count: 1}}}}, "twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.plan.CreatedAt = founded
			_, err := Build(tt.plan)
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.wants) {
				t.Fatalf("error %v; want a refusal that names %q", err, tt.wants)
			}
		})
	}
}

func TestDevLayout(t *testing.T) {
	members, err := DevLayout(8100)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckDev(members); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i, m := range members {
		if m.API != fmt.Sprintf("127.0.0.1:%d", 8100+i) || m.Peer != fmt.Sprintf("127.0.0.1:%d", 8110+i) {
			t.Errorf("%s has %s and %s", m.ID, m.API, m.Peer)
		}
		if seen[m.API] || seen[m.Peer] || m.Name() == m.ID {
			t.Errorf("%s shares an address or has no name", m.ID)
		}
		seen[m.API], seen[m.Peer] = true, true
	}
	for _, base := range []int{-1, 0, 65517, 1 << 20} {
		if _, err := DevLayout(base); err == nil {
			t.Errorf("base %d was accepted", base)
		}
	}
	for name, spoil := range map[string]func(m []DevMember){
		"another folder":  func(m []DevMember) { m[0].ID = "../court-a" },
		"another role":    func(m []DevMember) { m[0].Role = checkpoint.Vendor },
		"another machine": func(m []DevMember) { m[1].Peer = "10.0.0.1:8111" },
		"no port":         func(m []DevMember) { m[1].API = "127.0.0.1" },
	} {
		bad := slices.Clone(members)
		spoil(bad)
		if CheckDev(bad) == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if CheckDev(members[:3]) == nil {
		t.Error("three members were accepted")
	}
}
