package chain

import (
	"testing"
	"time"

	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/mock"
	gogotypes "github.com/cosmos/gogoproto/types"
)

// dropSwitch is a switch that only remembers whom it drops.
type dropSwitch struct {
	p2p.Switcher
	dropped []p2p.ID
}

func (d *dropSwitch) StopPeerForError(p p2p.Peer, _ any) { d.dropped = append(d.dropped, p.ID()) }

func TestReactorDropsGarbage(t *testing.T) {
	_, c := readGolden(t)
	now := time.Unix(1_800_000_000, 0)
	var got []inbound
	sw := &dropSwitch{}
	r := newReactor(c, quiet(), func() time.Time { return now }, func(in inbound) { got = append(got, in) })
	r.Switch = sw
	peer := mock.NewPeer(nil)
	send := func(m *gogotypes.BytesValue) { r.Receive(p2p.Envelope{Src: peer, ChannelID: sealChannel, Message: m}) }

	send(&gogotypes.BytesValue{Value: []byte{0xff}}) // not added yet: not read
	r.AddPeer(peer)
	if len(got) != 1 || got[0].msg != nil || len(sw.dropped) != 0 {
		t.Fatalf("after AddPeer: %+v, dropped %v", got, sw.dropped)
	}
	good := encodeMessage(message{kind: msgWant, size: 3})
	send(&gogotypes.BytesValue{Value: good})
	if len(got) != 2 || got[1].msg.size != 3 || got[1].peer != string(peer.ID()) {
		t.Fatalf("after a message: %+v", got)
	}
	for _, raw := range [][]byte{nil, {0xff}, append(good, 0), good[:4]} {
		before := len(sw.dropped)
		send(&gogotypes.BytesValue{Value: raw})
		if len(sw.dropped) != before+1 || len(got) != 2 {
			t.Errorf("%x: dropped %d, delivered %d", raw, len(sw.dropped)-before, len(got))
		}
	}
	r.Receive(p2p.Envelope{Src: peer, ChannelID: sealChannel, Message: &gogotypes.StringValue{}})
	if len(sw.dropped) != 5 {
		t.Error("another message type was taken")
	}
	r.RemovePeer(peer, "gone")
	send(&gogotypes.BytesValue{Value: good})
	if len(got) != 2 {
		t.Error("a removed peer was heard")
	}
}

func TestReactorBudget(t *testing.T) {
	_, c := readGolden(t)
	now := time.Unix(1_800_000_000, 0)
	n := 0
	r := newReactor(c, quiet(), func() time.Time { return now }, func(in inbound) {
		if in.msg != nil {
			n++
		}
	})
	r.Switch = &dropSwitch{}
	peer := mock.NewPeer(nil)
	r.AddPeer(peer)
	flood := func() {
		for range 3 * peerBudget {
			r.Receive(p2p.Envelope{Src: peer, Message: &gogotypes.BytesValue{Value: encodeMessage(message{kind: msgWant, size: 3})}})
		}
	}
	flood()
	if n != peerBudget {
		t.Errorf("%d messages read at once, the budget is %d", n, peerBudget)
	}
	now = now.Add(time.Second)
	n = 0
	flood()
	if n != peerRefill {
		t.Errorf("%d messages read a second later, the refill is %d", n, peerRefill)
	}
}

// TestReactorWithoutSwitch: the sealer may send before CometBFT has started.
func TestReactorWithoutSwitch(t *testing.T) {
	_, c := readGolden(t)
	r := newReactor(c, quiet(), time.Now, func(inbound) {})
	r.broadcast([]byte("x"))
	r.send("x", []byte("x"))
	if got := r.peers(); got != nil {
		t.Errorf("peers %v", got)
	}
}
