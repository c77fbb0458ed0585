package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"

	"qifeng/api"
	"qifeng/archive"
	"qifeng/chain"
	"qifeng/genesis"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

func (a *app) startCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "start",
		Short: "运行成员节点 · Run a member's node",
		Long: `按 qifeng.toml 运行共识、会签、存证与接口，日志为标准错误上的 JSON 行。SIGTERM 或 Ctrl-C 后 5 秒内停止。
共识失败时进程以退出码 1 结束，由上级（systemd、devnet）重启。
Runs consensus, seals, archive and API by qifeng.toml; the log is JSON lines on standard error.
Stops within 5 seconds of SIGTERM or Ctrl-C. If consensus fails the process ends with exit code
1, to be started again by what runs it.`,
		Example: example("qifeng start --home ./court-a"),
		Args:    cobra.NoArgs,
		RunE:    a.run(func(ctx context.Context, _ []string) error { return a.start(ctx) }),
	}
	a.homeFlag(cmd)
	return cmd
}

// start runs the node of the home until ctx is done or it fails.
func (a *app) start(ctx context.Context) error {
	cfg, err := a.home.config()
	if err != nil {
		return &codeError{code: exitUsage, err: err}
	}
	unlock, err := lockDir(string(a.home))
	if err != nil {
		return err
	}
	defer unlock()
	log, err := newLogger(a.errw, cfg)
	if err != nil {
		return err
	}
	if cfg.API.AllowRemote {
		log.Warn("the API may be reached from outside: reads are not authenticated", "listen", cfg.API.Listen)
	}
	n, err := openNode(ctx, a.home, cfg, log)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		log.Error("node could not start", "error", err)
		return err
	}
	if err := n.serve(ctx); err != nil {
		log.Error("node ended", "error", err)
		return err
	}
	log.Info("node stopped")
	return nil
}

// running is a node with all its parts.
type running struct {
	log     *slog.Logger
	metrics *metrics
	chain   *chain.Chain
	archive *archive.Archive
	anchors *anchors // nil without any
	audit   *auditLog
	server  *api.Server
	ln      *net.TCPListener
	tls     *tls.Config // nil for plain HTTP
}

