package drills

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"qifeng/api/client"
	"qifeng/api/httpsig"
	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// perturbed is a network under load that is hurt at random, and what is known of
// it: what was promised, and all that its members ever showed as sealed.
type perturbed struct {
	*network
	pol *checkpoint.Policy
	r   *rand.Rand

	mu       sync.Mutex  // guards what follows
	accepted []time.Time // when a request was answered with receipts
	sealed   []time.Time // when a size was first seen sealed that was larger than any before
	receipts []*proof.File
	proofs   []*proof.File            // fetched on the way
	roots    map[uint64]merkle.Digest // of every sealed size that a member has shown
	shown    map[string]uint64        // the newest of each member
	looks    int
}

// recovery is how one perturbation was got over.
type recovery struct {
	kind, victim string
	sealed       time.Duration // the longest without a newly sealed size at any member, from the fault until it was got over
	accepted     time.Duration // the longest without an accepted submission in that time
	back         time.Duration // from the mend until the victim shows a size that was sealed after it
}

// TestPerturb hurts four real members under load, one thing at a time and now
// and then two, for as long as QIFENG_PERTURB says: kill -9, pause, graceful
// restart, cut links. No two roots of one size are ever sealed, every receipt is
// kept, every proof fetched before verifies, and fsck finds four good homes with
// one ledger. scripts/perturb.sh runs it.
func TestPerturb(t *testing.T) {
	const variable = "QIFENG_PERTURB"
	if os.Getenv(variable) == "" {
		t.Skip(variable + " is not set: scripts/perturb.sh runs this")
	}
	length, err := time.ParseDuration(os.Getenv(variable))
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("QIFENG_PERTURB_SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d (QIFENG_PERTURB_SEED), for %s", seed, length)
	p := &perturbed{network: newNetworkOver(t, plain, newLinks(t)), r: rand.New(rand.NewPCG(seed, 5)), roots: map[uint64]merkle.Digest{}, shown: map[string]uint64{}}
	p.pol = p.policy()
	for _, m := range members {
		p.ready(m)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var work sync.WaitGroup
	for i := range 3 {
		work.Go(func() { p.load(ctx, i) })
	}
	for _, m := range members {
		work.Go(func() { p.watch(ctx, m) })
	}
	work.Go(func() { p.keepProofs(ctx) })
	begun := time.Now()
	var got []recovery
	for time.Since(begun) < length && !t.Failed() {
		got = append(got, p.hurt())
		last := got[len(got)-1]
		t.Logf("%6.1fs %-8s %-28s nothing sealed for %s, nothing accepted for %s, back %s after the mend", time.Since(begun).Seconds(), last.kind, last.victim,
			last.sealed.Round(time.Millisecond), last.accepted.Round(time.Millisecond), last.back.Round(time.Millisecond))
		p.rest(time.Duration(p.r.IntN(1500)) * time.Millisecond)
	}
	cancel()
	work.Wait()
	p.judge(seed, time.Since(begun), got)
}

// rest is time that passes between two faults, or while one lasts.
func (p *perturbed) rest(d time.Duration) { time.Sleep(d) }

// load submits, again and again with the same bytes until there is a receipt.
func (p *perturbed) load(ctx context.Context, worker int) {
	c, err := client.New("http://"+p.APIs[vendor], client.Options{Attempts: 1, Timeout: 5 * time.Second})
	if err != nil {
		p.t.Error(err)
		return
	}
	for i := 0; ctx.Err() == nil; i++ {
		var subs []*evidence.Submission
		for j := range 1 + i%5 {
			content := fmt.Sprintf("worker %d, request %d, contract %d", worker, i, j)
			subs = append(subs, p.sub.NewContract(evidence.ContractFinal, merkle.Sum([]byte(content)), uint64(len(content))))
		}
		req, err := p.sub.NewRequest(subs...)
		if err != nil {
			p.t.Error(err)
			return
		}
		for ctx.Err() == nil {
			answer, err := c.Submit(ctx, req.Raw, 0)
			if err == nil {
				p.take(answer, req)
				break
			}
			var problem *client.Problem
			if errors.As(err, &problem) && problem.Status < 500 && problem.Status != 429 {
				p.t.Errorf("submitting: %v", err)
				return
			}
			time.Sleep(50 * time.Millisecond) // before the same bytes are sent again
		}
		time.Sleep(200 * time.Millisecond) // the load, not a wait for a result
	}
}

func (p *perturbed) take(answer *client.Submitted, req *evidence.Request) {
	files, err := client.VerifySubmitted(answer, req, p.pol, p.sub.Signer.Public())
	if err != nil {
		p.t.Errorf("a receipt: %v", err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accepted = append(p.accepted, time.Now())
	p.receipts = append(p.receipts, files...)
}

// watch looks at a member's newest checkpoint, and holds it against all that
// was ever shown.
func (p *perturbed) watch(ctx context.Context, member string) {
	c, err := client.New("http://"+p.APIs[member], client.Options{Attempts: 1, Timeout: 2 * time.Second})
	if err != nil {
		p.t.Error(err)
		return
	}
	for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		note, err := c.Checkpoint(ctx)
		if err != nil {
			continue // it is away
		}
		s, err := checkpoint.Open(note, p.pol, checkpoint.Options{})
		if err != nil || !s.Met {
			p.t.Errorf("%s shows a checkpoint that is not sealed: %v", member, err)
			continue
		}
		p.see(member, s.Checkpoint)
	}
}

func (p *perturbed) see(member string, c checkpoint.Checkpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looks++
	if root, ok := p.roots[c.Size]; ok && root != c.Root {
		p.t.Errorf("SPLIT VIEW: %s shows size %d sealed with the root %s, it was shown with %s", member, c.Size, c.Root, root)
	}
	if c.Size > p.largest() {
		p.sealed = append(p.sealed, time.Now())
	}
	p.roots[c.Size] = c.Root
	p.shown[member] = max(p.shown[member], c.Size)
}

// newest is the largest size that anyone has shown as sealed.
func (p *perturbed) newest() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.largest()
}

func (p *perturbed) largest() uint64 {
	return slices.Max(append(slices.Collect(maps.Values(p.shown)), 0))
}

func (p *perturbed) shows(member string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown[member]
}

// keepProofs fetches proofs of records as they come, to be verified at the end.
func (p *perturbed) keepProofs(ctx context.Context) {
	for n := 0; ctx.Err() == nil; time.Sleep(time.Second) {
		p.mu.Lock()
		var id evidence.ID
		if len(p.receipts) > n {
			n = len(p.receipts)
			id = p.receipts[n-1].RecordOf().ID()
		}
		p.mu.Unlock()
		if id == "" {
			continue
		}
		if f, err := p.cl.Proof(ctx, id, 5*time.Second); err == nil { // else the node is away
			p.mu.Lock()
			p.proofs = append(p.proofs, f)
			p.mu.Unlock()
		}
	}
}

// hurt does one thing, mends it, and waits until it is got over.
func (p *perturbed) hurt() recovery {
	p.t.Helper()
	victims := p.r.Perm(len(members))
	a, b := members[victims[0]], members[victims[1]]
	lasts := 500*time.Millisecond + time.Duration(p.r.IntN(6000))*time.Millisecond
	rec := recovery{victim: a}
	fault, size := time.Now(), p.newest()
	hurt := []string{a}
	switch n := p.r.IntN(100); {
	case n < 30:
		rec.kind = "kill"
		p.Nodes[a].End(p.t, syscall.SIGKILL)
		p.rest(lasts)
	case n < 50:
		rec.kind = "pause"
		p.pause(a)
		p.rest(lasts)
		p.proceed(a)
	case n < 65:
		rec.kind = "restart"
		p.stop(a)
	case n < 80:
		rec.kind, rec.victim = "cut", a+" - "+b
		p.links.cut(a, b)
		p.rest(lasts)
		p.links.mend(a, b)
	case n < 92:
		rec.kind = "isolate"
		for _, m := range members {
			p.links.cut(a, m)
		}
		p.rest(lasts)
		for _, m := range members {
			p.links.mend(a, m)
		}
	default:
		rec.kind, rec.victim = "kill-two", a+", "+b
		p.Nodes[a].End(p.t, syscall.SIGKILL)
		p.Nodes[b].End(p.t, syscall.SIGKILL)
		p.rest(lasts)
		hurt = append(hurt, b)
	}
	mend, sealed := time.Now(), p.newest()
	for _, m := range hurt {
		select {
		case <-p.Nodes[m].Done:
			p.start(m, plain)
		default:
		}
	}
	p.await(&rec, fault, mend, size, sealed, hurt)
	return rec
}

// await waits until there is a newly sealed size and an accepted submission
// since the fault began, and all that were hurt show what was sealed after its
// end; size and sealed are the newest sizes of either time.
func (p *perturbed) await(rec *recovery, fault, mend time.Time, size, sealed uint64, hurt []string) {
	p.t.Helper()
	p.eventually(2*time.Minute, fmt.Sprintf("getting over: %s of %s at size %d", rec.kind, rec.victim, size), func() error {
		for _, m := range hurt {
			if p.shows(m) <= sealed {
				return fmt.Errorf("%s shows size %d, %d was sealed at the mend", m, p.shows(m), sealed)
			}
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if n := len(p.accepted); n == 0 || p.accepted[n-1].Before(mend) {
			return errors.New("no submission was accepted since the mend")
		}
		return nil
	})
	end := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	rec.back, rec.sealed, rec.accepted = end.Sub(mend), longest(p.sealed, fault, end), longest(p.accepted, fault, end)
}

// longest is the longest time without an event between two times, from the event
// before the first on.
func longest(events []time.Time, from, to time.Time) (gap time.Duration) {
	for i, at := range events {
		if at.Before(from) {
			continue
		}
		before := from
		if i > 0 {
			before = events[i-1]
		}
		if at.After(to) {
			at = to
		}
		gap = max(gap, at.Sub(before))
	}
	return gap
}

func (p *perturbed) pause(m string) {
	if err := p.Nodes[m].Cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		p.t.Error(err)
	}
}

func (p *perturbed) proceed(m string) {
	if err := p.Nodes[m].Cmd.Process.Signal(syscall.SIGCONT); err != nil {
		p.t.Error(err)
	}
}

// judge holds the network against all that it has promised.
func (p *perturbed) judge(seed uint64, took time.Duration, got []recovery) {
	t := p.t
	for _, m := range members {
		p.ready(m)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	last := map[string]merkle.Digest{}
	p.keptAll(ctx)
	p.oldProofs(ctx)
	p.eventually(60*time.Second, "one size and one root at all members", func() error {
		for _, m := range members {
			c, err := client.New("http://"+p.APIs[m], client.Options{Attempts: 3, Timeout: 5 * time.Second})
			if err != nil {
				return err
			}
			note, err := c.Checkpoint(ctx)
			if err != nil {
				return err
			}
			s, err := checkpoint.Open(note, p.pol, checkpoint.Options{})
			if err != nil {
				return err
			}
			p.see(m, s.Checkpoint)
			last[m] = s.Root
		}
		for _, m := range members {
			if last[m] != last[steady] {
				return fmt.Errorf("%s has the root %s, %s has %s", m, last[m], steady, last[steady])
			}
		}
		return nil
	})
	p.noAlarms()
	for _, m := range members {
		p.stop(m)
	}
	for _, m := range members {
		p.qifeng(0, "fsck", "--home", p.Home(m))
	}
	p.report(seed, took, got)
}

// keptAll waits for the proof of every receipt and verifies it.
func (p *perturbed) keptAll(ctx context.Context) {
	var next atomic.Int64
	var work sync.WaitGroup
	for range 2 {
		work.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(p.receipts) && !p.t.Failed(); i = int(next.Add(1)) - 1 {
				r := p.receipts[i]
				id := r.RecordOf().ID()
				f, err := p.cl.WaitProof(ctx, id)
				if err != nil {
					p.t.Errorf("the record %s of a receipt has no proof: %v", id, err)
					return
				}
				if string(f.Record) != string(r.Record) {
					p.t.Errorf("the record %s is another one than the receipt's", id)
				}
				if rep := proof.Verify(f, p.pol, nil, proof.Options{}); rep.Result != proof.Proved {
					p.t.Errorf("the proof of %s does not verify:\n%s", id, rep.Text(proof.English))
				}
			}
		})
	}
	work.Wait()
}

