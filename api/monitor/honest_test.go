package monitor_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"qifeng/api/apitest"
	"qifeng/api/client"
	"qifeng/api/monitor"
	"qifeng/api/wire"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// world is a consortium whose members seal as they should, each with a clock of
// its own, and nodes that have come more or less far.
type world struct {
	*apitest.Consortium
	rnd    *rand.Rand
	at     int64 // Unix seconds
	skew   map[string]int64
	tree   merkle.Tree
	sealed []sealedSize // rising
}

type sealedSize struct {
	checkpoint.Checkpoint
	first, newest map[string]checkpoint.Seal
}

func newHonest(t *testing.T, seed uint64) *world {
	w := &world{Consortium: apitest.NewConsortium(t), rnd: rand.New(rand.NewPCG(seed, 0)), at: 1_800_000_000, skew: map[string]int64{}}
	for id := range apitest.Members {
		w.skew[id] = w.rnd.Int64N(7) - 3
	}
	w.tree.Append(merkle.LeafHash(w.Genesis.Raw))
	w.seal(t)
	return w
}

// seal has a random quorum seal the newest size; again, where it is sealed.
func (w *world) seal(t *testing.T) {
	t.Helper()
	root, err := merkle.RootAt(w.tree.Size(), &w.tree)
	if err != nil {
		t.Fatal(err)
	}
	cp := checkpoint.Checkpoint{Origin: checkpoint.Origin(w.Chain), Size: w.tree.Size(), Root: root}
	if len(w.sealed) == 0 || w.sealed[len(w.sealed)-1].Size != cp.Size {
		w.sealed = append(w.sealed, sealedSize{cp, map[string]checkpoint.Seal{}, map[string]checkpoint.Seal{}})
	}
	s := w.sealed[len(w.sealed)-1]
	away := w.rnd.IntN(len(apitest.Members) + 1)
	i := 0
	for _, id := range w.members() {
		if i++; i-1 == away {
			continue
		}
		k := w.Keys[id]
		seal, err := checkpoint.Sign(cp, id, w.at+w.skew[id], checkpoint.SealKeys{Log: k.Log, Ed25519: k.SealEd25519, SM2: k.SealSM2})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.first[id]; !ok {
			s.first[id] = seal
		}
		s.newest[id] = seal
	}
}

func (w *world) members() []string {
	var ids []string
	for _, m := range w.Policy.Epochs[0].Members {
		ids = append(ids, m.ID)
	}
	return ids
}

// view is a node that has come as far as one of the sealed sizes, and holds for
// each member its first or its newest seal.
type view struct {
	w   *world
	far int
	rnd *rand.Rand
}

func (v *view) Checkpoint(context.Context) ([]byte, error) {
	s := v.w.sealed[v.far]
	var seals []checkpoint.Seal
	for id := range s.first {
		if v.rnd.IntN(2) == 0 {
			seals = append(seals, s.first[id])
		} else {
			seals = append(seals, s.newest[id])
		}
	}
	return checkpoint.Note(s.Checkpoint, seals, &v.w.Policy.Epochs[0])
}

func (v *view) Genesis(context.Context) ([]byte, error) { return v.w.Genesis.Raw, nil }

func (v *view) Consistency(_ context.Context, from, to uint64) (*client.Consistency, error) {
	if to > v.w.sealed[v.far].Size {
		return nil, &client.Problem{Status: 404, Code: "not-found"}
	}
	path, err := merkle.ConsistencyAt(from, to, &v.w.tree)
	out := &client.Consistency{Chain: v.w.Chain, From: from, To: to}
	for _, d := range path {
		out.Path = append(out.Path, wire.PairOf(d))
	}
	return out, err
}

func (v *view) EntryBundle(context.Context, uint64, int) ([]byte, error) { panic("not asked for") }

