package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"qifeng/proof/fabric"
	"qifeng/proof/merkle"
	"qifeng/test/fabricnet"
)

// submit puts through a real network: endorsed by both organisations, ordered,
// committed. The error is what a client sees.
func submit(c *client.Contract, args [][]byte) ([]byte, error) {
	p, err := c.NewProposal(string(args[0]), client.WithBytesArguments(args[1:]...))
	if err != nil {
		return nil, err
	}
	tx, err := p.Endorse()
	if err != nil {
		return nil, fmt.Errorf("%s", fabricnet.Reason(err))
	}
	sent, err := tx.Submit()
	if err != nil {
		return nil, err
	}
	status, err := sent.Status()
	if err != nil {
		return nil, err
	}
	if status.Code != peer.TxValidationCode_VALID {
		return nil, fmt.Errorf("validation code %v", status.Code)
	}
	return tx.Result(), nil
}

// All of put's rules again, where two chaincode processes, two peers and an orderer
// decide.
func TestOnANetwork(t *testing.T) {
	c := four(t)
	n := fabricnet.Start(t, fabricnet.Options{
		Policies: map[string][]byte{c.policy.Chain: c.text(t)},
		Writers:  map[string][]string{c.origin(): {"Org1MSP"}},
	})
	one, two := n.Org1().Contract(t), n.Org2().Contract(t)
	tree, other := ledger("a", 60), ledger("b", 60)
	taken := func(ct *client.Contract, args [][]byte) {
		t.Helper()
		got, err := submit(ct, args)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := fabric.ParseStatement(got); err != nil || s.Origin != c.origin() {
			t.Fatalf("%s: %v", got, err)
		}
	}
	refuses := func(ct *client.Contract, args [][]byte, want string) {
		t.Helper()
		if got, err := submit(ct, args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("answer %s, error %v, want %s", got, err, want)
		}
	}

	first := c.args(t, tree, 0, 8)
	refuses(one, c.args(t, tree, 0, 8, "court-a", "notary-a"), "UNSEALED ")
	refuses(two, first, "DENIED ")
	taken(one, first)
	taken(one, first)
	refuses(one, c.args(t, other, 0, 8), "CONFLICT {")
	refuses(one, c.args(t, other, 8, 20), "FORK ")
	refuses(one, c.args(t, tree, 0, 20), "STALE head=8")
	taken(one, c.args(t, tree, 8, 20))
	refuses(one, c.args(t, tree, 8, 19), "SHRINK head=20")
	root, _ := merkle.RootAt(20, tree)
	for _, ct := range []*client.Contract{one, two} {
		awaitHead(t, ct, c.origin(), 20, root)
	}

	// One organisation's new policy is not enough: the other's chaincode speaks for it.
	c.epoch(t, 30, "arbitration-a", "court-b", "notary-a", "vendor-a")
	next := c.args(t, tree, 20, 35, "court-b", "notary-a", "vendor-a")
	refuses(one, next, "UNSEALED ")
	n.Org1().SetPolicy(t, c.policy.Chain, c.text(t))
	refuses(one, next, "UNSEALED ")
	n.Org2().SetPolicy(t, c.policy.Chain, []byte("broken"))
	refuses(one, next, "POLICY ")
	n.Org2().SetPolicy(t, c.policy.Chain, c.text(t))
	taken(one, next)

	for _, o := range []*fabricnet.Organisation{n.Org1(), n.Org2()} {
		o.SetWriters(t, map[string][]string{c.origin(): {"Org1MSP", "Org2MSP"}})
	}
	taken(two, c.args(t, tree, 35, 36, "court-b", "notary-a", "vendor-a"))
	announced(t, n, 8, 20, 35, 36)
}

// announced expects an event for each checkpoint that was kept, and no other.
func announced(t *testing.T, n *fabricnet.Net, sizes ...uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	events, err := n.Org2().Network(t).ChaincodeEvents(ctx, n.Chaincode, client.WithStartBlock(0))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range sizes {
		e, ok := <-events
		if !ok {
			t.Fatalf("no event for size %d", size)
		}
		if s, err := fabric.ParseStatement(e.Payload); err != nil || e.EventName != fabric.EventName || s.Size != size {
			t.Errorf("event %s %s, %v, want one for size %d", e.EventName, e.Payload, err, size)
		}
	}
}

// Of eight states of one size, put at once, exactly one is kept.
func TestAtOnce(t *testing.T) {
	c := four(t)
	n := fabricnet.Start(t, fabricnet.Options{
		Policies: map[string][]byte{c.policy.Chain: c.text(t)},
		Writers:  map[string][]string{c.origin(): {"Org1MSP", "Org2MSP"}},
	})
	contracts := []*client.Contract{n.Org1().Contract(t), n.Org2().Contract(t)}
	var puts [8][][]byte
	for i := range puts {
		puts[i] = c.args(t, ledger(fmt.Sprint(i), 9), 0, 9)
	}
	var errs [8]error
	var all sync.WaitGroup
	for i := range puts {
		all.Go(func() { _, errs[i] = submit(contracts[i%2], puts[i]) })
	}
	all.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			t.Errorf("%d and %d were both kept", winner, i)
		case !strings.Contains(err.Error(), "CONFLICT ") && !strings.Contains(err.Error(), "MVCC_READ_CONFLICT"):
			t.Errorf("put %d: %v", i, err)
		}
	}
	if winner < 0 {
		t.Fatalf("none was kept: %v", errs)
	}
	won, _ := merkle.RootAt(9, ledger(fmt.Sprint(winner), 9))
	awaitHead(t, contracts[0], c.origin(), 9, won)
}

// awaitHead looks until a peer tells of that head: a peer hears of a commit a
// little after the one that was asked.
func awaitHead(t *testing.T, ct *client.Contract, origin string, size uint64, root merkle.Digest) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		got, err := ct.EvaluateTransaction(fabric.FunctionHead, origin)
		if err == nil {
			var s fabric.Statement
			if s, err = fabric.ParseStatement(got); err == nil && s.Size == size && s.Root == root && bytes.Equal(s.Marshal(), got) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the head is %s, %v; want size %d", got, err, size)
		}
		time.Sleep(50 * time.Millisecond) // between two looks, never for a result
	}
}

// Of four SmartBFT orderers one may die, even the leader: the others agree on another.
func TestOneOfFourOrderers(t *testing.T) {
	c := four(t)
	n := fabricnet.Start(t, fabricnet.Options{
		BFT:      true,
		Policies: map[string][]byte{c.policy.Chain: c.text(t)},
		Writers:  map[string][]string{c.origin(): {"Org1MSP"}},
	})
	if len(n.Orderers) != 4 || n.Consensus != "bft" {
		t.Fatalf("%d orderers, %s", len(n.Orderers), n.Consensus)
	}
	ct := n.Org1().Contract(t)
	tree := ledger("a", 9)
	size := uint64(0)
	grow := func() {
		t.Helper()
		args := c.args(t, tree, size, size+1)
		size++
		began := time.Now()
		for tries := 1; ; tries++ { // the same words again: put is idempotent
			_, err := submit(ct, args)
			if err == nil {
				t.Logf("size %d kept after %v, try %d", size, time.Since(began).Round(time.Millisecond), tries)
				return
			}
			if time.Since(began) > 90*time.Second {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // between two tries, never for a result
		}
	}
	grow()
	n.Kill(t, "orderer1") // the first one leads at first
	grow()
	grow()
	n.Start(t, "orderer1")
	grow()
	root, _ := merkle.RootAt(size, tree)
	awaitHead(t, n.Org2().Contract(t), c.origin(), size, root)
}
