package fsck

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"qifeng/proof/merkle"
)

// archiveRun goes through the files of the archive in the order of their numbers,
// beside this node's batches on the ledger. The files themselves are read by the
// pool.
type archiveRun struct {
	c     *checker
	judge *judge
	pool  *pool
	total int64

	ledger *cursor // this node's batches there; nil without a ledger
	listed uint64  // the next of them, 0 after the last
	newest uint64  // the last of them
	prev   uint64  // number of the file before
	closed uint64  // newest closed batch

	journals []*journal
	lostList *lostList
	index    *index // nil if there is none

	mu     sync.Mutex // guards what follows
	done   int64      // bytes
	broken *Problem   // the first promise that was not kept
}

// journal is a file of the journal folder, once it was read.
type journal struct {
	seq  uint64
	name string
	file *batchFile
}

func (c *checker) checkArchive() error {
	dir := c.data("archive")
	list, exists, err := names(dir)
	if err != nil {
		return err
	}
	a := &archiveRun{c: c, pool: newPool(c.ctx, c.opt.Workers)}
	if a.lostList, err = c.readLost(dir); err != nil {
		return err
	}
	if a.lostList.marked && c.book != nil {
		return errors.New("this home was restored and its node was stopped before it had caught up: start it, wait until it is ready, stop it, and check again")
	}
	a.judge = c.newJudge()
	a.judge.alone = a.lostList.marked
	if c.book != nil {
		a.newest = c.book.reg.cursors[c.home.Self].seq
		a.ledger = c.book.db.under([]byte("b" + c.home.Self + "\x00"))
		defer a.ledger.close()
	}
	if !exists {
		if a.newest > 0 {
			return wrong(CodeMissing, c.rel(dir), "there is no archive, and the ledger has batches of this node up to %d", a.newest)
		}
		c.note(NoteEmpty, c.rel(dir), "")
		return nil
	}
	for _, n := range list {
		switch n {
		case "LOCK", "journal", "outbox", "batches", "index", "lost", "RESTORED":
		default:
			c.note(NoteUnknown, c.rel(filepath.Join(dir, n)), "")
		}
	}
	if a.newest == 0 && a.unborn(dir) {
		c.note(NoteEmpty, c.rel(dir), "the first start of the node was cut short")
		return nil
	}
	if !a.lostList.marked { // else the next start makes it again
		if a.index, err = c.openIndex(filepath.Join(dir, "index")); err != nil {
			return err
		}
		a.judge.index = a.index
	}
	if a.index != nil {
		defer a.index.bodies.close()
	}
	a.total = a.weigh(dir)
	c.progress(PhaseArchive, 0, a.total)
	if err := a.pool.end(a.run(dir)); err != nil {
		return err
	}
	if err := a.open(dir); err != nil {
		return err
	}
	if a.broken != nil {
		return a.broken
	}
	if a.index != nil {
		if err := a.index.check(a.read); err != nil {
			return err
		}
	}
	a.lostList.tell(c, dir)
	c.progress(PhaseArchive, a.total, a.total)
	return nil
}

// unborn says that the node has not come further than to make some of the
// folders, which it does before it makes the index and the first journal.
func (a *archiveRun) unborn(dir string) bool {
	if _, err := os.Lstat(filepath.Join(dir, "index")); err == nil {
		return false
	}
	for _, sub := range []string{"journal", "outbox", "batches"} {
		if list, _, err := names(filepath.Join(dir, sub)); err != nil || len(list) > 0 {
			return false
		}
	}
	return true
}

// weigh adds up the bytes to be read.
func (a *archiveRun) weigh(dir string) (total int64) {
	for _, sub := range []string{"journal", "outbox", "batches"} {
		_ = filepath.WalkDir(filepath.Join(dir, sub), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if st, err := d.Info(); err == nil {
					total += st.Size()
				}
			}
			return nil // what cannot be read is found when it is read
		})
	}
	if a.index != nil {
		for _, r := range a.index.runs {
			total += r.size
		}
	}
	return total
}

func (a *archiveRun) run(dir string) (err error) {
	if err := a.nextListed(); err != nil {
		return err
	}
	batches := filepath.Join(dir, "batches")
	folders, _, err := names(batches)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		n, err := strconv.ParseUint(folder, 10, 64)
		if err != nil || len(folder) != 14 {
			return wrong(CodeForeign, a.c.rel(filepath.Join(batches, folder)), "it is no folder of batches")
		}
		if err := a.folder(filepath.Join(batches, folder), true, func(seq uint64) bool { return seq/perFolder == n }); err != nil {
			return err
		}
	}
	if err := a.folder(filepath.Join(dir, "outbox"), false, func(uint64) bool { return true }); err != nil {
		return err
	}
	if err := a.journalFolder(filepath.Join(dir, "journal")); err != nil {
		return err
	}
	for a.listed != 0 && !a.pool.stopped() {
		if err := a.lost(dir); err != nil {
			return err
		}
	}
	return nil
}

