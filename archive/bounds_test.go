package archive

import (
	"context"
	"errors"
	"testing"
	"time"

	"qifeng/evidence"
)

func TestBacklogIsBounded(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Limits.BacklogRecords, c.Limits.BatchRecords, c.Limits.KeyShare, c.Limits.MemberShare = 20, 6, 100, 100
	})
	w.chain.hold = true
	w.open()
	var held []Stored
	for range 20 {
		held = append(held, w.submit(submission(evidence.ContractFinal))...)
	}
	_, err := w.a.Submit(t.Context(), w.request(submission(evidence.ContractFinal)))
	var busy *BusyError
	if !errors.Is(err, ErrBusy) || !errors.As(err, &busy) || busy.RetryAfter != 10*time.Second {
		t.Fatalf("beyond the backlog: %v", err)
	}
	if got, err := w.a.ByID(held[0].ID); err != nil || len(got) != 1 {
		t.Fatalf("reading does not go on: %v", err)
	}
	st := w.a.Status()
	if n := st.Open.Records + st.Queued.Records; n != 20 || st.Queued.Batches < 3 || !st.Accepting {
		t.Fatalf("%+v", st)
	}
	w.reopen()
	if _, err := w.a.Submit(t.Context(), w.request(submission(evidence.ContractFinal))); !errors.Is(err, ErrBusy) {
		t.Fatalf("beyond the backlog after a restart: %v", err)
	}
	w.chain.set(func(c *fakeChain) { c.hold = false })
	w.settled()
	if r, b := w.a.backlogRecords.Load(), w.a.backlogBytes.Load(); r != 0 || b != w.a.open.size {
		t.Fatalf("the backlog counts %d records and %d bytes with nothing but an empty batch of %d", r, b, w.a.open.size)
	}
	w.submit(submission(evidence.ContractFinal))
	for _, s := range held {
		w.checkPromise(s)
	}
	for _, e := range w.chain.entries {
		if b, err := evidence.ParseBatch(e); err != nil || b.Streams[evidence.Contract].Count > 6 {
			t.Errorf("a batch of %d records: %v", b.Streams[evidence.Contract].Count, err)
		}
	}
}

func TestFullBatchByBytes(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.BatchBytes = 12 << 10 })
	w.chain.hold = true
	w.open()
	for range 20 {
		w.submit(submission(evidence.ContractFinal))
	}
	if n := w.a.Status().Queued.Batches; n < 3 {
		t.Fatalf("%d batches are closed", n)
	}
	// One request that is larger than a batch is a batch of its own.
	w.submit(submissions(100)...)
	w.submit(submission(evidence.ContractFinal))
	w.chain.set(func(c *fakeChain) { c.hold = false })
	w.settled()
}

func TestPendingIsBounded(t *testing.T) {
	d := &faultDisk{}
	w := newWorld(t, func(c *Config) {
		c.disk = d
		c.Limits.PendingRequests, c.Limits.PendingRecords = 3, 10
	})
	w.open()
	release := blocked(w, d)
	errs := make(chan error, 16)
	send := func(n int) {
		req := w.request(submissions(n)...)
		go func() { _, err := w.a.Submit(context.Background(), req); errs <- err }()
	}
	send(1)
	<-d.started
	send(1)
	w.ahead(2)
	for range 3 {
		send(1)
	}
	until(t, "three wait", func() bool { return len(w.a.work) == 3 })
	if _, err := w.a.Submit(t.Context(), w.request(submission(evidence.ContractFinal))); !errors.Is(err, ErrBusy) {
		t.Fatalf("a fourth request: %v", err)
	}
	if _, err := w.a.Submit(t.Context(), w.request(submissions(8)...)); !errors.Is(err, ErrBusy) {
		t.Fatalf("more records: %v", err)
	}
	release()
	for range 5 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	// Alone, a request above the bound passes.
	w.submit(submissions(30)...)
	until(t, "nothing is pending", func() bool { return w.a.Status().Pending == 0 })
}

func TestFullDiskIsRefusedAndPasses(t *testing.T) {
	d := &faultDisk{}
	w := newWorld(t, func(c *Config) { c.disk, c.Limits.FreeBytes = d, 100<<20 })
	d.setFree(101 << 20)
	w.open()
	kept := w.submit(submissions(2)...)
	w.settled()
	d.setFree(99 << 20)
	for range 3 {
		if _, err := w.a.Submit(t.Context(), w.request(submission(evidence.ContractFinal))); !errors.Is(err, ErrFull) {
			t.Fatalf("with too little room: %v", err)
		}
	}
	if st := w.a.Status(); !st.Accepting || len(st.Alarms) != 1 || st.Alarms[0].Kind != AlarmFull {
		t.Fatalf("%+v", st)
	}
	d.setFree(101 << 20)
	kept = append(kept, w.submit(submissions(2)...)...)
	if st := w.a.Status(); len(st.Alarms) != 0 {
		t.Fatalf("%+v", st.Alarms)
	}
	w.settled()
	for _, s := range kept {
		w.checkPromise(s)
	}
}

