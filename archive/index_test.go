package archive

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb"

	"qifeng/archive/runs"
	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// manyRuns lets each group become a run of its own.
func manyRuns(c *Config) { c.indexRecords = 1 }

// What the index finds may be another record. No look-up shows it, and no
// submission is taken for it.
func TestCollidingFingerprintsShowNothing(t *testing.T) {
	w := newWorld(t)
	w.chain.hold = true
	a := w.open()
	mine, foreign := submission(evidence.ContractFinal), submission(evidence.IdentityPerson)
	mine.Dossier, foreign.Dossier = "0123456789abcdef0123456789abcdef", "00000000000000000000000000000000"
	w.submit(mine)
	req := w.request(mine, foreign)
	pairs := []merkle.Digest{req.Submissions[0].Pair, req.Submissions[1].Pair}
	at, _, err := a.find(req, locator{})
	if err != nil || at[0] == (locator{}) || at[1] != (locator{}) {
		t.Fatal(at, err)
	}
	// An index in which all keys of the foreign record lead to the one that is stored.
	ix, _, err := openIndex(osDisk{}, t.TempDir(), fileStorage, runs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	group := runs.Group{Seq: at[0].seq, Offset: at[0].offset, IDs: []runs.Print{ix.print(spaceID, pairs[1].SM3[:])}}
	for _, s := range []*evidence.Submission{mine, foreign} {
		e := entryOf(s, merkle.Digest{})
		for _, l := range e.lists(nil) {
			group.Lists = append(group.Lists, runs.Listed{Print: ix.print(l.space, l.key)})
		}
	}
	if err := ix.runs.Add(&group); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(ix.names.Close(), a.index.runs.Close()); err != nil {
		t.Fatal(err)
	}
	a.index.runs = ix.runs

	if maybe, _, err := ix.byIDs([][32]byte{pairs[1].SM3}, 0, locator{}); err != nil || len(maybe) != 1 {
		t.Fatal("the fingerprints do not collide", err)
	}
	if got, err := a.ByID(evidence.IDOf(pairs[1])); err != nil || len(got) != 0 {
		t.Errorf("by id: %d, %v", len(got), err)
	}
	if got, next, err := a.ByDigest("sm3", foreign.Claims.SM3, "", 5); err != nil || len(got) != 0 || next != "" {
		t.Errorf("by sm3: %d, %q, %v", len(got), next, err)
	}
	if got, _, err := a.ByDigest("sha256", foreign.Claims.SHA256, "", 5); err != nil || len(got) != 0 {
		t.Errorf("by sha256: %d, %v", len(got), err)
	}
	if got, _, err := a.ByDossier(string(foreign.Dossier), "", 5); err != nil || len(got) != 0 {
		t.Errorf("by dossier: %d, %v", len(got), err)
	}
	if got, _, err := a.ByDossier(string(mine.Dossier), "", 5); err != nil || len(got) != 1 {
		t.Errorf("the record's own dossier: %d, %v", len(got), err)
	}
	if got := w.submit(foreign); !got[0].New {
		t.Error("a new submission is taken for another")
	}
}

// Whatever time a submission states, it is stored once: the index leaves runs of
// older records out when it looks for it.
func TestStoredOnceWhateverItsTime(t *testing.T) {
	w := newWorld(t, manyRuns)
	w.open()
	subs := submissions(6)
	for i, at := range []time.Time{time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC), time.Now(), time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(1e9, 1e6), time.Now().Add(-time.Hour), time.Now()} {
		subs[i].CapturedAt = at.UTC().Truncate(time.Millisecond)
		w.submit(subs[i])
		w.settled() // so that the next is in another run
	}
	for range 2 {
		for i, s := range subs {
			if again := w.submit(s); again[0].New {
				t.Errorf("the submission of %s is stored twice", s.CapturedAt)
			}
			others := append([]*evidence.Submission{submission(evidence.ContractFinal)}, subs[i:]...)
			for j, again := range w.submit(others...) {
				if again.New != (j == 0) {
					t.Errorf("submission %d among those from the one of %s on: new %v", j, s.CapturedAt, again.New)
				}
			}
		}
		w.settled()
		w.reopen()
	}
}

