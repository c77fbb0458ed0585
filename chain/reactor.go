package chain

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/conn"
	gogotypes "github.com/cosmos/gogoproto/types"
)

// sealChannel is a channel id that CometBFT does not use.
const sealChannel = byte(0x71)

// reactor carries seals between nodes beside consensus. It decodes and bounds
// what peers send and hands it to the sealer; it never works on it here, for
// the goroutine that calls Receive also serves the peer's consensus messages.
type reactor struct {
	p2p.BaseReactor
	c       *consortium
	deliver func(inbound)
	log     *slog.Logger
	now     func() time.Time

	mu      sync.Mutex // guards budgets
	budgets map[p2p.ID]*budget
}

// budget is a token bucket: what a peer may still send.
type budget struct {
	left float64
	at   time.Time
}

func (b *budget) take(now time.Time) bool {
	b.left = min(peerBudget, b.left+now.Sub(b.at).Seconds()*peerRefill)
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

func newReactor(c *consortium, log *slog.Logger, now func() time.Time, deliver func(inbound)) *reactor {
	r := &reactor{c: c, deliver: deliver, log: log, now: now, budgets: map[p2p.ID]*budget{}}
	r.BaseReactor = *p2p.NewBaseReactor("SEAL", r)
	return r
}

// GetChannels implements p2p.Reactor.
func (r *reactor) GetChannels() []*conn.ChannelDescriptor {
	return []*conn.ChannelDescriptor{{
		ID: sealChannel, Priority: 6, SendQueueCapacity: 256,
		RecvBufferCapacity: maxSealMessage, RecvMessageCapacity: maxSealMessage,
		MessageType: &gogotypes.BytesValue{},
	}}
}

// AddPeer implements p2p.Reactor.
func (r *reactor) AddPeer(peer p2p.Peer) {
	r.mu.Lock()
	r.budgets[peer.ID()] = &budget{left: peerBudget, at: r.now()}
	r.mu.Unlock()
	r.log.Info("a member connected", "peer", r.c.byNode[string(peer.ID())], "outbound", peer.IsOutbound())
	r.deliver(inbound{peer: string(peer.ID())})
}

// RemovePeer implements p2p.Reactor.
func (r *reactor) RemovePeer(peer p2p.Peer, reason any) {
	r.mu.Lock()
	delete(r.budgets, peer.ID())
	r.mu.Unlock()
	r.log.Info("a member disconnected", "peer", r.c.byNode[string(peer.ID())], "reason", fmt.Sprint(reason))
}

// Receive implements p2p.Reactor. A peer that sends what does not decode is
// dropped; what it sends beyond its budget is not read.
func (r *reactor) Receive(e p2p.Envelope) {
	r.mu.Lock()
	b, ok := r.budgets[e.Src.ID()]
	ok = ok && b.take(r.now())
	r.mu.Unlock()
	if !ok {
		return
	}
	v, isBytes := e.Message.(*gogotypes.BytesValue)
	if !isBytes {
		r.Switch.StopPeerForError(e.Src, errWire)
		return
	}
	m, err := decodeMessage(v.Value)
	if err != nil {
		r.log.Warn("dropped a peer that sent a malformed seal message", "node_id", e.Src.ID(), "error", err)
		r.Switch.StopPeerForError(e.Src, err)
		return
	}
	r.deliver(inbound{peer: string(e.Src.ID()), msg: &m})
}

func envelope(raw []byte) p2p.Envelope {
	return p2p.Envelope{ChannelID: sealChannel, Message: &gogotypes.BytesValue{Value: raw}}
}

// broadcast implements network.
func (r *reactor) broadcast(raw []byte) {
	if r.Switch != nil && r.IsRunning() {
		r.Switch.TryBroadcast(envelope(raw))
	}
}

// send implements network.
func (r *reactor) send(peer string, raw []byte) {
	if r.Switch == nil || !r.IsRunning() {
		return
	}
	if p := r.Switch.Peers().Get(p2p.ID(peer)); p != nil {
		p.TrySend(envelope(raw))
	}
}

// peers implements network.
func (r *reactor) peers() []string {
	if r.Switch == nil || !r.IsRunning() {
		return nil
	}
	var out []string
	for _, p := range r.Switch.Peers().Copy() {
		out = append(out, string(p.ID()))
	}
	slices.Sort(out)
	return out
}
