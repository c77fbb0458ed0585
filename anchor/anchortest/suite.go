package anchortest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"qifeng/anchor"
	"qifeng/proof"
)

// Fixture is a driver with its real server, and what a court needs to judge its
// receipts. Run asks for one for each of its tests, and the state behind it must
// be new to that chain: make a chain with [NewChain] each time; servers that are
// expensive may be shared.
type Fixture struct {
	Anchor anchor.Anchor // Run closes it
	Name   string        // by which Roots know the witness
	Roots  *proof.AnchorRoots
	Chain  *Chain

	// Stop makes the server unreachable and Start brings it back with all that it
	// held. Hang has it take calls without an answer, and Go ends that. A [Proxy]
	// before the server does all four; real stops are better where they are cheap.
	Stop, Start, Hang, Go func()

	// Stateless says that the witness keeps nothing, as a time-stamp authority
	// does: it contradicts nobody and takes any size.
	Stateless bool

	// Patience is how long one Put may take; 0 for 30 s.
	Patience time.Duration
}

// Run holds a driver to the contract of anchor.Anchor.
func Run(t *testing.T, fixture func(t *testing.T) Fixture) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"put", testPut},
		{"put again", testPutAgain},
		{"put later", testPutLater},
		{"put smaller", testPutSmaller},
		{"conflict", testConflict},
		{"fork", testFork},
		{"cancelled", testCancelled},
		{"server down", testServerDown},
		{"tampered", testTampered},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := fixture(t)
			if f.Patience == 0 {
				f.Patience = 30 * time.Second
			}
			t.Cleanup(func() {
				if err := f.Anchor.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
			test.run(t, &suite{f})
		})
	}
}

type suite struct{ Fixture }

// put has a checkpoint witnessed, and takes a court's view of the receipt.
func (s *suite) put(t *testing.T, cp anchor.Checkpoint, ledger anchor.Ledger) (anchor.Receipt, *proof.AnchorReport) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), s.Patience)
	defer cancel()
	r, err := s.Anchor.Put(ctx, cp, ledger)
	if err != nil {
		t.Fatalf("Put of size %d: %v", cp.Size, err)
	}
	return r, s.verify(t, cp, r)
}

func (s *suite) verify(t *testing.T, cp anchor.Checkpoint, r anchor.Receipt) *proof.AnchorReport {
	t.Helper()
	added, ok := bytes.CutPrefix(r.Note, cp.Note)
	if !ok || s.Anchor.Kind() != proof.AnchorWitness && len(added) > 0 {
		t.Errorf("the receipt of size %d covers another note than the one that was put", cp.Size)
	}
	rep, err := s.judge(r)
	if err != nil {
		t.Fatalf("the receipt of size %d does not verify: %v", cp.Size, err)
	}
	if rep.Size != cp.Size || rep.Kind != s.Anchor.Kind() || rep.Name != s.Name {
		t.Errorf("the receipt of size %d verifies as %s for size %d", cp.Size, rep.ID(), rep.Size)
	}
	return rep
}

func (s *suite) judge(r anchor.Receipt) (*proof.AnchorReport, error) {
	return proof.VerifyAnchor(&proof.Anchor{Kind: s.Anchor.Kind(), Name: s.Name, Checkpoint: r.Note, Receipt: r.Data},
		s.Chain.Policy, s.Roots)
}

// fails wants an error that the worker would try again.
func (s *suite) fails(t *testing.T, ctx context.Context, cp anchor.Checkpoint) error {
	t.Helper()
	_, err := s.Anchor.Put(ctx, cp, s.Chain)
	if err == nil {
		t.Fatalf("Put of size %d succeeded", cp.Size)
	}
	var conflict *anchor.Conflict
	if errors.As(err, &conflict) || errors.Is(err, anchor.ErrRefused) {
		t.Errorf("Put of size %d: %v: neither a conflict nor a refusal", cp.Size, err)
	}
	return err
}

func testPut(t *testing.T, s *suite) {
	s.put(t, s.Chain.At(t, s.Chain.Grow(3)), s.Chain)
}

