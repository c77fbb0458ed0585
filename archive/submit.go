package archive

import (
	"context"
	"fmt"
	"math"

	"qifeng/evidence"
	"qifeng/internal/gm"
)

// work is one request on its way to the writer.
type work struct {
	ctx      context.Context
	req      *evidence.Request
	registry uint64    // size of the registry that its key was found in
	known    []locator // where submissions are that are stored; zero where not
	looked   locator   // how far known goes
	done     chan result
}

// result is what the writer says of a request: an error, or where each of its
// submissions is.
type result struct {
	err   error
	group *freshGroup
	slots []slot
}

// slot is the place of one submission: in the fresh group, or where it was
// stored before.
type slot struct {
	fresh    bool
	mine     bool // this request stored it
	position uint32
	at       locator
}

// Submit stores the submissions of a request: all of them or none. It returns
// when they are durable. Those that are stored already, whenever and under
// whichever statement, are answered with what is stored, byte for byte; only new
// ones must be within the replay window.
//
// The request is one that evidence.ParseRequest returned, which has checked
// everything but the signature and the key. Errors are of the kinds of
// errors.go; where ctx ends first the request may or may not be stored, and a
// retry finds out.
func (a *Archive) Submit(ctx context.Context, req *evidence.Request) (*Taken, error) {
	registry, err := a.authenticate(req)
	if err != nil {
		return nil, err
	}
	known, missing, looked, err := a.lookUp(req)
	if err != nil {
		return nil, err
	}
	if missing == 0 {
		stored, err := a.loadAll(known)
		if err != nil {
			return nil, err
		}
		return TakenOf(stored...), nil
	}
	if err := a.refusal(); err != nil {
		return nil, err
	}
	if now := a.cfg.Now(); req.Statement.SignedAt.Sub(now).Abs() > a.limits.ReplayWindow {
		return nil, &ReplayError{SignedAt: req.Statement.SignedAt, Now: now, Window: a.limits.ReplayWindow}
	}
	w := &work{ctx: ctx, req: req, registry: registry, known: known, looked: looked, done: make(chan result, 1)}
	if err := a.enqueue(w); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the record to be durable: %w", ctx.Err())
	case r := <-w.done:
		if r.err != nil {
			return nil, r.err
		}
		return &Taken{archive: a, result: r}, nil
	}
}

// authenticate checks the statement's signature with its key and returns the
// size of the registry in which that key may submit.
func (a *Archive) authenticate(req *evidence.Request) (registry uint64, err error) {
	st := req.Statement
	registry, key, err := a.submitKey(st.Submitter, st.Key)
	if err != nil {
		return 0, err
	}
	if err := a.submitters.Verify(key, st.Signed.Message(a.cfg.ChainID), st.Signed.Sig[:]); err != nil {
		return 0, fmt.Errorf("checking the statement of %s with key %s: %w", st.Submitter, st.Key, err)
	}
	return registry, nil
}

// submitKey finds a key and a registry size that belong together: the header
// states the size, and the key must stand in the ledger below it.
func (a *Archive) submitKey(member, name string) (uint64, gm.PublicKey, error) {
	for range maxTries {
		size := a.cfg.Chain.RegistrySize()
		if size == 0 {
			break
		}
		key, err := a.cfg.Keys.SubmitKey(member, name)
		if a.cfg.Chain.RegistrySize() != size {
			continue // it changed meanwhile: look again
		}
		if err != nil {
			return 0, gm.PublicKey{}, fmt.Errorf("key %s of %s: %w", name, member, err)
		}
		return size, key, nil
	}
	return 0, gm.PublicKey{}, &BusyError{RetryAfter: a.limits.RetryPending, Reason: "the register of keys is not known yet"}
}

// lookUp finds which submissions of a request are stored. looked is how far it
// has looked: what is stored meanwhile is behind it.
func (a *Archive) lookUp(req *evidence.Request) (known []locator, missing int, looked locator, err error) {
	known, looked, err = a.find(req, locator{})
	for _, at := range known {
		if at == (locator{}) {
			missing++
		}
	}
	return known, missing, looked, err
}

// find returns where the submissions of a request are stored behind a locator,
// zero where they are not, and how far it has looked. The index knows no more than
// fingerprints of ids, and the id is only half of the pair, so the whole pair is
// compared.
func (a *Archive) find(req *evidence.Request, after locator) (at []locator, looked locator, err error) {
	ids, since := make([][32]byte, len(req.Submissions)), int64(math.MaxInt64)
	for i := range req.Submissions {
		s := &req.Submissions[i]
		ids[i], since = s.Pair.SM3, min(since, s.Submission.CapturedAt.UnixMilli())
	}
	maybe, looked, err := a.index.byIDs(ids, since, after)
	if err != nil {
		return nil, looked, err
	}
	at = make([]locator, len(ids))
	for _, f := range maybe {
		if at[f.index] != (locator{}) {
			continue
		}
		pair := req.Submissions[f.index].Pair
		stored, err := a.pairAt(f.at)
		if err != nil {
			return nil, looked, fmt.Errorf("finding %s: %w", evidence.IDOf(pair), err)
		}
		if stored == pair {
			at[f.index] = f.at
		}
	}
	return at, looked, nil
}

// enqueue hands w to the writer, or says that a bound is reached.
func (a *Archive) enqueue(w *work) error {
	n := int64(len(w.req.Submissions))
	busy := func(e *BusyError) error {
		a.pendingRecords.Add(-n)
		return e
	}
	pending := a.pendingRecords.Add(n)
	if pending > a.limits.PendingRecords && pending > n {
		return busy(&BusyError{RetryAfter: a.limits.RetryPending, Load: true, Reason: "too many records wait to be stored"})
	}
	if a.backlogRecords.Load()+pending > a.limits.BacklogRecords || a.backlogBytes.Load() > a.limits.BacklogBytes {
		return busy(&BusyError{RetryAfter: a.limits.RetryBacklog, Reason: "too many stored records wait for the chain"})
	}
	if err := a.crowding(ownerOf(w.req.Statement), n); err != nil {
		a.pendingRecords.Add(-n)
		return err
	}
	a.gate.RLock()
	defer a.gate.RUnlock()
	if a.closed {
		a.pendingRecords.Add(-n)
		return fmt.Errorf("%w: it is closed", ErrStopped)
	}
	select {
	case a.work <- w:
		return nil
	default:
		return busy(&BusyError{RetryAfter: a.limits.RetryPending, Load: true, Reason: "too many requests wait to be stored"})
	}
}
