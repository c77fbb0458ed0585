package chain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cometbft/cometbft/crypto/ed25519"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"

	"qifeng/internal/durable"
	"qifeng/internal/gm"
)

// lastSignedPath is where the consensus key's last signature is kept: beside
// the key, not with the data. Whoever deletes the data to begin anew must not
// delete this with it, or the key may vote twice.
func lastSignedPath(consensusKeyPath string) string {
	return strings.TrimSuffix(consensusKeyPath, ".json") + ".last-signed.json"
}

// InitKeys creates CometBFT's consensus key, the file of its last signature
// (<consensus>.last-signed.json beside it), and the p2p node key, each with mode
// 0600. It refuses to replace a file.
func InitKeys(consensusKeyPath, nodeKeyPath string) (consensus gm.PublicKey, nodeID string, err error) {
	pv := privval.GenFilePV(consensusKeyPath, lastSignedPath(consensusKeyPath))
	node := &p2p.NodeKey{PrivKey: ed25519.GenPrivKey()}
	for _, f := range []struct {
		path string
		v    any
	}{{consensusKeyPath, pv.Key}, {lastSignedPath(consensusKeyPath), pv.LastSignState}, {nodeKeyPath, node}} {
		if err := createJSON(f.path, f.v); err != nil {
			return gm.PublicKey{}, "", err
		}
	}
	consensus, err = gm.NewPublicKey(gm.Ed25519, pv.Key.PubKey.Bytes())
	if err != nil {
		return gm.PublicKey{}, "", fmt.Errorf("reading the new consensus key: %w", err)
	}
	return consensus, string(node.ID()), nil
}

func createJSON(path string, v any) error {
	raw, err := cmtjson.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("creating %s: %w", path, err)
	}
	_, err = f.Write(append(raw, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return durable.SyncFolder(filepath.Dir(path))
}

// loadKeys reads the files of InitKeys and checks that they are this member's.
// CometBFT's own loaders exit the process on an error, so the files are read
// here first.
func loadKeys(cfg *Config, m member) (*privval.FilePV, *p2p.NodeKey, error) {
	last := lastSignedPath(cfg.ConsensusKeyPath)
	for _, f := range []struct {
		path string
		into any
		why  string
	}{
		{cfg.ConsensusKeyPath, &privval.FilePVKey{}, "the consensus key"},
		{last, &privval.FilePVLastSignState{}, "the consensus key's last signature"},
		{cfg.NodeKeyPath, &p2p.NodeKey{}, "the node key"},
	} {
		if err := checkPrivate(f.path); err != nil {
			return nil, nil, fmt.Errorf("reading %s: %w", f.why, err)
		}
		raw, err := readBounded(f.path, maxKeyFileBytes)
		if err == nil {
			err = cmtjson.Unmarshal(raw, f.into)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("reading %s from %s: %w", f.why, f.path, err)
		}
		if k, ok := f.into.(*privval.FilePVKey); ok && k.PrivKey == nil {
			return nil, nil, fmt.Errorf("reading %s from %s: it holds no key", f.why, f.path)
		}
		if k, ok := f.into.(*p2p.NodeKey); ok && k.PrivKey == nil {
			return nil, nil, fmt.Errorf("reading %s from %s: it holds no key", f.why, f.path)
		}
	}
	pv := privval.LoadFilePV(cfg.ConsensusKeyPath, last)
	if got, err := gm.NewPublicKey(gm.Ed25519, pv.Key.PubKey.Bytes()); err != nil || got != m.consensus {
		return nil, nil, fmt.Errorf("the consensus key %s is not the one on the card of %s", cfg.ConsensusKeyPath, m.id)
	}
	node, err := p2p.LoadNodeKey(cfg.NodeKeyPath)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the node key: %w", err)
	}
	if string(node.ID()) != m.nodeID {
		return nil, nil, fmt.Errorf("the node key %s is of node %s, the card of %s says %s", cfg.NodeKeyPath, node.ID(), m.id, m.nodeID)
	}
	return pv, node, nil
}

func checkPrivate(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s may be read by others (mode %o): chmod 600 %s: %w", path, mode, path, fs.ErrPermission)
	}
	return nil
}
