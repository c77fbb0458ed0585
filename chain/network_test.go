package chain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cometbft/cometbft/p2p"

	"qifeng/proof/checkpoint"
)

// running is the four-node network of a fixture, in one process.
type running struct {
	*fixture
	nodes  map[string]*Chain
	change func(*Config) // may be nil
}

func startNetwork(tb testing.TB) *running {
	tb.Helper()
	tb.Cleanup(func() { noGoroutines(tb) })
	return startNetworkOf(tb, newFixture(tb), nil)
}

// startNetworkOf starts some members of a fixture, by default all.
func startNetworkOf(tb testing.TB, f *fixture, change func(*Config), ids ...string) *running {
	tb.Helper()
	r := &running{fixture: f, nodes: map[string]*Chain{}, change: change}
	tb.Cleanup(func() {
		for id := range r.nodes {
			r.stop(id)
		}
	})
	if len(ids) == 0 {
		ids = r.ids
	}
	for _, id := range ids {
		r.start(id)
	}
	return r
}

// noGoroutines checks that nothing of this package runs on after Stop.
func noGoroutines(tb testing.TB) {
	tb.Helper()
	var left string
	wait(tb, "no goroutine of the package is left", 5*time.Second, func() bool {
		left = ""
		buf := make([]byte, 1<<20)
		for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "qifeng/chain.") && !strings.Contains(g, "noGoroutines") && !strings.Contains(g, "testing.(*T).Run") && !strings.Contains(g, "testing.(*T).Parallel") && !strings.Contains(g, "testing.(*B).") {
				left = g
			}
		}
		return left == ""
	})
}

func (r *running) start(id string) {
	r.tb.Helper()
	cfg := r.config(id)
	if r.change != nil {
		r.change(&cfg)
	}
	ch, err := Start(context.Background(), cfg)
	if err != nil {
		r.tb.Fatalf("starting %s: %v", id, err)
	}
	r.nodes[id] = ch
}

func (r *running) stop(id string) {
	r.tb.Helper()
	begin := time.Now()
	if err := r.nodes[id].Stop(); err != nil {
		r.tb.Errorf("stopping %s: %v", id, err)
	}
	if took := time.Since(begin); took > stopWithin {
		r.tb.Errorf("stopping %s took %s", id, took)
	}
	delete(r.nodes, id)
	r.forget(id)
}

// forget lets the others drop what is left of their connection to a stopped
// node. CometBFT leaves a connection open that comes in while it stops; the end
// of a process closes it, but here the process lives on, and the others would
// take it for alive until they miss its answer to a ping, for more than a minute.
func (r *running) forget(id string) {
	for _, ch := range r.nodes {
		sw := ch.comet.node.Switch()
		if p := sw.Peers().Get(p2p.ID(r.c.members[id].nodeID)); p != nil {
			sw.StopPeerForError(p, "its node was stopped")
		}
	}
}

// submit retries while the chain takes nothing.
func (r *running) submit(id string, tx []byte) {
	r.tb.Helper()
	wait(r.tb, "a transaction is taken", 20*time.Second, func() bool {
		err := r.nodes[id].Submit(r.tb.Context(), tx)
		if err != nil && !errors.Is(err, ErrBusy) && !errors.Is(err, ErrDuplicate) {
			r.tb.Fatalf("submitting at %s: %v", id, err)
		}
		return err == nil || errors.Is(err, ErrDuplicate)
	})
}

// sealedBy waits until every running node holds n seals on the first sealed
// checkpoint that covers index, and checks the notes.
func (r *running) sealedBy(index uint64, n int, within time.Duration) {
	r.tb.Helper()
	for id, ch := range r.nodes {
		var seals int
		wait(r.tb, fmt.Sprintf("%d seals over entry %d at %s", n, index, id), within, func() bool {
			note, size, ok, err := ch.Covering(index)
			if err != nil || !ok {
				return false
			}
			s, err := checkpoint.Open(note, ch.Policy(), checkpoint.Options{})
			if err != nil || s.Size != size || !s.Verdict.Met {
				r.tb.Fatalf("the note of size %d at %s: %+v %v", size, id, s, err)
			}
			seals = len(s.Seals)
			return seals >= n
		})
	}
}

