package ledger

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/torchwood"

	"qifeng/api/httpsig"
	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/test/testnet"
)

func TestMain(m *testing.M) { testnet.Main(m) }

// TestLedgerForOthers: four members run, records and keys come in, and whoever
// looks from outside sees one ledger: torchwood reads and verifies every entry of
// it at every member, and a monitor that goes from one to the next proves each
// step and audits all.
func TestLedgerForOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a network of four processes")
	}
	n := testnet.NewDevnet(t)
	for _, id := range testnet.Members {
		n.Ready(t, id)
	}
	file := filepath.Join(t.TempDir(), "contract.txt")
	for i := range 3 {
		if err := os.WriteFile(file, fmt.Appendf(nil, "contract %d", i), 0o600); err != nil {
			t.Fatal(err)
		}
		testnet.Must(t, 0, "submit", file, "--home", n.Home(testnet.Vendor), "--wait")
		if err := os.Remove(file + ".qifeng.json"); err != nil {
			t.Fatal(err)
		}
		for _, id := range testnet.Members {
			state := filepath.Join(n.Dir, "seen.json")
			testnet.Eventually(t, 10*time.Second, id+" is proved", func() error {
				r := testnet.Run(t, "monitor", n.URL(t, id), "--policy", n.PolicyPath(), "--home", n.Home(id), "--state", state, "--once", "--entries", "--json")
				var line struct {
					Proved  bool
					Audited uint64
					Size    uint64
					Seals   int
				}
				if err := json.Unmarshal([]byte(r.Out), &line); err != nil {
					t.Fatalf("%v\n%s%s", err, r.Out, r.Err)
				}
				if r.Code == 1 || r.Code == 2 {
					t.Fatalf("exit code %d\n%s%s", r.Code, r.Out, r.Err)
				}
				if r.Code != 0 || line.Audited != line.Size || line.Size < uint64(2+i) {
					return fmt.Errorf("%s%s", r.Out, r.Err) // a member that is a moment behind
				}
				return nil
			})
		}
	}
	for _, id := range testnet.Members {
		stockTool(t, n, id)
	}
}

// stockTool reads a member's ledger with torchwood, which knows its stock policy
// and, by its transport, how to sign.
func stockTool(t *testing.T, n *testnet.Devnet, id string) {
	t.Helper()
	key := testnet.Key(t, n.Home(id), "read.pem")
	p := testnet.Policy(t, n.PolicyPath())
	stock, err := checkpoint.StockPolicies(p)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := torchwood.ParsePolicy(stock[checkpoint.StockPolicyName(&p.Epochs[0], id)])
	if err != nil {
		t.Fatal(err)
	}
	reader, err := torchwood.NewTileFetcher(n.URL(t, id)+"/tlog", torchwood.WithHTTPClient(&http.Client{Transport: signing{id + "/read", key}}))
	if err != nil {
		t.Fatal(err)
	}
	var cp torchwood.Checkpoint
	testnet.Eventually(t, 10*time.Second, "the checkpoint of "+id, func() error { // its own seal may be the last to come
		note, err := reader.ReadEndpoint(t.Context(), "checkpoint")
		if err == nil {
			cp, _, err = torchwood.VerifyCheckpoint(note, policy)
		}
		return err
	})
	c, err := torchwood.NewClient(reader)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[evidence.Type]int{}
	count := int64(0)
	for i, entry := range c.AllEntries(t.Context(), cp.Tree, 0) {
		if i != count {
			t.Fatalf("entry %d after %d", i, count)
		}
		kinds[evidence.PeekType(entry)]++
		count++
	}
	if err := c.Err(); err != nil || count != cp.N || kinds[evidence.TypeBatch] < 3 || kinds[evidence.TypeKey] == 0 {
		t.Errorf("%s: %d entries of %d, %v, %v", id, count, cp.N, kinds, err)
	}
}

// signing signs what a stock tool asks for.
type signing struct {
	keyID string
	key   gm.Signer
}

func (s signing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if err := httpsig.Sign(r, s.keyID, s.key, time.Now()); err != nil {
		return nil, err
	}
	return http.DefaultTransport.RoundTrip(r)
}
