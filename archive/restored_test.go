package archive

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// backup copies the world's folder as a backup does, without the index.
func (w *world) backup() string {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "backup")
	if err := errors.Join(os.CopyFS(dir, os.DirFS(w.dir)), os.RemoveAll(filepath.Join(dir, indexDir)), os.Remove(filepath.Join(dir, lockName))); err != nil {
		w.t.Fatal(err)
	}
	return dir
}

// restore goes on with another folder, marked.
func (w *world) restore(dir string) {
	w.t.Helper()
	if w.a != nil {
		w.close()
	}
	w.cfg.Dir, w.dir = dir, dir
	if err := MarkRestored(dir); err != nil {
		w.t.Fatal(err)
	}
	w.open()
	if IsRestored(dir) {
		w.t.Fatal("the mark stands after the archive was opened")
	}
}

// oneHeaderASeq checks that no two headers of a seq were ever sent.
func (w *world) oneHeaderASeq() {
	w.t.Helper()
	sent := map[uint64]string{}
	for _, tx := range w.chain.seen {
		b, err := evidence.ParseBatch(tx)
		if err != nil {
			w.t.Fatal(err)
		}
		if first, ok := sent[b.Seq]; ok && first != string(tx) {
			w.t.Fatalf("two headers of batch %d were sent", b.Seq)
		}
		sent[b.Seq] = string(tx)
	}
}

func TestRestoredGoesOnBehindWhatItLost(t *testing.T) {
	w := newWorld(t)
	w.open()
	kept := w.submit(submissions(3)...)
	w.settled() // batch 1
	dir := w.backup()
	var lost []*evidence.Submission
	for n := range 3 { // batches 2 to 4
		subs := submissions(n + 1)
		lost = append(lost, subs...)
		w.submit(subs...)
		w.settled()
	}
	w.restore(dir)
	st := w.a.Status()
	if l := st.Lost; l.Batches != 3 || l.First != 2 || l.Last != 4 || l.Records != 6 || len(l.Newest) != 3 || l.Newest[0].Index != 1 {
		t.Fatalf("lost: %+v", l)
	}
	if st.Open.Seq != 4+restoredSkip+1 || !st.Accepting || !w.alarmed(AlarmGap, "batches 2 to 4", "with 6 records", "a mirror must answer", "never reached the ledger") {
		t.Fatalf("%+v", st)
	}
	for _, s := range kept {
		w.checkPromise(s)
	}
	for _, s := range lost {
		if got, err := w.a.ByID(idOf(t, s)); err != nil || len(got) != 0 {
			t.Fatalf("a lost record: %v, %v", got, err)
		}
	}
	again := w.submit(lost...) // whoever has them may bring them again
	w.settled()
	for _, s := range again {
		if !s.New || s.Seq <= 4 {
			t.Errorf("%+v", s)
		}
		w.checkPromise(s)
	}
	w.oneHeaderASeq()
	w.reopen()
	if st := w.a.Status(); st.Lost.Batches != 3 || len(st.Alarms) != 0 {
		t.Fatalf("after another start: %+v", st)
	}
}

func idOf(t *testing.T, s *evidence.Submission) evidence.ID {
	t.Helper()
	b, err := s.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return evidence.IDOf(merkle.LeafHash(b))
}

