package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"qifeng/api/client"
	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/merkle"
	"qifeng/test/testnet"
)

// loose is a network whose members the test itself runs, without a supervisor.
type loose struct {
	*testnet.Devnet
	procs map[string]*testnet.Process
}

func newLoose(t *testing.T) *loose {
	t.Helper()
	l := &loose{Devnet: testnet.NewDevnet(t), procs: map[string]*testnet.Process{}}
	l.Sup.End(t, syscall.SIGINT)
	for _, m := range testnet.Members {
		l.start(t, m)
	}
	for _, m := range testnet.Members {
		l.Ready(t, m)
	}
	return l
}

func (l *loose) start(t *testing.T, member string) {
	t.Helper()
	l.procs[member] = testnet.Background(t, "start", "--home", l.Home(member))
}

// alive waits until a member answers at all.
func (l *loose) alive(t *testing.T, member string) {
	t.Helper()
	url := l.URL(t, member) + "/healthz"
	testnet.Eventually(t, testnet.ReadyFor, member+" alive", func() error {
		if l.procs[member].Ended() {
			t.Fatalf("%s ended:\n%s", member, l.procs[member].Out)
		}
		resp, err := http.Get(url)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

const kills = 20

// TestKilledVendorLosesNothing kills the vendor's process with kill -9 at
// random while four submitters submit. Afterwards the record of every receipt
// that was handed out is sealed, byte for byte, and its proof verifies.
func TestKilledVendorLosesNothing(t *testing.T) {
	l := newLoose(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var load sync.WaitGroup
	var mu sync.Mutex // guards receipts
	var receipts []*proof.File
	var sent atomic.Int64
	for w := range 4 {
		load.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				files, err := l.submitOne(ctx, t, fmt.Sprintf("worker %d, contract %d", w, i))
				if err != nil {
					if ctx.Err() == nil {
						t.Errorf("submitting: %v", err)
					}
					return
				}
				mu.Lock()
				receipts = append(receipts, files...)
				mu.Unlock()
				sent.Add(1)
				time.Sleep(20 * time.Millisecond) // the load, not a wait for a result
			}
		})
	}
	for i := range kills {
		before := sent.Load()
		if i%4 != 3 { // every fourth time it may die while it recovers
			testnet.Eventually(t, testnet.ReadyFor, "submissions before a kill", func() error {
				if sent.Load() < before+2 {
					return fmt.Errorf("%d accepted since kill %d", sent.Load()-before, i)
				}
				return nil
			})
		}
		time.Sleep(rand.N(300 * time.Millisecond)) // the moment of the kill
		l.procs[vendor].End(t, syscall.SIGKILL)
		l.start(t, vendor)
	}
	l.alive(t, vendor)
	cancel()
	load.Wait()
	t.Logf("%d receipts over %d kills", len(receipts), kills)
	l.allSealed(t, receipts)
}

// submitOne submits one contract, again and again with the same bytes while
// the node is away, until it has a receipt that holds.
func (l *loose) submitOne(ctx context.Context, t *testing.T, content string) ([]*proof.File, error) {
	s, p := testnet.Submitter(t, l.Home(vendor)), testnet.Policy(t, l.PolicyPath())
	req, err := s.NewRequest(s.NewContract(evidence.ContractFinal, merkle.Sum([]byte(content)), uint64(len(content))))
	if err != nil {
		return nil, err
	}
	c := l.Client(t, vendor, client.Options{Attempts: 1, Timeout: 10 * time.Second})
	for {
		answer, err := c.Submit(ctx, req.Raw, 0)
		if err == nil {
			return client.VerifySubmitted(answer, req, p, s.Signer.Public())
		}
		var problem *client.Problem
		if errors.As(err, &problem) && problem.Status < 500 {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// allSealed waits for the proof of every receipt and verifies it.
func (l *loose) allSealed(t *testing.T, receipts []*proof.File) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, p := l.Client(t, vendor, client.Options{Attempts: 20}), testnet.Policy(t, l.PolicyPath())
	for _, r := range receipts {
		id := r.RecordOf().ID()
		f, err := c.WaitProof(ctx, id)
		if err != nil {
			t.Fatalf("the record %s of a receipt has no proof: %v", id, err)
		}
		if string(f.Record) != string(r.Record) {
			t.Fatalf("the record %s is another one than the receipt's", id)
		}
		if rep := proof.Verify(f, p, nil, proof.Options{}); rep.Result != proof.Proved {
			t.Fatalf("the proof of %s does not verify:\n%s", id, rep.Text(proof.English))
		}
	}
}

// TestTwoOfFour stops two members: the others say so, take submissions in and
// keep them, and when a third returns all of them are sealed.
func TestTwoOfFour(t *testing.T) {
	l := newLoose(t)
	work := t.TempDir()

	// Any three go on.
	l.procs["court-a"].End(t, syscall.SIGTERM)
	three := file(t, work, "three.txt", "three of four")
	testnet.Must(t, 0, "submit", three, "--home", l.Home(vendor), "--wait")
	verified(t, 0, three, "--policy", l.PolicyPath())

	// Two do not.
	if took := l.procs["notary-a"].End(t, syscall.SIGTERM); took > 5*time.Second {
		t.Errorf("notary-a took %v to stop", took)
	}
	two := file(t, work, "two.txt", "two of four")
	testnet.Must(t, 3, "submit", two, "--home", l.Home(vendor), "--wait", "--timeout", "2s")
	if r := verified(t, 3, two, "--policy", l.PolicyPath()); r.outcome("receipt") != "proved" {
		t.Errorf("the receipt is %q", r.outcome("receipt"))
	}
	c := l.Client(t, vendor, client.Options{Attempts: 1})
	testnet.Eventually(t, testnet.ReadyFor, "/readyz names what is missing", func() error {
		r, err := c.Ready(context.Background())
		if err != nil {
			return err
		}
		for _, why := range r.Reasons {
			if strings.Contains(why.Detail, "court-a") && strings.Contains(why.Detail, "notary-a") {
				return nil
			}
		}
		return fmt.Errorf("ready %v, %v", r.Ready, r.Reasons)
	})
	if r := testnet.Must(t, 3, "status", "--home", l.Home(vendor)); !strings.Contains(r.Out, "NOT READY") || !strings.Contains(r.Out, "notary-a") {
		t.Errorf("status says:\n%s", r.Out)
	}
	more := file(t, work, "more.txt", "still taken in")
	testnet.Must(t, 0, "submit", more, "--home", l.Home(vendor))
	testnet.Must(t, 3, "proof", "get", more+".qifeng.json", "--home", l.Home(vendor), "--timeout", "1s")

	// The third returns.
	l.start(t, "court-a")
	for _, path := range []string{two, more} {
		testnet.Must(t, 0, "proof", "get", path+".qifeng.json", "--home", l.Home(vendor), "--timeout", "90s")
		verified(t, 0, path, "--policy", l.PolicyPath())
	}
	l.Ready(t, vendor)
}

// TestPendingRequest kills a submission on its way: the same command sends the
// same bytes and nothing is preserved twice.
func TestPendingRequest(t *testing.T) {
	l := newLoose(t)
	doc := file(t, t.TempDir(), "pending.txt", "on its way")
	l.procs[vendor].End(t, syscall.SIGTERM)
	testnet.Must(t, 1, "submit", doc, "--home", l.Home(vendor), "--wait", "--timeout", "2s")
	kept := testnet.Read(t, doc+".qifeng.pending")
	testnet.Must(t, 2, "submit", doc, "--home", l.Home(vendor), "--kind", "contract.original", "--timeout", "2s")

	l.start(t, vendor)
	l.Ready(t, vendor)
	// The request may have reached the node before the submitter died.
	c := l.Client(t, vendor, client.Options{})
	if _, err := c.Submit(t.Context(), kept, 0); err != nil {
		t.Fatal(err)
	}
	testnet.Must(t, 0, "submit", doc, "--home", l.Home(vendor), "--wait")
	verified(t, 0, doc, "--policy", l.PolicyPath())
	req, err := evidence.ParseRequest(kept)
	if err != nil {
		t.Fatal(err)
	}
	id := req.Submissions[0].ID()
	if got := parse(t, doc+".qifeng.json").RecordOf().ID(); got != id {
		t.Errorf("the proof is of %s, the kept request of %s", got, id)
	}
	if records, err := c.Record(t.Context(), id); err != nil || len(records) != 1 {
		t.Errorf("%d records, %v", len(records), err)
	}
	if exists(doc + ".qifeng.pending") {
		t.Error("the kept request was not removed")
	}
}
