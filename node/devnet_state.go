package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"qifeng/genesis"
)

// devnetName is the file that makes a folder a development network's. It is
// written before anything else, so that reset knows every folder it may
// delete from, and says "ready" only when the network is whole.
const devnetName = "devnet.json"

const (
	devnetCreating = "creating"
	devnetReady    = "ready"
)

// devnetState is the content of devnet.json.
type devnetState struct {
	V       int         `json:"v"`
	State   string      `json:"state"`
	Chain   string      `json:"chain,omitempty"`
	Members []devMember `json:"members"`
}

// devMember is a member with its place in the folder.
type devMember struct{ genesis.DevMember }

func (m devMember) home(dir string) home      { return home(filepath.Join(dir, m.ID)) }
func (m devMember) logPath(dir string) string { return filepath.Join(dir, m.ID, "log") }
func (m devMember) url() string               { return "http://" + m.API }

// newDevnetState lays out a network from a base port; 0 picks one.
func newDevnetState(port int) (*devnetState, error) {
	if port == 0 {
		p, err := freeBase()
		if err != nil {
			return nil, err
		}
		port = p
	}
	members, err := genesis.DevLayout(port)
	if err != nil {
		return nil, usagef("--port: %w", err)
	}
	s := &devnetState{V: 1, State: devnetCreating}
	for _, m := range members {
		s.Members = append(s.Members, devMember{m})
	}
	return s, nil
}

// freeBase finds a base port all of whose ports are free. It stays below the
// ports that systems hand out for outgoing connections (32768 and up on
// Linux), so that a member which starts again finds its port free.
func freeBase() (int, error) {
	for range 200 {
		base := 10000 + rand.IntN(20000)
		if portsFree(base) {
			return base, nil
		}
	}
	return 0, errors.New("no free ports found between 10000 and 30000")
}

func portsFree(base int) bool {
	for p := base; p < base+genesis.DevPorts; p++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

// loadDevnet reads the state of dir. A folder that is no development
// network's is fs.ErrNotExist.
func loadDevnet(dir string) (*devnetState, error) {
	path := filepath.Join(dir, devnetName)
	b, err := readSmall(path, maxConfig)
	if err != nil {
		return nil, err
	}
	var s devnetState
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &s, nil
}

func (s *devnetState) validate() error {
	if s.V != 1 {
		return fmt.Errorf("version %d is not known here", s.V)
	}
	if s.State != devnetCreating && s.State != devnetReady {
		return fmt.Errorf("state %q is not known", s.State)
	}
	members := make([]genesis.DevMember, len(s.Members))
	for i, m := range s.Members {
		members[i] = m.DevMember
	}
	return genesis.CheckDev(members)
}

func (s *devnetState) save(dir string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, devnetName), append(b, '\n'), 0o644)
}

// emptyDir reports whether dir holds nothing but a lock.
func emptyDir(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() != lockName }), nil
}

// clear deletes what a development network made in dir, by name, and leaves
// everything else. The state file goes last: until then reset can be run again.
func (s *devnetState) clear(dir string) error {
	names := []string{genesisName, policyName, stockDir}
	for _, m := range s.Members {
		names = append(names, m.ID)
	}
	for _, n := range names {
		if err := os.RemoveAll(filepath.Join(dir, n)); err != nil {
			return fmt.Errorf("deleting %s: %w", filepath.Join(dir, n), err)
		}
	}
	return os.Remove(filepath.Join(dir, devnetName))
}