func TestCloseFinishesWhatWasHandedOver(t *testing.T) {
	d := &faultDisk{}
	w := newWorld(t, func(c *Config) { c.disk = d })
	w.open()
	release := blocked(w, d)
	type answer struct {
		got []Stored
		err error
	}
	answers := make(chan answer, 5)
	send := func() {
		req := w.request(submission(evidence.ContractFinal))
		go func() {
			got, err := stored(w.a.Submit(context.Background(), req))
			answers <- answer{got, err}
		}()
	}
	send()
	<-d.started
	for range 4 {
		send()
	}
	until(t, "four wait", func() bool { return w.a.pendingRecords.Load() == 5 })
	closed := make(chan error)
	go func() { closed <- w.a.Close() }()
	until(t, "nothing more is taken", func() bool {
		w.a.gate.RLock()
		defer w.a.gate.RUnlock()
		return w.a.closed
	})
	if _, err := w.a.Submit(t.Context(), w.request(submission(evidence.ContractFinal))); !errors.Is(err, ErrStopped) {
		t.Fatalf("after Close: %v", err)
	}
	release()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	var held []Stored
	for range 5 {
		a := <-answers
		if a.err != nil {
			t.Fatal(a.err)
		}
		held = append(held, a.got...)
	}
	w.open()
	w.settled()
	for _, s := range held {
		w.checkPromise(s)
	}
}

func TestSecondProcessIsKeptOut(t *testing.T) {
	w := newWorld(t)
	w.open()
	if _, err := Open(w.cfg); err == nil {
		t.Fatal("two archives in one folder")
	}
	w.submit(submission(evidence.ContractFinal))
}

func TestConfigIsChecked(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Config)
	}{
		{"no folder", func(c *Config) { c.Dir = "" }},
		{"no chain", func(c *Config) { c.Chain = nil }},
		{"node is no member id", func(c *Config) { c.Node = "Vendor A" }},
		{"chain is no chain id", func(c *Config) { c.ChainID = "x" }},
		{"batches beyond the format", func(c *Config) { c.Limits.BatchRecords = evidence.MaxBatchRecords + 1 }},
		{"deadline beyond the format", func(c *Config) { c.Limits.ReceiptDeadline = evidence.MaxDeadline + 1 }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.change)
			if a, err := Open(w.cfg); err == nil {
				a.Close()
				t.Fatal("was opened")
			}
		})
	}
}

func TestErrorsNameTheMend(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	cases := []struct {
		err   error
		words []string
	}{
		{&BusyError{RetryAfter: time.Second, Reason: "too many"}, []string{"too many", "after 1s"}},
		{&ReplayError{now.Add(-time.Hour), now, time.Minute}, []string{"2026-11-21T07:00:00Z", "2026-11-21T08:00:00Z", "1m0s", "sign a new statement"}},
		{&TamperedError{What: "two headers", Mend: "stop the copy"}, []string{"two headers", "stop the copy"}},
		{corruptFile("f", "at byte %d", 7), []string{"f: at byte 7", "move it out of the archive"}},
	}
	for _, c := range cases {
		for _, word := range c.words {
			if !contains(c.err, word) {
				t.Errorf("%v does not say %q", c.err, word)
			}
		}
	}
}

// TestPace: after a large batch the next one is given time, after a small one it
// is not; and a batch that waits for its time is closed without anybody's help.
func TestPace(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits = Limits{BatchPace: time.Hour, PacedRecords: 3} })
	w.open()
	for range 2 { // an hour is not waited for
		w.submit(submissions(2)...)
		w.settled()
	}
	w.submit(submissions(3)...)
	w.settled()
	large := w.a.Status().Committed
	w.submit(submissions(1)...)
	if s := w.a.Status(); s.Open.Records != 1 || s.Committed != large {
		t.Fatalf("a batch follows a large one at once: %+v", s)
	}
	w.close()

	w = newWorld(t, func(c *Config) { c.Limits = Limits{BatchPace: 50 * time.Millisecond, PacedRecords: 1} })
	w.open()
	for range 3 {
		w.submit(submissions(1)...)
		w.settled()
	}
}
