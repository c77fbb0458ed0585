package fsck

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// lostList is what the archive of a home that was restored from a backup says
// that it has not (archive/lost.go describes the file). What is listed is a note
// and no fault: the loss was found when the home was restored, and stands in its
// status. The list is not believed: what it says of a batch is held against the
// ledger, and what it does not say is a fault.
type lostList struct {
	marked  bool // put back, and not opened since
	spans   []lostSpan
	batches []lostBatch // by seq

	found, records uint64 // of batches, on the ledger too
	first, last    uint64
}

type lostSpan struct{ after, next uint64 }

type lostBatch struct {
	seq, index uint64
	counts     [3]uint64
}

// readLost reads the mark and the list.
func (c *checker) readLost(dir string) (*lostList, error) {
	l := &lostList{}
	if _, err := os.Lstat(filepath.Join(dir, "RESTORED")); err == nil {
		l.marked = true
	}
	folder := filepath.Join(dir, "lost")
	list, _, err := names(folder)
	if err != nil {
		return nil, err
	}
	aside := 0
	for _, name := range list {
		if strings.HasSuffix(name, ".journal") || strings.HasSuffix(name, ".batch") {
			aside++
		}
	}
	if aside > 0 {
		c.note(NoteLost, c.rel(folder), "%d files of batches were put aside", aside)
	}
	path := filepath.Join(folder, "list")
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	if err := l.parse(raw); err != nil {
		return nil, wrong(CodeLostList, c.rel(path), "%v", err)
	}
	return l, nil
}

var castagnoliLost = crc32.MakeTable(crc32.Castagnoli)

func (l *lostList) parse(raw []byte) error {
	end := bytes.LastIndex(raw, []byte("\nend "))
	if end < 0 || fmt.Sprintf("end %08x\n", crc32.Checksum(raw[:end+1], castagnoliLost)) != string(raw[end+1:]) {
		return errors.New("it does not match its checksum")
	}
	text, ok := strings.CutPrefix(string(raw[:end+1]), "qifeng-lost/v1\n")
	if !ok {
		return errors.New("it is no list of version 1")
	}
	for line := range strings.Lines(text) {
		var s lostSpan
		var b lostBatch
		var at int64
		if _, err := fmt.Sscanf(line, "span %d %d %d\n", &s.after, &s.next, &at); err == nil {
			l.spans = append(l.spans, s)
			continue
		}
		if _, err := fmt.Sscanf(line, "batch %d %d %d %d %d\n", &b.seq, &b.index, &b.counts[0], &b.counts[1], &b.counts[2]); err != nil {
			return fmt.Errorf("the line %q says nothing", line)
		}
		if n := len(l.batches); n > 0 && l.batches[n-1].seq >= b.seq {
			return fmt.Errorf("batch %d is out of order", b.seq)
		}
		l.batches = append(l.batches, b)
	}
	return nil
}

// has says whether a batch, at that index of the ledger, is listed.
func (l *lostList) has(seq, index uint64) bool {
	i := sort.Search(len(l.batches), func(i int) bool { return l.batches[i].seq >= seq })
	if i == len(l.batches) || l.batches[i].seq != seq || l.batches[i].index != index {
		return false
	}
	b := l.batches[i]
	if l.found++; l.first == 0 {
		l.first = seq
	}
	l.last = seq
	l.records += b.counts[0] + b.counts[1] + b.counts[2]
	return true
}

// passed says whether numbers between two files were left out by a restoration.
func (l *lostList) passed(prev, seq uint64) bool {
	for _, s := range l.spans {
		if s.after <= prev && s.next == seq {
			return true
		}
	}
	return false
}

// tell notes what was found.
func (l *lostList) tell(c *checker, dir string) {
	if l.found > 0 {
		c.note(NoteLost, c.rel(filepath.Join(dir, "lost", "list")), "%d batches between %d and %d, with %d records by the list", l.found, l.first, l.last, l.records)
	}
	if l.marked {
		c.note(NoteNoLedger, c.rel(dir), "")
	}
}