// TestRestoredJournals: what becomes of a journal that the backup has.
func TestRestoredJournals(t *testing.T) {
	for _, c := range []struct {
		name  string
		later func(w *world)
		lost  int
		whole bool // the batch is served again
		aside bool
	}{
		{"the ledger has just its records", func(w *world) {
			w.chain.set(func(ch *fakeChain) { ch.hold = false })
			w.chain.release()
			w.settled()
		}, 0, true, false},
		{"the ledger has more in that batch", func(w *world) {
			w.submit(submissions(2)...)
			w.chain.set(func(ch *fakeChain) { ch.hold = false })
			w.chain.release()
			w.settled()
		}, 1, false, true},
		{"it never reached the ledger", func(w *world) {}, 0, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.open()
			w.chain.set(func(ch *fakeChain) { ch.hold = true })
			first := w.submit(submissions(1)...)
			until(t, "batch 1 is closed", func() bool { return w.a.Status().Queued.Batches == 1 })
			second := w.submit(submissions(3)...) // in the journal of batch 2
			dir := w.backup()
			c.later(w)
			w.close()
			w.chain.set(func(ch *fakeChain) { ch.hold = false })
			w.chain.release()
			w.restore(dir)
			w.settled()
			for _, s := range first { // its signed header was in the backup's outbox
				w.checkPromise(s)
			}
			if st := w.a.Status(); st.Lost.Batches != c.lost || !st.Accepting {
				t.Fatalf("%+v", st)
			}
			got, err := w.a.ByID(second[0].ID)
			if err != nil || (len(got) == 1) != c.whole {
				t.Fatalf("%d records, %v", len(got), err)
			}
			if c.whole {
				w.checkPromise(second[0])
			}
			_, err = os.Stat(filepath.Join(dir, lostDir, journalName(2)))
			if (err == nil) != c.aside {
				t.Fatalf("put aside: %v", err)
			}
			w.submit(submissions(2)...)
			w.settled()
			w.oneHeaderASeq()
		})
	}
}

// TestRestoredHearsOfALateHeader: the header that was on its way when the earlier
// life ended comes in after the restored archive is open.
func TestRestoredHearsOfALateHeader(t *testing.T) {
	w := newWorld(t)
	w.open()
	w.submit(submissions(1)...)
	w.settled()
	dir := w.backup()
	w.chain.set(func(ch *fakeChain) { ch.hold = true })
	w.submit(submissions(4)...)
	until(t, "batch 2 is in flight", func() bool { return w.a.Status().InFlight.Sent > 0 })
	w.restore(dir)
	if st := w.a.Status(); st.Lost.Batches != 0 || !w.alarmed(AlarmGap, "no batch of this node that the backup has not") {
		t.Fatalf("%+v", st)
	}
	held := w.submit(submissions(2)...)
	w.chain.release()
	until(t, "the list has batch 2", func() bool { l := w.a.Status().Lost; return l.Batches == 1 && l.First == 2 && l.Records == 4 })
	w.chain.set(func(ch *fakeChain) { ch.hold = false })
	w.chain.release()
	w.settled()
	for _, s := range held {
		w.checkPromise(s)
	}
	w.oneHeaderASeq()
	w.reopen()
	if l := w.a.Status().Lost; l.Batches != 1 {
		t.Fatalf("after another start: %+v", l)
	}
}

// TestRestoredTwice: a second restoration from the same backup never comes back
// to the seqs of the first, and a batch that was found again is not lost any more.
func TestRestoredTwice(t *testing.T) {
	w := newWorld(t)
	w.open()
	w.submit(submissions(1)...)
	w.settled()
	first := w.backup()
	w.submit(submissions(2)...)
	w.settled() // batch 2
	w.restore(first)
	between := w.a.Status().Open.Seq
	second := w.backup()
	w.submit(submissions(2)...)
	w.settled()
	body, err := filepath.Glob(filepath.Join(w.dir, batchesDir, "*", fmt.Sprintf("%016d-*", between)))
	if err != nil || len(body) != 1 {
		t.Fatal(body, err)
	}
	w.restore(second)
	st := w.a.Status()
	if st.Open.Seq <= between || st.Lost.Batches != 2 || st.Lost.Last != between {
		t.Fatalf("%+v", st)
	}
	third := w.backup()
	back := filepath.Join(third, batchesDir, filepath.Base(filepath.Dir(body[0])))
	raw, err := os.ReadFile(body[0])
	if err := errors.Join(err, os.MkdirAll(back, 0o700), os.WriteFile(filepath.Join(back, filepath.Base(body[0])), raw, 0o600)); err != nil {
		t.Fatal(err)
	}
	w.restore(third)
	if st := w.a.Status(); st.Lost.Batches != 1 || st.Lost.Last != 2 {
		t.Fatalf("%+v", st.Lost)
	}
	w.oneHeaderASeq()
}

