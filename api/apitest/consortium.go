// Package apitest is a consortium in memory, for the tests of the api and of
// its client: real keys, a real genesis and policy, and a ledger that commits
// and seals when the test says so.
//
// It is no part of the node. It has no consensus and checks only what a test
// needs; what it makes, proofs included, verifies by the real rules.
package apitest

import (
	"fmt"
	"testing"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
)

// Node is the member whose node the tests run, and whose key submits.
const Node = "vendor-a"

// KeyName is the name of the registered key of [Consortium.User].
const KeyName = "orders"

// ReadKeyName is the name of every member's read key.
const ReadKeyName = "reader"

// Court is the neutral member that reads in tests.
const Court = "court-a"

// Keys are one member's secrets. Read is good from the beginning, without an
// entry in the ledger, so that tests count entries as if it were not there.
type Keys struct {
	Admin, Intake, SealSM2, SealEd25519, Log, Consensus, Read *gm.PrivateKey
}

// Consortium is four members, one of each role, and one user key.
type Consortium struct {
	Genesis *evidence.Genesis
	Policy  *checkpoint.Policy
	Chain   string
	Keys    map[string]Keys
	User    *gm.PrivateKey // registered as KeyName of Node in ledger entry 1
	Source  evidence.Source
}

// Members are the ids, sorted, with their roles.
var Members = map[string]checkpoint.Role{
	"arbitration-a": checkpoint.Arbitration,
	"court-a":       checkpoint.Court,
	"notary-a":      checkpoint.Notary,
	Node:            checkpoint.Vendor,
}

// readAlgs are the algorithms of the read keys: both are in use.
var readAlgs = []gm.Alg{gm.Ed25519, gm.SM2}

var sortedMembers = []string{"arbitration-a", "court-a", "notary-a", Node}

// NewConsortium makes keys, cards, genesis and policy.
func NewConsortium(tb testing.TB) *Consortium {
	tb.Helper()
	c := &Consortium{
		Keys: map[string]Keys{}, User: newKey(tb, gm.SM2),
		Source: evidence.Source{Environment: "test", Mechanism: "automatic", System: "vendor_platform"},
	}
	g := &evidence.Genesis{
		Name: "apitest", CreatedAt: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		Quorum: checkpoint.DefaultQuorum(len(Members)),
	}
	for i, id := range sortedMembers {
		k := Keys{
			Admin: newKey(tb, gm.SM2), Intake: newKey(tb, gm.SM2), SealSM2: newKey(tb, gm.SM2),
			SealEd25519: newKey(tb, gm.Ed25519), Log: newKey(tb, gm.Ed25519), Consensus: newKey(tb, gm.Ed25519),
			Read: newKey(tb, readAlgs[i%len(readAlgs)]),
		}
		c.Keys[id] = k
		g.Cards = append(g.Cards, card(tb, id, i, k))
	}
	raw, err := g.Marshal()
	must(tb, err)
	c.Genesis, err = evidence.ParseGenesis(raw)
	must(tb, err)
	c.Chain = c.Genesis.ChainID()
	c.Policy, err = proof.GenesisPolicy(c.Genesis)
	must(tb, err)
	return c
}

func card(tb testing.TB, id string, i int, k Keys) *evidence.Card {
	tb.Helper()
	raw, err := (&evidence.Card{
		ID: id, Name: "成员 " + id, Role: Members[id],
		API: fmt.Sprintf("http://127.0.0.1:%d", 8100+i), Peer: fmt.Sprintf("127.0.0.1:%d", 8110+i),
		NodeID: fmt.Sprintf("%040x", i+1),
		Admin:  k.Admin.Public(), Intake: k.Intake.Public(), SealSM2: k.SealSM2.Public(),
		SealEd25519: k.SealEd25519.Public(), Log: k.Log.Public(), Consensus: k.Consensus.Public(),
	}).Sign(k.Admin)
	must(tb, err)
	c, err := evidence.ParseCard(raw)
	must(tb, err)
	return c
}

// KeyEntry signs the registration of a key.
func (c *Consortium) KeyEntry(tb testing.TB, member, name string, k gm.PublicKey, purpose evidence.Purpose) []byte {
	tb.Helper()
	raw, err := (&evidence.KeyEntry{
		Action: evidence.Register, Key: name, Member: member, PublicKey: k, Purpose: purpose,
		SignedAt: c.Genesis.CreatedAt,
	}).Sign(c.Chain, c.Keys[member].Admin)
	must(tb, err)
	return raw
}

// Revocation signs the revocation of a key.
func (c *Consortium) Revocation(tb testing.TB, member, name string) []byte {
	tb.Helper()
	raw, err := (&evidence.KeyEntry{
		Action: evidence.Revoke, Key: name, Member: member, SignedAt: c.Genesis.CreatedAt,
	}).Sign(c.Chain, c.Keys[member].Admin)
	must(tb, err)
	return raw
}

func newKey(tb testing.TB, alg gm.Alg) *gm.PrivateKey {
	tb.Helper()
	k, err := gm.GenerateKey(alg)
	must(tb, err)
	return k
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
