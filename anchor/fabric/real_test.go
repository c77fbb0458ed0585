package fabric

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qifeng/anchor"
	"qifeng/anchor/anchortest"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
	"qifeng/test/fabricnet"
)

// admit has a network's chaincodes know a chain, and both organisations write it.
func admit(t testing.TB, n *fabricnet.Net, chains ...*anchortest.Chain) {
	t.Helper()
	writers := map[string][]string{}
	for _, c := range chains {
		writers[checkpoint.Origin(c.Policy.Chain)] = []string{"Org1MSP", "Org2MSP"}
	}
	for _, o := range []*fabricnet.Organisation{n.Org1(), n.Org2()} {
		for _, c := range chains {
			text, err := c.Policy.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			o.SetPolicy(t, c.Policy.Chain, text)
		}
		o.SetWriters(t, writers)
	}
}

// connect makes the gateway network of an organisation's user; endpoint "" is its
// own peer.
func connect(t testing.TB, n *fabricnet.Net, o *fabricnet.Organisation, endpoint string) Network {
	t.Helper()
	if endpoint == "" {
		endpoint = o.Peer.Endpoint
	}
	out, err := OpenGateway(GatewayConfig{Endpoint: endpoint, TLSCA: o.Peer.TLSCA, TLSName: o.Peer.TLSName, MSP: o.MSP,
		Certificate: o.User.Certificate, Key: o.User.Key, Channel: n.Channel, Chaincode: n.Chaincode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return out
}

func roots(t testing.TB, n *fabricnet.Net, net Network) *fabric.Channel {
	t.Helper()
	c, notes, err := Roots(t.Context(), net, "fabric", n.Channel, n.Chaincode)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range notes {
		t.Log(s.EN)
	}
	return c
}

// The pinned channel is what the network was made of.
func checkRoots(t *testing.T, n *fabricnet.Net, got *fabric.Channel) {
	t.Helper()
	want := &fabric.Channel{Name: "fabric", Channel: n.Channel, Chaincode: n.Chaincode, Endorsements: 2}
	for _, o := range n.Organisations {
		want.Organisations = append(want.Organisations, fabric.Organisation{MSP: o.MSP, Roots: [][]byte{der(t, o.CA)}, NodeOUs: true})
	}
	want.Organisations[0].Revoked = [][]byte{serial(t, revokedUser(n).Certificate)}
	want.Orderers = fabric.Orderers{Organisations: []fabric.Organisation{{MSP: n.OrdererMSP, Roots: [][]byte{der(t, n.OrdererCA)}, NodeOUs: true}}, Signatures: 1}
	if n.Consensus == "bft" {
		want.Orderers.Signatures = 3
		for _, o := range n.Orderers {
			want.Orderers.Consenters = append(want.Orderers.Consenters, fabric.Consenter{ID: o.ID, MSP: n.OrdererMSP, Certificate: der(t, o.Certificate)})
		}
	}
	pinned := func(c *fabric.Channel) string {
		b, err := (&proof.AnchorRoots{Chain: "demo-00000000", Fabric: []fabric.Channel{*c}}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if g, w := pinned(got), pinned(want); g != w {
		t.Errorf("the channel is pinned as\n%s\nnot as\n%s", g, w)
	}
}

// revokedUser is a user of the first organisation whom the channel's
// configuration has as revoked.
func revokedUser(n *fabricnet.Net) fabricnet.Identity {
	dir := filepath.Join(n.Org1().MSPDir, "..", "users", "User2@org1.anchor.test", "msp")
	return fabricnet.Identity{Certificate: filepath.Join(dir, "signcerts", "User2@org1.anchor.test-cert.pem"), Key: filepath.Join(dir, "keystore", "priv_sk")}
}

func serial(t testing.TB, path string) []byte {
	t.Helper()
	cert, err := x509.ParseCertificate(der(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return cert.SerialNumber.Bytes()
}

func der(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		t.Fatalf("%s holds no PEM", path)
	}
	return block.Bytes
}

func TestRaft(t *testing.T) { testReal(t, fabricnet.Options{HighS: true}) }
func TestBFT(t *testing.T)  { testReal(t, fabricnet.Options{BFT: true}) }

func testReal(t *testing.T, o fabricnet.Options) {
	n := fabricnet.Start(t, o)
	chain := anchortest.NewChain(t, "real")
	admit(t, n, chain)
	net1, net2 := connect(t, n, n.Org1(), ""), connect(t, n, n.Org2(), "")
	pinned := roots(t, n, net1)
	checkRoots(t, n, pinned)
	keepChannel(t, chain, pinned)
	a, b := mustNew(t, net1, pinned), mustNew(t, net2, pinned)

	first := chain.At(t, chain.Grow(3))
	put := func(a anchor.Anchor, cp anchor.Checkpoint) *fabric.Endorsed {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		began := time.Now()
		r, err := a.Put(ctx, cp, chain)
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		want, err := statement(cp)
		if err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		e, err := fabric.Verify(r.Data, want, pinned)
		if err != nil {
			t.Fatal(err)
		}
		verified := time.Since(began)
		if bytes.Equal(cp.Note, first.Note) {
			keepReceipt(t, "receipt", cp, r.Data)
		}
		void := *pinned
		void.Organisations = slices.Clone(pinned.Organisations)
		void.Organisations[1].Revoked = [][]byte{serial(t, n.Org2().Peer.Certificate)}
		if _, err := fabric.Verify(r.Data, want, &void); !errors.Is(err, fabric.ErrRevoked) {
			t.Errorf("endorsed by a revoked peer: %v", err)
		}
		t.Logf("size %d: %d bytes in %v, verified in %v: %+v", cp.Size, len(r.Data), took, verified, e)
		return e
	}
	e := put(a, first)
	if !slices.Equal(e.Organisations, []string{"Org1MSP", "Org2MSP"}) || len(e.Orderers) != pinned.Orderers.Signatures {
		t.Errorf("%+v", e)
	}
	// Again, by the same member and by another one with other seals: one transaction.
	if again := put(a, first); again.TxID != e.TxID {
		t.Errorf("the same checkpoint made a second transaction: %s, %s", e.TxID, again.TxID)
	}
	other := first
	other.Note = chain.Sealed(t, first.Size, "court-a", "notary-a", "vendor-a")
	if again := put(b, other); again.TxID != e.TxID {
		t.Errorf("the same checkpoint made a second transaction: %s, %s", e.TxID, again.TxID)
	}
	gone := *n.Org1()
	gone.User = revokedUser(n)
	if r, err := mustNew(t, connect(t, n, &gone, ""), pinned).Put(t.Context(), chain.At(t, chain.Grow(1)), chain); err == nil {
		t.Errorf("the network took a put of a revoked user: %+v", r)
	}
	for range 3 {
		put(b, chain.At(t, chain.Grow(7)))
	}
	if o.BFT {
		n.Kill(t, "orderer4")
		for range 3 {
			put(a, chain.At(t, chain.Grow(7)))
		}
	}
	t.Run("invalidated", func(t *testing.T) { testInvalidated(t, chain, net1.(*gateway), pinned) })
}

// Two puts that were endorsed before either was ordered: one is VALID, the other
// an MVCC conflict that stands in a block all the same. Its receipt is refused, by
// its code, and by the read-back's version where the code is lied about.
func testInvalidated(t *testing.T, chain *anchortest.Chain, net *gateway, pinned *fabric.Channel) {
	d := &driver{n: net, channel: pinned, log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	cp := chain.At(t, chain.Grow(2))
	want, err := statement(cp)
	if err != nil {
		t.Fatal(err)
	}
	head, err := d.head(ctx, want.Origin)
	if err != nil {
		t.Fatal(err)
	}
	endorse := func() Endorsed {
		path, err := chain.Consistency(head.Size, cp.Size)
		if err != nil {
			t.Fatal(err)
		}
		e, err := net.Endorse(ctx, putArgs(cp.Note, head.Size, path)...)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	one, two := endorse(), endorse()
	type result struct {
		Commit
		err error
	}
	results := make(chan result, 1)
	go func() { c, err := net.Submit(ctx, two); results <- result{c, err} }()
	c1, err := net.Submit(ctx, one)
	if err != nil {
		t.Fatal(err)
	}
	r2 := <-results
	if r2.err != nil {
		t.Fatal(r2.err)
	}
	winner, loser, lost := one, two, r2.Commit
	if c1.Code != codeValid {
		winner, loser, lost = two, one, c1
	}
	if lost.Code != codeMVCC || c1.Code+r2.Code != codeMVCC {
		t.Fatalf("codes %d and %d, want one MVCC conflict", c1.Code, r2.Code)
	}
	good, err := d.receipt(ctx, cp, want)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := fabric.Verify(good, want, pinned); err != nil || e.TxID != winner.TxID {
		t.Fatalf("the winner's receipt: %+v, %v", e, err)
	}
	r, err := fabric.ParseReceipt(good)
	if err != nil {
		t.Fatal(err)
	}
	block, err := d.block(ctx, lost.Block)
	if err != nil {
		t.Fatal(err)
	}
	index := slices.IndexFunc(block.Data.Data, func(b []byte) bool { return strings.Contains(string(b), loser.TxID) })
	bad, err := assemble(block, lost.Block, uint64(index), r.Read)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fabric.Verify(bad.Marshal(), want, pinned); err == nil || !strings.Contains(err.Error(), "MVCC_READ_CONFLICT") {
		t.Errorf("an invalidated transaction: %v", err)
	}
	told := bad.Marshal()
	bad.Code = 0
	if _, err := fabric.Verify(bad.Marshal(), want, pinned); err == nil || !strings.Contains(err.Error(), "ours was not valid") {
		t.Errorf("an invalidated transaction that is said to be valid: %v", err)
	}
	keepReceipt(t, "race", cp, good)
	keepReceipt(t, "invalidated", cp, told)
}

func mustNew(t testing.TB, n Network, pinned *fabric.Channel) anchor.Anchor {
	t.Helper()
	a, err := New(n, pinned, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return a
}
