package evidence

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// TestGenesisFitsABundle: the largest genesis that the bounds of its fields
// allow fits in an entry bundle, so that its own bound refuses nobody.
func TestGenesisFitsABundle(t *testing.T) {
	g := &Genesis{
		Name: "n" + strings.Repeat("x", 39), CreatedAt: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		Quorum: checkpoint.DefaultQuorum(MaxMembers),
	}
	roles := []checkpoint.Role{checkpoint.Arbitration, checkpoint.Court, checkpoint.Notary, checkpoint.Vendor}
	for i := range MaxMembers {
		g.Cards = append(g.Cards, largestCard(t, i, roles[i%len(roles)]))
	}
	for _, role := range roles {
		g.Quorum.Require = append(g.Quorum.Require, checkpoint.Require{Role: role, Count: 1})
	}
	raw, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseGenesis(raw); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes of at most %d", len(raw), MaxGenesisBytes)
	if long := append(raw, bytes.Repeat([]byte(" "), MaxGenesisBytes+1-len(raw))...); len(long) != 1<<16 {
		t.Fatalf("%d bytes", len(long))
	} else if _, err := ParseGenesis(long); err == nil || !strings.Contains(err.Error(), "at most 65535") {
		t.Errorf("65536 bytes: %v", err)
	}
}

func largestCard(t *testing.T, i int, role checkpoint.Role) *Card {
	t.Helper()
	key := func(alg gm.Alg) *gm.PrivateKey {
		k, err := gm.GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	const https, port = "https://", ":65535"
	admin := key(gm.SM2)
	raw, err := (&Card{
		ID: fmt.Sprintf("m%s%02d", strings.Repeat("x", checkpoint.MaxMemberID-3), i), Role: role,
		Name:   strings.Repeat(`"`, MaxNameBytes), // written with an escape each
		API:    https + strings.Repeat("a", MaxAddressBytes-len(https)),
		Peer:   strings.Repeat("a", MaxAddressBytes-len(port)) + port,
		NodeID: fmt.Sprintf("%040x", i+1),
		Admin:  admin.Public(), Intake: key(gm.SM2).Public(), SealSM2: key(gm.SM2).Public(),
		SealEd25519: key(gm.Ed25519).Public(), Log: key(gm.Ed25519).Public(), Consensus: key(gm.Ed25519).Public(),
	}).Sign(admin)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCard(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
