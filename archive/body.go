package archive

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"qifeng/proof/merkle"
)

// The folders of an archive. A batch file moves through them by rename:
// journal → outbox when its footer is durable, outbox → batches when the chain
// is known to have its header.
const (
	journalDir = "journal"
	outboxDir  = "outbox"
	batchesDir = "batches"
	indexDir   = "index"
	lockName   = "LOCK"
)

// sealed is a closed batch that the chain is not known to have.
type sealed struct {
	seq     uint64
	name    string
	header  []byte
	records uint64
	bytes   int64
	first   int64 // first and last received_at, Unix milliseconds
	last    int64
	closed  time.Time       // when this process closed it; zero where an earlier one did
	owners  map[owner]usage // what of it is whose; nil where an earlier process closed it
}

// bodyName names a closed batch's file by its seq and the SM3 digest of its
// signed header, which commits to all of it.
func bodyName(seq uint64, header []byte) string {
	d := merkle.Sum(header)
	return fmt.Sprintf("%016d-%s.batch", seq, hex.EncodeToString(d.SM3[:]))
}

// seqOfName reads the seq at the beginning of a file's name.
func seqOfName(name, suffix string) (uint64, error) {
	digits, _, _ := strings.Cut(strings.TrimSuffix(name, suffix), "-")
	seq, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || len(digits) != 16 || seq == 0 || !strings.HasSuffix(name, suffix) {
		return 0, &TamperedError{What: fmt.Sprintf("%q is no file of the archive", name), Mend: "move it away and start again"}
	}
	return seq, nil
}

// bodyFolder is the folder of a batch that the chain has.
func (a *Archive) bodyFolder(seq uint64) string {
	return a.path(batchesDir, fmt.Sprintf("%014d", seq/bodiesPerFolder))
}

// view is one batch to read from, with or without a footer.
type view struct {
	r     io.ReaderAt
	seq   uint64
	size  int64 // where its groups end
	trees *[3]*merkle.Tree
	foot  *footer // nil while it is open; then trees are set
}

// leaves returns n leaves of a stream from index on.
func (v *view) leaves(stream uint8, index, n uint64) ([]merkle.Digest, error) {
	if v.foot != nil {
		return v.foot.stream(v.r, stream).leaves(index, n)
	}
	var out []merkle.Digest
	for i := range n {
		d, err := v.trees[stream].Node(0, index+i)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// withBatch calls fn with a view of the batch of a record, which is valid until
// fn returns.
func (a *Archive) withBatch(at locator, fn func(*view) error) error {
	seq := at.seq
	if b := a.unsealed(seq); b != nil {
		b.mu.RLock()
		if b.f != nil {
			defer b.mu.RUnlock()
			return fn(&view{r: b.f, seq: seq, size: b.size, trees: &b.trees})
		}
		b.mu.RUnlock() // sealed in the meantime
	}
	f, path, err := a.openBody(seq)
	if err != nil {
		return err
	}
	defer f.Close()
	willNeed(f, int64(at.offset), groupStart)
	foot, err := footerOf(path, f, seq)
	if err != nil {
		return err
	}
	return fn(&view{r: f, seq: seq, size: foot.start, foot: foot})
}

// footerOf reads the footer of a closed batch's file.
func footerOf(path string, f file, seq uint64) (*footer, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	foot, err := readFooter(f, st.Size(), seq)
	if err != nil {
		return nil, corruptFile(path, "%v", err)
	}
	foot.end = st.Size()
	return foot, nil
}

// unsealed finds a batch without a footer.
func (a *Archive) unsealed(seq uint64) *batch {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open != nil && a.open.seq == seq {
		return a.open
	}
	for _, b := range a.closing {
		if b.seq == seq {
			return b
		}
	}
	return nil
}

// openBody opens the file of a closed batch. The outbox may move it at any
// moment, but only one way, so looking there first and then at its last place
// finds it.
func (a *Archive) openBody(seq uint64) (file, string, error) {
	name := ""
	a.mu.Lock()
	for _, b := range a.queue {
		if b.seq == seq {
			name = b.name
		}
	}
	a.mu.Unlock()
	if name != "" {
		path := a.path(outboxDir, name)
		f, err := a.disk.open(path, false)
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return f, path, err
		}
	}
	name, err := a.index.body(seq) // known since the batch was closed
	if err != nil {
		return nil, "", err
	}
	if name == "" {
		return nil, "", corruptFile(a.bodyFolder(seq), "there is no batch %d", seq)
	}
	path := filepath.Join(a.bodyFolder(seq), name)
	f, err := a.disk.open(path, false)
	if errors.Is(err, os.ErrNotExist) {
		return nil, path, corruptFile(path, "the file is missing")
	}
	if err != nil {
		return nil, path, fmt.Errorf("opening a batch: %w", err)
	}
	return f, path, nil
}
