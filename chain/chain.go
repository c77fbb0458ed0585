package chain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cometbft/cometbft/p2p"

	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// Chain is a running node of the chain.
type Chain struct {
	cfg    Config
	c      *consortium
	log    *slog.Logger
	store  *store
	app    *app
	book   *book
	sealer *sealer
	comet  *comet
	fail   *failure
	change *signal

	running  atomic.Bool // CometBFT has been started
	stopping atomic.Bool
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	stopOnce sync.Once
	stopErr  error

	sealedHead atomic.Pointer[checkpoint.Checkpoint]
	stalled    atomic.Int64 // nanoseconds that the monitor has seen no reason for

	alarmMu sync.Mutex // guards what follows
	alarms  []Alarm
	said    map[string]bool // frauds of headers that an alarm was raised about
}

// Start opens the ledger, replays what it has missed, and joins the consortium.
// Cancelling ctx while it works gives up; afterwards only Stop ends the chain.
func Start(ctx context.Context, config Config) (*Chain, error) {
	cfg := config.withDefaults()
	c, err := newConsortium(cfg.Genesis)
	if err != nil {
		return nil, fmt.Errorf("starting the chain: %w", err)
	}
	if err := cfg.validate(c); err != nil {
		return nil, fmt.Errorf("starting the chain: %w", err)
	}
	pv, nodeKey, err := loadKeys(&cfg, c.members[cfg.Self])
	if err != nil {
		return nil, fmt.Errorf("starting the chain: %w", err)
	}
	ch, err := open(cfg, c)
	if err != nil {
		return nil, fmt.Errorf("starting the chain: %w", err)
	}
	seals := newReactor(c, ch.log, cfg.Now, ch.sealer.deliver)
	ch.sealer.net = seals
	votes := newVoter(pv, &cfg, len(c.ids), ch.log, ch.alarm)
	ch.standAs(votes)
	app := &watched{Application: ch.app, fail: ch.fail, pace: ch.sealer.pace, votes: votes,
		height: func() int64 { return ch.app.state().height }}
	log := cometLog{log: ch.log, fail: ch.fail, stopping: &ch.stopping}
	if ch.comet, err = newComet(ctx, c, &cfg, app, votes, nodeKey, seals, log); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the chain: %w", err), ch.store.close())
	}
	if err := ch.comet.node.Start(); err != nil {
		err = errors.Join(fmt.Errorf("starting the chain: %w", err), ch.comet.stop())
		return nil, errors.Join(err, ch.store.close())
	}
	ch.running.Store(true)
	ch.work(nodeKey.ID())
	return ch, nil
}

// standAs lets voter and sealer know of each other. What the voter asks of
// CometBFT it gets once CometBFT runs; in the handshake, before, nothing is
// voted on.
func (ch *Chain) standAs(votes *voter) {
	votes.others = func() []int64 {
		if !ch.running.Load() {
			return nil
		}
		return ch.heights()
	}
	votes.committed = func(height int64, address []byte) []byte {
		if !ch.running.Load() {
			return nil
		}
		return ch.comet.ownSignature(height, address)
	}
	if votes.marked {
		ch.sealer.guard.doubt = &refusedSeal{code: CodeRestored, alarm: true,
			text: "this home was restored: its guard may be older than what its keys sealed; nothing is sealed until a sealed checkpoint of the others has been verified"}
	}
	ch.sealer.lagging = func() bool { return votes.ahead(ch.app.state().height + lateBy) }
	ch.sealer.still = func() *refusedSeal {
		if !ch.syncing() {
			votes.look(ch.app.state().height)
		}
		return votes.still()
	}
}

