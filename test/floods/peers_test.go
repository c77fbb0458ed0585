package floods

import (
	"bytes"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/conn"
	protomem "github.com/cometbft/cometbft/proto/tendermint/mempool"
	gogotypes "github.com/cosmos/gogoproto/types"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

const (
	mempoolChannel = byte(0x30)
	sealChannel    = byte(0x71)
)

// peer speaks CometBFT's peer protocol with a key of the test's choice and
// behaves as it likes.
type peer struct {
	p2p.BaseReactor
	sw *p2p.Switch

	mu      sync.Mutex
	changed chan struct{}
	joined  int
	dropped int
}

func newPeer(t testing.TB, chainID string, key *p2p.NodeKey) *peer {
	t.Helper()
	p := &peer{changed: make(chan struct{}, 1)}
	p.BaseReactor = *p2p.NewBaseReactor("FLOOD", p)
	cfg := config.DefaultP2PConfig()
	cfg.AllowDuplicateIP = true
	cfg.SendRate, cfg.RecvRate = 50<<20, 50<<20
	info := p2p.DefaultNodeInfo{
		ProtocolVersion: p2p.NewProtocolVersion(9, 11, 0), DefaultNodeID: key.ID(), ListenAddr: "127.0.0.1:1",
		Network: chainID, Version: "0.40.0", Channels: []byte{mempoolChannel, sealChannel}, Moniker: "flood",
		Other: p2p.DefaultNodeInfoOther{TxIndex: "off", RPCAddress: ""},
	}
	transport := p2p.NewMultiplexTransport(info, *key, p2p.MConnConfig(cfg))
	p.sw = p2p.NewSwitch(cfg, transport)
	p.sw.AddReactor("FLOOD", p)
	p.sw.SetNodeInfo(info)
	p.sw.SetNodeKey(key)
	if err := p.sw.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.sw.Stop() }) // nothing depends on it
	return p
}

// GetChannels implements p2p.Reactor.
func (p *peer) GetChannels() []*conn.ChannelDescriptor {
	return []*conn.ChannelDescriptor{
		{ID: mempoolChannel, Priority: 5, SendQueueCapacity: 64, RecvMessageCapacity: 1 << 20, MessageType: &protomem.Message{}},
		{ID: sealChannel, Priority: 6, SendQueueCapacity: 64, RecvMessageCapacity: 1 << 20, MessageType: &gogotypes.BytesValue{}},
	}
}

func (p *peer) note(f func()) {
	p.mu.Lock()
	f()
	p.mu.Unlock()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// AddPeer implements p2p.Reactor.
func (p *peer) AddPeer(p2p.Peer) { p.note(func() { p.joined++ }) }

// RemovePeer implements p2p.Reactor.
func (p *peer) RemovePeer(p2p.Peer, any) { p.note(func() { p.dropped++ }) }

// Receive implements p2p.Reactor.
func (p *peer) Receive(p2p.Envelope) {}

// dial connects to a node.
func (p *peer) dial(address string) error {
	a, err := p2p.NewNetAddressString(address)
	if err != nil {
		return err
	}
	return p.sw.DialPeerWithAddress(a)
}

// until waits until a condition on how often it was let in and dropped is true.
func (p *peer) until(t testing.TB, what string, ok func(joined, dropped int) bool) {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		p.mu.Lock()
		j, d := p.joined, p.dropped
		p.mu.Unlock()
		if ok(j, d) {
			return
		}
		select {
		case <-p.changed:
		case <-late:
			t.Fatalf("%s: not within 10 s (joined %d, dropped %d times)", what, j, d)
		}
	}
}

// sendTxs sends transactions as gossip.
func (p *peer) sendTxs(txs ...[]byte) (sent int) {
	for _, to := range p.sw.Peers().Copy() {
		for _, tx := range txs {
			if to.TrySend(p2p.Envelope{ChannelID: mempoolChannel, Message: &protomem.Txs{Txs: [][]byte{tx}}}) {
				sent++
			}
		}
	}
	return sent
}

func stranger() *p2p.NodeKey { return &p2p.NodeKey{PrivKey: ed25519.GenPrivKey()} }

func rogueKey(t testing.TB, n *network) *p2p.NodeKey {
	t.Helper()
	k, err := p2p.LoadNodeKey(filepath.Join(n.Home(rogue), "keys", "node.json"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// junk signs headers of batches that do not exist, with the rogue's own key: no
// rule of the chain forbids them.
type junk struct {
	chain string
	key   *gm.PrivateKey
	seq   uint64
}

func newJunk(t testing.TB, n *network, chainID string) *junk {
	t.Helper()
	k, err := gm.LoadPrivateKey(filepath.Join(n.Home(rogue), "keys", "intake.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return &junk{chain: chainID, key: k}
}

// next is a header with a good signature and one with a bad one.
func (j *junk) next() (good, bad []byte, err error) {
	j.seq++
	now := time.Now().UTC().Truncate(time.Millisecond)
	b := evidence.Batch{Node: rogue, Seq: j.seq, RegistrySize: 1, FirstReceivedAt: now, LastReceivedAt: now,
		Streams: map[evidence.Stream]evidence.StreamRoot{evidence.Contract: {Count: 1, Root: merkle.Sum(fmt.Append(nil, j.seq))}}}
	if good, err = b.Sign(j.chain, j.key); err != nil {
		return nil, nil, err
	}
	bad = bytes.Clone(good)
	i := bytes.Index(bad, []byte(`"sig":"`)) + 10
	bad[i] ^= 1 // another hex digit: 0 to 9 stay digits, a to f become letters
	if bad[i] < '0' || bad[i] > '9' {
		bad[i] = 'a'
	}
	return good, bad, nil
}

// onlyMembersArePeers, over real connections: who is not in the register is
// dropped, and so is a member that sends what is no message.
func onlyMembersArePeers(t *testing.T, n *network, j *job) {
	p := newPeer(t, j.s.ChainID, stranger())
	_ = p.dial(n.Peers[vendor]) // whether it fails or is dropped a moment later
	p.until(t, "the stranger is dropped", func(joined, dropped int) bool { return joined == dropped && p.sw.Peers().Size() == 0 })
	n.logs(t, vendor, "refused a peer that is no member's node")

	// Strangers that connect and say nothing do not keep a member out.
	_, addr, _ := strings.Cut(n.Peers[vendor], "@")
	for range 200 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	m := newPeer(t, j.s.ChainID, rogueKey(t, n))
	began := time.Now()
	if err := m.dial(n.Peers[vendor]); err != nil {
		t.Fatalf("a member, with 200 silent strangers at the door: %v after %v", err, time.Since(began))
	}
	m.until(t, "a member is let in", func(joined, dropped int) bool { return joined == 1 })
	for _, to := range m.sw.Peers().Copy() {
		to.Send(p2p.Envelope{ChannelID: sealChannel, Message: &gogotypes.BytesValue{Value: []byte("garbage")}})
	}
	m.until(t, "a member that sends garbage is dropped", func(_, dropped int) bool { return dropped == 1 })
	n.logs(t, vendor, "dropped a peer that sent a malformed seal message")
}
