package fabric

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"qifeng/anchor"
	"qifeng/anchor/anchortest"
	"qifeng/proof"
	"qifeng/proof/fabric"
	"qifeng/test/fabricnet"
)

// The driver of older networks keeps the contract of anchors too, on a real
// network, by the channel that the gateway pins; and what goes wrong there.
func TestSDK(t *testing.T) {
	n := fabricnet.Start(t, fabricnet.Options{LowS: true})
	program := sdkProgram(t)
	pinned := roots(t, n, connect(t, n, n.Org1(), ""))
	if g, w := channelText(t, roots(t, n, sdkOf(t, n, program, ""))), channelText(t, pinned); g != w {
		t.Errorf("the channel is pinned through the SDK as\n%s\nnot as\n%s", g, w)
	}
	var chains []*anchortest.Chain
	newChain := func(t *testing.T, name string) *anchortest.Chain {
		chain := anchortest.NewChain(t, name)
		chains = append(chains, chain)
		admit(t, n, chains...)
		return chain
	}
	t.Run("suite", func(t *testing.T) {
		anchortest.Run(t, func(t *testing.T) anchortest.Fixture {
			chain := newChain(t, "suite")
			proxy := anchortest.NewProxy(t, n.Org1().Peer.Endpoint)
			return anchortest.Fixture{
				Anchor: mustNew(t, sdkOf(t, n, program, proxy.Addr), pinned), Name: "fabric", Chain: chain,
				Roots: &proof.AnchorRoots{Chain: chain.Policy.Chain, Fabric: []fabric.Channel{*pinned}},
				Stop:  proxy.Stop, Start: func() { proxy.Start(t) }, Hang: proxy.Hang, Go: proxy.Go,
			}
		})
	})
	t.Run("outages", func(t *testing.T) { testSDKOutages(t, n, newChain(t, "outage"), program, pinned) })
	t.Run("killed", func(t *testing.T) { testSDKKilled(t, n, newChain(t, "killed"), program, pinned) })
}

// Of four orderers that sign blocks together one dies: the SDK goes on to another
// one, and the receipt carries the quorum's signatures.
func TestSDKBFT(t *testing.T) {
	n := fabricnet.Start(t, fabricnet.Options{BFT: true, LowS: true})
	pinned := roots(t, n, connect(t, n, n.Org1(), ""))
	chain := anchortest.NewChain(t, "bft")
	admit(t, n, chain)
	net := sdkOf(t, n, sdkProgram(t), "")
	a := mustNew(t, net, pinned)
	for i := range 4 {
		if i == 1 {
			n.Kill(t, "orderer4")
		}
		cp := chain.At(t, chain.Grow(3))
		began := time.Now()
		e := eventually(t, a, chain, cp, pinned)
		t.Logf("block %d after %v, orderers %v", e.Block, time.Since(began), e.Orderers)
		if len(e.Orderers) < 3 {
			t.Errorf("size %d: %d of four orderers signed the block", cp.Size, len(e.Orderers))
		}
		once(t, net, n, cp)
	}
}

