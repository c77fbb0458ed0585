package archive

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qifeng/evidence"
)

// alarmed says whether an alarm of a kind is raised, with words in it.
func (w *world) alarmed(kind AlarmKind, words ...string) bool {
	for _, a := range w.a.Status().Alarms {
		if a.Kind == kind {
			for _, word := range words {
				if !strings.Contains(a.Text, word) {
					w.t.Errorf("the alarm %q does not say %q", a.Text, word)
				}
			}
			return true
		}
	}
	return false
}

func TestOutboxOutlastsTheChainsFaults(t *testing.T) {
	cases := []struct {
		name  string
		fault func(*fakeChain)
		heal  func(*fakeChain)
	}{
		{"acknowledgements are lost", func(c *fakeChain) { c.loseAcks = 5 }, nil},
		{"the mempool refuses", func(c *fakeChain) { c.refuse = 5 }, nil},
		{"the mempool forgets", func(c *fakeChain) { c.forget = 5 }, nil},
		{"blocks come late", func(c *fakeChain) { c.hold = true }, func(c *fakeChain) {
			for _, tx := range c.held {
				c.take(tx)
			}
			c.held, c.hold = nil, false
		}},
		{"late, and each header twice", func(c *fakeChain) { c.hold, c.loseAcks = true, 3 }, func(c *fakeChain) {
			for _, tx := range append(c.held, c.held...) {
				c.take(tx)
			}
			c.held, c.hold = nil, false
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.chain.double = func(tx []byte) { // never two in flight
				b, err := evidence.ParseBatch(tx)
				if last, _ := w.chain.last(testNode); err != nil || b.Seq > last+1 {
					t.Errorf("batch %d is sent while %d is not on the chain (%v)", b.Seq, last+1, err)
				}
			}
			w.chain.set(c.fault)
			w.open()
			var held []Stored
			for range 8 {
				held = append(held, w.submit(submissions(3)...)...)
			}
			if c.heal != nil {
				until(t, "a header was sent more than once", func() bool {
					w.chain.mu.Lock()
					defer w.chain.mu.Unlock()
					return len(w.chain.held) > 2
				})
				w.chain.set(c.heal)
			}
			w.settled()
			for _, s := range held {
				w.checkPromise(s)
			}
			// Of one seq only one header was ever sent.
			bySeq := make(map[uint64]string)
			for _, tx := range w.chain.seen {
				b, err := evidence.ParseBatch(tx)
				if err != nil {
					t.Fatal(err)
				}
				if first, ok := bySeq[b.Seq]; ok && first != string(tx) {
					t.Fatalf("two headers of batch %d were sent", b.Seq)
				}
				bySeq[b.Seq] = string(tx)
			}
			if st := w.a.Status(); st.Committed != uint64(len(w.chain.entries)) || st.InFlight.Seq != 0 || len(st.Alarms) != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

func TestOutboxSurvivesARestart(t *testing.T) {
	w := newWorld(t)
	w.chain.hold = true
	w.open()
	held := w.submit(submissions(3)...)
	until(t, "the header was sent", func() bool { return w.a.Status().InFlight.Sent > 0 })
	w.reopen()
	until(t, "the header was sent again", func() bool { return w.a.Status().InFlight.Sent > 0 })
	held = append(held, w.submit(submissions(3)...)...)
	w.reopen()
	w.chain.set(func(c *fakeChain) {
		for _, tx := range c.seen {
			if string(tx) != string(c.seen[0]) {
				t.Error("other bytes are sent after a restart")
			}
		}
		c.hold = false
	})
	w.settled()
	for _, s := range held {
		w.checkPromise(s)
	}
}

func TestLostJournalLeavesAGap(t *testing.T) {
	removeJournals := func(t *testing.T, dir string) {
		if err := os.RemoveAll(filepath.Join(dir, journalDir)); err != nil {
			t.Fatal(err)
		}
	}
	cases := []struct {
		name string
		open bool // records are in the open batch when it is lost
		lose func(t *testing.T, dir string)
		want uint64
		says string
	}{
		{"empty journal", false, removeJournals, 4, "batches 3 to 3"},
		{"journal with records, which the index knows", true, removeJournals, 6, "batches 4 to 5"},
		{"journal and index", true, func(t *testing.T, dir string) {
			removeJournals(t, dir)
			if err := os.RemoveAll(filepath.Join(dir, indexDir)); err != nil {
				t.Fatal(err)
			}
		}, 5, "batches 4 to 4"},
		{"everything", false, func(t *testing.T, dir string) {
			if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
				t.Fatal(err)
			}
		}, 4, "batches 1 to 3"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.open()
			var kept []Stored
			for range 2 {
				kept = append(kept, w.submit(submissions(3)...)...)
				w.settled()
			}
			var lost []*evidence.Submission
			if c.open {
				w.chain.set(func(ch *fakeChain) { ch.hold = true })
				kept = append(kept, w.submit(submissions(1)...)...)
				until(t, "batch 3 is closed", func() bool { return w.a.Status().Queued.Batches == 1 })
				lost = submissions(3)
				w.submit(lost...)
			}
			w.close()
			c.lose(t, w.dir)
			w.open()
			if st := w.a.Status(); st.Open.Seq != c.want || !w.alarmed(AlarmGap, c.says, "goes on with batch") || !st.Accepting {
				t.Fatalf("%+v", st)
			}
			w.chain.set(func(ch *fakeChain) { ch.hold = false })
			if c.name != "everything" {
				w.settled()
				for _, s := range kept {
					w.checkPromise(s)
				}
			}
			// What was lost can be submitted again.
			again := w.submit(append(lost, submission(evidence.ContractFinal))...)
			w.settled()
			for _, s := range again {
				if !s.New || s.Seq < c.want {
					t.Errorf("%+v", s)
				}
				w.checkPromise(s)
			}
			w.reopen()
			if st := w.a.Status(); len(st.Alarms) != 0 {
				t.Errorf("the alarm comes again: %+v", st.Alarms)
			}
		})
	}
}

func TestLostFileBeforeTheOpenJournalRaisesTheAlarm(t *testing.T) {
	w := newWorld(t)
	w.chain.hold = true
	w.open()
	w.submit(submission(evidence.ContractFinal))
	until(t, "batch 1 is in flight", func() bool { return w.a.Status().InFlight.Sent > 0 })
	w.close()
	if err := os.RemoveAll(filepath.Join(w.dir, outboxDir)); err != nil {
		t.Fatal(err)
	}
	w.open()
	if st := w.a.Status(); st.Open.Seq != 2 || !w.alarmed(AlarmGap, "batches 1 to 1") {
		t.Fatalf("%+v", st)
	}
	w.chain.set(func(c *fakeChain) { c.hold = false })
	w.submit(submission(evidence.ContractFinal))
	w.settled()
}

// A folder that was put back from a backup, or a second copy of the node.
func TestChainPassedTheOpenBatch(t *testing.T) {
	for _, withRecords := range []bool{true, false} {
		w := newWorld(t)
		w.chain.hold = true
		w.open()
		w.submit(submission(evidence.ContractFinal))
		until(t, "batch 1 is closed", func() bool { return w.a.Status().Queued.Batches == 1 })
		w.chain.set(func(c *fakeChain) { c.hold = false })
		w.settled()
		w.close()
		backup := filepath.Join(t.TempDir(), "backup")
		if err := os.CopyFS(backup, os.DirFS(w.dir)); err != nil {
			t.Fatal(err)
		}
		w.open()
		w.submit(submission(evidence.ContractFinal))
		w.settled()
		w.submit(submission(evidence.ContractFinal))
		w.settled()
		w.close()
		entries := w.chain.entries
		w.cfg.Dir, w.dir = backup, backup
		if !withRecords { // the chain is known from the start: the empty batch is passed over
			w.open()
			if st := w.a.Status(); st.Open.Seq != 5 || !w.alarmed(AlarmGap, "batches 2 to 4") {
				t.Fatalf("%+v", st)
			}
			w.submit(submission(evidence.ContractFinal))
			w.settled()
			continue
		}
		// The chain catches up only after records came in.
		w.chain.set(func(c *fakeChain) { c.entries, c.hold = entries[:1], true })
		w.open()
		held := w.submit(submission(evidence.ContractFinal))
		until(t, "batch 2 is closed again", func() bool { return w.a.Status().Queued.Batches == 1 })
		w.submit(submission(evidence.ContractFinal))
		w.chain.set(func(c *fakeChain) { c.entries = entries; c.change() })
		until(t, "the alarm", func() bool { return w.alarmed(AlarmTampered) })
		_, err := w.a.Submit(t.Context(), w.request(submission(evidence.ContractFinal)))
		if !errors.Is(err, ErrStopped) || !errors.Is(err, ErrTampered) {
			t.Fatalf("after the alarm: %v", err)
		}
		var tampered *TamperedError
		if !errors.As(err, &tampered) {
			t.Fatal(err)
		}
		if got, err := stored(w.a.Submit(t.Context(), w.request(reparse(t, held[0])))); err != nil || got[0].New {
			t.Errorf("what is stored is not answered any more: %v", err)
		}
		w.close()
		w.open()
		until(t, "the alarm after a restart", func() bool { return w.alarmed(AlarmTampered) })
	}
}

// reparse makes the submission of a record again.
func reparse(t *testing.T, s Stored) *evidence.Submission {
	rec, err := evidence.ParseRecord(s.Record)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Submission
}

func TestAnotherHeaderOnTheChain(t *testing.T) {
	w := newWorld(t)
	w.chain.hold = true
	w.open()
	w.submit(submission(evidence.ContractFinal))
	until(t, "the header was sent", func() bool { return w.a.Status().InFlight.Sent > 0 })
	ours, err := evidence.ParseBatch(w.chain.seen[0])
	if err != nil {
		t.Fatal(err)
	}
	ours.RegistrySize++
	theirs, err := ours.Sign(testChain, w.intake)
	if err != nil {
		t.Fatal(err)
	}
	w.chain.set(func(c *fakeChain) { c.append(theirs) })
	until(t, "the alarm", func() bool { return w.alarmed(AlarmTampered, "another header of batch 1") })
	_, err = w.a.Submit(t.Context(), w.request(submission(evidence.ContractFinal)))
	var tampered *TamperedError
	if !errors.As(err, &tampered) || string(tampered.Theirs) != string(theirs) || string(tampered.Ours) != string(w.chain.seen[0]) {
		t.Fatalf("the error does not hold both headers: %v", err)
	}
}

func TestDamagedIndexIsMadeAgain(t *testing.T) {
	w := newWorld(t)
	w.open()
	var held []Stored
	for range 6 {
		held = append(held, w.submit(submissions(5)...)...)
	}
	w.settled()
	for _, damage := range []string{"gone", "CURRENT", ".log", "MANIFEST"} {
		w.close()
		dir := filepath.Join(w.dir, indexDir)
		if damage == "gone" {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		} else {
			damageFiles(t, dir, damage)
		}
		w.open()
		for _, s := range held {
			w.checkPromise(s)
		}
		held = append(held, w.submit(submissions(2)...)...)
		w.settled()
	}
}

func damageFiles(t *testing.T, dir, name string) {
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.Contains(e.Name(), name) {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i := len(b) / 3; i < len(b); i++ {
			b[i] ^= 0x55
		}
		return os.WriteFile(path, b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDamagedBodyIsNotAnswered(t *testing.T) {
	w := newWorld(t)
	w.open()
	held := w.submit(submissions(4)...)
	w.settled()
	var path string
	err := filepath.WalkDir(w.dir, func(p string, e fs.DirEntry, err error) error {
		if strings.HasSuffix(p, ".batch") {
			path = p
		}
		return err
	})
	if err != nil || path == "" {
		t.Fatal(path, err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	spot := slices.Index(good, '{')
	for _, at := range []int{100, spot, spot + 700, len(good) / 2, len(good) - 200, len(good) - 20, len(good) - 8} {
		bad := slices.Clone(good)
		bad[at] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, s := range held {
			got, err := w.a.ByID(s.ID)
			if err == nil {
				// A byte that this answer does not need: then the answer is true.
				w.checkPromise(got[0])
				if !sameReceipt(got[0], s) {
					t.Fatalf("byte %d changed: another answer", at)
				}
			} else if !errors.Is(err, ErrTampered) {
				t.Fatalf("byte %d changed: %v", at, err)
			}
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := w.a.ByID(held[0].ID); !errors.Is(err, ErrTampered) {
		t.Fatalf("the file is gone: %v", err)
	}
}

func TestUnknownFilesRefuseTheStart(t *testing.T) {
	w := newWorld(t)
	w.open()
	w.submit(submission(evidence.ContractFinal))
	w.settled()
	w.close()
	for _, name := range []string{"journal/notes.txt", "outbox/0000000000000009-00.batch", "journal/0000000000000009.journal"} {
		path := filepath.Join(w.dir, name)
		if err := os.WriteFile(path, []byte("QFBATCH\x02 what is this"), 0o600); err != nil {
			t.Fatal(err)
		}
		if a, err := Open(w.cfg); !errors.Is(err, ErrTampered) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				a.Close()
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	other := w.cfg
	other.ChainID = "other-0123abcd"
	if _, err := Open(other); !errors.Is(err, ErrTampered) {
		t.Errorf("a folder of another chain: %v", err)
	}
	w.open()
	w.settled()
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	w.open()
	content := *submission(evidence.ContractFinal).Digest
	dossier := strings.Repeat("5a", 16)
	mark := func(s *evidence.Submission) *evidence.Submission {
		s.Dossier = evidence.Dossier(dossier)
		if s.Digest != nil {
			s.Digest = &content
		} else {
			s.Claims = &content
		}
		return s
	}
	var order []evidence.ID
	add := func(n int) {
		for i := range n {
			got := w.submit(mark(submission(kindsInTurn[i%3])), submission(evidence.ContractFinal))
			order = append(order, got[0].ID)
		}
	}
	add(7)
	finders := map[string]func(cursor string, limit int) ([]Stored, string, error){
		"sm3":     func(c string, n int) ([]Stored, string, error) { return w.a.ByDigest("sm3", content.SM3, c, n) },
		"sha256":  func(c string, n int) ([]Stored, string, error) { return w.a.ByDigest("sha256", content.SHA256, c, n) },
		"dossier": func(c string, n int) ([]Stored, string, error) { return w.a.ByDossier(dossier, c, n) },
	}
	for name, find := range finders {
		for _, limit := range []int{1, 2, 3, 50} {
			var got []evidence.ID
			cursor := ""
			for {
				page, next, err := find(cursor, limit)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) > limit {
					t.Fatalf("%s: a page of %d with limit %d", name, len(page), limit)
				}
				for _, s := range page {
					got = append(got, s.ID)
					w.checkReceipt(s)
				}
				if limit == 2 && len(got) < 8 {
					add(1) // while paging: nothing is lost or doubled, the new ones come last
				}
				if cursor = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, order) {
				t.Errorf("%s by %d: %d records where %d are stored, or in another order", name, limit, len(got), len(order))
			}
		}
	}
	for _, cursor := range []string{"x", "00", strings.Repeat("0", 31), strings.Repeat("A", 32), strings.Repeat("00", 17)} {
		if _, _, err := w.a.ByDossier(dossier, cursor, 5); !errors.Is(err, ErrCursor) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
	if _, _, err := w.a.ByDigest("md5", content.SM3, "", 5); !errors.Is(err, ErrDigestAlg) {
		t.Errorf("md5: %v", err)
	}
	if _, _, err := w.a.ByDossier("x", "", 5); err == nil {
		t.Error("a dossier of another form was looked up")
	}
	if got, next, err := w.a.ByDossier(strings.Repeat("00", 16), "", 5); err != nil || len(got) != 0 || next != "" {
		t.Errorf("an unknown dossier: %v, %q, %v", got, next, err)
	}
}

func TestStatusOfAnIdleArchive(t *testing.T) {
	w := newWorld(t)
	w.open()
	st := w.a.Status()
	if !st.Accepting || st.Reason != "" || st.Open.Seq != 1 || st.Open.Records != 0 || st.FreeBytes == 0 || len(st.Alarms) != 0 {
		t.Errorf("%+v", st)
	}
	w.chain.set(func(c *fakeChain) { c.hold = true })
	w.submit(submissions(3)...)
	until(t, "in flight", func() bool { return w.a.Status().InFlight.Sent > 0 })
	w.submit(submissions(2)...)
	st = w.a.Status()
	if st.InFlight.Seq != 1 || time.Since(st.InFlight.Since) > time.Minute || st.Queued.Batches != 1 || st.Queued.Records != 3 ||
		st.Open.Seq != 2 || st.Open.Records != 2 || st.Committed != 0 {
		t.Errorf("%+v", st)
	}
}
