package testnet

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Homes are four members that the test itself runs, without a supervisor.
type Homes struct {
	Dir   string
	APIs  map[string]string // host:port
	Peers map[string]string // id@host:port
	Nodes map[string]*Node  // those that were started, newest
}

// Node is a member's process.
type Node struct {
	*Process
	Log string // what it writes, from its first start on
}

// NewHomes makes the homes, on free ports and not yet configured. env is of the
// program that makes them.
func NewHomes(t testing.TB, maker *Build, env ...string) *Homes {
	t.Helper()
	h := &Homes{Dir: filepath.Join(t.TempDir(), "net"), APIs: map[string]string{}, Peers: map[string]string{}, Nodes: map[string]*Node{}}
	ports := freePorts(t, 2*len(Members))
	var published []string
	for i := range Members {
		published = append(published, strconv.Itoa(ports[2*i]))
	}
	cmd := exec.Command(maker.Path(t), "devnet", "homes", "--dir", h.Dir, "--published", strings.Join(published, ","))
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("making the homes: %v\n%s", err, out)
	}
	for i, m := range Members {
		h.APIs[m] = fmt.Sprintf("127.0.0.1:%d", ports[2*i])
		h.Peers[m] = fmt.Sprintf("%s@127.0.0.1:%d", nodeID(t, h.Home(m)), ports[2*i+1])
	}
	return h
}

// Home is a member's home.
func (h *Homes) Home(member string) string { return filepath.Join(h.Dir, member) }

// Configure sets a member's addresses and peers (id@host:port); everything else
// is as a new home has it.
func (h *Homes) Configure(t testing.TB, member string, peers []string) {
	t.Helper()
	quoted := make([]string, len(peers))
	for i, p := range peers {
		quoted[i] = strconv.Quote(p)
	}
	_, own, _ := strings.Cut(h.Peers[member], "@")
	h.Change(t, member, map[string]string{
		"listen = '0.0.0.0:8100'": "listen = '" + h.APIs[member] + "'",
		"listen = '0.0.0.0:8110'": "listen = '" + own + "'",
		"peers = []":              "peers = [" + strings.Join(quoted, ", ") + "]",
		"allow_remote = true":     "allow_remote = false",
	})
}

// Change replaces lines of a member's configuration.
func (h *Homes) Change(t testing.TB, member string, lines map[string]string) {
	t.Helper()
	path := filepath.Join(h.Home(member), "qifeng.toml")
	text := Read(t, path)
	for old, now := range lines {
		if bytes.Count(text, []byte(old)) != 1 {
			t.Fatalf("%s does not have %q once", path, old)
		}
		text = bytes.Replace(text, []byte(old), []byte(now), 1)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Start runs a member.
func (h *Homes) Start(t testing.TB, member string, b *Build, env ...string) *Node {
	t.Helper()
	log := filepath.Join(h.Home(member), "log")
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) // one that starts again goes on
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(b.Path(t), "start", "--home", h.Home(member))
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), env...)
	h.Nodes[member] = &Node{Start(t, cmd), log}
	return h.Nodes[member]
}

// Register puts the vendor's submit and read keys on the chain. It waits until
// the vendor's node is ready.
func (h *Homes) Register(t testing.TB) error {
	t.Helper()
	cmd := Command(t, "devnet", "submit-key", "--home", h.Home(Vendor), "--timeout", ReadyFor.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("registering the submit key: %w\n%s", err, out)
	}
	return nil
}

func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var out []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close() // all at the end, so that none is given twice
		out = append(out, ln.Addr().(*net.TCPAddr).Port)
	}
	return out
}
