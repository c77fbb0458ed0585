package apitest

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"qifeng/api"
	"qifeng/api/client"
	"qifeng/api/httpsig"
	"qifeng/archive"
)

// TestNode is one member's node: the real archive and the real server over the
// ledger in memory.
type TestNode struct {
	*Consortium
	Ledger  *Ledger
	Archive *archive.Archive
	Server  *api.Server
	HTTP    *httptest.Server
	Client  *client.Client            // signs as [Court]
	ReadAs  func(*http.Request) error // signs what is read without a client, as [Court]
	Audit   *Audit
	Anchors *Anchors // nil with Options.NoAnchors
	Submit  client.Submitter
	Log     *Log
	Clock   *Clock
}

// Options of [NewNode].
type Options struct {
	// Archive and Chain may put faults between the server and what it stands on.
	Archive func(api.Archive) api.Archive
	Chain   func(api.Chain) api.Chain
	Limits  archive.Limits
	// Bounds of the server; by default no rate is limited, for tests fail often.
	Bounds  api.Bounds
	Witness http.Handler // see api.Config
	// NoAnchors is for a node that runs none.
	NoAnchors bool
}

// NewNode starts a node that the test's end stops.
func NewNode(tb testing.TB, opt Options) *TestNode {
	tb.Helper()
	n := &TestNode{Consortium: NewConsortium(tb), Log: &Log{}, Clock: &Clock{}, Audit: &Audit{}}
	n.Ledger = NewLedger(tb, n.Consortium, n.Clock.Now)
	var err error
	n.Archive, err = archive.Open(archive.Config{
		Dir: filepath.Join(tb.TempDir(), "archive"), Node: Node, ChainID: n.Chain,
		Intake: n.Keys[Node].Intake, Chain: n.Ledger, Keys: n.Ledger,
		SealedHead: n.Ledger.SealedHead, Now: n.Clock.Now, Limits: opt.Limits,
	})
	must(tb, err)
	tb.Cleanup(func() {
		if err := n.Archive.Close(); err != nil {
			tb.Error(err)
		}
	})
	// The address comes before the server: a signed request names it.
	n.HTTP = httptest.NewUnstartedServer(nil)
	url := "http://" + n.HTTP.Listener.Addr().String()
	cfg := api.Config{
		Origins: []string{url}, Audit: n.Audit,
		Witness: opt.Witness, Node: Node, Version: "test", Genesis: n.Genesis.Raw, Archive: n.Archive, Chain: n.Ledger,
		Logger: slog.New(slog.NewJSONHandler(n.Log, &slog.HandlerOptions{Level: slog.LevelDebug})), Now: n.Clock.Now,
	}
	if opt.Archive != nil {
		cfg.Archive = opt.Archive(cfg.Archive)
	}
	if opt.Chain != nil {
		cfg.Chain = opt.Chain(cfg.Chain)
	}
	if !opt.NoAnchors {
		n.Anchors = NewAnchors(tb, n.Ledger, n.Clock.Now)
		cfg.Anchors, cfg.RootsFile = n.Anchors, n.Anchors.File
	}
	if cfg.Bounds = opt.Bounds; cfg.Bounds.AddressRequests == 0 {
		cfg.Bounds.AddressRequests = -1
	}
	n.Server, err = api.New(cfg)
	must(tb, err)
	n.HTTP.Config.Handler = n.Server
	n.HTTP.Start()
	tb.Cleanup(n.HTTP.Close)
	n.Client, n.ReadAs = n.As(tb, Court), n.Signs(Court)
	n.Submit = client.Submitter{
		ChainID: n.Chain, Member: Node, KeyName: KeyName, Signer: n.User, Source: n.Source, Now: n.Clock.Now,
	}
	return n
}

// As is a client that signs with the read key of a member.
func (n *TestNode) As(tb testing.TB, member string) *client.Client {
	tb.Helper()
	c, err := client.New(n.HTTP.URL, client.Options{Attempts: 1,
		KeyID: httpsig.KeyID(member, ReadKeyName), Signer: n.Keys[member].Read, Now: n.Clock.Now})
	must(tb, err)
	return c
}

// Signs signs requests with the read key of a member.
func (n *TestNode) Signs(member string) func(*http.Request) error {
	return func(r *http.Request) error {
		return httpsig.Sign(r, httpsig.KeyID(member, ReadKeyName), n.Keys[member].Read, n.Clock.Now())
	}
}

// Audit keeps what is audited.
type Audit struct {
	mu    sync.Mutex
	lines []api.Lookup
	fail  error
}

// Audit keeps a look-up, or fails as it was told.
func (a *Audit) Audit(l api.Lookup) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail == nil {
		a.lines = append(a.lines, l)
	}
	return a.fail
}

// Fail makes every look-up fail, nil none.
func (a *Audit) Fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail = err
}

// Take returns what was kept since the last call.
func (a *Audit) Take() []api.Lookup {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.lines
	a.lines = nil
	return out
}

// Log keeps what is logged.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns all of it.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Clock is the wall clock, set forward by what the test says.
type Clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

// Now is the time of this clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// Forward sets the clock forward.
func (c *Clock) Forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}
