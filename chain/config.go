package chain

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// Config says which chain a node is of, who it is, and where its files are.
type Config struct {
	Dir     string // folder of the chain's data; created if need be
	Genesis []byte // canonical genesis bytes
	Self    string // member id

	Keys             checkpoint.SealKeys
	GuardPath        string // made by InitGuard, beside the seal keys; never restored from a backup
	ConsensusKeyPath string // made by InitKeys
	NodeKeyPath      string // made by InitKeys
	MarkPath         string // of the mark of a restored home, see Mark; default <Dir>/restored
	FraudDir         string // where fraud proofs are written; default <Dir>/fraud

	Listen string   // host:port of the p2p listener
	Peers  []string // id@host:port of the other members' nodes; empty: as their cards say

	Heartbeat     time.Duration // an empty block after so long without one; default 60 s
	TimeoutCommit time.Duration // CometBFT's pause after a block; default 50 ms
	Reseal        time.Duration // the newest size is sealed again after so long; default 10 s

	Logger *slog.Logger
	// Observe is told how long steps took, with the member whose seal it was for
	// StepArrive. It is called between two steps and returns at once.
	Observe func(step Step, member string, took time.Duration)
	Now     func() time.Time // the clock of seals; never part of consensus
}

func (cfg *Config) withDefaults() Config {
	out := *cfg
	if out.MarkPath == "" {
		out.MarkPath = filepath.Join(out.Dir, "restored")
	}
	if out.FraudDir == "" {
		out.FraudDir = filepath.Join(out.Dir, "fraud")
	}
	if out.Heartbeat == 0 {
		out.Heartbeat = defaultHeartbeat
	}
	if out.TimeoutCommit == 0 {
		out.TimeoutCommit = defaultTimeoutCommit
	}
	if out.Reseal == 0 {
		out.Reseal = defaultReseal
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	if out.Now == nil {
		out.Now = time.Now
	}
	return out
}

// validate checks what can be checked without the files, against the genesis.
func (cfg *Config) validate(c *consortium) error {
	switch {
	case cfg.Dir == "":
		return errors.New("the folder is not set")
	case cfg.GuardPath == "" || cfg.ConsensusKeyPath == "" || cfg.NodeKeyPath == "":
		return errors.New("the paths of guard, consensus key and node key must all be set")
	case c.genesis.CreatedAt.Sub(cfg.Now()) > maxGenesisAhead:
		return fmt.Errorf("the genesis is dated %s, after this node's clock", c.genesis.CreatedAt.Format(time.RFC3339))
	case cfg.Heartbeat < 0 || cfg.TimeoutCommit < 0 || cfg.Reseal < 0:
		return errors.New("heartbeat, commit timeout and reseal interval are not negative")
	}
	if _, _, err := net.SplitHostPort(cfg.Listen); err != nil {
		return fmt.Errorf("the listen address %q: %w", cfg.Listen, err)
	}
	for _, p := range cfg.Peers {
		id, addr, _ := strings.Cut(p, "@")
		if _, ok := c.byNode[id]; !ok {
			return fmt.Errorf("the peer %q: no member has this node id", p)
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("the peer %q: %w", p, err)
		}
	}
	if _, ok := c.members[cfg.Self]; !ok {
		return fmt.Errorf("%s is no member of %s", cfg.Self, c.chainID)
	}
	m, ok := c.sealer(cfg.Self, 1)
	if !ok {
		return fmt.Errorf("%s is in no epoch of the policy", cfg.Self)
	}
	for _, k := range []struct {
		name string
		have gm.Signer
		want gm.PublicKey
	}{{"log", cfg.Keys.Log, m.Log}, {"Ed25519 seal", cfg.Keys.Ed25519, m.SealEd25519}, {"SM2 seal", cfg.Keys.SM2, m.SealSM2}} {
		if k.have == nil || k.have.Public() != k.want {
			return fmt.Errorf("the %s key is not the one on the card of %s", k.name, cfg.Self)
		}
	}
	return nil
}
