package testnet

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qifeng/api/client"
)

// ReadyFor is how long a network or a member may take until it is ready.
const ReadyFor = 90 * time.Second

// Devnet is a network that "qifeng devnet" made and supervises.
type Devnet struct {
	Dir string
	Sup *Process // nil while no supervisor runs
}

// NewDevnet makes a network on free ports and waits until it is ready.
func NewDevnet(t testing.TB) *Devnet {
	t.Helper()
	n := &Devnet{Dir: filepath.Join(t.TempDir(), "net")}
	n.Up(t)
	return n
}

// Up runs the supervisor and waits until it says that the network is ready.
func (n *Devnet) Up(t testing.TB) {
	t.Helper()
	n.Sup = Background(t, "devnet", "--dir", n.Dir, "--port", "0")
	Eventually(t, ReadyFor, "the network", func() error {
		if n.Sup.Ended() {
			t.Fatalf("devnet ended:\n%s", n.Sup.Out)
		}
		if !strings.Contains(n.Sup.Out.String(), "network of four members is ready") {
			return fmt.Errorf("devnet says:\n%s", n.Sup.Out)
		}
		return nil
	})
}

// Home is a member's home.
func (n *Devnet) Home(member string) string { return filepath.Join(n.Dir, member) }

// PolicyPath is the file of the trust policy.
func (n *Devnet) PolicyPath() string { return filepath.Join(n.Dir, "policy.txt") }

// URL is the address of a member's API.
func (n *Devnet) URL(t testing.TB, member string) string {
	t.Helper()
	var state struct {
		Members []struct{ ID, API string }
	}
	b := Read(t, filepath.Join(n.Dir, "devnet.json"))
	if err := json.Unmarshal(b, &state); err != nil {
		t.Fatal(err)
	}
	for _, m := range state.Members {
		if m.ID == member {
			return "http://" + m.API
		}
	}
	t.Fatalf("no member %s in %s", member, b)
	return ""
}

// Client signs what it reads with the member's read key.
func (n *Devnet) Client(t testing.TB, member string, o client.Options) *client.Client {
	t.Helper()
	return Reader(t, n.URL(t, member), n.Home(member), member, o)
}

// Ready waits until a member says that it is ready.
func (n *Devnet) Ready(t testing.TB, member string) {
	t.Helper()
	c := n.Client(t, member, client.Options{Attempts: 1, Timeout: 2 * time.Second})
	Eventually(t, ReadyFor, member+" ready", func() error {
		r, err := c.Ready(t.Context())
		if err == nil && !r.Ready {
			err = fmt.Errorf("reasons: %v", r.Reasons)
		}
		return err
	})
}
