package runs

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Disk is what a store writes through. Nothing is durable before Sync, and no
// name before Move has returned.
type Disk interface {
	Create(path string) (File, error) // must not exist
	Open(path string) (File, error)   // for reading
	Move(from, to string) error       // replaces atomically; durable on return
	Remove(path string) error
	List(dir string) ([]string, error)
	Free(dir string) (uint64, error) // bytes that may still be written
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
	Stat() (os.FileInfo, error)
}

// Options of a store.
type Options struct {
	// Records of a table; 0 means DefaultRecords.
	Records int
	// Resident is how many ids a run may have for its filter to be held in memory;
	// 0 means DefaultResident.
	Resident int64
	// Reserve is the room on the disk that merging leaves free.
	Reserve uint64
	// Failed is told once when the background work has failed or a run is found
	// damaged. From then on nothing is written; what is there is found further on.
	Failed func(error)
	// Full says that an error means a full disk, which a merge waits out.
	Full func(error) bool
}

// ErrClosed: the store is closed.
var ErrClosed = errors.New("the index is closed")

// Group is what is added at once: the records at (Seq, Offset, 0…), of which
// there is at least one.
type Group struct {
	Seq    uint64
	Offset uint32
	Latest int64    // of the records' own times
	IDs    []Print  // of each record
	Lists  []Listed // in the order of records
}

// Listed is one entry of a list.
type Listed struct {
	Print    Print
	Position uint32 // of the record in the group
}

// Found is a record that may have one of the ids that were asked for.
type Found struct {
	Index int // of the id
	At    Place
}

// Store is the index. Add is called by one goroutine, the others by many.
type Store struct {
	dir  string
	disk Disk
	opt  Options
	key  hashKey
	quit chan struct{} // ends merges
	wg   sync.WaitGroup

	// commit is held while the set of runs is replaced, on the disk and then in
	// memory. It is taken before mu.
	commit sync.Mutex

	// mu guards what follows and the content of active. No file is touched under
	// it.
	mu       sync.RWMutex
	changed  *sync.Cond // flushing, set, merging, failed
	active   *table
	flushing *table // nil when there is none
	set      *set
	newest   Place
	last     uint64 // number of the newest run
	merging  int
	failed   error
	closed   bool
}

// set is the runs of one moment, oldest first. Who reads them holds it.
type set struct {
	runs []*run
	refs atomic.Int32
}

// Open opens the store in a folder, which exists, and removes what a crash left
// behind there. Where the error is ErrDamaged, the folder is to be emptied.
func Open(dir string, d Disk, opt Options) (*Store, error) {
	if opt.Records == 0 {
		opt.Records = DefaultRecords
	}
	if opt.Resident == 0 {
		opt.Resident = DefaultResident
	}
	s := &Store{dir: dir, disk: d, opt: opt, quit: make(chan struct{}), active: newTable(opt.Records)}
	s.changed = sync.NewCond(&s.mu)
	m, err := readManifest(d, dir)
	if err != nil {
		return nil, err
	}
	if m == nil {
		m = new(manifest)
		if _, err := rand.Read(m.key[:]); err != nil {
			return nil, fmt.Errorf("drawing the key of the index: %w", err)
		}
	}
	s.key = m.key
	if err := s.removeOrphans(m.numbers); err != nil {
		return nil, err
	}
	if err := s.openRuns(m.numbers); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.startMerges()
	return s, nil
}

func (s *Store) removeOrphans(live []uint64) error {
	names, err := s.disk.List(s.dir)
	if err != nil {
		return fmt.Errorf("listing the index: %w", err)
	}
	for _, name := range names {
		stray := strings.HasSuffix(name, runSuffix) && !slices.ContainsFunc(live, func(n uint64) bool { return runName(n) == name })
		if stray || strings.HasSuffix(name, tmpSuffix) {
			if err := s.disk.Remove(filepath.Join(s.dir, name)); err != nil {
				return fmt.Errorf("removing what a crash left of the index: %w", err)
			}
		}
	}
	return nil
}

