package floods

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"qifeng/api/client"
	"qifeng/proof/checkpoint"
	"qifeng/test/testnet"
)

const (
	vendor = testnet.Vendor
	rogue  = "notary-a" // the test has its keys
)

func TestMain(m *testing.M) { testnet.Main(m) }

// network is a consortium of four. The nodes of the vendor and of the rogue do
// not dial each other: towards the vendor the test is the rogue's node.
type network struct{ *testnet.Homes }

// newNetwork makes the homes of four members, and runs them.
func newNetwork(t testing.TB) *network {
	t.Helper()
	n := &network{testnet.NewHomes(t, testnet.Plain)}
	for _, m := range testnet.Members {
		var peers []string
		for of, p := range n.Peers {
			if of != m && !(of == vendor && m == rogue) && !(of == rogue && m == vendor) {
				peers = append(peers, p)
			}
		}
		n.Configure(t, m, peers)
	}
	for _, m := range testnet.Members {
		n.Start(t, m, testnet.Plain)
	}
	n.register(t)
	return n
}

// register puts the vendor's submit key on the chain.
func (n *network) register(t testing.TB) {
	t.Helper()
	if err := n.Register(t); err != nil {
		n.check(t)
		t.Fatal(err)
	}
}

// check fails if a node has ended, panicked or complains; the rogue's own may
// find that somebody else used its key.
func (n *network) check(t testing.TB) {
	t.Helper()
	for m, p := range n.Nodes {
		if p.Ended() {
			t.Errorf("%s has ended", m)
		}
		for line := range bytes.Lines(testnet.Read(t, p.Log)) {
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
		log, err := os.ReadFile(n.Nodes[member].Log)
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
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", n.Nodes[member].Cmd.Process.Pid))
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
	return testnet.Policy(t, filepath.Join(n.Home(vendor), "policy.txt"))
}

// submitter is the main job's, with the vendor's registered key.
func (n *network) submitter(t testing.TB) (*client.Client, *client.Submitter) {
	t.Helper()
	c, err := client.New("http://"+n.APIs[vendor], client.Options{Timeout: 20 * time.Second,
		HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}})
	if err != nil {
		t.Fatal(err)
	}
	return c, testnet.Submitter(t, n.Home(vendor))
}
