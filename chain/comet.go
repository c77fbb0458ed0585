package chain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	abci "github.com/cometbft/cometbft/abci/types"
	cmtcfg "github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cometbft/cometbft/types"

	"qifeng/internal/durable"
)

// genesisDoc is CometBFT's genesis: a function of the genesis bytes alone, so
// that all members derive the same one.
func (c *consortium) genesisDoc() *types.GenesisDoc {
	params := types.DefaultConsensusParams()
	params.Block = types.BlockParams{MaxBytes: maxBlockBytes, MaxGas: -1}
	params.Evidence = types.EvidenceParams{MaxAgeNumBlocks: maxEvidenceBlocks, MaxAgeDuration: maxEvidenceAge, MaxBytes: maxEvidenceBytes}
	params.Validator = types.ValidatorParams{PubKeyTypes: []string{types.ABCIPubKeyTypeEd25519}}
	params.Version = types.VersionParams{App: appVersion}
	params.ABCI = types.ABCIParams{VoteExtensionsEnableHeight: 0}
	doc := &types.GenesisDoc{GenesisTime: c.genesis.CreatedAt.UTC(), ChainID: c.chainID, InitialHeight: 1,
		ConsensusParams: params, AppState: appState(c.raw)}
	for _, id := range c.ids {
		pub := ed25519.PubKey(c.members[id].consensus.Bytes())
		doc.Validators = append(doc.Validators, types.GenesisValidator{Address: pub.Address(), PubKey: pub, Power: 1, Name: id})
	}
	return doc
}

// cometConfig is CometBFT's configuration. Nothing of it is left to files.
func (c *consortium) cometConfig(cfg *Config) (*cmtcfg.Config, error) {
	root := filepath.Join(cfg.Dir, "comet")
	for _, dir := range []string{"config", "data"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			return nil, fmt.Errorf("creating CometBFT's folders: %w", err)
		}
	}
	out := cmtcfg.DefaultConfig()
	out.SetRoot(root)
	out.Moniker = cfg.Self
	out.FilterPeers = true // asks the app's Query: members' nodes only
	out.RPC.ListenAddress = ""
	out.RPC.GRPCListenAddress = ""
	out.RPC.PprofListenAddress = ""
	out.TxIndex.Indexer = "null"
	out.Instrumentation.Prometheus = false
	out.StateSync.Enable = false

	out.P2P.ListenAddress = "tcp://" + cfg.Listen
	out.P2P.PexReactor = false
	out.P2P.AddrBookStrict = false  // members may sit on private addresses
	out.P2P.AllowDuplicateIP = true // or all behind one
	out.P2P.FlushThrottleTimeout = 5 * time.Millisecond
	out.P2P.DialTimeout = 2 * time.Second
	out.P2P.HandshakeTimeout = handshakeWithin
	out.P2P.MaxNumInboundPeers = maxHandshakes // members alone become peers, see Query
	// PersistentPeers stays empty: CometBFT dials again only every 5 to 8
	// seconds, later every hours, and sleeps on after Stop. dial.go does it.
	var ids []string
	for _, id := range c.ids {
		if id != cfg.Self {
			ids = append(ids, c.members[id].nodeID)
		}
	}
	out.P2P.UnconditionalPeerIDs = strings.Join(ids, ",")

	out.Mempool.Type = cmtcfg.MempoolTypeFlood // the only type that works without empty blocks
	// Rechecked after every height: CheckTx depends on sequence numbers, and
	// counts what waits per member anew.
	out.Mempool.Recheck = true
	out.Mempool.Size = mempoolTxs
	out.Mempool.MaxTxsBytes = mempoolBytes
	out.Mempool.MaxTxBytes = maxTxBytes
	out.Mempool.CacheSize = mempoolCache

	cs := out.Consensus
	cs.TimeoutPropose, cs.TimeoutProposeDelta = time.Second, 500*time.Millisecond
	cs.TimeoutPrevote, cs.TimeoutPrevoteDelta = 500*time.Millisecond, 500*time.Millisecond
	cs.TimeoutPrecommit, cs.TimeoutPrecommitDelta = 500*time.Millisecond, 500*time.Millisecond
	cs.TimeoutCommit = cfg.TimeoutCommit
	cs.CreateEmptyBlocks = false
	cs.CreateEmptyBlocksInterval = cfg.Heartbeat
	cs.PeerGossipSleepDuration = 10 * time.Millisecond
	cs.BlockTimeTolerance = maxBlockAhead
	cs.DoubleSignCheckHeight = 0 // see votes.go
	return out, out.ValidateBasic()
}