// TestHonestNodesAreNoContradiction: whatever honest nodes show, in whatever
// order and however far behind, no alarm is raised, and the newest ledger is
// proved whenever a node shows it.
func TestHonestNodesAreNoContradiction(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newHonest(t, seed)
			now := func() time.Time { return time.Unix(w.at, 0) }
			m, err := monitor.New(monitor.Config{Policy: w.Policy, Now: now})
			if err != nil {
				t.Fatal(err)
			}
			seen := map[monitor.Outcome]int{}
			for step := range 120 {
				w.at += w.rnd.Int64N(12)
				if w.rnd.IntN(3) == 0 {
					for range 1 + w.rnd.IntN(5) {
						w.tree.Append(merkle.LeafHash(fmt.Append(nil, seed, step, w.tree.Size())))
					}
				}
				w.seal(t)
				far := len(w.sealed) - 1
				if w.rnd.IntN(3) == 0 { // this node is behind
					far = max(0, far-w.rnd.IntN(6))
				}
				r := m.Round(t.Context(), &view{w, far, w.rnd})
				seen[r.Outcome]++
				if r.False() || r.Outcome == monitor.Unreachable {
					t.Fatalf("step %d: %s (%s)", step, r.Outcome, r.Reason)
				}
				if far == len(w.sealed)-1 && !r.Proved() {
					t.Fatalf("step %d: the newest checkpoint is %s (%s)", step, r.Outcome, r.Reason)
				}
				if w.rnd.IntN(4) == 0 { // the monitor starts anew from its file
					text, err := m.State().Marshal()
					if err != nil {
						t.Fatal(err)
					}
					s, err := monitor.ParseState(text)
					if err != nil {
						t.Fatal(err)
					}
					if m, err = monitor.New(monitor.Config{Policy: w.Policy, Now: now, State: s}); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, o := range []monitor.Outcome{monitor.Advanced, monitor.Same, monitor.Behind} {
				if seen[o] == 0 {
					t.Errorf("no look was %s: %v", o, seen)
				}
			}
		})
	}
}

// TestEveryForkIsFound: members seal two ledgers that part at a random entry. A
// monitor that sees both sides, in whatever order, raises the alarm as soon as a
// node shows a ledger as large as the largest seen.
func TestEveryForkIsFound(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		w := newHonest(t, seed)
		fork := *w
		fork.tree, fork.sealed = merkle.Tree{}, nil
		fork.tree.Append(merkle.LeafHash(w.Genesis.Raw))
		common, a, b := 1+rnd.Uint64N(20), 1+rnd.Uint64N(20), 1+rnd.Uint64N(20)
		for i := range common {
			w.tree.Append(merkle.LeafHash(fmt.Append(nil, "common", i)))
			fork.tree.Append(merkle.LeafHash(fmt.Append(nil, "common", i)))
		}
		for i := range a {
			w.tree.Append(merkle.LeafHash(fmt.Append(nil, "a", i)))
		}
		for i := range b {
			fork.tree.Append(merkle.LeafHash(fmt.Append(nil, "b", i)))
		}
		// All at one second, so that nothing but the trees tells them apart.
		w.seal(t)
		fork.seal(t)
		sides := []*view{{w, len(w.sealed) - 1, rnd}, {&fork, 0, rnd}}
		if rnd.IntN(2) == 0 {
			slices.Reverse(sides)
		}
		m, err := monitor.New(monitor.Config{Policy: w.Policy})
		if err != nil {
			t.Fatal(err)
		}
		if r := m.Round(t.Context(), sides[0]); r.Outcome != monitor.First {
			t.Fatalf("seed %d: %s (%s)", seed, r.Outcome, r.Reason)
		}
		r := m.Round(t.Context(), sides[1])
		if r.Outcome == monitor.Behind {
			r = m.Round(t.Context(), sides[0])
		}
		if r.Outcome != monitor.Contradiction || r.Alarm.Kind != monitor.Fork && r.Alarm.Kind != monitor.Rewritten {
			t.Errorf("seed %d, parting at %d, %d and %d: %s (%s)", seed, common, a, b, r.Outcome, r.Reason)
		}
	}
}