// index returns where a node's batch stands, the same at all nodes.
func (r *running) index(node string, seq uint64) uint64 {
	r.tb.Helper()
	var index uint64
	for id, ch := range r.nodes {
		wait(r.tb, fmt.Sprintf("batch %d of %s at %s", seq, node, id), 20*time.Second, func() bool {
			got, ok, err := ch.Batch(node, seq)
			if err != nil {
				r.tb.Fatal(err)
			}
			index = got
			return ok
		})
	}
	return index
}

func (r *running) noFailure() {
	r.tb.Helper()
	for id, ch := range r.nodes {
		select {
		case err := <-ch.Failed():
			r.tb.Fatalf("%s has failed: %v", id, err)
		default:
		}
	}
}

// TestNetwork runs a real network of four nodes through the failures that a
// consortium must live with.
func TestNetwork(t *testing.T) {
	r := startNetwork(t)
	tx := r.batch("vendor-a", 1, nil)

	t.Log("all four seal a transaction, and every node holds all four seals")
	r.submit("vendor-a", tx)
	index := r.index("vendor-a", 1)
	r.sealedBy(index, 4, 20*time.Second)
	if err := r.nodes["vendor-a"].Submit(t.Context(), tx); !errors.Is(err, ErrDuplicate) {
		t.Errorf("submitting the same bytes again: %v", err)
	}
	if err := r.nodes["court-a"].Submit(t.Context(), r.batch("vendor-a", 1, nil)); !errors.Is(err, ErrInvalid) {
		t.Errorf("submitting a used sequence number: %v", err)
	}
	wait(t, "a full, fresh quorum in Status", 10*time.Second, func() bool {
		s := r.nodes["court-a"].Status()
		return s.Quorum.Met && s.Guard.OK && !slices.ContainsFunc(s.Members, func(m MemberStatus) bool { return !m.Connected || !m.Fresh || m.Missing })
	})

	t.Log("three go on sealing")
	r.stop("vendor-a")
	r.submit("court-a", r.batch("court-a", 1, nil))
	r.sealedBy(r.index("court-a", 1), 3, 20*time.Second)
	if s := r.nodes["court-a"].Status(); !s.Quorum.Met {
		t.Errorf("quorum of three: %+v", s.Quorum)
	}

	t.Log("two do not, and say what is missing")
	size := r.nodes["court-a"].Size()
	r.stop("notary-a")
	r.submit("court-a", r.batch("court-a", 2, nil))
	wait(t, "Status says what is missing", 20*time.Second, func() bool {
		q := r.nodes["court-a"].Status().Quorum
		return !q.Met && strings.Contains(q.Missing, "notary-a (not connected") && strings.Contains(q.Missing, "vendor-a (not connected") && !q.Since.IsZero()
	})
	if got := r.nodes["court-a"].Size(); got != size {
		t.Errorf("the ledger grew to %d with two of four", got)
	}
	r.noFailure()

	t.Log("the third returns: what waited is sealed")
	begin := time.Now()
	r.start("notary-a")
	r.sealedBy(r.index("court-a", 2), 3, 30*time.Second)
	t.Logf("sealed %s after the third member's start", time.Since(begin).Round(time.Millisecond))

	t.Log("the fourth returns, catches up, and seals")
	begin = time.Now()
	r.start("vendor-a")
	r.submit("vendor-a", r.batch("vendor-a", 2, nil))
	r.sealedBy(r.index("vendor-a", 2), 4, 30*time.Second)
	t.Logf("all four sealed %s after its start", time.Since(begin).Round(time.Millisecond))

	t.Log("sizes that were sealed while a node was away are fetched by it")
	r.sealedBy(index, 4, 20*time.Second)
	for i := uint64(1); i < r.nodes["vendor-a"].Size(); i++ {
		var first []byte
		for _, id := range r.ids {
			note, size, ok, err := r.nodes[id].Covering(i)
			if err != nil || !ok {
				t.Fatalf("entry %d at %s: %v", i, id, err)
			}
			body := bytes.SplitN(note, []byte("\n\n"), 2)[0]
			if first == nil {
				first = body
			}
			wait(t, fmt.Sprintf("the first checkpoint over %d at %s is that of the others (size %d)", i, id, size), 30*time.Second, func() bool {
				note, _, _, err := r.nodes[id].Covering(i)
				return err == nil && bytes.HasPrefix(note, first)
			})
		}
	}

	t.Log("all four submit at once, each one batch after the other")
	begin = time.Now()
	r.rush(10)
	r.sealedBy(r.nodes["court-a"].Size()-1, 4, 20*time.Second)
	t.Logf("40 batches, sealed after %s", time.Since(begin).Round(time.Millisecond))
	r.sameState()
	r.noFailure()
}

