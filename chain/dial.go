package chain

import (
	"context"
	"strings"
	"time"

	"github.com/cometbft/cometbft/p2p"
)

// dialer keeps the connection to one other member. CometBFT's own reconnecting
// waits 5 to 8 seconds between tries, and hours after a while; a member that
// restarts should be back within a second or two.
//
// If both sides dial at once each may close the other's connection, so the node
// with the smaller id dials and the other one only helps out when that does not
// work, as behind a firewall.
type dialer struct {
	self p2p.ID
	addr string // id@host:port; the host is looked up at every try
	sw   p2p.Switcher
}

// helpAfter is how long the node with the greater id leaves dialling to the
// other one.
const helpAfter = 1500 * time.Millisecond

func (d dialer) run(ctx context.Context) {
	id, _, _ := strings.Cut(d.addr, "@")
	first := dialEvery
	if string(d.self) > id {
		first = helpAfter
	}
	pause := time.Duration(0)
	if first == helpAfter {
		pause = helpAfter
	}
	for {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if d.sw.Peers().Has(p2p.ID(id)) {
			pause = first
			continue
		}
		if addr, err := p2p.NewNetAddressString(d.addr); err == nil {
			_ = d.sw.DialPeerWithAddress(addr) // the next round tells whether it worked
		}
		pause = min(max(2*pause, first), max(dialSlowest, first))
	}
}
