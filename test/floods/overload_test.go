package floods

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"qifeng/bench"
	"qifeng/test/testnet"
)

// TestOverload submits much more than a node takes in: once more than the
// machine can, once ten times what its operator has agreed with the submitter.
// The node says so, with a Retry-After each time, stays within its memory, and
// everything that it has acknowledged is sealed and proved.
func TestOverload(t *testing.T) {
	if testing.Short() {
		t.Skip("an overload takes a quarter of a minute")
	}
	n := newNetwork(t)

	t.Run("beyond the machine", func(t *testing.T) {
		// Two million records a second are due, whatever becomes of them: every
		// connection always has a request of a thousand under way.
		r := n.overload(t, bench.Config{Records: 1000, Connections: 96, Rate: 2_000_000})
		if r.Refused["429"] == 0 || r.Refused["503"] > 0 {
			t.Errorf("refused %v: nothing, or by another status", r.Refused)
		}
	})

	const agreed = 2000 // records a second
	n.Nodes[vendor].End(t, syscall.SIGTERM)
	n.Change(t, vendor, map[string]string{"key_records = 200000": "key_records = 2000"})
	n.Start(t, vendor, testnet.Plain)
	n.register(t) // waits until it is ready

	t.Run("ten times what was agreed", func(t *testing.T) {
		r := n.overload(t, bench.Config{Records: 100, Connections: 32, Rate: 10 * agreed})
		if r.Refused["429"] == 0 || r.Refused["503"] > 0 {
			t.Errorf("refused %v", r.Refused)
		}
		// Two seconds' worth may come at once (docs/operations.md).
		if most := int64(float64(agreed) * (r.Window + 3)); r.Accepted.Records > most {
			t.Errorf("%d records were taken in, at most %d were agreed", r.Accepted.Records, most)
		}
		if least := int64(agreed * r.Window / 2); runtime.GOOS == "linux" && r.Accepted.Records < least {
			t.Errorf("%d records were taken in, %d and more were agreed", r.Accepted.Records, least)
		}
	})
	n.check(t)
}

// overload loads the vendor's node for a while and holds it to its promises.
func (n *network) overload(t *testing.T, cfg bench.Config) *bench.Result {
	t.Helper()
	_, s := n.submitter(t)
	read := testnet.Key(t, n.Home(vendor), "read.pem")
	cfg.URL, cfg.Policy = "http://"+n.APIs[vendor], n.policy(t)
	cfg.By = bench.Submitter{Chain: s.ChainID, Member: s.Member, Key: s.KeyName, Signer: s.Signer}
	cfg.ReadKeyID, cfg.Reader = vendor+"/read", read
	cfg.Duration, cfg.Share, cfg.Samples, cfg.Lookups = 2*time.Second, 1, 20, 20
	if runtime.GOOS == "linux" {
		cfg.Processes = []int{n.Nodes[vendor].Cmd.Process.Pid}
	}
	r, err := bench.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	memory := 0.0
	if r.Node != nil {
		memory = r.Node.PeakRSS
	}
	t.Logf("%d records taken in, %.0f/s; refused %v; %d followed to their proofs; all sealed after %.0f ms; %.0f MiB",
		r.Accepted.Records, r.RecordsPerS, r.Refused, r.Samples, r.Drained, memory)
	if !r.OK() || r.Samples == 0 || r.Skipped > 0 {
		t.Errorf("promises: %d not verified, %d not sealed, failed %v, %d followed: %v", r.Unverified, r.Unsealed, r.Failed, r.Samples, r.Notes)
	}
	if r.NoWait > 0 {
		t.Errorf("%d of %v refusals did not say when to come again", r.NoWait, r.Refused)
	}
	if memory > mostMemory {
		t.Errorf("%.0f MiB, at most %d are expected", memory, mostMemory)
	}
	return r
}
