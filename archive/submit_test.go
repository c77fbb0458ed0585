package archive

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
)

func TestRetryIsAnsweredWithTheStoredReceipt(t *testing.T) {
	w := newWorld(t)
	w.chain.hold = true
	w.open()
	w.submit(submission(evidence.ContractFinal)) // batch 1, in flight for the time being
	subs := submissions(5)
	req := w.request(subs...)
	first, err := stored(w.a.Submit(t.Context(), req))
	if err != nil {
		t.Fatal(err)
	}
	again := func(when string, r *evidence.Request) {
		t.Helper()
		got, err := stored(w.a.Submit(t.Context(), r))
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		for i, s := range got {
			if s.New || !sameReceipt(s, first[i]) {
				t.Fatalf("%s: submission %d has another receipt", when, i)
			}
		}
	}
	again("at once, the same statement", req)
	again("at once, a new statement", w.request(subs...))
	w.clock.add(time.Hour)
	again("an hour later, the same statement", req)
	again("an hour later, a new statement", w.request(subs...))
	w.reopen()
	again("after a restart", req)
	w.chain.set(func(c *fakeChain) { c.hold = false })
	w.settled()
	again("on the chain", req)
	w.clock.add(365 * 24 * time.Hour)
	w.reopen()
	again("a year later, the same statement", req)
	again("a year later, a new statement", w.request(subs...))
	again("in the other order", w.request(subs...))
	if n := len(w.chain.entries); n != 2 {
		t.Fatalf("%d batches where two were needed", n)
	}
	for _, s := range first {
		w.checkPromise(s)
	}
}

func TestStoredAndNewInOneRequest(t *testing.T) {
	w := newWorld(t)
	w.open()
	old := submissions(3)
	before := w.submit(old...)
	fresh := submissions(3)
	req := w.request(fresh[0], old[2], fresh[1], old[0], fresh[2])
	got, err := stored(w.a.Submit(t.Context(), req))
	if err != nil {
		t.Fatal(err)
	}
	for i, isNew := range []bool{true, false, true, false, true} {
		if got[i].New != isNew {
			t.Errorf("submission %d: New is %v", i, got[i].New)
		}
		w.checkReceipt(got[i])
	}
	if !sameReceipt(got[1], before[2]) || !sameReceipt(got[3], before[0]) {
		t.Error("what was stored is answered with another receipt")
	}
	w.settled()
	for _, s := range got {
		w.checkPromise(s)
	}
}

func TestRefusalsStoreNothing(t *testing.T) {
	w := newWorld(t)
	w.open()
	known := submission(evidence.ContractFinal)
	w.submit(known)
	w.settled()
	stranger, err := gm.GenerateKey(gm.SM2)
	if err != nil {
		t.Fatal(err)
	}
	otherKey := submission(evidence.ContractFinal)
	otherKey.Key = "other"
	signed := func(k gm.Signer, chain string, at time.Time, subs ...*evidence.Submission) *evidence.Request {
		r, err := evidence.NewRequest(chain, subs, at, k)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	now := time.Now()
	cases := []struct {
		name   string
		req    *evidence.Request
		keyErr error
		want   error
	}{
		{"signed with another key", signed(stranger, testChain, now, submission(evidence.ContractFinal)), nil, ErrSignature},
		{"signed for another chain", signed(w.user, "test-00000000", now, submission(evidence.ContractFinal)), nil, ErrSignature},
		{"unknown key", signed(w.user, testChain, now, otherKey), nil, ErrUnknownKey},
		{"revoked key", w.request(submission(evidence.ContractFinal)), ErrKeyRevoked, ErrKeyRevoked},
		{"revoked key is an unknown one to the API", w.request(submission(evidence.ContractFinal)), ErrKeyRevoked, ErrUnknownKey},
		{"key for reading", w.request(submission(evidence.ContractFinal)), ErrKeyPurpose, ErrKeyPurpose},
		{"too old", signed(w.user, testChain, now.Add(-11*time.Minute), submissions(3)...), nil, ErrReplayWindow},
		{"in the future", signed(w.user, testChain, now.Add(11*time.Minute), submissions(3)...), nil, ErrReplayWindow},
		{"too old with one that is stored", signed(w.user, testChain, now.Add(-time.Hour), known, submission(evidence.SigningIntent)), nil, ErrReplayWindow},
		{"stored, but the signature is wrong", signed(stranger, testChain, now, known), nil, ErrSignature},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w.keys.fail(c.keyErr)
			defer w.keys.fail(nil)
			if _, err := w.a.Submit(t.Context(), c.req); !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			for i := range c.req.Submissions {
				got, err := w.a.ByID(c.req.Submissions[i].ID())
				if err != nil {
					t.Fatal(err)
				}
				if stored := c.req.Submissions[i].Nonce == known.Nonce; len(got) > 0 != stored {
					t.Errorf("submission %d: %d are stored", i, len(got))
				}
			}
		})
	}
	if n := len(w.chain.entries); n != 1 {
		t.Errorf("%d batches", n)
	}
	var replay *ReplayError
	if _, err := w.a.Submit(t.Context(), cases[6].req); !errors.As(err, &replay) || replay.Window != 10*time.Minute {
		t.Errorf("no particulars in %v", err)
	}
}

