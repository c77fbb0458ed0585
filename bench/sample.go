package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"qifeng/api/client"
	"qifeng/evidence"
	"qifeng/proof"
)

// budget lets through at most rate samples a second.
type budget struct {
	rate float64
	mu   sync.Mutex // guards what follows
	left float64
	at   time.Time
}

func (b *budget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at.IsZero() {
		b.at, b.left = now, 1
	}
	if d := now.Sub(b.at).Seconds(); d > 0 {
		b.left = min(b.left+d*b.rate, max(1, b.rate/4))
		b.at = now
	}
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// sample is one acknowledged record that is followed to its proof.
type sample struct {
	due        time.Time
	index      int // within its request
	submission []byte
	id         evidence.ID
	request    []byte
	answer     []byte
}

// follow waits for a sample's proof and then checks receipt and proof. The wait
// is the node's own (Prefer: wait), which ends when the seal is there, so that
// what is measured is sealing and not how often it was asked for. One is checked
// at a time: a seal ends the wait of several at once, and all of them together
// would take every core from the node while it answers others.
func (l *load) follow(s *sample) {
	ctx, cancel := context.WithTimeout(context.Background(), sealTimeout)
	defer cancel()
	f, err := l.reader.WaitProof(ctx, s.id)
	took := time.Since(s.due)
	l.judging.Lock()
	defer l.judging.Unlock()
	if rerr := l.checkReceipt(s); rerr != nil {
		l.wrong(s, fmt.Errorf("receipt: %w", rerr))
		return
	}
	if err != nil {
		l.unsealed.Add(1)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.note(fmt.Sprintf("no proof of %s: %v", s.id, err))
		return
	}
	if err := l.checkProof(s, f, proof.Options{}); err != nil {
		l.wrong(s, fmt.Errorf("proof: %w", err))
		return
	}
	if !s.due.Before(l.from) {
		l.sealed.add(s.index, took)
	}
	l.keep(f)
}

func (l *load) wrong(s *sample, err error) {
	l.unverified.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(fmt.Sprintf("%s does not verify: %v", s.id, err))
}

// checkReceipt checks that the answer promises all of the very request that was
// sent: signed by the node's intake key, leaves and path.
func (l *load) checkReceipt(s *sample) error {
	req, err := evidence.ParseRequest(s.request)
	if err != nil {
		return err
	}
	a, err := client.ParseAnswer(s.answer)
	if err != nil {
		return err
	}
	if a.Range != nil {
		return a.Range.Verify(req, l.cfg.Policy)
	}
	_, err = client.VerifySubmitted(a.Full, req, l.cfg.Policy, l.cfg.By.Signer.Public())
	return err
}

// checkProof verifies offline, by the caller's policy.
func (l *load) checkProof(s *sample, f *proof.File, opt proof.Options) error {
	if s != nil && !bytes.Equal(f.RecordOf().SubmissionBytes, s.submission) {
		return errors.New("it is of another submission")
	}
	report := proof.Verify(f, l.cfg.Policy, nil, opt)
	if report.Result == proof.Proved {
		return nil
	}
	for _, step := range report.Steps {
		if step.Outcome == proof.StepFailed {
			return fmt.Errorf("%s: %s: %s", report.Result, step.Name, step.Detail.EN)
		}
	}
	return errors.New(string(report.Result))
}

// keep keeps some proofs, so that both SM libraries can be asked when the node
// does not need the cores any more.
func (l *load) keep(f *proof.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.proofs) < twice {
		if raw, err := f.Marshal(); err == nil {
			l.proofs = append(l.proofs, raw)
		}
	}
}

// settle waits until all that was acknowledged is sealed and every sample is
// judged.
func (l *load) settle(ctx context.Context, r *Result) {
	ctx, cancel := context.WithTimeout(ctx, sealTimeout)
	defer cancel()
	if l.allRequests.Load() > 0 {
		if err := l.allSealed(ctx); err != nil {
			r.Unsealed++
			l.mu.Lock()
			l.note(fmt.Sprintf("waiting until all is sealed: %v", err))
			l.mu.Unlock()
		}
		r.Drained = float64(time.Since(time.Unix(0, l.last.Load())).Microseconds()) / 1000
	}
	l.sampling.Wait()
	for _, raw := range l.proofs {
		f, err := proof.Parse(raw)
		if err == nil {
			err = l.checkProof(nil, f, proof.Options{Second: true})
		}
		if err != nil {
			l.unverified.Add(1)
			l.mu.Lock()
			l.note(fmt.Sprintf("by both libraries: %v", err))
			l.mu.Unlock()
		}
	}
}

// allSealed asks the node until nothing waits for the chain and the ledger, as
// it was then, is sealed. It supposes that nobody else submits.
func (l *load) allSealed(ctx context.Context) error {
	size := uint64(0)
	for {
		st, err := l.reader.Status(ctx)
		if err != nil {
			return err
		}
		in := st.Intake
		if size == 0 && in.Pending == 0 && in.Open == 0 && in.Queued == 0 && in.InFlight == 0 {
			size = st.Ledger.Size
		}
		if size > 0 && st.Ledger.SealedSize >= size {
			return nil
		}
		if err := (realClock{}).until(ctx, time.Now().Add(drainPoll)); err != nil {
			return fmt.Errorf("%w; open %d, queued %d, ledger %d, sealed %d", err, in.Open, in.Queued, st.Ledger.Size, st.Ledger.SealedSize)
		}
	}
}

// known is a stored record that can be looked up.
type known struct {
	id     evidence.ID
	digest string // SM3 of its content in hex, "" where its kind has none
}

// remember keeps an even choice of what was acknowledged: one record of each
// request, of which every one is as likely to be among the kept.
func (l *load) remember(m *Maker, i int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offered++
	at := len(l.known)
	if at == remembered {
		n := rand.Int64N(l.offered)
		if n >= remembered {
			return
		}
		at = int(n)
	} else {
		l.known = append(l.known, known{})
	}
	l.known[at] = known{id: evidence.IDOf(m.Pair(i)), digest: m.digest(i)}
}

// lookups reads stored records at random, one at a time.
func (l *load) lookups(ctx context.Context, r *Result) error {
	if l.cfg.Lookups == 0 || len(l.known) == 0 {
		return nil
	}
	record, prove, digest := newTimings(), newTimings(), newTimings()
	timed := func(t *timings, f func() error) error {
		began := time.Now()
		err := f()
		t.add(0, time.Since(began))
		return err
	}
	for range l.cfg.Lookups {
		k := l.known[rand.IntN(len(l.known))]
		err := timed(record, func() error { _, err := l.reader.Record(ctx, k.id); return err })
		if err == nil {
			err = timed(prove, func() error { _, err := l.reader.Proof(ctx, k.id, 0); return err })
		}
		if err == nil && k.digest != "" {
			err = timed(digest, func() error { return l.byDigest(ctx, k) })
		}
		if err != nil {
			return err
		}
	}
	r.Lookups = &Lookups{}
	for _, t := range []struct {
		from *timings
		to   **Latency
	}{{record, &r.Lookups.Record}, {prove, &r.Lookups.Proof}, {digest, &r.Lookups.Digest}} {
		var err error
		if *t.to, err = t.from.latency(); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) byDigest(ctx context.Context, k known) error {
	hash, err := hash32(k.digest)
	if err != nil {
		return err
	}
	found, err := l.reader.FindByDigest(ctx, "sm3", hash, client.Page{})
	if err == nil && (len(found.Records) != 1 || found.Records[0].ID != string(k.id)) {
		err = fmt.Errorf("the digest of %s finds %d records", k.id, len(found.Records))
	}
	return err
}
