package chain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cometbft/cometbft/consensus"
	"github.com/cometbft/cometbft/mempool"
	"github.com/cometbft/cometbft/p2p"
	protomem "github.com/cometbft/cometbft/proto/tendermint/mempool"
	"github.com/cometbft/cometbft/types"
)

// monitor finds that consensus is dead though nothing has said so. Two things
// tell: its goroutine has returned without Stop, or no block comes though there
// is every reason for one: more than 2/3 of the members, this one counted, are
// connected and at our height, and a block is overdue by several heartbeats.
// Without such peers a standstill is not a failure of this node: Status says who
// is missing, and the node waits.
func (ch *Chain) monitor(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var height int64
	progress := time.Now()
	waiting := false
	told := retelling{pause: retellFirst}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		told.look(ch)
		if !waiting && !ch.syncing() {
			waiting = true
			ch.wg.Go(ch.awaitConsensus)
		}
		if h := ch.app.state().height; h != height || ch.syncing() || !ch.quorumAt(h+1) {
			height, progress = h, time.Now()
			ch.stalled.Store(0)
			continue
		}
		stall := time.Since(progress)
		ch.stalled.Store(int64(stall))
		if stall > ch.stallLimit() {
			ch.fail.report(fmt.Errorf("no block for %s at height %d though a quorum of members is connected", stall.Round(time.Second), height))
			return
		}
	}
}

// retelling tells the other members again of the transactions that wait here,
// when no block has come for a while. CometBFT tells each peer once, and a peer
// that is just starting drops what it is told: at the start of a chain two of
// four may not know of the first transaction, and without it they do not
// begin a block before the heartbeat.
type retelling struct {
	height int64
	at     time.Time
	pause  time.Duration
}

func (r *retelling) look(ch *Chain) {
	now, height, pool := time.Now(), ch.app.state().height, ch.comet.node.Mempool()
	if height != r.height || ch.syncing() || pool.Size() == 0 {
		r.height, r.at, r.pause = height, now, retellFirst
		return
	}
	if now.Sub(r.at) < r.pause {
		return
	}
	r.at, r.pause = now, min(r.pause+retellFirst, retellLast)
	for _, tx := range pool.ReapMaxTxs(mempoolTxs) {
		ch.comet.node.Switch().TryBroadcast(p2p.Envelope{ChannelID: mempool.MempoolChannel, Message: &protomem.Txs{Txs: [][]byte{tx}}})
	}
}

// stallLimit is how long a stall may last.
func (ch *Chain) stallLimit() time.Duration {
	return max(stallHeartbeats*ch.cfg.Heartbeat, stallLeast)
}

// awaitConsensus returns when CometBFT's consensus goroutine has. CometBFT
// gives no way to its consensus state but through the environment of its RPC.
func (ch *Chain) awaitConsensus() {
	env, err := ch.comet.node.ConfigureRPC()
	if err != nil {
		ch.log.Warn("consensus is watched by its height alone", "error", err)
		return
	}
	state, ok := env.ConsensusState.(interface{ Wait() })
	if !ok {
		ch.log.Warn("consensus is watched by its height alone")
		return
	}
	state.Wait()
	if !ch.stopping.Load() {
		ch.fail.report(errors.New("CometBFT's consensus goroutine has ended"))
	}
}

// quorumAt says whether more than 2/3 of the validators, all of power 1, are
// connected and work on a height, or beyond it.
func (ch *Chain) quorumAt(height int64) bool {
	n := 1
	for _, h := range ch.heights() {
		if h >= height {
			n++
		}
	}
	return 3*n > 2*len(ch.c.ids)
}

// heights returns the heights that the connected members work on, 0 for one
// that is starting.
func (ch *Chain) heights() []int64 {
	var out []int64
	for _, p := range ch.comet.node.Switch().Peers().Copy() {
		if ps, ok := p.Get(types.PeerStateKey).(*consensus.PeerState); ok {
			out = append(out, ps.GetHeight())
		}
	}
	return out
}