// rush lets every node put n batches on the chain, one in flight each.
func (r *running) rush(n uint64) {
	r.tb.Helper()
	var wg sync.WaitGroup
	for _, id := range r.ids {
		ch := r.nodes[id]
		last, _, err := ch.LastSeq(id)
		if err != nil {
			r.tb.Fatal(err)
		}
		var txs [][]byte
		for seq := last + 1; seq <= last+n; seq++ {
			txs = append(txs, r.batch(id, seq, nil))
		}
		wg.Go(func() {
			for i, tx := range txs {
				if err := ch.Submit(r.tb.Context(), tx); err != nil {
					r.tb.Errorf("batch %d of %s: %v", i, id, err)
					return
				}
				for {
					changed := ch.Changed()
					if _, ok, _ := ch.Batch(id, last+uint64(i)+1); ok {
						break
					}
					select {
					case <-changed:
					case <-r.tb.Context().Done():
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// sameState checks that all nodes come to one state.
func (r *running) sameState() {
	r.tb.Helper()
	want := r.nodes[r.ids[0]]
	for _, id := range r.ids {
		wait(r.tb, "one AppHash at "+id, 20*time.Second, func() bool {
			return r.nodes[id].app.state().appHash == want.app.state().appHash
		})
	}
}

// TestFirstTransactionIsToldAgain: two members that start when a transaction
// waits already do not hear of it from CometBFT; the heartbeat is a minute.
func TestFirstTransactionIsToldAgain(t *testing.T) {
	r := startNetworkOf(t, newFixture(t), nil, "arbitration-a", "court-a")
	r.submit("court-a", r.batch("court-a", 1, nil))
	begin := time.Now()
	r.start("notary-a")
	r.start("vendor-a")
	r.sealedBy(r.index("court-a", 1), 4, 20*time.Second)
	t.Logf("sealed %s after the others' start", time.Since(begin).Round(time.Millisecond))
}

// BenchmarkSubmitToSealed measures, on an idle chain of four nodes in one
// process, the time from Submit to a sealed checkpoint at the submitting node.
func BenchmarkSubmitToSealed(b *testing.B) {
	r := startNetwork(b)
	node := r.nodes["vendor-a"]
	r.submit("vendor-a", r.batch("vendor-a", 1, nil))
	r.sealedBy(r.index("vendor-a", 1), 4, 30*time.Second)
	var took []time.Duration
	seq := uint64(1)
	for b.Loop() {
		b.StopTimer()
		seq++
		tx := r.batch("vendor-a", seq, nil)
		wait(b, "an idle chain", 5*time.Second, func() bool {
			return time.Since(node.Status().LastCommit) > 300*time.Millisecond
		})
		b.StartTimer()
		begin := time.Now()
		if err := node.Submit(b.Context(), tx); err != nil {
			b.Fatal(err)
		}
		for {
			changed := node.Changed()
			if index, ok, _ := node.Batch("vendor-a", seq); ok {
				if _, _, sealed, _ := node.Covering(index); sealed {
					break
				}
			}
			<-changed
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
}