func (s *Store) openRuns(numbers []uint64) (err error) {
	var live []*run
	for _, n := range numbers {
		r, err := openRun(s.disk, filepath.Join(s.dir, runName(n)), s.opt.Resident)
		if err == nil && (r.number != n || !r.first.After(s.newest)) {
			err = errors.Join(r.damaged("it is another run than its name and its place say"), r.f.Close())
		}
		if err != nil {
			for _, r := range live {
				r.f.Close()
			}
			return err
		}
		live = append(live, r)
		s.newest, s.last = r.last, max(s.last, n)
	}
	s.set = newSet(live)
	return nil
}

// newSet makes a set, which its maker holds.
func newSet(live []*run) *set {
	v := &set{runs: live}
	for _, r := range live {
		r.sets.Add(1)
	}
	v.refs.Add(1)
	return v
}

// release ends the holding of a set.
func (s *Store) release(v *set) {
	if v.refs.Add(-1) == 0 {
		for _, r := range v.runs {
			r.release(s.disk)
		}
	}
}

// nextNumber is that of a new run. The caller holds mu.
func (s *Store) nextNumber() uint64 {
	s.last++
	return s.last
}

// Print is the fingerprint of a key in one of several spaces.
func (s *Store) Print(space byte, key []byte) Print {
	var b [40]byte
	return Print(s.key.sum(append(append(b[:0], space), key...))) & printMask
}

// Add adds a group. Groups come in the order of their places; one that is not
// behind the newest was added before, and changes nothing. It waits only where
// the disk is slower than the caller by a whole table.
func (s *Store) Add(g *Group) error {
	if len(g.IDs) == 0 {
		return nil
	}
	if len(g.IDs) > maxGroup {
		return fmt.Errorf("a group of %d records is too large for the index", len(g.IDs))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !(Place{g.Seq, g.Offset, 0}).After(s.newest) {
		return nil
	}
	if !s.active.fits(g) {
		if err := s.rotate(max(len(g.IDs), (len(g.Lists)+listsPerRecord-1)/listsPerRecord)); err != nil {
			return err
		}
	}
	if s.closed {
		return ErrClosed
	}
	s.active.add(g)
	s.newest = s.active.last
	return nil
}

// rotate takes a new table with room for a group and gives the full one to
// flush. The caller holds mu.
func (s *Store) rotate(group int) error {
	for s.flushing != nil && s.failed == nil {
		s.changed.Wait()
	}
	if s.failed != nil {
		return s.failed
	}
	if s.closed {
		return ErrClosed
	}
	full := s.active
	s.active = newTable(max(s.opt.Records, group))
	if len(full.places) == 0 {
		return nil
	}
	s.flushing = full
	s.wg.Add(1)
	go s.flush(full, s.nextNumber())
	return nil
}

// flush makes a run of a full table.
func (s *Store) flush(t *table, number uint64) {
	defer s.wg.Done()
	s.mu.Lock()
	for len(s.set.runs) >= maxRuns && s.merging > 0 {
		s.changed.Wait()
	}
	s.mu.Unlock()
	r, err := s.create(header{number: number, first: t.first, last: t.last,
		ids: int64(t.ids.len()), lists: int64(t.lists.len()), latest: t.latest},
		func(w *writer) error {
			if err := errors.Join(t.each(&t.ids, w.add), w.endPart()); err != nil {
				return err
			}
			return errors.Join(t.each(&t.lists, w.add), w.endPart())
		})
	if err == nil {
		err = s.replace(nil, r)
	}
	if err != nil {
		s.fail(fmt.Errorf("writing the index: %w", err))
	}
}

// replace puts r in the place of neighbours, or, where there are none, behind
// all runs in the place of the table that is being flushed. See the package's
// commit order.
func (s *Store) replace(old []*run, r *run) error {
	s.commit.Lock()
	defer s.commit.Unlock()
	s.mu.RLock()
	live, failed := slices.Clone(s.set.runs), s.failed
	s.mu.RUnlock()
	if failed != nil { // perhaps the manifest is gone: it must not come back
		return errors.Join(errQuit, r.f.Close())
	}
	if len(old) == 0 {
		live = append(live, r)
	} else {
		i := slices.Index(live, old[0])
		live = slices.Replace(live, i, i+len(old), r)
	}
	m := &manifest{key: s.key}
	for _, r := range live {
		m.numbers = append(m.numbers, r.number)
	}
	if err := writeManifest(s.disk, s.dir, m); err != nil {
		return errors.Join(err, r.f.Close())
	}
	for _, r := range old {
		r.remove.Store(true)
	}
	s.mu.Lock()
	before := s.set
	s.set = newSet(live)
	if len(old) == 0 {
		s.flushing = nil
	}
	s.startMerges()
	s.changed.Broadcast()
	s.mu.Unlock()
	s.release(before)
	return nil
}

// fail ends all writing. A damaged index is given up: without its manifest the
// next start makes it again.
func (s *Store) fail(err error) {
	s.commit.Lock()
	if errors.Is(err, ErrDamaged) {
		err = errors.Join(err, ignoreMissing(s.disk.Remove(filepath.Join(s.dir, manifestName))))
	}
	s.mu.Lock()
	first := s.failed == nil && !s.closed
	if s.failed == nil {
		s.failed = err
	}
	s.changed.Broadcast()
	s.mu.Unlock()
	s.commit.Unlock()
	if first && s.opt.Failed != nil {
		s.opt.Failed(err)
	}
}

// found passes an error of a look-up on, and acts on one that is damage.
func (s *Store) found(err error) error {
	if errors.Is(err, ErrDamaged) {
		s.fail(err)
	}
	return err
}

// Newest is the place of the newest record added, Durable that up to which
// nothing is lost in a crash. Both are zero where there is none.
func (s *Store) Newest() Place {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.newest
}

func (s *Store) Durable() Place {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if n := len(s.set.runs); n > 0 {
		return s.set.runs[n-1].last
	}
	return Place{}
}

// IDs finds the records behind after that may have one of the ids, in the order
// of ids and then of places. None that is asked for has a time before since:
// runs of older records are left out. newest is how far was looked: the next
// look may begin behind it.
func (s *Store) IDs(ids []Print, since int64, after Place) (found []Found, newest Place, err error) {
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return nil, newest, ErrClosed
	}
	newest = s.newest
	var at []Place
	for _, t := range []*table{s.flushing, s.active} {
		if t == nil || !t.last.After(after) {
			continue
		}
		for i, p := range ids {
			at = t.find(&t.ids, p, after, math.MaxInt, at[:0])
			found = appendFound(found, i, at)
		}
	}
	v := s.set
	v.refs.Add(1)
	s.mu.RUnlock()
	defer s.release(v)
	var maybe []int
	for _, r := range v.runs {
		if !r.last.After(after) || r.latest < since {
			continue
		}
		if maybe, err = r.pass(ids, maybe[:0]); err != nil {
			return nil, newest, s.found(err)
		}
		for _, i := range maybe {
			if at, err = r.find(&r.idPart, ids[i], after, math.MaxInt, at[:0]); err != nil {
				return nil, newest, s.found(err)
			}
			found = appendFound(found, i, at)
		}
	}
	if len(found) > 1 {
		slices.SortFunc(found, func(a, b Found) int {
			if a.Index != b.Index || a.At == b.At {
				return cmp.Compare(a.Index, b.Index)
			}
			if a.At.After(b.At) {
				return 1
			}
			return -1
		})
	}
	return found, newest, nil
}