// The same checkpoint once more is no conflict, and gives a receipt: the first
// one may have been lost on the way. So is the same state in another note.
func testPutAgain(t *testing.T, s *suite) {
	size := s.Chain.Grow(3)
	cp := s.Chain.At(t, size)
	s.put(t, cp, s.Chain)
	s.put(t, cp, s.Chain)
	cp.Note = s.Chain.Sealed(t, size, "arb-a", "court-a", "notary-a")
	s.put(t, cp, s.Chain)
}

func testPutLater(t *testing.T, s *suite) {
	for _, n := range []int{1, 1, 5, 64} {
		s.put(t, s.Chain.At(t, s.Chain.Grow(n)), s.Chain)
	}
}

// The worker never puts a smaller one, but a driver of another process may. It
// gets a receipt or an error, and does no harm.
func testPutSmaller(t *testing.T, s *suite) {
	s.Chain.Grow(3)
	large := s.Chain.At(t, s.Chain.Grow(3))
	s.put(t, large, s.Chain)
	ctx, cancel := context.WithTimeout(t.Context(), s.Patience)
	defer cancel()
	small := s.Chain.At(t, large.Size-2)
	r, err := s.Anchor.Put(ctx, small, s.Chain)
	var conflict *anchor.Conflict
	switch {
	case err == nil:
		s.verify(t, small, r)
	case errors.As(err, &conflict):
		t.Errorf("a smaller checkpoint of the same ledger is said to contradict: %v", err)
	case s.Stateless:
		t.Errorf("Put of a smaller size: %v", err)
	}
	s.put(t, s.Chain.At(t, s.Chain.Grow(1)), s.Chain)
}

// Another root of the size that the witness holds is a conflict with both
// statements, each time that it is put.
func testConflict(t *testing.T, s *suite) {
	if s.Stateless {
		s.stateless(t)
		return
	}
	cp := s.Chain.At(t, s.Chain.Grow(5))
	s.put(t, cp, s.Chain)
	fork := s.Chain.Fork(t, 3)
	other := fork.At(t, cp.Size)
	for range 2 {
		s.conflict(t, other, fork)
	}
	s.put(t, s.Chain.At(t, s.Chain.Grow(1)), s.Chain)
}

// A larger state that does not grow out of the one that the witness holds is one
// too.
func testFork(t *testing.T, s *suite) {
	if s.Stateless {
		s.stateless(t)
		return
	}
	cp := s.Chain.At(t, s.Chain.Grow(5))
	s.put(t, cp, s.Chain)
	fork := s.Chain.Fork(t, 3)
	s.conflict(t, fork.At(t, fork.Grow(4)), fork)
	s.put(t, s.Chain.At(t, s.Chain.Grow(1)), s.Chain)
}

// stateless says of a witness that keeps nothing that it contradicts nobody.
func (s *suite) stateless(t *testing.T) {
	t.Helper()
	cp := s.Chain.At(t, s.Chain.Grow(5))
	s.put(t, cp, s.Chain)
	fork := s.Chain.Fork(t, 3)
	s.put(t, fork.At(t, cp.Size), fork)
}

func (s *suite) conflict(t *testing.T, cp anchor.Checkpoint, ledger anchor.Ledger) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), s.Patience)
	defer cancel()
	_, err := s.Anchor.Put(ctx, cp, ledger)
	var conflict *anchor.Conflict
	if !errors.As(err, &conflict) {
		t.Fatalf("Put of another state at size %d: %v, want a conflict", cp.Size, err)
	}
	if !bytes.Equal(conflict.Ours, cp.Note) || len(conflict.Theirs) == 0 || conflict.Size == 0 || conflict.Err == nil {
		t.Errorf("the conflict does not carry both statements: size %d, ours %d bytes, theirs %d bytes, %v",
			conflict.Size, len(conflict.Ours), len(conflict.Theirs), conflict.Err)
	}
	t.Logf("theirs: %.300q", conflict.Theirs)
}

// prompt is how long a driver may take to notice that its context is done.
const prompt = 3 * time.Second

