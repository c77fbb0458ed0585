package chain

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"

	"qifeng/internal/gm"
)

// faulty panics or fails as told.
type faulty struct {
	abci.BaseApplication
	panics bool
}

func (f faulty) Commit(context.Context, *abci.RequestCommit) (*abci.ResponseCommit, error) {
	if f.panics {
		panic("broken invariant")
	}
	return nil, errors.New("disk full")
}

func TestWatchReportsAppFailures(t *testing.T) {
	for _, c := range []struct {
		name   string
		panics bool
		want   string
	}{{"a panic", true, "panic in Commit: broken invariant"}, {"an error", false, "Commit failed: disk full"}} {
		t.Run(c.name, func(t *testing.T) {
			w := &watched{Application: faulty{panics: c.panics}, fail: newFailure(quiet())}
			panicked := func() (p bool) {
				defer func() { p = recover() != nil }()
				_, _ = w.Commit(t.Context(), &abci.RequestCommit{})
				return false
			}()
			if panicked != c.panics {
				t.Errorf("panicked %v: CometBFT must see what the app did", panicked)
			}
			if err := <-w.fail.ch; err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("reported %v", err)
			}
			if _, err := w.Info(t.Context(), &abci.RequestInfo{}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWatchHearsConsensusFailure(t *testing.T) {
	fail := newFailure(quiet())
	log := cometLog{log: slog.New(slog.DiscardHandler), fail: fail, stopping: new(atomic.Bool)}
	log.Error("some error", "err", "x")
	select {
	case err := <-fail.ch:
		t.Fatalf("an ordinary error was reported: %v", err)
	default:
	}
	log.With("module", "consensus").Error("CONSENSUS FAILURE!!!", "err", "boom", "stack", "…")
	if err := <-fail.ch; err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("reported %v", err)
	}
	fail.report(errors.New("later"))
	select {
	case err := <-fail.ch:
		t.Errorf("a second report: %v", err)
	default:
	}
}

func TestStartRefuses(t *testing.T) {
	f := newFixture(t)
	other := newFixture(t)
	cases := []struct {
		name   string
		change func(t *testing.T, cfg *Config)
		text   string
	}{
		{"no genesis", func(_ *testing.T, c *Config) { c.Genesis = nil }, "genesis"},
		{"no member", func(_ *testing.T, c *Config) { c.Self = "stranger" }, "no member"},
		{"no folder", func(_ *testing.T, c *Config) { c.Dir = "" }, "folder"},
		{"no guard path", func(_ *testing.T, c *Config) { c.GuardPath = "" }, "paths of guard"},
		{"a stranger among the peers", func(_ *testing.T, c *Config) { c.Peers = []string{strings.Repeat("0", 40) + "@127.0.0.1:1"} }, "no member has this node id"},
		{"a peer without an address", func(_ *testing.T, c *Config) { c.Peers = []string{f.parties["vendor-a"].card.NodeID} }, "missing port"},
		{"no listen address", func(_ *testing.T, c *Config) { c.Listen = "" }, "listen address"},
		{"another member's seal keys", func(_ *testing.T, c *Config) { c.Keys = f.parties["vendor-a"].seals }, "is not the one on the card"},
		{"no SM2 key", func(_ *testing.T, c *Config) { c.Keys.SM2 = nil }, "SM2 seal key"},
		{"a clock before the genesis", func(_ *testing.T, c *Config) {
			c.Now = func() time.Time { return time.Unix(1_000_000_000, 0) }
		}, "after this node's clock"},
		{"another consensus key", func(_ *testing.T, c *Config) { c.ConsensusKeyPath = other.config("court-a").ConsensusKeyPath }, "is not the one on the card"},
		{"another node key", func(_ *testing.T, c *Config) { c.NodeKeyPath = other.config("court-a").NodeKeyPath }, "the card of court-a says"},
		{"no consensus key", func(t *testing.T, c *Config) { c.ConsensusKeyPath = filepath.Join(t.TempDir(), "x.json") }, "reading the consensus key"},
		{"a consensus key without its last signature", func(t *testing.T, c *Config) {
			path := filepath.Join(t.TempDir(), "consensus.json")
			copyFile(t, c.ConsensusKeyPath, path, 0o600)
			c.ConsensusKeyPath = path
		}, "last signature"},
		{"a readable node key", func(t *testing.T, c *Config) {
			path := filepath.Join(t.TempDir(), "node.json")
			copyFile(t, c.NodeKeyPath, path, 0o644)
			c.NodeKeyPath = path
		}, "chmod 600"},
		{"an empty node key", func(t *testing.T, c *Config) {
			c.NodeKeyPath = filepath.Join(t.TempDir(), "node.json")
			if err := os.WriteFile(c.NodeKeyPath, []byte("{}"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "holds no key"},
		{"a broken consensus key", func(t *testing.T, c *Config) {
			c.ConsensusKeyPath = filepath.Join(t.TempDir(), "consensus.json")
			if err := os.WriteFile(c.ConsensusKeyPath, []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "reading the consensus key"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg := f.config("court-a")
			c.change(t, &cfg)
			ch, err := Start(t.Context(), cfg)
			if err == nil {
				_ = ch.Stop()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want %q", err, c.text)
			}
			for _, line := range []string{"priv_key", "value"} {
				if strings.Contains(err.Error(), line) {
					t.Errorf("the error shows key material: %v", err)
				}
			}
		})
	}
}

func copyFile(t *testing.T, from, to string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(to, must[[]byte](t)(os.ReadFile(from)), mode); err != nil {
		t.Fatal(err)
	}
}

func TestInitKeys(t *testing.T) {
	dir := t.TempDir()
	consensus, node := filepath.Join(dir, "consensus.json"), filepath.Join(dir, "node.json")
	pub, id, err := InitKeys(consensus, node)
	if err != nil || pub.Alg() != gm.Ed25519 || len(id) != 40 {
		t.Fatalf("%s %s %v", pub, id, err)
	}
	for _, path := range []string{consensus, node, lastSignedPath(consensus)} {
		if mode := must[os.FileInfo](t)(os.Stat(path)).Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o", path, mode)
		}
	}
	if _, _, err := InitKeys(consensus, node); !errors.Is(err, fs.ErrExist) {
		t.Errorf("keys were replaced: %v", err)
	}
	if _, _, err := InitKeys(filepath.Join(dir, "other.json"), node); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a node key was replaced: %v", err)
	}
}

// TestGenesisDoc: the same genesis bytes give the same document, and each
// member one vote.
func TestGenesisDoc(t *testing.T) {
	f := newFixture(t)
	again := must[*consortium](t)(newConsortium(f.raw))
	if docDigest(t, f.c) != docDigest(t, again) {
		t.Error("one genesis gives two documents")
	}
	doc := f.c.genesisDoc()
	if len(doc.Validators) != 4 || !doc.GenesisTime.Equal(f.c.genesis.CreatedAt) || doc.ChainID != f.c.chainID {
		t.Errorf("document %+v", doc)
	}
	for _, v := range doc.Validators {
		if v.Power != 1 {
			t.Errorf("%s has power %d", v.Name, v.Power)
		}
	}
}