func appendFound(found []Found, i int, at []Place) []Found {
	for _, p := range at {
		found = append(found, Found{i, p})
	}
	return found
}

// Page returns up to limit places of a list behind after, in order.
func (s *Store) Page(list Print, after Place, limit int) (out []Place, err error) {
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return nil, ErrClosed
	}
	tables := [2]*table{s.flushing, s.active}
	v := s.set
	v.refs.Add(1)
	s.mu.RUnlock()
	defer s.release(v)
	for _, r := range v.runs {
		if !r.last.After(after) {
			continue
		}
		if out, err = r.find(&r.list, list, after, limit-len(out), out); err != nil {
			return nil, s.found(err)
		}
		if len(out) >= limit {
			return out, nil
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, t := range tables {
		if t != nil && t.last.After(after) {
			out = t.find(&t.lists, list, after, limit-len(out), out)
		}
	}
	return out, nil
}

// Flush makes a run of what is in memory, and waits for it.
func (s *Store) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.rotate(0); err != nil {
		return err
	}
	for s.flushing != nil && s.failed == nil {
		s.changed.Wait()
	}
	return s.failed
}

// Close ends merges, waits for what is being written and closes the files.
// What is in memory only is dropped: see Flush.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.quit)
	s.mu.Unlock()
	s.wg.Wait()
	s.release(s.set)
	return nil
}
