package node

import (
	"os"
	"path/filepath"
)

// Names inside a home. The key files' names are in the configuration.
const (
	configName  = "qifeng.toml"
	genesisName = "genesis.json"
	policyName  = "policy.txt"
	cardName    = "card.json"
	lockName    = "lock"
	submitKey   = "keys/submit.pem"
	readKey     = "keys/read.pem"
)

// home is a member's folder.
type home string

func (h home) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(string(h), name)
}

func (h home) config() (*Config, error) { return LoadConfig(h.path(configName)) }

// defaultHome is $QIFENG_HOME, or the working folder if it is a home, or
// ~/.qifeng.
func defaultHome(getenv func(string) string) home {
	if v := getenv("QIFENG_HOME"); v != "" {
		return home(v)
	}
	if exists(configName) {
		return "."
	}
	if dir, err := os.UserHomeDir(); err == nil {
		return home(filepath.Join(dir, ".qifeng"))
	}
	return "."
}