// comet is a CometBFT node and what must be closed with it.
type comet struct {
	node *node.Node
	dbs  *openDBs
}

// openDBs remembers CometBFT's databases, which it leaves open when it fails to
// start.
type openDBs struct {
	mu  sync.Mutex
	dbs []dbm.DB
}

func (o *openDBs) open(ctx *cmtcfg.DBContext) (dbm.DB, error) {
	if err := durable.RemoveUnborn(filepath.Join(ctx.Config.DBDir(), ctx.ID+".db")); err != nil {
		return nil, err
	}
	inner, err := cmtcfg.DefaultDBProvider(ctx)
	if err != nil {
		return nil, err
	}
	db := &lateDB{DB: inner}
	o.mu.Lock()
	o.dbs = append(o.dbs, db)
	o.mu.Unlock()
	return db, nil
}

// lateDB answers reads after it was closed with nothing. CometBFT does not wait
// for the goroutines of its peers: one that sleeps while the node is stopped
// reads from the closed store when it wakes, up to two seconds later, and
// panics on an error. Nothing is decided any more by then.
type lateDB struct {
	dbm.DB
	closed atomic.Bool
}

// Close implements dbm.DB.
func (d *lateDB) Close() error {
	d.closed.Store(true)
	return d.DB.Close()
}

// Get implements dbm.DB.
func (d *lateDB) Get(key []byte) ([]byte, error) {
	v, err := d.DB.Get(key)
	if err != nil && d.closed.Load() {
		return nil, nil
	}
	return v, err
}

// Has implements dbm.DB.
func (d *lateDB) Has(key []byte) (bool, error) {
	ok, err := d.DB.Has(key)
	if err != nil && d.closed.Load() {
		return false, nil
	}
	return ok, err
}

func (o *openDBs) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, db := range o.dbs {
		_ = db.Close() // read-only from here on, and closing twice is harmless
	}
	o.dbs = nil
}

// newComet builds the node. Its handshake replays into the app what the app has
// missed, so the app must be ready. CometBFT panics where app and blocks
// contradict each other; that is an error here.
func newComet(ctx context.Context, c *consortium, cfg *Config, app abci.Application, pv types.PrivValidator, key *p2p.NodeKey, seals p2p.Reactor, log cometLog) (out *comet, err error) {
	config, err := c.cometConfig(cfg)
	if err != nil {
		return nil, err
	}
	dbs := &openDBs{}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("CometBFT refuses to start: %v", r)
		}
		if err != nil {
			dbs.close()
		}
	}()
	doc := c.genesisDoc()
	n, err := node.NewNodeWithContext(ctx, config, pv, key, proxy.NewConnSyncLocalClientCreator(app),
		func() (*types.GenesisDoc, error) { return doc, nil }, dbs.open,
		node.DefaultMetricsProvider(config.Instrumentation), log,
		node.CustomReactors(map[string]p2p.Reactor{"SEAL": seals}))
	if err != nil {
		return nil, fmt.Errorf("starting CometBFT: %w", err)
	}
	if got := n.GenesisDoc(); got.ChainID != c.chainID || !bytes.Equal(got.AppState, doc.AppState) {
		return nil, errors.New("CometBFT's data is of another genesis")
	}
	return &comet{node: n, dbs: dbs}, nil
}

// ownSignature returns a validator's signature in the commit of a height, nil if
// the block store does not have it.
func (c *comet) ownSignature(height int64, address []byte) []byte {
	commit := c.node.BlockStore().LoadBlockCommit(height)
	if commit == nil {
		return nil
	}
	for _, s := range commit.Signatures {
		if bytes.Equal(s.ValidatorAddress, address) {
			return s.Signature
		}
	}
	return nil
}

// stop stops the node and waits for it.
func (c *comet) stop() error {
	err := c.node.Stop()
	if err == nil {
		c.node.Wait()
	}
	c.dbs.close()
	return err
}