// open opens everything but CometBFT.
func open(cfg Config, c *consortium) (*Chain, error) {
	log := cfg.Logger.With("member", cfg.Self)
	dir := filepath.Join(cfg.Dir, "ledger")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating the ledger's folder: %w", err)
	}
	store, st, err := openStore(dir, c)
	if err != nil {
		return nil, err
	}
	book, err := openBook(c, store, cfg.Now)
	if err != nil {
		return nil, errors.Join(err, store.close())
	}
	ch := &Chain{cfg: cfg, c: c, log: log, store: store, book: book, fail: newFailure(log), change: newSignal(), said: map[string]bool{}}
	ch.app = newApp(c, store, st, log)
	ch.app.alarm, ch.app.twice = ch.alarm, ch.twoHeaders
	ch.sealer = &sealer{c: c, self: cfg.Self, keys: cfg.Keys, book: book, guard: openGuard(cfg.GuardPath, c.origin),
		log: log, now: cfg.Now, pace: &pace{observe: cfg.Observe}, state: ch.app.state,
		syncing: ch.syncing, changed: ch.newlySealed, alarm: ch.alarm,
		lagging: func() bool { return false },
		still:   func() *refusedSeal { return nil }, fraud: ch.splitView, clocks: map[string]*clock{},
		reseal: cfg.Reseal, heartbeat: cfg.Heartbeat,
		inbox: make(chan inbound, maxInbox), wake: make(chan struct{}, 1)}
	ch.app.committing = func(st *state, newSize bool) {
		ch.sealer.committed(st, newSize)
		ch.change.fire()
	}
	if err := ch.loadSealedHead(); err != nil {
		return nil, errors.Join(err, store.close())
	}
	if err := ch.recallLies(); err != nil {
		return nil, errors.Join(err, store.close())
	}
	return ch, nil
}

// work starts the goroutines that Stop waits for.
func (ch *Chain) work(self p2p.ID) {
	ctx, cancel := context.WithCancel(context.Background())
	ch.cancel = cancel
	ch.wg.Go(func() { ch.sealer.run(ctx) })
	ch.wg.Go(func() { ch.monitor(ctx) })
	for _, addr := range ch.peerAddresses() {
		if strings.HasPrefix(addr, string(self)+"@") {
			continue
		}
		d := dialer{self: self, addr: addr, sw: ch.comet.node.Switch()}
		ch.wg.Go(func() { d.run(ctx) })
	}
}

func (ch *Chain) peerAddresses() []string {
	if len(ch.cfg.Peers) > 0 {
		return ch.cfg.Peers
	}
	var out []string
	for _, id := range ch.c.ids {
		if m := ch.c.members[id]; id != ch.cfg.Self {
			out = append(out, m.nodeID+"@"+m.peer)
		}
	}
	return out
}

// Stop leaves the consortium and closes the ledger, in this order: seals and
// dialling end, CometBFT ends, its goroutines and ours are waited for, the
// store closes. It may be called more than once, and it does not wait for ever:
// CometBFT may hang in a dial or a handshake. Then an error says so, and the
// process must end; what must be on disk is on disk already.
func (ch *Chain) Stop() error {
	ch.stopOnce.Do(func() {
		ch.stopping.Store(true)
		ch.cancel()
		done := make(chan error, 1)
		go func() {
			err := ch.comet.stop()
			ch.wg.Wait()
			done <- errors.Join(err, ch.store.close())
		}()
		timer := time.NewTimer(stopWithin)
		defer timer.Stop()
		select {
		case ch.stopErr = <-done:
		case <-timer.C:
			ch.stopErr = fmt.Errorf("CometBFT did not stop within %s", stopWithin)
		}
	})
	return ch.stopErr
}

// Failed yields one error when consensus has failed for good. The process must
// end then: CometBFT does not come back by itself.
func (ch *Chain) Failed() <-chan error { return ch.fail.ch }

// Changed returns a channel that is closed at the next commit or newly sealed
// size. Take it before looking at the state, or a change may be missed.
func (ch *Chain) Changed() <-chan struct{} { return ch.change.next() }

// syncing says that CometBFT is not taking part in consensus.
func (ch *Chain) syncing() bool {
	return !ch.running.Load() || ch.comet.node.ConsensusReactor().WaitSync()
}

func (ch *Chain) newlySealed() {
	if err := ch.loadSealedHead(); err != nil {
		ch.log.Error("the newest sealed size could not be read", "error", err)
	}
	ch.change.fire()
}

func (ch *Chain) loadSealedHead() error {
	size, ok, err := ch.store.last(kSealed)
	if err != nil || !ok {
		return err
	}
	root, err := merkle.RootAt(size, ch.store)
	if err != nil {
		return err
	}
	cp := ch.c.checkpoint(size, root)
	ch.sealedHead.Store(&cp)
	return nil
}