// nextListed reads the next of this node's batches on the ledger.
func (a *archiveRun) nextListed() error {
	a.listed = 0
	if a.ledger == nil {
		return nil
	}
	ok, err := a.ledger.next()
	if err == nil && ok {
		k := a.ledger.key()
		a.listed = binary.BigEndian.Uint64(k[len(k)-8:])
	}
	return err
}

// lost is the fault of a listed batch that has no file; one that is known to have
// been lost to a restored home is passed over.
func (a *archiveRun) lost(dir string) error {
	_, index, err := a.c.book.header(a.judge.node, a.listed)
	if err != nil {
		return err
	}
	if a.lostList.has(a.listed, index) {
		return a.nextListed()
	}
	at := filepath.Join(dir, "batches", fmt.Sprintf("%014d", a.listed/perFolder), fmt.Sprintf("%016d-….batch", a.listed))
	return wrong(CodeNoBatch, a.c.rel(at), "there is no closed batch %d of %s in any folder", a.listed, a.judge.node).at("seq", a.listed).at("index", index)
}

// step takes the number of the next file.
func (a *archiveRun) step(dir, name string, seq uint64) error {
	for a.listed != 0 && a.listed < seq {
		if err := a.lost(a.c.data("archive")); err != nil {
			return err
		}
	}
	if a.listed == seq {
		if err := a.nextListed(); err != nil {
			return err
		}
	}
	if seq <= a.prev {
		return wrong(CodeBatchName, a.c.rel(filepath.Join(dir, name)), "it is batch %d, and batch %d is there already", seq, a.prev).at("seq", seq)
	}
	if seq > a.prev+1 {
		what := fmt.Sprintf("batches %d to %d", a.prev+1, seq-1)
		if seq > a.newest && !a.lostList.marked && !a.lostList.passed(a.prev, seq) {
			return wrong(CodeGap, a.c.rel(dir), "%s are neither here nor on the ledger", what).at("seq", a.prev+1)
		}
		n := a.c.note(NoteGap, a.c.rel(dir), "%s", what)
		n.Places = append(n.Places, Place{"seq", a.prev + 1})
	}
	a.prev = seq
	return nil
}

// batchName reads the name of a batch file: 16 digits, a dash, the SM3 digest of
// the signed header in hex.
func batchName(name string) (seq uint64, digest string, ok bool) {
	stem, isBatch := strings.CutSuffix(name, ".batch")
	digits, digest, _ := strings.Cut(stem, "-")
	seq, err := strconv.ParseUint(digits, 10, 64)
	return seq, digest, isBatch && err == nil && seq > 0 && len(digits) == 16 && len(digest) == 64
}

// folder checks a folder of closed batches; listed says that all of them must be
// on the ledger.
func (a *archiveRun) folder(dir string, listed bool, belongs func(seq uint64) bool) error {
	list, exists, err := names(dir)
	if err != nil {
		return err
	}
	if !exists {
		return wrong(CodeMissing, a.c.rel(dir), "there is no such folder")
	}
	for _, name := range list {
		path := filepath.Join(dir, name)
		seq, digest, ok := batchName(name)
		if !ok {
			return wrong(CodeForeign, a.c.rel(path), "its name is not that of a batch")
		}
		if !belongs(seq) {
			return wrong(CodeBatchName, a.c.rel(path), "batch %d belongs into folder %014d", seq, seq/perFolder).at("seq", seq)
		}
		if !listed && a.moved(name, seq) {
			a.c.note(NoteMoving, a.c.rel(path), "it is under its later name too, as a power cut in the middle of the move leaves it")
		} else if err := a.step(dir, name, seq); err != nil {
			return err
		}
		again := seq <= a.closed
		a.closed = max(a.closed, seq)
		if a.index != nil && !again && seq <= a.index.bodies.done {
			a.index.bodies.closed++
		}
		if !a.pool.do(func() error { return a.closedFile(path, seq, digest, listed, again) }) {
			return nil
		}
	}
	return nil
}

// moved says whether a batch of the outbox stands under its name among the
// batches on the ledger as well. Either is read: the name is that of its content.
func (a *archiveRun) moved(name string, seq uint64) bool {
	_, err := os.Lstat(a.c.data("archive", "batches", fmt.Sprintf("%014d", seq/perFolder), name))
	return err == nil
}

// read tells how far the check is.
func (a *archiveRun) read(n int64) {
	a.mu.Lock()
	a.done += n
	done := a.done
	a.mu.Unlock()
	a.c.progress(PhaseArchive, done, max(a.total, done+1)) // the end is told at the end
}

