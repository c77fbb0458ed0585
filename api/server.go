package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"qifeng/api/httpsig"
	"qifeng/evidence"
	"qifeng/internal/gm/frequent"
	"qifeng/proof"
)

// Config is what the server needs from the rooms below it.
type Config struct {
	Node    string // member id of this node
	Version string // shown in /v1/status
	Genesis []byte // canonical genesis, served as it is
	Archive Archive
	Chain   Chain
	Logger  *slog.Logger     // default slog.Default()
	Observe func(Answer)     // told of each answered request; returns at once
	Metrics http.Handler     // answers /metrics; no such route where it is nil
	Witness http.Handler     // answers /witness/add-checkpoint (C2SP tlog-witness); the same
	Now     func() time.Time // default time.Now; for the age of seals and of signed requests
	Bounds  Bounds           // zero fields have their defaults

	// Origins are the addresses by which clients reach this node, as they write
	// them, without a path: a signed request for another one is refused.
	Origins []string
	Audit   Auditor // told of each look-up by a neutral member before it is answered

	// Anchors are what the node has of its outside witnesses, nil where it runs none.
	// RootsFile are the anchor roots by which they are checked, as they stand in
	// their file; proofs go out with what verifies under them.
	Anchors   Anchors
	RootsFile []byte
}

// Server is the HTTP interface of one node. It is safe for concurrent use.
type Server struct {
	cfg     Config
	log     *slog.Logger
	now     func() time.Time
	genesis *evidence.Genesis
	roots   *proof.AnchorRoots // nil without anchors
	handler http.Handler
	reads   verifier
	opened  *opened
	signers *frequent.Keys // of statements inside the proofs it gives out
	judging *judging

	limits      Bounds
	addresses   *buckets[netip.Addr]
	keyRequests *buckets[keyName]
	keyRecords  *buckets[keyName]
	room        *room         // for bodies
	intakes     chan struct{} // one slot per request being stored
	parsing     chan struct{} // one slot per request being parsed

	waiters   chan struct{} // one slot per waiting request
	drainOnce sync.Once
	draining  chan struct{} // closed when the node is told to stop
	inFlight  atomic.Int64  // requests being answered
}

var releaseMode sync.Once