// TestRestoredCrashes kills the opening of a restored folder at each operation of
// the disk.
func TestRestoredCrashes(t *testing.T) {
	for at := 1; ; at++ {
		w := newWorld(t)
		w.open()
		w.submit(submissions(1)...)
		w.settled()
		w.chain.set(func(ch *fakeChain) { ch.hold = true })
		w.submit(submissions(1)...)
		until(t, "batch 2 is closed", func() bool { return w.a.Status().Queued.Batches == 1 })
		w.submit(submissions(3)...)
		dir := w.backup()
		w.submit(submissions(3)...)
		w.chain.set(func(ch *fakeChain) { ch.hold = false })
		w.chain.release()
		w.settled()
		w.close()
		if err := MarkRestored(dir); err != nil {
			t.Fatal(err)
		}
		w.cfg.Dir, w.dir = dir, dir
		d := &stoppingDisk{left: at}
		w.cfg.disk = d
		if a, err := Open(w.cfg); err == nil {
			if err := a.Close(); err != nil && !errors.Is(err, errStopped) {
				t.Fatal(err)
			}
		}
		done := d.left > 0
		w.cfg.disk = nil
		w.open()
		if st := w.a.Status(); st.Lost.Batches != 1 || st.Lost.First != 3 || !st.Accepting || IsRestored(dir) || st.Open.Seq <= restoredSkip {
			t.Fatalf("stopped at operation %d: %+v", at, st)
		}
		held := w.submit(submissions(2)...)
		w.settled()
		for _, s := range held {
			w.checkPromise(s)
		}
		w.oneHeaderASeq()
		w.close()
		if done {
			t.Logf("stopped at %d operations", at-1)
			return
		}
	}
}

var errStopped = errors.New("the disk has stopped")

// stoppingDisk does so many operations that change it, and no more.
type stoppingDisk struct {
	osDisk
	left int
}

func (d *stoppingDisk) step() error {
	if d.left--; d.left < 0 {
		return errStopped
	}
	return nil
}

func (d *stoppingDisk) create(path string) (file, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	return d.osDisk.create(path)
}

func (d *stoppingDisk) rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.osDisk.rename(from, to)
}

func (d *stoppingDisk) remove(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.osDisk.remove(path)
}

func (d *stoppingDisk) syncDir(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.osDisk.syncDir(path)
}

func (d *stoppingDisk) mkdir(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.osDisk.mkdir(path)
}

func TestLostListIsExact(t *testing.T) {
	l := &lostList{spans: []lostSpan{{after: 7, next: 70, at: 12}}}
	l.add(LostBatch{Seq: 9, Index: 12, Counts: [3]uint64{1, 0, 2}})
	l.add(LostBatch{Seq: 8, Index: 11, Counts: [3]uint64{0, 5, 0}})
	l.add(LostBatch{Seq: 9, Index: 12})
	raw := l.encode()
	back, err := decodeLost(raw)
	if err != nil || !bytes.Equal(back.encode(), raw) || back.status().Records != 8 || back.floor() != 70 {
		t.Fatalf("%+v, %v", back, err)
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if _, err := decodeLost(bad); err == nil {
			t.Errorf("byte %d changed: taken", i)
		}
		if _, err := decodeLost(raw[:i]); err == nil {
			t.Errorf("cut at %d: taken", i)
		}
	}
	if _, err := decodeLost([]byte(strings.Replace(string(raw), "\nend", "\nspan\nend", 1))); err == nil {
		t.Error("a line that says nothing is taken")
	}
}

func FuzzDecodeLost(f *testing.F) {
	l := &lostList{spans: []lostSpan{{after: 7, next: 70, at: 12}}, batches: []LostBatch{{Seq: 9, Index: 12, Counts: [3]uint64{1, 0, 2}}}}
	f.Add(l.encode())
	f.Add([]byte(lostHead))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if l, err := decodeLost(raw); err == nil && !bytes.Equal(l.encode(), raw) {
			t.Fatalf("%q is taken as %q", raw, l.encode())
		}
	})
}
