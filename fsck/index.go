package fsck

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/maphash"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// index is what is held of the archive's index while the batches are read. The
// index is derived from them: each record is in it once by its id, once by either
// half of its digest, or of its claims where it has no digest, and once by its
// dossier. So what each of its files must hold follows from the records whose
// places that file covers. It is not kept: of each file the entries are counted,
// and hashes of them under a key of this run are added up, first those that follow
// from the records and then those that are there. If both are the same, nothing is
// missing, nothing is too much, and whatever is looked up is found.
type index struct {
	c    *checker
	dir  string
	key  [16]byte
	seed maphash.Seed
	runs []*indexRun // oldest first
	err  error       // what is wrong with its list; told when the batches were read

	bodies *bodyNames

	mu      sync.Mutex // guards what follows
	newest  place      // group in the batches
	outside place      // the first group that no file covers and one should; zero if there is none
}

// place is where a record is: the batch, the offset of its group's frame, the
// position in the group.
type place struct {
	seq              uint64
	offset, position uint32
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.seq, q.seq), cmp.Compare(p.offset, q.offset), cmp.Compare(p.position, q.position))
}

func (p place) group() place { return place{p.seq, p.offset, 0} }

// tally is a multiset of entries.
type tally struct{ count, sum atomic.Uint64 }

// openIndex reads the list of the index's files, and of each file what it covers;
// nil if there is none.
func (c *checker) openIndex(dir string) (*index, error) {
	x := &index{c: c, dir: filepath.Join(dir, "runs"), seed: maphash.MakeSeed(), bodies: &bodyNames{}}
	folders, _, err := names(dir)
	if err != nil {
		return nil, err
	}
	if slices.Contains(folders, "CURRENT") {
		c.note(NoteNoIndex, c.rel(dir), "it is of an older version")
		return nil, nil
	}
	for _, n := range folders {
		if n != "runs" && n != "names" {
			c.note(NoteUnknown, c.rel(filepath.Join(dir, n)), "")
		}
	}
	list := filepath.Join(x.dir, "MANIFEST")
	if _, err := os.Lstat(list); errors.Is(err, os.ErrNotExist) {
		c.note(NoteNoIndex, c.rel(dir), "")
		return nil, nil
	}
	raw, err := c.readSmall(list)
	if err != nil {
		return nil, err
	}
	numbers, err := x.parseList(raw)
	if err != nil {
		x.err = wrong(CodeIndex, c.rel(list), "%v", err)
		return x, nil
	}
	if err := x.leftovers(numbers); err != nil {
		return nil, err
	}
	x.err = x.openRuns(numbers)
	var p *Problem
	if x.err != nil && !errors.As(x.err, &p) {
		return nil, x.err
	}
	if x.err == nil {
		x.bodies, x.err = c.openBodies(filepath.Join(dir, "names"))
	}
	return x, nil
}

