package drills

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"qifeng/api/client"
	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/test/testnet"
)

// sample is what one look at the network has shown.
type sample struct {
	at     time.Time
	sealed uint64
}

// watcher looks at a member that nobody hurts, and at the anchors of the others.
type watcher struct {
	mu      sync.Mutex // guards what follows
	samples []sample
	sizes   map[string]uint64 // by member and anchor
	wrong   []string
	stop    context.CancelFunc
	done    sync.WaitGroup
}

func (o *outside) watch() *watcher {
	ctx, cancel := context.WithCancel(o.t.Context())
	w := &watcher{sizes: map[string]uint64{}, stop: cancel}
	look := func(member string) *client.Client {
		c, err := client.New("http://"+o.APIs[member], client.Options{Attempts: 1, Timeout: 3 * time.Second})
		if err != nil {
			o.t.Fatal(err)
		}
		return c
	}
	quiet, anchoring := look(victim), map[string]*client.Client{vendor: look(vendor), steady: look(steady)}
	w.done.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if st, err := quiet.Status(ctx); err == nil {
				w.mu.Lock()
				if n := len(w.samples); n == 0 || w.samples[n-1].sealed != st.Ledger.SealedSize {
					w.samples = append(w.samples, sample{time.Now(), st.Ledger.SealedSize})
				}
				w.mu.Unlock()
			}
			if i%5 == 0 {
				for member, c := range anchoring {
					w.take(ctx, member, c)
				}
			}
			select { // between two looks
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	return w
}

// take looks at the anchors of a member: sizes rise, and there is no alarm.
func (w *watcher) take(ctx context.Context, member string, c *client.Client) {
	st, err := c.Status(ctx)
	if err != nil {
		return // one that was killed
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range st.Anchors {
		key := member + "/" + x.Name
		if x.Size < w.sizes[key] {
			w.wrong = append(w.wrong, fmt.Sprintf("%s went from size %d back to %d", key, w.sizes[key], x.Size))
		}
		w.sizes[key] = x.Size
		if x.Alarm != "" && !slices.Contains(w.wrong, key+": "+x.Alarm) {
			w.wrong = append(w.wrong, key+": "+x.Alarm)
		}
	}
}

// pace is how many checkpoints a second were sealed between two times, and the
// longest time without one.
func (w *watcher) pace(from, to time.Time) (perSecond float64, longest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last, n := from, 0
	for _, s := range w.samples {
		if s.at.Before(from) || s.at.After(to) {
			continue
		}
		n++
		longest, last = max(longest, s.at.Sub(last)), s.at
	}
	return float64(n) / to.Sub(from).Seconds(), max(longest, to.Sub(last))
}

// submitted is a record that was acknowledged.
type submitted struct {
	id evidence.ID
	at time.Time
}

// TestAnchorsOutage takes all three sorts of outside witnesses away, for a minute
// each (QIFENG_DRILL_OUTAGE), one after the other and overlapping, gives them back
// in another order, resets connections in the middle of answers, and kills a
// node that anchors with kill -9, while records are submitted and sealed.
func TestAnchorsOutage(t *testing.T) {
	asked(t)
	outage, every := duration(t, "QIFENG_DRILL_OUTAGE", time.Minute), 5*time.Second
	limit := every + attempt // one cadence, and one attempt
	o := newOutside(newNetwork(t, plain), every)
	o.give(vendor, o.fabric.Org1(), "gateway")
	o.give(steady, o.fabric.Org2(), "sdk")
	if a, b := testnet.Read(t, filepath.Join(o.Home(vendor), "anchor-roots.json")), testnet.Read(t, filepath.Join(o.Home(steady), "anchor-roots.json")); !bytes.Equal(a, b) {
		t.Errorf("two members make different anchor roots:\n%s\n%s", a, b)
	}
	both := []string{vendor, steady}
	for _, name := range anchorNames {
		o.covers(time.Minute, 1, name, both...)
	}
	watch := o.watch()
	ctx, cancel := context.WithCancel(t.Context())
	var records []submitted
	var load sync.WaitGroup
	load.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			id, err := o.submit(ctx, fmt.Sprintf("contract %d", i))
			if err == nil {
				records = append(records, submitted{id, time.Now()})
			} else if ctx.Err() == nil {
				t.Errorf("submitting: %v", err)
				return
			}
			select { // the load, not a wait for a result
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	wait := func(d time.Duration) { time.Sleep(d) } // how long something lasts, never for a result

	before := time.Now()
	wait(outage / 4)
	o.cut(justice, 6000) // resets in the middle of an answer, all up
	o.cut(stamps, 300)
	o.cut(lite, 100)
	wait(outage / 4)
	early := o.receipts(steady)

	began := time.Now()
	down := map[string]time.Time{justice: time.Now()}
	o.fabric.StopAll(t)
	wait(outage / 6)
	o.cut(stamps, 500)
	o.cut(lite, 20)
	wait(outage / 6)
	down[stamps] = time.Now()
	o.tsa.Down()
	wait(outage / 3)
	down[lite] = time.Now()
	o.lite.Stop()
	wait(outage / 6)
	killed := time.Now() // of four sealing members one is away for a moment then
	o.Nodes[steady].End(t, syscall.SIGKILL)
	o.start(steady, plain)
	o.ready(steady)
	wait(outage - time.Since(down[lite]))

	drained := map[string]time.Duration{}
	away := map[string]time.Duration{}
	back := func(name string, up func()) {
		t.Helper()
		up()
		away[name] = time.Since(down[name])
		drained[name] = o.covers(limit, o.sealed(victim), name, both...)
		wait(outage / 10)
	}
	back(lite, func() { o.lite.Run(t) })
	back(justice, func() { o.fabric.StartAll(t); o.fabric.Ready(t) })
	back(stamps, func() {
		if err := o.tsa.Up(); err != nil {
			t.Fatal(err)
		}
	})
	ended := time.Now()
	o.cut(justice, 3000)
	o.cut(stamps, 1)
	o.cut(lite, 1)
	wait(outage / 2)
	cancel()
	load.Wait()
	after := time.Now()

	// All of it is sealed, and anchored by everybody.
	for _, r := range records {
		if _, err := o.cl.WaitProof(t.Context(), r.id); err != nil {
			t.Fatalf("the proof of %s: %v", r.id, err)
		}
	}
	size := o.sealed(victim)
	for _, name := range anchorNames {
		o.covers(2*limit, size, name, both...) // a reset may have cost one attempt
	}
	watch.stop()
	watch.done.Wait()
	for _, w := range watch.wrong {
		t.Error(w)
	}
	o.noAlarms()

	paces := ""
	beforePace, beforeGap := watch.pace(before, began)
	duringPace, duringGap := watch.pace(began, ended)
	for _, p := range []struct {
		name     string
		from, to time.Time
	}{{"before", before, began}, {"during", began, ended}, {"of that until the kill", began, killed}, {"after", ended, after}} {
		rate, gap := watch.pace(p.from, p.to)
		paces += fmt.Sprintf("; %s %.2f a second, longest pause %v", p.name, rate, gap.Round(time.Millisecond))
	}
	t.Logf("checkpoints sealed%s", paces)
	if duringPace < beforePace/2 || duringGap > max(3*beforeGap, 10*time.Second) {
		t.Error("sealing did not go on at its pace")
	}
	for _, name := range anchorNames {
		t.Logf("%s: away for %v, backlog drained %v after its return (limit %v)", name,
			away[name].Round(time.Millisecond), drained[name].Round(time.Millisecond), limit)
		if away[name] < outage {
			t.Errorf("%s was away for %v only", name, away[name])
		}
	}
	o.nothingDoubled(early, both, size)
	o.verifyOffline(records, began, ended)
}

// nothingDoubled: sizes rise strictly in every node's store and at every witness,
// nothing that there was is gone, and the newest is the newest sealed.
func (o *outside) nothingDoubled(early map[string][]held, of []string, size uint64) {
	o.t.Helper()
	for _, m := range of {
		all := o.receipts(m)
		for _, name := range anchorNames {
			list := all[name]
			for i := 1; i < len(list); i++ {
				if list[i].size <= list[i-1].size {
					o.t.Errorf("%s/%s: size %d comes after %d", m, name, list[i].size, list[i-1].size)
				}
			}
			if n := len(list); n == 0 || list[n-1].size < size {
				o.t.Errorf("%s/%s: the newest of %d receipts does not cover size %d", m, name, n, size)
			}
			if m == steady && (len(list) < len(early[name]) || !slices.Equal(list[:len(early[name])], early[name])) {
				o.t.Errorf("%s/%s: the %d receipts of before the outage are not the first of %d", m, name, len(early[name]), len(list))
			}
			o.t.Logf("%s/%s: %d receipts", m, name, len(list))
		}
		log := testnet.Read(o.t, o.Nodes[m].Log)
		for _, word := range []string{"contradicts this ledger", "TAMPERED"} {
			if bytes.Contains(log, []byte(word)) {
				o.t.Errorf("the log of %s says %q", m, word)
			}
		}
	}
	puts, invalid := o.puts()
	for i := 1; i < len(puts); i++ {
		if puts[i] <= puts[i-1] {
			o.t.Errorf("on the channel size %d was put after %d", puts[i], puts[i-1])
		}
	}
	at, _ := o.lite.State(o.t, "qifeng/"+o.policy.Chain)
	if len(puts) == 0 || puts[len(puts)-1] < size || at < size {
		o.t.Errorf("the channel's %d puts or the witness, at size %d, do not cover size %d", len(puts), at, size)
	}
	o.t.Logf("on the channel: %d puts, sizes rising, and %d lost races; the witness is at size %d; the authority was asked %d times",
		len(puts), invalid, at, o.tsa.Requests())
}

// verifyOffline fetches all proofs, stops everything, and judges them by what a
// court holds: each carries all three anchors, whenever its record was submitted.
func (o *outside) verifyOffline(records []submitted, began, ended time.Time) {
	o.t.Helper()
	dir := o.t.TempDir()
	largest := 0
	for i, r := range records {
		f, left, err := o.cl.ProofLeft(o.t.Context(), r.id, 0)
		if err != nil {
			o.t.Fatalf("the proof of %s: %v", r.id, err)
		}
		if len(left) > 0 {
			o.t.Errorf("the proof of %s has no room for %v", r.id, left)
		}
		b, err := f.Marshal()
		if err != nil {
			o.t.Fatal(err)
		}
		largest = max(largest, len(b))
		o.write(filepath.Join(dir, fmt.Sprint(i)), b)
	}
	roots := o.roots(steady)
	for _, m := range members {
		o.stop(m)
	}
	o.eventually(10*time.Second, "no driver program outlives its node, killed or stopped", func() error {
		links, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, l := range links {
			if path, err := os.Readlink(l); err == nil && path == sdkdriver.Path(o.t) {
				return fmt.Errorf("%s is one", filepath.Dir(l))
			}
		}
		return nil
	})
	o.fabric.StopAll(o.t)
	o.tsa.Down()
	o.lite.Stop()

	counts := map[string]int{}
	var took []time.Duration
	for i, r := range records {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			o.t.Fatal(err)
		}
		start := time.Now()
		f, err := proof.Parse(b)
		if err != nil {
			o.t.Fatal(err)
		}
		rep := proof.Verify(f, o.policy, nil, proof.Options{Roots: roots})
		took = append(took, time.Since(start))
		proved := 0
		for _, a := range rep.Anchors {
			if a.Outcome == proof.StepProved {
				proved++
			}
		}
		if rep.Result != proof.Proved || rep.ID != r.id || proved != len(anchorNames) {
			o.t.Errorf("the proof of %s, submitted at %v: %d anchors proved\n%s", r.id, r.at, proved, rep.Text(proof.English))
		}
		phase := "during"
		if r.at.Before(began) {
			phase = "before"
		} else if r.at.After(ended) {
			phase = "after"
		}
		counts[phase]++
	}
	slices.Sort(took)
	for _, phase := range []string{"before", "during", "after"} {
		if counts[phase] == 0 {
			o.t.Errorf("no record was submitted %s the outage", phase)
		}
	}
	o.t.Logf("%d records (%d before, %d during, %d after the outage): each proof carries all three anchors and verifies offline; "+
		"the largest has %d bytes; a verification took %v in the median, %v at most", len(records), counts["before"], counts["during"], counts["after"],
		largest, took[len(took)/2].Round(time.Microsecond), took[len(took)-1].Round(time.Microsecond))
}