func TestConcurrentDuplicatesAreStoredOnce(t *testing.T) {
	w := newWorld(t)
	w.open()
	subs := submissions(20)
	answers := make([][]Stored, 32)
	var wg sync.WaitGroup
	for i := range answers {
		// Every request has its own statement, half of them only some, all in
		// another order.
		mine := append(append([]*evidence.Submission{}, subs[i%20:]...), subs[:i%20]...)
		if i%2 == 1 {
			mine = mine[:7]
		}
		req := w.request(mine...)
		wg.Add(1)
		go func() {
			defer wg.Done()
			var err error
			if answers[i], err = stored(w.a.Submit(context.Background(), req)); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	w.settled()
	receipts, stored := make(map[evidence.ID]Stored), 0
	for _, a := range answers {
		for _, s := range a {
			if s.New {
				stored++
			}
			if first, ok := receipts[s.ID]; ok && !sameReceipt(first, s) {
				t.Fatalf("two receipts for %s", s.ID)
			}
			receipts[s.ID] = s
		}
	}
	if stored != len(subs) || len(receipts) != len(subs) {
		t.Fatalf("%d of %d submissions stored, %d times", len(receipts), len(subs), stored)
	}
	total := uint64(0)
	for _, e := range w.chain.entries {
		b, err := evidence.ParseBatch(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range b.Streams {
			total += s.Count
		}
	}
	if total != uint64(len(subs)) {
		t.Fatalf("the headers count %d records", total)
	}
	for _, s := range receipts {
		w.checkPromise(s)
	}
}

// blocked makes the next sync of the writer wait until release is called.
func blocked(w *world, d *faultDisk) (release func()) {
	d.mu.Lock()
	d.gate, d.started = make(chan struct{}), make(chan struct{}, 64)
	gate := d.gate
	d.mu.Unlock()
	return func() {
		d.mu.Lock()
		d.gate = nil
		d.mu.Unlock()
		close(gate)
	}
}

// blockedBehindOne is an archive with one batch in flight, whose disk blocks until
// release is called.
func blockedBehindOne(t *testing.T) (w *world, d *faultDisk, release func()) {
	t.Helper()
	d = &faultDisk{}
	w = newWorld(t, func(c *Config) { c.disk = d })
	w.chain.hold = true
	w.open()
	w.submit(submission(evidence.ContractFinal))
	until(t, "batch 1 is closed", func() bool { return w.a.Status().Queued.Batches == 1 })
	return w, d, blocked(w, d)
}

func TestAGroupSharesOneReceipt(t *testing.T) {
	w, d, release := blockedBehindOne(t)
	type answer struct {
		got []Stored
		err error
	}
	answers := make(chan answer, 8)
	send := func(n int) {
		req := w.request(submissions(n)...)
		go func() {
			got, err := stored(w.a.Submit(context.Background(), req))
			answers <- answer{got, err}
		}()
	}
	send(1)
	<-d.started // the first group is in its fsync
	send(1)
	w.ahead(2)
	for n := range 5 {
		send(n + 1)
	}
	until(t, "five requests wait", func() bool { return len(w.a.work) == 5 })
	release()
	heads := make(map[string]int)
	for range 7 {
		a := <-answers
		if a.err != nil {
			t.Fatal(a.err)
		}
		for _, s := range a.got {
			w.checkReceipt(s)
			heads[string(s.ReceiptHead)]++
		}
	}
	if len(heads) != 3 {
		t.Fatalf("%d receipts for three groups", len(heads))
	}
	for head, n := range heads {
		if h, err := evidence.ParseReceiptHead([]byte(head)); err != nil || h.Count != uint64(n) {
			t.Errorf("a receipt over %d records has %d: %v", h.Count, n, err)
		}
	}
}

// TestAgainWhileSynced: a submission that comes again while its group is synced is
// stored once, and both callers get the same receipt.
func TestAgainWhileSynced(t *testing.T) {
	d := &faultDisk{}
	w := newWorld(t, func(c *Config) { c.disk = d })
	w.open()
	release := blocked(w, d)
	sub, answers := submission(evidence.ContractFinal), make(chan []Stored, 2)
	send := func(subs ...*evidence.Submission) {
		req := w.request(subs...)
		go func() {
			got, err := stored(w.a.Submit(context.Background(), req))
			if err != nil {
				t.Error(err)
			}
			answers <- got
		}()
	}
	send(sub)
	<-d.started
	w.clock.add(time.Millisecond) // another statement
	send(submission(evidence.ContractFinal), sub)
	w.ahead(3)
	release()
	one, two := <-answers, <-answers
	if len(one) == 2 {
		one, two = two, one
	}
	if len(one) != 1 || len(two) != 2 || !one[0].New || !two[0].New || two[1].New || !sameReceipt(one[0], two[1]) {
		t.Fatalf("%+v and %+v", one, two)
	}
	if got, err := w.a.ByID(one[0].ID); err != nil || len(got) != 1 {
		t.Fatalf("stored %d times: %v", len(got), err)
	}
}

func TestRegistryChangeClosesTheBatch(t *testing.T) {
	d := &faultDisk{}
	w := newWorld(t, func(c *Config) { c.disk = d })
	w.chain.hold = true
	w.open()
	first := w.submit(submission(evidence.ContractFinal))
	until(t, "batch 1 is in flight", func() bool { return w.a.Status().Queued.Batches == 1 })
	second := w.submit(submission(evidence.ContractFinal))
	w.chain.register()
	until(t, "batch 2 is closed", func() bool { return w.a.Status().Queued.Batches == 2 })
	third := w.submit(submission(evidence.ContractFinal))
	if st := w.a.Status(); st.Open.Seq != 3 || st.Open.RegistrySize != 4 {
		t.Fatalf("the open batch is %+v", st.Open)
	}

	// A request that was authenticated under the old registry meets a new one.
	release := blocked(w, d)
	var errs [3]chan error
	var reqs [3]*evidence.Request
	send := func(i int) {
		reqs[i], errs[i] = w.request(submission(evidence.ContractFinal)), make(chan error, 1)
		go func() { _, err := w.a.Submit(context.Background(), reqs[i]); errs[i] <- err }()
	}
	send(0)
	<-d.started
	send(1)
	w.ahead(2) // under the registry of now
	send(2)
	until(t, "the third request waits", func() bool { return len(w.a.work) == 1 })
	w.chain.register()
	w.keys.fail(ErrKeyRevoked)
	release()
	if a, b, c := <-errs[0], <-errs[1], <-errs[2]; a != nil || b != nil || !errors.Is(c, ErrKeyRevoked) {
		t.Fatalf("of three requests exactly the third meets the revocation: %v, %v, %v", a, b, c)
	}
	if got, err := w.a.ByID(reqs[2].Submissions[0].ID()); err != nil || len(got) != 0 {
		t.Fatalf("stored under a revoked key: %v, %v", got, err)
	}
	w.keys.fail(nil)

	w.chain.set(func(c *fakeChain) { c.hold = false })
	w.settled()
	for i, s := range []Stored{first[0], second[0], third[0]} {
		w.checkPromise(s)
		b, err := evidence.ParseBatch(w.chain.entries[i])
		if err != nil {
			t.Fatal(err)
		}
		if want := []uint64{3, 3, 4}[i]; b.RegistrySize != want || s.Seq != b.Seq {
			t.Errorf("batch %d states registry size %d, want %d", b.Seq, b.RegistrySize, want)
		}
	}
}

func TestClockNeverGoesBack(t *testing.T) {
	w := newWorld(t)
	w.open()
	first := w.checkReceipt(w.submit(submission(evidence.ContractFinal))[0])
	w.clock.add(-3 * time.Second)
	second := w.checkReceipt(w.submit(submission(evidence.ContractFinal))[0])
	if second.ReceivedAt.Before(first.ReceivedAt) {
		t.Error("received_at went back")
	}
	w.clock.add(-time.Minute)
	if _, err := w.a.Submit(t.Context(), w.request(submission(evidence.ContractFinal))); !errors.Is(err, ErrClock) {
		t.Fatalf("a clock a minute back: %v", err)
	}
	w.settled()
	w.reopen() // the bound is known after a restart too
	if _, err := w.a.Submit(t.Context(), w.request(submission(evidence.ContractFinal))); !errors.Is(err, ErrClock) {
		t.Fatalf("a clock a minute back after a restart: %v", err)
	}
	if alarms := w.a.Status().Alarms; len(alarms) != 1 || alarms[0].Kind != AlarmClock {
		t.Errorf("alarms: %v", alarms)
	}
	w.clock.add(2 * time.Minute)
	w.submit(submission(evidence.ContractFinal))
	if alarms := w.a.Status().Alarms; len(alarms) != 0 {
		t.Errorf("alarms: %v", alarms)
	}
}

func TestContextEnds(t *testing.T) {
	d := &faultDisk{}
	w := newWorld(t, func(c *Config) { c.disk = d })
	w.open()
	release := blocked(w, d)
	ctx, cancel := context.WithCancel(t.Context())
	req := w.request(submissions(2)...)
	done := make(chan error)
	go func() { _, err := w.a.Submit(ctx, req); done <- err }()
	<-d.started
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	release()
	// It was stored all the same, and a retry finds it.
	until(t, "the retry is answered with what is stored", func() bool {
		got, err := stored(w.a.Submit(t.Context(), req))
		if err != nil {
			t.Fatal(err)
		}
		return !got[0].New && !got[1].New
	})
}
