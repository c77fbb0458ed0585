package runs

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
)

// errQuit ends a merge because the store is being closed.
var errQuit = errors.New("the index is being closed")

// tier is the size class of a run: 0 is what a table makes, each next one is
// fan times that.
func (s *Store) tier(r *run) (t int) {
	for limit := 2 * int64(s.opt.Records); r.ids >= limit; limit *= fan {
		t++
	}
	return t
}

// due finds the oldest fan neighbours of one tier that are not being merged.
// The caller holds mu.
func (s *Store) due() []*run {
	live := s.set.runs
	for i := 0; i+fan <= len(live); i++ {
		group := live[i : i+fan]
		ok := group[fan-1].last.Seq-group[0].first.Seq <= maxDelta
		for _, r := range group {
			ok = ok && !r.busy && s.tier(r) == s.tier(group[0])
		}
		if ok {
			return group
		}
	}
	return nil
}

// startMerges starts what is due. The caller holds mu.
func (s *Store) startMerges() {
	for s.failed == nil && !s.closed {
		old := s.due()
		if old == nil {
			return
		}
		for _, r := range old {
			r.busy = true
		}
		s.merging++
		s.wg.Add(1)
		go s.merge(old, s.nextNumber())
	}
}

// errNoRoom lets runs wait for room on the disk; until then there are more.
var errNoRoom = errors.New("there is no room for a merge")

func (s *Store) checkRoom(size int64) error {
	free, err := s.disk.Free(s.dir)
	if err == nil && free < uint64(size)+s.opt.Reserve {
		err = errNoRoom
	}
	return err
}

// merge makes one run of neighbours.
func (s *Store) merge(old []*run, number uint64) {
	defer s.wg.Done()
	r, err := s.join(old, number)
	if err == nil {
		err = s.replace(old, r)
	}
	s.mu.Lock()
	s.merging--
	for _, r := range old {
		r.busy = false
	}
	if err == nil {
		s.startMerges()
	}
	s.changed.Broadcast()
	s.mu.Unlock()
	waits := errors.Is(err, errNoRoom) || errors.Is(err, errQuit) || s.opt.Full != nil && s.opt.Full(err)
	if err != nil && !waits {
		s.fail(fmt.Errorf("merging the index: %w", err))
	}
}

// join writes the entries of neighbours into one new run.
func (s *Store) join(old []*run, number uint64) (*run, error) {
	h := header{number: number, first: old[0].first, last: old[len(old)-1].last, latest: math.MinInt64}
	for _, r := range old {
		h.latest = max(h.latest, r.latest)
		h.ids += r.ids
		h.lists += r.lists
	}
	if err := s.checkRoom(h.size()); err != nil {
		return nil, err
	}
	return s.create(h, func(w *writer) error {
		if err := s.mergeParts(w, old, func(r *run) *section { return &r.idPart }); err != nil {
			return err
		}
		return s.mergeParts(w, old, func(r *run) *section { return &r.list })
	})
}

// mergeParts merges one section. Of equal fingerprints those of the older run
// come first, so places rise.
func (s *Store) mergeParts(w *writer, old []*run, part func(*run) *section) error {
	var from []*stream
	for _, r := range old {
		c := &stream{r: r, s: part(r), quit: s.quit}
		if err := c.next(); err != nil {
			return err
		}
		from = append(from, c)
	}
	for {
		var first *stream
		for _, c := range from {
			if !c.done && (first == nil || c.print < first.print) {
				first = c
			}
		}
		if first == nil {
			return w.endPart()
		}
		if err := w.add(first.print, first.place); err != nil {
			return first.r.damaged("%v", err)
		}
		if err := first.next(); err != nil {
			return err
		}
	}
}

// stream reads a section from its beginning.
type stream struct {
	r     *run
	s     *section
	quit  <-chan struct{}
	print Print
	place Place
	done  bool

	all   []byte // the buffer
	buf   []byte // what is left in it
	block int    // the next to be read
	at    int    // entry in buf's first block
	left  int    // entries in buf's first block
}

func (c *stream) next() error {
	if c.at == c.left {
		if err := c.advance(); err != nil || c.done {
			return err
		}
	}
	c.print, c.place = c.r.entry(c.buf, c.at)
	c.at++
	return nil
}

// advance goes to the next block.
func (c *stream) advance() error {
	blocks := int(blocksOf(c.s.entries))
	if len(c.buf) > 0 {
		c.buf = c.buf[blockSize:]
	}
	if len(c.buf) == 0 {
		if c.block == blocks {
			c.done = true
			return nil
		}
		select {
		case <-c.quit:
			return errQuit
		default:
		}
		n := min(chunk/blockSize, blocks-c.block)
		if c.all == nil {
			c.all = make([]byte, n*blockSize)
		}
		c.buf = c.all[:n*blockSize]
		if err := c.r.read(c.buf, c.s.first+int64(c.block)); err != nil {
			return err
		}
		c.block += n
	}
	c.at, c.left = 0, c.s.within(c.block-len(c.buf)/blockSize)
	return nil
}

// create makes the file of a run durable under its name, and opens it.
func (s *Store) create(h header, fill func(*writer) error) (*run, error) {
	path := filepath.Join(s.dir, runName(h.number))
	w, err := newWriter(s.disk, path+tmpSuffix, h)
	if err != nil {
		return nil, err
	}
	if err = fill(w); err == nil {
		err = w.finish()
	}
	if err = errors.Join(err, w.f.Close()); err == nil {
		err = s.disk.Move(path+tmpSuffix, path)
	}
	if err != nil {
		return nil, errors.Join(err, ignoreMissing(s.disk.Remove(path+tmpSuffix)))
	}
	return openRun(s.disk, path, s.opt.Resident)
}
