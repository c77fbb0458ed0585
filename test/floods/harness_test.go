package floods

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"qifeng/api/client"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

const (
	vendor = "vendor-a"
	rogue  = "notary-a" // the test has its keys
)

var members = []string{"arbitration-a", "court-a", "notary-a", "vendor-a"}

var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "qifeng-floods-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "qifeng")
	out, err := exec.Command("go", "build", "-o", bin, "qifeng").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the command: %w\n%s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := program(); err == nil {
		os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// network is a consortium of four. The nodes of the vendor and of the rogue do
// not dial each other: towards the vendor the test is the rogue's node.
type network struct {
	dir   string
	peers map[string]string // id@host:port of each member's node
	apis  map[string]string // host:port
	nodes map[string]*node
}

type node struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// newNetwork makes the homes of four members, and runs them.
func newNetwork(t testing.TB) *network {
	t.Helper()
	n := newHomes(t)
	for _, m := range members {
		n.start(t, m)
	}
	n.register(t)
	return n
}

// newHomes makes the homes of four members that know each other's addresses.
func newHomes(t testing.TB) *network {
	t.Helper()
	n := &network{dir: filepath.Join(t.TempDir(), "net"), peers: map[string]string{}, apis: map[string]string{}, nodes: map[string]*node{}}
	command(t, "devnet", "homes", "--dir", n.dir)
	ports := freePorts(t, 2*len(members))
	for i, m := range members {
		n.apis[m] = fmt.Sprintf("127.0.0.1:%d", ports[2*i])
		n.peers[m] = fmt.Sprintf("%s@127.0.0.1:%d", nodeID(t, n.home(m)), ports[2*i+1])
	}
	for _, m := range members {
		n.configure(t, m)
	}
	return n
}

// register puts the vendor's submit key on the chain.
func (n *network) register(t testing.TB) {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(bin, "devnet", "submit-key", "--home", n.home(vendor), "--timeout", "60s").CombinedOutput(); err != nil {
		n.check(t)
		t.Fatalf("registering the submit key: %v\n%s", err, out)
	}
}

func (n *network) home(member string) string { return filepath.Join(n.dir, member) }

// configure sets the addresses; everything else is as a new home has it.
func (n *network) configure(t testing.TB, member string) {
	t.Helper()
	var peers []string
	for m, p := range n.peers {
		if m != member && !(m == vendor && member == rogue) && !(m == rogue && member == vendor) {
			peers = append(peers, strconv.Quote(p))
		}
	}
	_, own, _ := strings.Cut(n.peers[member], "@")
	n.change(t, member, map[string]string{
		"listen = '0.0.0.0:8100'": "listen = '" + n.apis[member] + "'",
		"listen = '0.0.0.0:8110'": "listen = '" + own + "'",
		"peers = []":              "peers = [" + strings.Join(peers, ", ") + "]",
		"allow_remote = true":     "allow_remote = false",
	})
}

// change replaces lines of a member's configuration.
func (n *network) change(t testing.TB, member string, lines map[string]string) {
	t.Helper()
	path := filepath.Join(n.home(member), "qifeng.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
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

func (n *network) start(t testing.TB, member string) {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	p := &node{cmd: exec.Command(bin, "start", "--home", n.home(member)), log: filepath.Join(n.home(member), "log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) // one that starts again goes on
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = dieWithTest()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	n.nodes[member] = p
	t.Cleanup(func() { p.stop(t, member) })
}

// stop ends a node and waits for it.
func (p *node) stop(t testing.TB, member string) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // one that has ended needs none
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
		t.Errorf("%s had not ended 15 s after SIGTERM", member)
	}
}

// check fails if a node has ended, panicked or complains; the rogue's own may
// find that somebody else used its key.
func (n *network) check(t testing.TB) {
	t.Helper()
	for m, p := range n.nodes {
		select {
		case <-p.done:
			t.Errorf("%s has ended", m)
		default:
		}
		log, err := os.ReadFile(p.log)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(log) {
			if bytes.Contains(bytes.ToLower(line), []byte("panic")) || bytes.HasPrefix(line, []byte("fatal error")) ||
				m != rogue && bytes.Contains(line, []byte(`"level":"ERROR"`)) {
				t.Errorf("%s logs: %.400s", m, line)
			}
		}
	}
}

// logs waits until a member's log has a line.
func (n *network) logs(t testing.TB, member, text string) {
	t.Helper()
	late := time.Now().Add(10 * time.Second)
	for {
		log, err := os.ReadFile(n.nodes[member].log)
		if err == nil && bytes.Contains(log, []byte(text)) {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("%s does not log %q (%v)", member, text, err)
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
}

// memory is the resident set of a member's process, in MiB, 0 where the system
// does not tell.
func (n *network) memory(member string) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", n.nodes[member].cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var size, resident int
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		return 0
	}
	return resident * os.Getpagesize() >> 20
}

// policy is the one in the vendor's home.
func (n *network) policy(t testing.TB) *checkpoint.Policy {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(n.home(vendor), "policy.txt"))
	if err != nil {
		t.Fatal(err)
	}
	policy, err := checkpoint.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// submitter is the main job's, with the vendor's registered key.
func (n *network) submitter(t testing.TB) (*client.Client, *client.Submitter) {
	t.Helper()
	policy := n.policy(t)
	key, err := gm.LoadPrivateKey(filepath.Join(n.home(vendor), "keys", "submit.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s := &client.Submitter{ChainID: policy.Chain, Member: vendor, KeyName: "submit", Signer: key}
	s.Source.System, s.Source.Mechanism, s.Source.Environment = "vendor_platform", "automatic", "test"
	c, err := client.New("http://"+n.apis[vendor], client.Options{Timeout: 20 * time.Second,
		HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}})
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

func command(t testing.TB, args ...string) {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(bin, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("qifeng %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func nodeID(t testing.TB, home string) string {
	t.Helper()
	var card struct {
		Body struct {
			NodeID string `json:"node_id"`
		}
	}
	b, err := os.ReadFile(filepath.Join(home, "card.json"))
	if err == nil {
		err = json.Unmarshal(b, &card)
	}
	if err == nil && card.Body.NodeID == "" {
		err = errors.New("the card has no node id")
	}
	if err != nil {
		t.Fatal(err)
	}
	return card.Body.NodeID
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
