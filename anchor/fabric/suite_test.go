package fabric

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"qifeng/anchor"
	"qifeng/anchor/anchortest"
	"qifeng/proof"
	"qifeng/proof/fabric"
	"qifeng/test/fabricnet"
)

// The gateway driver keeps the contract of anchors, on a real network.
func TestConformance(t *testing.T) {
	n := fabricnet.Start(t, fabricnet.Options{})
	pinned := roots(t, n, connect(t, n, n.Org1(), ""))
	var chains []*anchortest.Chain
	anchortest.Run(t, func(t *testing.T) anchortest.Fixture {
		chain := anchortest.NewChain(t, "suite")
		chains = append(chains, chain)
		admit(t, n, chains...)
		proxy := anchortest.NewProxy(t, n.Org1().Peer.Endpoint)
		return anchortest.Fixture{
			Anchor: mustNew(t, connect(t, n, n.Org1(), proxy.Addr), pinned), Name: "fabric", Chain: chain,
			Roots: &proof.AnchorRoots{Chain: chain.Policy.Chain, Fabric: []fabric.Channel{*pinned}},
			Stop:  proxy.Stop, Start: func() { proxy.Start(t) }, Hang: proxy.Hang, Go: proxy.Go,
		}
	})
}

// What goes wrong on the channel, and what the driver makes of it.
func TestOutages(t *testing.T) {
	n := fabricnet.Start(t, fabricnet.Options{})
	chain := anchortest.NewChain(t, "outage")
	admit(t, n, chain)
	proxy := anchortest.NewProxy(t, n.Org1().Peer.Endpoint)
	net := connect(t, n, n.Org1(), proxy.Addr)
	pinned := roots(t, n, net)
	a := mustNew(t, net, pinned)
	put := func(cp anchor.Checkpoint) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := a.Put(ctx, cp, chain)
		return err
	}
	// eventually puts until it succeeds, as the worker does.
	eventually := func(t *testing.T, cp anchor.Checkpoint) {
		t.Helper()
		deadline := time.Now().Add(60 * time.Second)
		for {
			err := put(cp)
			if err == nil {
				return
			}
			var conflict *anchor.Conflict
			if errors.As(err, &conflict) || errors.Is(err, anchor.ErrRefused) || time.Now().After(deadline) {
				t.Fatal(err)
			}
			t.Log(err)
			time.Sleep(200 * time.Millisecond) // the worker's back-off
		}
	}
	for _, process := range []string{"orderer1", n.Org2().Chaincode, n.Org2().Peer.Name} {
		t.Run("without "+process, func(t *testing.T) {
			n.Kill(t, process)
			cp := chain.At(t, chain.Grow(2))
			err := put(cp)
			var conflict *anchor.Conflict
			if err == nil || errors.As(err, &conflict) || errors.Is(err, anchor.ErrRefused) {
				t.Fatalf("Put without %s: %v", process, err)
			}
			t.Log(err)
			n.Start(t, process)
			eventually(t, cp)
		})
	}
	t.Run("answers cut", func(t *testing.T) {
		for _, after := range []int64{1, 1000, 4000, 9000, 15000, 20000} {
			proxy.CutAfter(after)
			eventually(t, chain.At(t, chain.Grow(1)))
		}
	})
	t.Run("not a writer", func(t *testing.T) {
		foreign := anchortest.NewChain(t, "foreign")
		cp := foreign.At(t, foreign.Grow(1))
		if _, err := a.Put(t.Context(), cp, foreign); !errors.Is(err, anchor.ErrRefused) {
			t.Fatalf("a chain that nobody may write: %v", err)
		}
	})
}