func channelText(t *testing.T, c *fabric.Channel) string {
	t.Helper()
	b, err := (&proof.AnchorRoots{Chain: "demo-00000000", Fabric: []fabric.Channel{*c}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// verified puts a checkpoint, and judges the receipt offline.
func verified(t *testing.T, a anchor.Anchor, chain *anchortest.Chain, cp anchor.Checkpoint, pinned *fabric.Channel) (*fabric.Endorsed, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := a.Put(ctx, cp, chain)
	if err != nil {
		return nil, err
	}
	want, err := statement(cp)
	if err != nil {
		t.Fatal(err)
	}
	e, err := fabric.Verify(r.Data, want, pinned)
	if err != nil {
		t.Fatal(err)
	}
	return e, nil
}

// eventually puts until it succeeds, as the worker does.
func eventually(t *testing.T, a anchor.Anchor, chain *anchortest.Chain, cp anchor.Checkpoint, pinned *fabric.Channel) *fabric.Endorsed {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		e, err := verified(t, a, chain, cp, pinned)
		if err == nil {
			return e
		}
		var conflict *anchor.Conflict
		if errors.As(err, &conflict) || errors.Is(err, anchor.ErrRefused) || time.Now().After(deadline) {
			t.Fatal(err)
		}
		t.Log(err)
		time.Sleep(200 * time.Millisecond) // the worker's back-off
	}
}

func testSDKOutages(t *testing.T, n *fabricnet.Net, chain *anchortest.Chain, program string, pinned *fabric.Channel) {
	net := sdkOf(t, n, program, "")
	a := mustNew(t, net, pinned)
	eventually(t, a, chain, chain.At(t, chain.Grow(2)), pinned)
	for _, process := range []string{"orderer1", n.Org2().Chaincode, n.Org2().Peer.Name, n.Org1().Peer.Name} {
		n.Kill(t, process)
		cp := chain.At(t, chain.Grow(2))
		began := time.Now()
		_, err := verified(t, a, chain, cp, pinned)
		var conflict *anchor.Conflict
		if err == nil || errors.As(err, &conflict) || errors.Is(err, anchor.ErrRefused) {
			t.Fatalf("Put without %s: %v", process, err)
		}
		t.Logf("without %s, after %v: %v", process, time.Since(began), err)
		n.Start(t, process)
		eventually(t, a, chain, cp, pinned)
		once(t, net, n, cp)
	}
}

// hooked is a network whose Submit a test does in its place.
type hooked struct {
	*sdkNetwork
	submit func(ctx context.Context, e Endorsed) (Commit, error)
}

func (h *hooked) Submit(ctx context.Context, e Endorsed) (Commit, error) {
	if h.submit == nil {
		return h.sdkNetwork.Submit(ctx, e)
	}
	return h.submit(ctx, e)
}

// The program is killed while a transaction is on its way: before the orderer has
// taken it, and after, when only the peer's word is missing. Either way the outcome
// is unknown, the next attempt finds out, and one transaction is on the channel.
func testSDKKilled(t *testing.T, n *fabricnet.Net, chain *anchortest.Chain, program string, pinned *fabric.Channel) {
	net := &hooked{sdkNetwork: sdkOf(t, n, program, "")}
	a := mustNew(t, net, pinned)
	eventually(t, a, chain, chain.At(t, chain.Grow(3)), pinned) // connections are open now
	other := n.Org2().Contract(t)

	for _, c := range []struct {
		paused  string
		ordered bool // before the kill
	}{{"orderer1", false}, {n.Org1().Peer.Name, true}} {
		cp := chain.At(t, chain.Grow(3))
		want, err := statement(cp)
		if err != nil {
			t.Fatal(err)
		}
		var tx string
		submitted := make(chan error, 1)
		net.submit = func(ctx context.Context, e Endorsed) (Commit, error) {
			net.submit = nil
			tx = e.TxID
			n.Pause(t, c.paused)
			child := net.child
			go func() {
				if c.ordered {
					for ctx.Err() == nil {
						if b, err := other.EvaluateTransaction(fabric.FunctionGet, want.Origin, strconv.FormatUint(want.Size, 10)); err == nil && len(b) > 0 {
							break
						}
						time.Sleep(50 * time.Millisecond) // between two looks
					}
				} else {
					time.Sleep(time.Second) // within which it has reached the socket
				}
				child.cmd.Process.Kill()
			}()
			commit, err := net.sdkNetwork.Submit(ctx, e)
			submitted <- err
			n.Resume(t, c.paused)
			return commit, err
		}
		e := eventually(t, a, chain, cp, pinned)
		if err := <-submitted; !errors.Is(err, ErrUnknown) {
			t.Errorf("killed while %s hung: %v, want an unknown outcome", c.paused, err)
		}
		t.Logf("killed while %s hung: submitted as %.8s, found as %.8s", c.paused, tx, e.TxID)
		if c.ordered && e.TxID != tx {
			t.Errorf("transaction %s was ordered, and another one, %s, is what the receipt shows", tx, e.TxID)
		}
		once(t, net, n, cp)
		eventually(t, a, chain, chain.At(t, chain.Grow(1)), pinned)
	}
}

// once looks through all blocks: one valid transaction has put a checkpoint.
func once(t *testing.T, net Network, n *fabricnet.Net, cp anchor.Checkpoint) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b, err := net.Evaluate(ctx, "qscc", []byte("GetChainInfo"), []byte(n.Channel))
	if err != nil {
		t.Fatal(err)
	}
	var info common.BlockchainInfo
	if err := proto.Unmarshal(b, &info); err != nil {
		t.Fatal(err)
	}
	valid := 0
	for number := range info.Height {
		b, err := net.Evaluate(ctx, "qscc", []byte("GetBlockByNumber"), []byte(n.Channel), strconv.AppendUint(nil, number, 10))
		if err != nil {
			t.Fatal(err)
		}
		var block common.Block
		if err := proto.Unmarshal(b, &block); err != nil {
			t.Fatal(err)
		}
		codes := block.Metadata.Metadata[common.BlockMetadataIndex_TRANSACTIONS_FILTER]
		for i, envelope := range block.Data.Data {
			if codes[i] == codeValid && bytes.Contains(envelope, cp.Note) {
				valid++
			}
		}
	}
	if valid != 1 {
		t.Errorf("%d valid transactions put size %d, want one", valid, cp.Size)
	}
}