// parseList reads the list of files: a line with the version, the key of the
// fingerprints, a line for each file, oldest first, and the checksum.
func (x *index) parseList(raw []byte) (numbers []uint64, err error) {
	end := bytes.LastIndex(raw, []byte("\nsum "))
	if end < 0 || fmt.Sprintf("sum %08x\n", crc32.Checksum(raw[:end+1], castagnoli)) != string(raw[end+1:]) {
		return nil, errors.New("it does not match its checksum")
	}
	text, ok := strings.CutPrefix(string(raw[:end+1]), "qifeng-runs/1\nkey ")
	key, text, _ := strings.Cut(text, "\n")
	if n, err := hex.Decode(x.key[:], []byte(key[:min(len(key), 32)])); !ok || err != nil || n != 16 || len(key) != 32 {
		return nil, errors.New("it is no list of version 1 with a key")
	}
	for line := range strings.Lines(text) {
		var n uint64
		if _, err := fmt.Sscanf(line, "run %d\n", &n); err != nil || line != fmt.Sprintf("run %016d\n", n) {
			return nil, fmt.Errorf("the line %q says nothing", line)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// leftovers tells of what a crash has left beside the files of the list.
func (x *index) leftovers(numbers []uint64) error {
	list, _, err := names(x.dir)
	for _, n := range list {
		path := x.c.rel(filepath.Join(x.dir, n))
		listed := slices.ContainsFunc(numbers, func(k uint64) bool { return runName(k) == n })
		switch {
		case listed || n == "MANIFEST":
		case strings.HasSuffix(n, ".run") || strings.HasSuffix(n, ".tmp"):
			x.c.note(NoteMoving, path, "it is not in the list of the index, and the next start removes it")
		default:
			x.c.note(NoteUnknown, path, "")
		}
	}
	return err
}

func (x *index) openRuns(numbers []uint64) error {
	newest := place{}
	for _, n := range numbers {
		r, err := x.openRun(n)
		if err != nil {
			return err
		}
		if r.first.compare(newest) <= 0 {
			return r.wrong("it begins at %s, which is not behind the file before it", r.first)
		}
		newest = r.last
		x.runs = append(x.runs, r)
	}
	return nil
}

func (p place) String() string {
	return fmt.Sprintf("batch %d, offset %d, position %d", p.seq, p.offset, p.position)
}

// covers finds the file that a group must be in, nil if it is behind all of them
// and will be added at the next start.
func (x *index) covers(group place) *indexRun {
	i := sort.Search(len(x.runs), func(i int) bool { return x.runs[i].last.compare(group) >= 0 })
	if i == len(x.runs) {
		return nil
	}
	if r := x.runs[i]; r.first.compare(group) <= 0 {
		return r
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.outside == (place{}) || group.compare(x.outside) < 0 {
		x.outside = group
	}
	return nil
}

// see takes note of the newest group of a file.
func (x *index) see(group place) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if group.compare(x.newest) > 0 {
		x.newest = group
	}
}

// add counts what the index must hold of the records of a group.
func (x *index) add(group place, subs []*evidence.Submission, pairs []merkle.Digest) {
	r := x.covers(group)
	if r == nil {
		return
	}
	var ids, lists, idSum, listSum uint64
	latest := int64(math.MinInt64)
	buf := make([]byte, 0, 64)
	entry := func(kind byte, key []byte, at place) uint64 {
		buf = append(append(buf[:0], kind), key...)
		print := sipHash(&x.key, buf) &^ 0xffff
		buf = r.entry(buf[:0], print, at)
		return maphash.Bytes(x.seed, buf)
	}
	for i, s := range subs {
		at := place{group.seq, group.offset, uint32(i)}
		latest = max(latest, s.CapturedAt.UnixMilli())
		ids, idSum = ids+1, idSum+entry('i', pairs[i].SM3[:], at)
		content := s.Digest
		if content == nil {
			content = s.Claims
		}
		if content != nil {
			lists, listSum = lists+2, listSum+entry('s', content.SM3[:], at)+entry('h', content.SHA256[:], at)
		}
		if name, err := hex.DecodeString(string(s.Dossier)); err == nil && len(name) > 0 {
			lists, listSum = lists+1, listSum+entry('d', name, at)
		}
	}
	r.want[0].add(ids, idSum)
	r.want[1].add(lists, listSum)
	x.mu.Lock()
	defer x.mu.Unlock()
	r.wantLatest = max(r.wantLatest, latest)
}

func (t *tally) add(count, sum uint64) {
	t.count.Add(count)
	t.sum.Add(sum)
}

// check reads the files of the index, once all batches were read.
func (x *index) check(read func(int64)) error {
	if x.err != nil {
		return x.err
	}
	pool := newPool(x.c.ctx, x.c.opt.Workers)
	for _, r := range x.runs {
		if !pool.do(func() error { return r.readFile(x.seed, read) }) {
			break
		}
	}
	if err := pool.end(nil); err != nil {
		return err
	}
	if err := x.ahead(); err != nil {
		return err
	}
	if x.outside != (place{}) {
		return wrong(CodeIndex, x.c.rel(x.dir), "the records at %s are in none of its files, and later ones are", x.outside).at("seq", x.outside.seq)
	}
	for _, r := range x.runs {
		if err := r.compare(); err != nil {
			return err
		}
	}
	return x.bodies.check(x)
}

// ahead looks whether the index knows of records that the files have lost: a group
// is in the index only when it is durable in the journal.
func (x *index) ahead() error {
	known := x.bodies.mark
	if n := len(x.runs); n > 0 && x.runs[n-1].last.group().compare(known) > 0 {
		known = x.runs[n-1].last.group()
	}
	if known.compare(x.newest) <= 0 {
		return nil
	}
	path := filepath.Join(x.c.data("archive"), "journal", fmt.Sprintf("%016d.journal", known.seq))
	return wrong(CodeShort, x.c.rel(path), "the index has a group of records at offset %d, the newest in the files is in %s", known.offset, x.newest).at("seq", known.seq)
}
