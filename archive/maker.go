package archive

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// made is a group on its way to the writer, with the requests that it answers.
type made struct {
	works   []*work
	results []result
	group   *freshGroup   // nil where there is nothing to store
	err     error         // for all works
	done    chan struct{} // closed when it is stored, or is not
}

// holdsAny says that a submission of req is in the group.
func (m *made) holdsAny(req *evidence.Request) bool {
	if m == nil || m.group == nil {
		return false
	}
	for i := range req.Submissions {
		if _, ok := m.group.places[req.Submissions[i].Pair]; ok {
			return true
		}
	}
	return false
}

// makeGroups is the maker: it makes groups of what waits, one ahead of the
// writer, so that one is hashed while the other is synced.
func (a *Archive) makeGroups() {
	defer close(a.groups)
	var before *made // the newest that the writer has taken
	for {
		select {
		case w := <-a.work:
			before = a.hand(w, before)
		case <-a.quit:
			for len(a.work) > 0 { // nothing is added any more
				before = a.hand(<-a.work, before)
			}
			return
		}
	}
}

// hand makes a group and gives it to the writer.
func (a *Archive) hand(first *work, before *made) *made {
	works := a.collect(first)
	m := &made{works: works, results: make([]result, len(works)), done: make(chan struct{})}
	m.err = a.fill(m, before)
	a.groups <- m
	return m
}

// collect takes what waits, up to a group.
func (a *Archive) collect(first *work) []*work {
	group := []*work{first}
	records, bytes := len(first.req.Submissions), int64(len(first.req.Raw))
	for records < a.limits.GroupRecords && bytes < a.limits.GroupBytes {
		select {
		case w := <-a.work:
			group = append(group, w)
			records += len(w.req.Submissions)
			bytes += int64(len(w.req.Raw))
		default:
			return group
		}
	}
	return group
}

// freshGroup is a group in the making, and then what answers are made from.
type freshGroup struct {
	group
	seq     uint64
	slab    []byte          // holds the records' bytes
	leaves  []merkle.Digest // made of all records at once, when they are all there
	pairs   []merkle.Digest // of the records' submissions
	subs    []*evidence.Submission
	places  map[merkle.Digest]uint32
	counts  [3]uint32
	within  []uint32 // place of each record among the group's of its stream
	bytes   int64    // of the records, statements, pairs and blocks
	receipt *merkle.Tree
}

// newFreshGroup is an empty group with room for all that is in works.
func newFreshGroup(works []*work) *freshGroup {
	records, bytes := 0, 0
	for _, w := range works {
		records += len(w.req.Submissions)
		for i := range w.req.Submissions {
			bytes += len(w.req.Submissions[i].Bytes)
		}
	}
	g := &freshGroup{
		slab:  make([]byte, 0, bytes+records*intakeBytes),
		pairs: make([]merkle.Digest, 0, records), subs: make([]*evidence.Submission, 0, records),
		places: make(map[merkle.Digest]uint32, records), within: make([]uint32, 0, records),
	}
	g.records = make([]groupRecord, 0, records)
	return g
}

// errMoved says that the registry changed while a group was made.
var errMoved = errors.New("the register of keys is changing")

// fill makes the group of m. An error is for all its works.
func (a *Archive) fill(m, before *made) error {
	for range maxTries {
		err := a.tryFill(m, before)
		if !errors.Is(err, errMoved) {
			return err
		}
	}
	return &BusyError{RetryAfter: a.limits.RetryPending, Reason: errMoved.Error()}
}

// tryFill makes a group under one registry, or finds that it moved meanwhile.
func (a *Archive) tryFill(m, before *made) error {
	registry, err := a.admit()
	if err != nil {
		return err
	}
	g := newFreshGroup(m.works)
	g.registry, g.received = registry, a.lastReceived
	for i, w := range m.works {
		if m.results[i] = a.place(g, w, before); errors.Is(m.results[i].err, errMoved) {
			return errMoved
		}
	}
	if len(g.records) > 0 {
		g.hash()
		m.group = g
	}
	return nil
}

// admit says whether a group may be stored now, under which registry, and sets
// its time.
func (a *Archive) admit() (registry uint64, err error) {
	if err := a.refusal(); err != nil {
		return 0, err
	}
	if err := a.room(); err != nil {
		return 0, err
	}
	now := a.cfg.Now().UnixMilli()
	if back := time.Duration(a.lastReceived-now) * time.Millisecond; back > a.limits.ClockBack {
		err := fmt.Errorf("%w by %s: the last record came in at %s; set the clock right",
			ErrClock, back, time.UnixMilli(a.lastReceived).UTC().Format(time.RFC3339))
		a.alarm(AlarmClock, err.Error())
		return 0, err
	}
	a.clear(AlarmClock)
	a.lastReceived = max(a.lastReceived, now)
	registry = a.cfg.Chain.RegistrySize()
	if registry == 0 {
		return 0, &BusyError{RetryAfter: a.limits.RetryPending, Reason: "the register of keys is not known yet"}
	}
	return registry, nil
}