// oldProofs verifies the proofs that were fetched on the way, and that their
// checkpoints are beginnings of the ledger as it is now.
func (p *perturbed) oldProofs(ctx context.Context) {
	sizes := slices.Sorted(maps.Keys(p.roots))
	newest := sizes[len(sizes)-1]
	read, err := gm.LoadPrivateKey(filepath.Join(p.Home(vendor), "keys", "read.pem"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range p.proofs {
		if rep := proof.Verify(f, p.pol, nil, proof.Options{}); rep.Result != proof.Proved {
			p.t.Errorf("a proof fetched before does not verify any more:\n%s", rep.Text(proof.English))
		}
	}
	for i, m := range members {
		c, err := client.New("http://"+p.APIs[m], client.Options{Attempts: 3, Timeout: 5 * time.Second, KeyID: httpsig.KeyID(vendor, "read"), Signer: read})
		if err != nil {
			p.t.Fatal(err)
		}
		for j := i; j < len(sizes)-1; j += 1 + len(sizes)/50 {
			a, err := c.Consistency(ctx, sizes[j], newest)
			if err != nil {
				p.t.Fatalf("%s, from size %d to %d: %v", m, sizes[j], newest, err)
			}
			path, err := client.PathOf(a)
			if err == nil {
				err = merkle.VerifyConsistency(sizes[j], newest, p.roots[sizes[j]], p.roots[newest], path)
			}
			if err != nil {
				p.t.Errorf("%s: size %d is no beginning of size %d: %v", m, sizes[j], newest, err)
			}
		}
	}
}

// spread is the least, the middle and the largest, in milliseconds.
type spread struct {
	Min    int64 `json:"min_ms"`
	Median int64 `json:"median_ms"`
	Max    int64 `json:"max_ms"`
}

func spreadOf(d []time.Duration) spread {
	slices.Sort(d)
	return spread{d[0].Milliseconds(), d[len(d)/2].Milliseconds(), d[len(d)-1].Milliseconds()}
}

// report prints the figures, and writes them where QIFENG_PERTURB_JSON says.
func (p *perturbed) report(seed uint64, took time.Duration, got []recovery) {
	type figures struct {
		Count    int    `json:"count"`
		Sealed   spread `json:"nothing_sealed"`
		Accepted spread `json:"nothing_accepted"`
		Back     spread `json:"back"`
	}
	kinds := map[string]figures{}
	for _, kind := range []string{"kill", "pause", "restart", "cut", "isolate", "kill-two"} {
		var s, a, b []time.Duration
		for _, r := range got {
			if r.kind == kind {
				s, a, b = append(s, r.sealed), append(a, r.accepted), append(b, r.back)
			}
		}
		if len(s) > 0 {
			kinds[kind] = figures{len(s), spreadOf(s), spreadOf(a), spreadOf(b)}
			p.t.Logf("%-8s %+v", kind, kinds[kind])
		}
	}
	raw, err := json.Marshal(map[string]any{"seed": seed, "seconds": int(took.Seconds()), "perturbations": len(got), "requests": len(p.accepted),
		"receipts": len(p.receipts), "old_proofs": len(p.proofs), "sealed_sizes": len(p.roots), "looks": p.looks, "good": !p.t.Failed(), "recovery": kinds})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Logf("%s", raw)
	if path := os.Getenv("QIFENG_PERTURB_JSON"); path != "" {
		if err := os.WriteFile(filepath.Clean(path), append(raw, '\n'), 0o600); err != nil {
			p.t.Error(err)
		}
	}
}
