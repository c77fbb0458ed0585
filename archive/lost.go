package archive

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"qifeng/evidence"
)

// LostBatch is a batch of this node that the ledger has and the folder, which was
// put back from a backup, has not: a mirror must answer for its records.
type LostBatch struct {
	Seq    uint64
	Index  uint64    // in the ledger
	Counts [3]uint64 // records by stream, in the order of evidence.Streams
}

// Records is how many it has.
func (b LostBatch) Records() uint64 { return b.Counts[0] + b.Counts[1] + b.Counts[2] }

// LostStatus sums them up.
type LostStatus struct {
	Batches     int // 0: none, or never restored
	First, Last uint64
	Records     uint64
	Streams     map[evidence.Stream]uint64
	Newest      []LostBatch // up to maxLostShown, rising; the file lost/list has all
}

// String names them in one line, "" where there are none. It says nothing of any
// record, so it may be told to everybody who asks for one.
func (s LostStatus) String() string {
	if s.Batches == 0 {
		return ""
	}
	return fmt.Sprintf("batches %d to %d of this node (%d of them, with %d records) were lost after a backup: a mirror must answer for what is in them",
		s.First, s.Last, s.Batches, s.Records)
}

// lostList is the file lost/list, which is replaced whole:
//
//	qifeng-lost/v1
//	span AFTER NEXT UNIXMS            a restoration: what it holds ends at AFTER, it goes on with NEXT
//	batch SEQ INDEX CONTRACT IDENTITY SIGNING
//	end CRC32C                        of everything before this line
//
// Spans and batches rise.
type lostList struct {
	spans   []lostSpan
	batches []LostBatch
	sum     LostStatus // made once, by Archive.setLost
	final   bool       // nothing can be added any more
}

type lostSpan struct {
	after, next uint64
	at          int64 // Unix milliseconds
}

const (
	lostName = "list"
	lostHead = "qifeng-lost/v1\n"
)

// floor is a seq below which none is new.
func (l *lostList) floor() (n uint64) {
	for _, s := range l.spans {
		n = max(n, s.next)
	}
	return n
}

// last is the newest seq in the list.
func (l *lostList) last() uint64 {
	if n := len(l.batches); n > 0 {
		return l.batches[n-1].Seq
	}
	return 0
}

// add puts a batch in its place, once.
func (l *lostList) add(b LostBatch) {
	i := sort.Search(len(l.batches), func(i int) bool { return l.batches[i].Seq >= b.Seq })
	if i < len(l.batches) && l.batches[i].Seq == b.Seq {
		return
	}
	l.batches = append(l.batches, LostBatch{})
	copy(l.batches[i+1:], l.batches[i:])
	l.batches[i] = b
}

func (l *lostList) status() LostStatus {
	s := LostStatus{Batches: len(l.batches), Streams: map[evidence.Stream]uint64{}}
	for _, b := range l.batches {
		s.Records += b.Records()
		for i, n := range b.Counts {
			s.Streams[evidence.Streams[i]] += n
		}
	}
	if s.Batches > 0 {
		s.First, s.Last = l.batches[0].Seq, l.last()
		s.Newest = l.batches[max(0, s.Batches-maxLostShown):]
	}
	return s
}

// alarm is what the operator of a home that was just restored must know.
func (l *lostList) alarm() string {
	text := l.status().String()
	if text == "" {
		text = "the ledger has no batch of this node that the backup has not"
	}
	return fmt.Sprintf("this archive was restored from a backup: %s. Receipts given after the backup whose batch never reached the ledger cannot be known here, and cannot be kept. It goes on with batch %d",
		text, l.spans[len(l.spans)-1].next)
}

func (l *lostList) encode() []byte {
	var b bytes.Buffer
	b.WriteString(lostHead)
	for _, s := range l.spans {
		fmt.Fprintf(&b, "span %d %d %d\n", s.after, s.next, s.at)
	}
	for _, x := range l.batches {
		fmt.Fprintf(&b, "batch %d %d %d %d %d\n", x.Seq, x.Index, x.Counts[0], x.Counts[1], x.Counts[2])
	}
	fmt.Fprintf(&b, "end %08x\n", crc32.Checksum(b.Bytes(), castagnoli))
	return b.Bytes()
}

// decodeLost takes exactly what encode writes.
func decodeLost(raw []byte) (*lostList, error) {
	l := &lostList{}
	rest, ok := strings.CutPrefix(string(raw), lostHead)
	if !ok {
		return nil, errors.New("this is no list of lost batches of version 1")
	}
	for line := range strings.Lines(rest) {
		var s lostSpan
		var b LostBatch
		switch word, _, _ := strings.Cut(line, " "); word {
		case "span":
			if _, err := fmt.Sscanf(line, "span %d %d %d\n", &s.after, &s.next, &s.at); err != nil {
				return nil, fmt.Errorf("a span: %w", err)
			}
			l.spans = append(l.spans, s)
		case "batch":
			if _, err := fmt.Sscanf(line, "batch %d %d %d %d %d\n", &b.Seq, &b.Index, &b.Counts[0], &b.Counts[1], &b.Counts[2]); err != nil {
				return nil, fmt.Errorf("a batch: %w", err)
			}
			l.add(b)
		}
	}
	if !bytes.Equal(l.encode(), raw) {
		return nil, errors.New("it is damaged")
	}
	return l, nil
}

// readLost reads the list; there is none before the first restoration.
func readLost(d disk, path string) (*lostList, error) {
	f, err := d.open(path, false)
	if errors.Is(err, os.ErrNotExist) {
		return &lostList{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the list of lost batches: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the list of lost batches: %w", err)
	}
	raw, err := io.ReadAll(io.NewSectionReader(f, 0, min(st.Size(), maxLostList)))
	if err != nil {
		return nil, fmt.Errorf("reading the list of lost batches: %w", err)
	}
	l, err := decodeLost(raw)
	if err != nil {
		return nil, corruptFile(path, "%v", err)
	}
	return l, nil
}

// write replaces the file: temporary file, fsync, rename, fsync of the folder.
func (l *lostList) write(d disk, path string) error {
	tmp := path + tmpSuffix
	if err := ignoreMissing(d.remove(tmp)); err != nil {
		return fmt.Errorf("writing the list of lost batches: %w", err)
	}
	f, err := d.create(tmp)
	if err == nil {
		_, err = f.WriteAt(l.encode(), 0)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = d.rename(tmp, path)
	}
	if err == nil {
		err = d.syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("writing the list of lost batches: %w", err)
	}
	return nil
}