// room refuses new records before the disk is really full.
func (a *Archive) room() error {
	free, err := a.disk.free(a.cfg.Dir)
	if err != nil {
		return fmt.Errorf("asking for room on the disk: %w", err)
	}
	if free < a.limits.FreeBytes {
		err := fmt.Errorf("%w: %d MiB are free in %s, new records need %d; make room", ErrFull, free>>20, a.cfg.Dir, a.limits.FreeBytes>>20)
		a.alarm(AlarmFull, err.Error())
		return err
	}
	a.clear(AlarmFull)
	return nil
}

// place finds the place of each submission of w and adds to g what is new.
func (a *Archive) place(g *freshGroup, w *work, before *made) result {
	if err := w.ctx.Err(); err != nil {
		return result{err: fmt.Errorf("waiting for the group: %w", err)}
	}
	if w.registry != g.registry {
		// The key was good under another registry; the header will state this one.
		// A name never gets another key, so the signature need not be checked again.
		st := w.req.Statement
		size, _, err := a.submitKey(st.Submitter, st.Key)
		if err == nil && size != g.registry {
			err = errMoved
		}
		if err != nil {
			return result{err: err}
		}
	}
	if before.holdsAny(w.req) {
		<-before.done // then it is stored, or it is not
	}
	since, _, err := a.find(w.req, w.looked) // what other groups stored meanwhile
	if err != nil {
		return result{err: err}
	}
	r := result{group: g, slots: make([]slot, len(w.req.Submissions))}
	missing := 0
	for i := range w.req.Submissions {
		pair := w.req.Submissions[i].Pair
		at, ok := w.known[i], w.known[i] != (locator{})
		if !ok {
			if p, twice := g.places[pair]; twice {
				r.slots[i] = slot{fresh: true, position: p}
				continue
			}
			at, ok = since[i], since[i] != (locator{})
		}
		if r.slots[i] = (slot{at: at}); !ok {
			r.slots[i] = slot{fresh: true, mine: true}
			missing++
		}
	}
	if missing > 0 {
		g.add(a.cfg.Node, w.req, r.slots)
	}
	return r
}

// add makes the records of those slots of a request that are its own.
func (g *freshGroup) add(node string, req *evidence.Request, slots []slot) {
	signed := req.Statement.Signed.Raw
	st := groupStatement{signed: signed, pairs: make([]merkle.Digest, len(slots)), blocks: kept(req.Blocks), owner: ownerOf(req.Statement)}
	envelope := evidence.NewEnvelope(evidence.Intake{Node: node, ReceivedAt: time.UnixMilli(g.received).UTC(), Statement: merkle.Sum(signed)})
	for i := range slots {
		sub := &req.Submissions[i]
		st.pairs[i] = sub.Pair
		if !slots[i].mine {
			continue
		}
		from := len(g.slab)
		g.slab = envelope.Append(g.slab, uint64(i), sub.Bytes)
		data := g.slab[from:len(g.slab):len(g.slab)]
		slots[i].position = uint32(len(g.records))
		g.places[sub.Pair] = slots[i].position
		stream := streamOf[sub.Kind]
		g.records = append(g.records, groupRecord{data, uint32(len(g.statements)), uint32(i), stream})
		g.pairs = append(g.pairs, sub.Pair)
		g.subs = append(g.subs, sub.Submission)
		g.within = append(g.within, g.counts[stream])
		g.counts[stream]++
		g.bytes += int64(len(data)) + recordEntry
	}
	g.statements = append(g.statements, st)
	g.bytes += int64(len(signed)) + statementEntry + int64(len(st.pairs)+len(st.blocks))*pairSize
}

// streamOf is the place of each kind's stream in evidence.Streams.
var streamOf = func() map[evidence.Kind]uint8 {
	m := make(map[evidence.Kind]uint8)
	for _, k := range evidence.Kinds {
		m[k] = uint8(slices.Index(evidence.Streams[:], k.Stream()))
	}
	return m
}()

// hash makes the leaves and the receipt's tree of the records.
func (g *freshGroup) hash() {
	data := make([][]byte, len(g.records))
	for i := range data {
		data[i] = g.records[i].data
	}
	g.leaves = merkle.LeafHashes(data)
	g.receipt = merkle.NewTree(g.leaves)
	g.blocks = kept(g.receipt.Blocks())
	g.bytes += int64(len(g.blocks)) * pairSize
}