// Members that anchor one ledger race for every checkpoint. Each comes home with
// a receipt, or with nothing worse than an error to try again.
func TestMembersRace(t *testing.T) {
	n := fabricnet.Start(t, fabricnet.Options{})
	chain := anchortest.NewChain(t, "race")
	admit(t, n, chain)
	pinned := roots(t, n, connect(t, n, n.Org1(), ""))
	var members []anchor.Anchor
	for i := range 4 {
		a, err := New(connect(t, n, &n.Organisations[i%2], ""), pinned, slog.New(slog.NewTextHandler(t.Output(), nil)), Shorten(chain.Policy))
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, a)
	}
	for range 5 {
		cp := chain.At(t, chain.Grow(3))
		var all sync.WaitGroup
		for i, a := range members {
			mine := cp
			mine.Note = chain.Sealed(t, cp.Size, []string{"arb-a", "court-a", "notary-a", "vendor-a"}[:3+i%2]...)
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				r, err := a.Put(ctx, mine, chain)
				if err != nil {
					t.Errorf("member %d: %v", i, err)
					return
				}
				rep, err := proof.VerifyAnchor(&proof.Anchor{Kind: proof.AnchorFabric, Name: "fabric", Checkpoint: r.Note, Receipt: r.Data},
					chain.Policy, &proof.AnchorRoots{Chain: chain.Policy.Chain, Fabric: []fabric.Channel{*pinned}})
				if err != nil {
					t.Errorf("member %d: %v", i, err)
					return
				}
				t.Logf("member %d: %d bytes, block %d", i, len(r.Data), rep.Endorsed.Block)
			})
		}
		all.Wait()
	}
}

// What is wrong in the configuration is named, and by the fields that mend it.
func TestMisconfigured(t *testing.T) {
	n := fabricnet.Start(t, fabricnet.Options{})
	chain := anchortest.NewChain(t, "wrong")
	admit(t, n, chain)
	pinned := roots(t, n, connect(t, n, n.Org1(), ""))
	o, p := n.Org1(), n.Org2()
	good := GatewayConfig{Endpoint: o.Peer.Endpoint, TLSCA: o.Peer.TLSCA, TLSName: o.Peer.TLSName, MSP: o.MSP,
		Certificate: o.User.Certificate, Key: o.User.Key, Channel: n.Channel, Chaincode: n.Chaincode}
	for says, bend := range map[string]func(c *GatewayConfig){
		"connection refused":      func(c *GatewayConfig) { c.Endpoint = "127.0.0.1:1" },
		"(tls_ca)":                func(c *GatewayConfig) { c.TLSCA = p.Peer.TLSCA },
		"(tls_name)":              func(c *GatewayConfig) { c.TLSName = "nobody" },
		"(msp, cert)":             func(c *GatewayConfig) { c.MSP = p.MSP },
		"(channel, endpoint)":     func(c *GatewayConfig) { c.Channel = "other" },
		"(chaincode)":             func(c *GatewayConfig) { c.Chaincode = "other" },
		"is not the ECDSA key of": func(c *GatewayConfig) { c.Key = p.User.Key },
		"not a private key": func(c *GatewayConfig) {
			c.Key = t.TempDir() + "/key.pem"
			if err := os.WriteFile(c.Key, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"holds no certificate":      func(c *GatewayConfig) { c.TLSCA = c.Key },
		"reading the certificate":   func(c *GatewayConfig) { c.Certificate = c.Key },
		"no such file or directory": func(c *GatewayConfig) { c.Certificate += "x" },
		"must be set":               func(c *GatewayConfig) { c.MSP = "" },
		"may be read by others: chmod": func(c *GatewayConfig) {
			c.Key = t.TempDir() + "/key.pem"
			if err := os.WriteFile(c.Key, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		},
	} {
		c := good
		bend(&c)
		net, err := OpenGateway(c)
		if err == nil {
			q := *pinned
			q.Channel, q.Chaincode = c.Channel, c.Chaincode
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, err = mustNew(t, net, &q).Put(ctx, chain.At(t, 1), chain)
			cancel()
			net.Close()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want an error that says %q", err, says)
		}
	}
}