func testCancelled(t *testing.T, s *suite) {
	first := s.Chain.At(t, s.Chain.Grow(2))
	s.put(t, first, s.Chain) // connections are open now
	cp := s.Chain.At(t, s.Chain.Grow(2))

	done, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	if err := s.fails(t, done, cp); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled Put: %v, want one that is context.Canceled", err)
	}
	if took := time.Since(began); took > prompt {
		t.Errorf("a cancelled Put took %v", took)
	}

	s.Hang()
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began = time.Now()
	if err := s.fails(t, short, cp); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a Put without an answer: %v, want one that is context.DeadlineExceeded", err)
	}
	if took := time.Since(began); took > time.Second+prompt {
		t.Errorf("a Put without an answer and a deadline of 1s took %v", took)
	}
	s.Go()
	s.put(t, cp, s.Chain)
}

func testServerDown(t *testing.T, s *suite) {
	s.put(t, s.Chain.At(t, s.Chain.Grow(2)), s.Chain)
	cp := s.Chain.At(t, s.Chain.Grow(2))
	s.Stop()
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), s.Patience)
		s.fails(t, ctx, cp)
		cancel()
	}
	s.Start()
	s.put(t, cp, s.Chain)
	s.put(t, s.Chain.At(t, s.Chain.Grow(1)), s.Chain)
}

// tamperings bounds how many places of a receipt are changed, evenly spread: each
// costs a verification.
const tamperings = 1500

// A changed receipt does not verify, or says the same: what is not covered by a
// signature must not matter.
func testTampered(t *testing.T, s *suite) {
	earlier := s.Chain.At(t, s.Chain.Grow(3))
	first, _ := s.put(t, earlier, s.Chain)
	cp := s.Chain.At(t, s.Chain.Grow(3))
	r, want := s.put(t, cp, s.Chain)

	differs := func(what string, r anchor.Receipt) {
		t.Helper()
		rep, err := s.judge(r)
		if err == nil && (rep.Size != want.Size || !rep.Time.Equal(want.Time) || rep.Accuracy != want.Accuracy || rep.Detail != want.Detail) {
			t.Errorf("%s: it verifies, and says something else: %+v", what, rep)
		}
	}
	fails := func(what string, r anchor.Receipt) {
		t.Helper()
		if rep, err := s.judge(r); err == nil {
			t.Errorf("%s: it verifies: %+v", what, rep)
		}
	}
	fails("the note of another checkpoint", anchor.Receipt{Note: cp.Note, Data: first.Data})
	if len(r.Data) > 0 {
		fails("without its data", anchor.Receipt{Note: r.Note})
		fails("cut short", anchor.Receipt{Note: r.Note, Data: r.Data[:len(r.Data)-1]})
		fails("with a byte more", anchor.Receipt{Note: r.Note, Data: append(bytes.Clone(r.Data), '\n')})
	}
	forged := s.Chain.Fork(t, 1)
	fails("with a forged checkpoint", anchor.Receipt{Note: append(forged.At(t, cp.Size).Note, r.Note[len(cp.Note):]...), Data: r.Data})
	for _, part := range []struct {
		name string
		of   *[]byte
	}{{"note", &r.Note}, {"data", &r.Data}} {
		whole := *part.of
		for i := 0; i < len(whole); i += max(1, len(whole)/tamperings) {
			changed := bytes.Clone(whole)
			changed[i] ^= 1 << (i % 8)
			*part.of = changed
			differs(part.name+" with a bit changed", r)
		}
		*part.of = whole
	}
	foreign := NewChain(t, "foreign")
	if _, err := proof.VerifyAnchor(&proof.Anchor{Kind: s.Anchor.Kind(), Name: s.Name, Checkpoint: r.Note, Receipt: r.Data},
		foreign.Policy, s.Roots); err == nil {
		t.Error("it verifies by another chain's policy")
	}
	if _, err := proof.VerifyAnchor(&proof.Anchor{Kind: s.Anchor.Kind(), Name: s.Name, Checkpoint: r.Note, Receipt: r.Data},
		s.Chain.Policy, &proof.AnchorRoots{Chain: s.Chain.Policy.Chain}); err == nil {
		t.Error("it verifies without the witness in the anchor roots")
	}
}