// New checks the configuration and builds the router. It starts nothing.
func New(cfg Config) (*Server, error) {
	if cfg.Archive == nil || cfg.Chain == nil || cfg.Audit == nil || cfg.Node == "" {
		return nil, errors.New("api: node, archive, chain and audit are required")
	}
	g, err := evidence.ParseGenesis(cfg.Genesis)
	if err != nil {
		return nil, fmt.Errorf("api: reading genesis: %w", err)
	}
	s := &Server{
		cfg: cfg, log: cfg.Logger, now: cfg.Now, genesis: g,
		waiters: make(chan struct{}, maxWaiters), draining: make(chan struct{}), opened: newOpened(), signers: frequent.New(), judging: newJudging(),
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	if err := s.useAnchors(); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s.bound(cfg.Bounds)
	if s.reads, err = httpsig.NewVerifier(httpsig.Config{Keys: readKeys{cfg.Chain, s.log}, Origins: cfg.Origins, Now: s.now}); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if s.handler, err = s.router(); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	return s, nil
}

// bound sets up what limits need. Rates go by the monotonic clock, not by Now.
func (s *Server) bound(l Bounds) {
	l = l.withDefaults()
	s.limits = l
	s.addresses = newBuckets[netip.Addr](l.AddressRequests, failureCost, maxAddresses, time.Now)
	s.keyRequests = newBuckets[keyName](l.KeyRequests, 1, maxKeys, time.Now)
	s.keyRecords = newBuckets[keyName](l.KeyRecords, evidence.MaxSubmissions, maxKeys, time.Now)
	s.room = newRoom(l.BodyBytes)
	s.intakes = make(chan struct{}, l.Intakes)
	s.parsing = make(chan struct{}, runtime.GOMAXPROCS(0))
}

// router lists every door. Limits and authentication are set here and not in
// the handlers.
func (s *Server) router() (http.Handler, error) {
	r, err := s.newRouter()
	if err != nil {
		return nil, err
	}
	r.HandleMethodNotAllowed = true
	r.NoRoute(func(c *gin.Context) { s.problem(c, faultf(notFound, "", "no such path")) })
	r.NoMethod(func(c *gin.Context) { s.problem(c, faultf(noMethod, "", "")) })

	r.GET("/healthz", s.do(s.getHealth))
	r.GET("/readyz", s.do(s.getReady))
	if s.cfg.Metrics != nil {
		r.GET("/metrics", gin.WrapH(s.cfg.Metrics))
	}
	if s.cfg.Witness != nil {
		r.POST("/witness/add-checkpoint", s.heldBody(maxWitnessBody), gin.WrapH(s.cfg.Witness))
	}
	v1 := r.Group("/v1")
	v1.POST("/records", s.jsonBody(evidence.MaxRequestBytes), s.do(s.postRecords))
	v1.GET("/records", s.signed, s.do(s.findRecords))
	v1.GET("/records/:id", s.signed, s.do(s.getRecord))
	v1.GET("/records/:id/proof", s.signed, s.do(s.getProof))
	v1.POST("/keys", s.jsonBody(maxKeyBody), s.do(s.postKey))
	v1.GET("/keys", s.do(s.getKeys))
	v1.GET("/checkpoint", s.do(s.getCheckpoint))
	v1.GET("/consistency", s.signed, s.do(s.getConsistency))
	v1.GET("/seals", s.signed, s.do(s.getSeals))
	v1.GET("/anchors", s.do(s.getAnchors))
	v1.GET("/anchor-roots", s.do(s.getAnchorRoots))
	v1.GET("/policy", s.do(s.getPolicy))
	v1.GET("/genesis", s.do(s.getGenesis))
	v1.GET("/members", s.do(s.getMembers))
	v1.GET("/status", s.do(s.getStatus))
	s.tlog(r)
	return r, nil
}

// newRouter makes a router with what every request goes through, more included,
// and with the documents of the interface, which are for everybody.
func (s *Server) newRouter(more ...gin.HandlerFunc) (*gin.Engine, error) {
	// gin's mode is a global of its package; nobody else here uses gin.
	releaseMode.Do(func() { gin.SetMode(gin.ReleaseMode) })
	docs, err := documents()
	if err != nil {
		return nil, err
	}
	r := gin.New()
	if err := r.SetTrustedProxies(nil); err != nil {
		return nil, err
	}
	r.RedirectTrailingSlash = false
	r.RedirectFixedPath = false
	r.Use(s.begin, s.recovery, s.limitAddress, s.bounds, s.strayBody)
	r.Use(more...)
	r.GET("/openapi.json", s.do(docs.openAPI.give))
	r.GET("/docs", s.do(docs.page.give))
	return r, nil
}

// do makes a gin handler of one that answers or returns why not.
func (s *Server) do(h func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := h(c); err != nil {
			s.problem(c, err)
		}
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	busyConn(r.Context())
	s.handler.ServeHTTP(w, r)
}

// Serve answers on ln, which is [Server.Bound] where strangers reach it, until
// ctx ends, and then stops in this order, within
// drainTime: /readyz says no, requests that wait for a state are answered with
// what is reached, no new connection is taken, requests under way end, what is
// left is cut. A cut request loses nothing: what was answered is fsynced, what
// was not is sent again. It returns nil after such an end.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          s.netLog(),
		ConnState:         connState,
		ConnContext:       withConn,
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving the api: %w", err)
	case <-ctx.Done():
	}
	s.Drain()
	stop, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	err := srv.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("cutting requests that did not end in time", "requests", s.inFlight.Load())
		err = srv.Close()
	}
	<-failed
	if err != nil {
		return fmt.Errorf("stopping the api: %w", err)
	}
	return nil
}

// Drain makes /readyz say no and ends all waiting. It is done once and for ever.
func (s *Server) Drain() {
	s.drainOnce.Do(func() { close(s.draining) })
}

func (s *Server) drained() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}