// A run that is damaged while the archive is open stops the intake, by name, and
// is made again at the next start.
func TestDamagedRunStopsTheIntakeAndIsMadeAgain(t *testing.T) {
	w := newWorld(t, manyRuns)
	w.open()
	held := w.submit(submissions(50)...)
	w.settled()
	w.reopen()
	dir := filepath.Join(w.dir, indexDir, "runs")
	damageBlocks(t, dir)
	var err error
	for _, s := range held {
		if _, err = w.a.ByID(s.ID); err != nil {
			break
		}
	}
	if !errors.Is(err, runs.ErrDamaged) {
		t.Fatalf("a look-up in a damaged run: %v", err)
	}
	if !w.alarmed(AlarmFailed, ".run", "checksum", "start the node again") {
		t.Errorf("%+v", w.a.Status().Alarms)
	}
	if _, err := w.a.Submit(t.Context(), w.request(submission(evidence.ContractFinal))); !errors.Is(err, ErrStopped) {
		t.Errorf("the intake goes on: %v", err)
	}
	if err := w.a.Close(); !errors.Is(err, runs.ErrDamaged) {
		t.Errorf("closing: %v", err)
	}
	w.a = nil
	w.open()
	for _, s := range held {
		w.checkPromise(s)
	}
	held = append(held, w.submit(submissions(2)...)...)
	w.settled()
	for _, s := range held {
		w.checkPromise(s)
	}
	if st := w.a.Status(); len(st.Alarms) != 0 {
		t.Errorf("%+v", st.Alarms)
	}
}

// damageBlocks changes the first entry of each run, in place.
func damageBlocks(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.run"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt([]byte{0x55, 0x55, 0x55}, 4096+2)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// Runs of version 1, whose first blocks are told apart by one byte, are made anew.
func TestOldRunsAreMadeAgain(t *testing.T) {
	w := newWorld(t, manyRuns)
	w.open()
	held := w.submit(submissions(5)...)
	w.settled()
	w.close()
	names, err := filepath.Glob(filepath.Join(w.dir, indexDir, runsDir, "*.run"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[7] = 1
		sum := crc32.Checksum(append(slices.Clone(b[:4092]), make([]byte, 8)...), crc32.MakeTable(crc32.Castagnoli)) // of block 0
		binary.BigEndian.PutUint32(b[4092:], sum)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.open()
	for _, s := range held {
		w.checkPromise(s)
	}
	if st := w.a.Status(); len(st.Alarms) != 0 {
		t.Errorf("%+v", st.Alarms)
	}
}

// An index of the version that kept all keys in goleveldb is made anew.
func TestOldIndexIsMadeAgain(t *testing.T) {
	w := newWorld(t)
	w.open()
	held := w.submit(submissions(5)...)
	w.settled()
	w.close()
	dir := filepath.Join(w.dir, indexDir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	db, err := leveldb.OpenFile(dir, nil)
	if err == nil {
		err = errors.Join(db.Put([]byte("c"), make([]byte, 8), nil), db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	w.open()
	for _, s := range held {
		w.checkPromise(s)
	}
	if _, err := os.Stat(filepath.Join(dir, "CURRENT")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old index is still there: %v", err)
	}
}

// What is behind the newest run is read from the files: several closed batches,
// one of them in part, and the journal. What is before it is not read.
func TestOnlyWhatIsBehindTheRunsIsReadAgain(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.indexRecords = 20 })
	w.open()
	var held []Stored
	for n := range 12 {
		held = append(held, w.submit(submissions(1+n%7)...)...)
		if n%3 == 2 {
			w.settled()
		}
	}
	w.settled()
	crashed := filepath.Join(t.TempDir(), "crashed")
	if err := os.CopyFS(crashed, os.DirFS(w.dir)); err != nil { // as it is without Close
		t.Fatal(err)
	}
	w.close()
	w.cfg.Dir, w.dir = crashed, crashed
	w.open()
	if d := w.a.index.durable(); d == (locator{}) || d == w.a.index.marked {
		t.Fatalf("nothing to be read again: durable up to %v of %v", d, w.a.index.marked)
	}
	for _, s := range held {
		w.checkPromise(s)
	}
	w.close()
	// Now everything is in runs, and the bodies need not be whole to start.
	bodies, err := filepath.Glob(filepath.Join(w.dir, batchesDir, "*", "*.batch"))
	if err != nil || len(bodies) < 4 {
		t.Fatal(bodies, err)
	}
	for _, b := range bodies {
		f, err := os.OpenFile(b, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt([]byte("x"), 20) // in the opening, which only a replay reads
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	w.open()
	for _, s := range held {
		w.checkPromise(s)
	}
}