// openNode reads the home and starts the node; what was started is stopped
// again on an error.
func openNode(ctx context.Context, h home, cfg *Config, log *slog.Logger) (*running, error) {
	cons, err := homeConsortium(h, cfg)
	if err != nil {
		return nil, err
	}
	intake, seal, err := nodeKeys(h, cfg)
	if err != nil {
		return nil, err
	}
	if err := ownIntake(cons, cfg.Member.ID, intake); err != nil {
		return nil, err
	}
	if err := checkAnchors(h, cfg); err != nil { // before the chain, which may take long to be up
		return nil, err
	}
	n := &running{log: log, metrics: newMetrics(cfg, log)}
	if err := n.open(ctx, h, cfg, cons, intake, seal); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// open starts the parts in the order of their needs: the API's port, which
// tells at once that another program has it, and answers "starting" meanwhile;
// the chain; the archive, which asks the chain what became of its batches; the
// API.
func (n *running) open(ctx context.Context, h home, cfg *Config, cons *genesis.Consortium, intake gm.Signer, seal checkpoint.SealKeys) (err error) {
	ln, err := net.Listen("tcp", cfg.API.Listen)
	if err != nil {
		return fmt.Errorf("[api] listen: %w", err)
	}
	n.ln = ln.(*net.TCPListener) // what "tcp" gives
	if n.tls, err = serverTLS(h, &cfg.API, n.log); err != nil {
		return err
	}
	s, err := answerStarting(n.ln, n.tls, n.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := n.metrics.listen(); err != nil {
		return err
	}
	conf := chainConfig(h, cfg, cons, seal, n.log)
	conf.Observe = n.metrics.stepped
	if n.chain, err = chain.Start(ctx, conf); err != nil {
		return fmt.Errorf("starting the chain: %w", err)
	}
	n.metrics.chain.Store(n.chain)
	if err := n.openArchive(ctx, h, cfg, cons, intake); err != nil {
		return fmt.Errorf("opening the archive: %w", err)
	}
	if n.audit, err = openAudit(h.path(cfg.Data.Dir+"/"+auditName), n.log); err != nil {
		return fmt.Errorf("opening the audit log: %w", err)
	}
	n.metrics.audit.Store(n.audit)
	outside, err := n.openAnchors(h, cfg, cons)
	if err != nil {
		return err
	}
	card, _ := cons.Genesis.Card(cfg.Member.ID) // homeConsortium has found it
	n.server, err = api.New(api.Config{Origins: origins(&cfg.API, card.API), Audit: n.audit,
		Anchors: outside.Anchors, RootsFile: outside.RootsFile, Witness: outside.Witness,
		Node: cfg.Member.ID, Version: version(), Genesis: cons.Genesis.Raw,
		Archive: n.metrics.measure(n.archive), Chain: n.chain, Logger: n.log, Bounds: cfg.Limits.api(),
		Observe: n.metrics.answered, Metrics: n.metrics.onAPI()})
	if err == nil {
		n.metrics.watch(n.chain, n.server)
	}
	return err
}

// openAnchors opens what the node has to do with outside witnesses, and begins to
// anchor. What is wrong on this disk is an error; a service that is away is not.
func (n *running) openAnchors(h home, cfg *Config, cons *genesis.Consortium) (out api.Config, err error) {
	policy := n.chain.Policy()
	if cfg.Witness.Key != "" {
		w, err := openWitness(h, cfg, cons, policy, n.log)
		if err != nil {
			return out, fmt.Errorf("[witness] %w", err)
		}
		n.log.Info("this node is a witness of other logs", "key", w.Witness().String(), "logs", len(w.Status()))
		n.metrics.witness.Store(w)
		out.Witness = w
	}
	n.anchors, err = openAnchors(h, cfg, policy, n.chain, n.log, n.metrics.anchored)
	if n.anchors == nil || err != nil {
		return out, err
	}
	n.metrics.anchors.Store(n.anchors)
	n.anchors.run()
	out.Anchors, out.RootsFile = n.anchors, n.anchors.roots.raw
	return out, nil
}

// homeConsortium reads the genesis that the home has joined, and holds the
// policy beside it against it.
func homeConsortium(h home, cfg *Config) (*genesis.Consortium, error) {
	cons, err := loadConsortium(h.path(genesisName))
	if err != nil {
		return nil, fmt.Errorf("%w (has this home joined? see qifeng genesis join)", err)
	}
	if _, ok := cons.Genesis.Card(cfg.Member.ID); !ok {
		return nil, usagef("%s: %s is not a member", h.path(genesisName), cfg.Member.ID)
	}
	policy, err := loadPolicy(h.path(policyName))
	if err != nil {
		return nil, err
	}
	if policy.Chain != cons.ChainID {
		return nil, usagef("%s is of chain %s, the genesis of %s", h.path(policyName), policy.Chain, cons.ChainID)
	}
	return cons, nil
}

// nodeKeys loads the keys that the running node uses. The admin key is not
// among them.
func nodeKeys(h home, cfg *Config) (intake *gm.PrivateKey, seal checkpoint.SealKeys, err error) {
	keys := make([]*gm.PrivateKey, 4)
	for i, path := range []string{cfg.Keys.Intake, cfg.Keys.SealSM2, cfg.Keys.SealEd25519, cfg.Keys.Log} {
		if keys[i], err = gm.LoadPrivateKey(h.path(path)); err != nil {
			return nil, seal, err
		}
	}
	return keys[0], checkpoint.SealKeys{SM2: keys[1], Ed25519: keys[2], Log: keys[3]}, nil
}

// ownIntake refuses an intake key that is not the one in the genesis: nobody
// would believe what it signs. The chain asks the same of the seal keys.
func ownIntake(cons *genesis.Consortium, self string, intake gm.Signer) error {
	if card, ok := cons.Genesis.Card(self); !ok || card.Intake != intake.Public() {
		return fmt.Errorf("[keys] intake: is not the key of %s in the genesis", self)
	}
	return nil
}

func chainConfig(h home, cfg *Config, cons *genesis.Consortium, seal checkpoint.SealKeys, log *slog.Logger) chain.Config {
	peers := cfg.Peer.Peers
	if len(peers) == 0 {
		peers = cons.Peers(cfg.Member.ID)
	}
	return chain.Config{
		Dir: h.path(cfg.Data.Dir + "/chain"), Genesis: cons.Genesis.Raw, Self: cfg.Member.ID, Keys: seal,
		GuardPath: h.path(cfg.Keys.Guard), ConsensusKeyPath: h.path(cfg.Keys.Consensus), NodeKeyPath: h.path(cfg.Keys.Node),
		MarkPath: h.path(cfg.Data.Dir + "/restored"), FraudDir: h.path(cfg.Data.Dir + "/fraud"),
		Listen: cfg.Peer.Listen, Peers: peers,
		Heartbeat: time.Duration(cfg.Chain.Heartbeat), TimeoutCommit: time.Duration(cfg.Chain.TimeoutCommit),
		Logger: log,
	}
}

// openArchive opens the archive. A new folder, and one that was put back from a
// backup, waits until the chain has caught up: only the chain knows what an
// earlier folder had.
func (n *running) openArchive(ctx context.Context, h home, cfg *Config, cons *genesis.Consortium, intake gm.Signer) (err error) {
	dir := h.path(cfg.Data.Dir + "/archive")
	if !exists(dir) || archive.IsRestored(dir) {
		if err := n.caughtUp(ctx); err != nil {
			return err
		}
	}
	n.archive, err = archive.Open(archive.Config{Dir: dir, Node: cfg.Member.ID, ChainID: cons.ChainID, Intake: intake,
		Chain: n.chain, Keys: submitKeys{n.chain}, SealedHead: n.chain.SealedHead, Logger: n.log,
		Limits: cfg.Limits.archive(), Meter: n.metrics})
	return err
}

// caughtUp waits until the chain knows what the others know.
func (n *running) caughtUp(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for n.chain.Status().CatchingUp {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-n.chain.Failed():
			return fmt.Errorf("consensus failed: %w", err)
		case <-tick.C:
		}
	}
	return nil
}

// serve answers until ctx is done, and ends with an error where consensus or
// the API failed.
func (n *running) serve(ctx context.Context) error {
	n.log.Info("node started", "chain", n.chain.ChainID(), "api", n.ln.Addr().String(), "version", version())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, n.anchors.stop)() // beside the draining of the API: both have seconds
	served := make(chan error, 1)
	go func() { served <- n.server.Serve(ctx, api.ListenTLS(n.server.Bound(n.ln), n.tls)) }()
	var err error
	select {
	case <-ctx.Done():
		err = <-served
	case err = <-served:
	case failed := <-n.chain.Failed():
		err = fmt.Errorf("consensus failed: %w", failed)
		cancel()
		err = errors.Join(err, <-served)
	}
	n.ln = nil // Serve has closed it
	return errors.Join(err, n.close())
}

// close stops the parts in the opposite order, each once.
func (n *running) close() error {
	var errs []error
	n.anchors.stop()
	errs = append(errs, n.metrics.close(), n.anchors.close())
	if n.audit != nil {
		errs = append(errs, n.audit.close())
	}
	if n.archive != nil {
		errs = append(errs, n.archive.Close())
	}
	if n.chain != nil {
		errs = append(errs, n.chain.Stop())
	}
	if n.ln != nil {
		errs = append(errs, n.ln.Close())
	}
	return errors.Join(errs...)
}