// file reads a batch file. again says that the batch is in a file before it too, so
// that the index has it from there.
func (a *archiveRun) file(path string, seq uint64, again bool) (*batchFile, error) {
	f, size, err := opened(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	j := *a.judge
	if again {
		j.index = nil
	}
	b, err := j.readBatch(a.c.rel(path), f, size, seq)
	if err != nil {
		return nil, err
	}
	a.c.records.Add(b.records)
	a.c.statements.Add(b.statements)
	a.c.receipts.Add(b.receipts)
	a.c.batches.Add(1)
	a.c.bytes.Add(uint64(size))
	if a.index != nil && b.newest > 0 {
		a.index.see(place{seq: seq, offset: uint32(b.newest)})
	}
	a.read(size)
	return b, nil
}

// closedFile checks a closed batch: whole, named after its header, on the ledger
// with these bytes.
func (a *archiveRun) closedFile(path string, seq uint64, digest string, listed, again bool) error {
	b, err := a.file(path, seq, again)
	if err != nil {
		return err
	}
	return a.closedBatch(b, digest, listed)
}

func (a *archiveRun) closedBatch(b *batchFile, digest string, listed bool) error {
	if b.header == nil {
		return wrong(CodeBatchFile, b.name, "it has no footer: %s", orText(b.why, "it ends behind a group")).at("offset", uint64(b.f.at))
	}
	sum := merkle.Sum(b.header)
	if got := hex.EncodeToString(sum.SM3[:]); got != digest {
		return wrong(CodeBatchName, b.name, "its header has the digest %s", got).at("seq", b.f.seq)
	}
	return a.onLedger(b, listed)
}

func orText(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// onLedger compares a batch with its entry.
func (a *archiveRun) onLedger(b *batchFile, must bool) error {
	var raw []byte
	var index uint64
	if a.c.book != nil {
		var err error
		if raw, index, err = a.c.book.header(a.judge.node, b.f.seq); err != nil {
			return err
		}
	}
	switch {
	case raw == nil && must && !b.alone:
		return wrong(CodeNotOnLedger, b.name, "the ledger has no batch %d of %s", b.f.seq, b.node).at("seq", b.f.seq)
	case raw != nil && string(raw) != string(b.header):
		return wrong(CodeNotOnLedger, b.name, "the ledger has another header for batch %d", b.f.seq).at("seq", b.f.seq).at("index", index)
	case raw == nil && a.c.book != nil && !b.deadline.IsZero() && a.c.book.seals.sealedTime > b.deadline.Unix():
		a.mu.Lock()
		defer a.mu.Unlock()
		if p := wrong(CodeBroken, b.name, "its earliest deadline was %s, size %d was sealed later without it", b.deadline.UTC().Format("2006-01-02T15:04:05Z"), a.c.book.seals.sealed).at("seq", b.f.seq); a.broken == nil || b.f.seq < a.broken.Places[0].N {
			a.broken = p
		}
	}
	return nil
}

// journalFolder checks the journals: each is what a batch file is without its
// footer.
func (a *archiveRun) journalFolder(dir string) error {
	list, exists, err := names(dir)
	if err != nil {
		return err
	}
	if !exists {
		return wrong(CodeMissing, a.c.rel(dir), "there is no such folder")
	}
	for _, name := range list {
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, ".tmp") {
			a.c.note(NoteMoving, a.c.rel(path), "it never got its name, so nothing was promised in it")
			continue
		}
		digits, isJournal := strings.CutSuffix(name, ".journal")
		seq, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || !isJournal || len(digits) != 16 || seq == 0 {
			return wrong(CodeForeign, a.c.rel(path), "its name is not that of a journal")
		}
		again := seq <= a.closed
		if !again { // else it was closed and moved, and has both names
			if err := a.step(dir, name, seq); err != nil {
				return err
			}
		}
		j := &journal{seq: seq, name: a.c.rel(path)}
		a.journals = append(a.journals, j)
		if !a.pool.do(func() error { return a.journalFile(j, path, again) }) {
			return nil
		}
	}
	return nil
}

func (a *archiveRun) journalFile(j *journal, path string, again bool) error {
	b, err := a.file(path, j.seq, again)
	if err != nil {
		return err
	}
	j.file = b
	if b.header == nil && a.newest >= j.seq && b.records > 0 {
		return wrong(CodeNotOnLedger, b.name, "the ledger has batch %d of this node or a later one, and this one was never closed", j.seq).at("seq", j.seq)
	}
	return a.onLedger(b, false)
}

// open says what the journals are, and that one of them is open.
func (a *archiveRun) open(dir string) error {
	if len(a.journals) == 0 && a.prev == 0 {
		a.c.note(NoteEmpty, a.c.rel(dir), "")
		return nil
	}
	for _, j := range a.journals {
		switch {
		case j.file.header != nil:
			a.c.note(NoteMoving, j.name, "the batch is closed and not moved to the outbox yet")
		case j.seq <= a.closed:
			return wrong(CodeBatchName, j.name, "batch %d is open here, and closed in another file", j.seq).at("seq", j.seq)
		case j.file.torn > 0:
			n := a.c.note(NoteTorn, j.name, "%s; %d bytes", j.file.why, j.file.torn)
			n.Places = append(n.Places, Place{"offset", uint64(j.file.f.at)})
		}
	}
	if n := len(a.journals); !a.lostList.marked && (n == 0 || a.journals[n-1].file.header != nil || a.journals[n-1].seq <= a.closed) {
		return wrong(CodeNoJournal, a.c.rel(filepath.Join(dir, "journal")), "the newest batch is %d, and none is open behind it", a.prev).at("seq", a.prev+1)
	}
	return nil
}
