package runs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// model is a store beside a map, and what its owner has in its own files.
type model struct {
	t      testing.TB
	r      *rand.Rand
	dir    string
	disk   *testDisk
	opt    Options
	s      *Store
	groups []modelGroup
	ids    map[uint64][]Place
	lists  map[uint64][]Place
}

type modelGroup struct {
	at    Place
	ids   []uint64
	lists [][]uint64
}

func newModel(t testing.TB, seed uint64, records int) *model {
	m := &model{t: t, r: rand.New(rand.NewPCG(seed, 9)), dir: memoryDir(t), disk: sound(), ids: map[uint64][]Place{}, lists: map[uint64][]Place{}}
	m.opt = Options{Records: records, Resident: int64(records) * 3} // those of merged runs are not
	m.open()
	return m
}

// memoryDir is a folder in memory, where there is one: no test here needs a disk.
func memoryDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "qifeng-runs-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// open opens the store and adds again what it may have lost.
func (m *model) open() {
	m.t.Helper()
	s, err := Open(m.dir, m.disk, m.opt)
	if err != nil {
		m.t.Fatal(err)
	}
	m.s = s
	durable := s.Durable()
	for _, g := range m.groups {
		if last := (Place{g.at.Seq, g.at.Offset, uint32(len(g.ids) - 1)}); last.After(durable) || m.r.IntN(4) == 0 {
			if err := m.s.Add(m.group(g)); err != nil {
				m.t.Fatal(err)
			}
		}
	}
}

// timeOf is the time of a record, which its id is of.
func timeOf(id uint64) int64 { return int64(id>>40) - 100 }

func word(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func (m *model) group(g modelGroup) *Group {
	out := &Group{Seq: g.at.Seq, Offset: g.at.Offset, Latest: latest(g.ids)}
	for i, id := range g.ids {
		out.IDs = append(out.IDs, m.s.Print('i', word(id)))
		for _, l := range g.lists[i] {
			out.Lists = append(out.Lists, Listed{m.s.Print('l', word(l)), uint32(i)})
		}
	}
	return out
}

func latest(ids []uint64) int64 {
	t := timeOf(ids[0])
	for _, id := range ids {
		t = max(t, timeOf(id))
	}
	return t
}

// newID draws an id whose time is about now.
func (m *model) newID() uint64 {
	return (uint64(len(m.groups))+m.r.Uint64N(4))<<40 | m.r.Uint64N(1<<40)
}

func (m *model) add(records int) error {
	g := modelGroup{at: Place{1, 100, 0}}
	if n := len(m.groups); n > 0 {
		g.at = m.groups[n-1].at
	}
	if m.r.IntN(5) == 0 {
		g.at = Place{g.at.Seq + 1 + m.r.Uint64N(3), 50, 0}
		if m.r.IntN(30) == 0 {
			g.at.Seq += m.r.Uint64N(1 << 40)
		}
	} else {
		g.at.Offset += 1 + m.r.Uint32N(1000)
	}
	for i := range records {
		id := m.newID()
		if m.r.IntN(10) == 0 && len(m.groups) > 0 { // two records of one id
			old := m.groups[m.r.IntN(len(m.groups))]
			id = old.ids[m.r.IntN(len(old.ids))]
		}
		lists := []uint64{m.r.Uint64(), 1 << 32 * (1 + m.r.Uint64N(20)), m.r.Uint64N(3)}[:m.r.IntN(4)]
		at := Place{g.at.Seq, g.at.Offset, uint32(i)}
		g.ids, g.lists = append(g.ids, id), append(g.lists, lists)
		m.ids[id] = append(m.ids[id], at)
		for _, l := range lists {
			m.lists[l] = append(m.lists[l], at)
		}
	}
	m.groups = append(m.groups, g)
	return m.s.Add(m.group(g))
}

// check compares everything with the model.
func (m *model) check() {
	m.t.Helper()
	var prints []Print
	var want []Found
	i := 0
	for id, at := range m.ids {
		prints = append(prints, m.s.Print('i', word(id)), m.s.Print('i', word(m.r.Uint64())))
		want = appendFound(want, i, at)
		i += 2
	}
	got, newest, err := m.s.IDs(prints, math.MinInt64, Place{})
	if err != nil || !slices.Equal(got, want) || newest != m.s.Newest() {
		m.t.Fatalf("%d of %d are found: %v", len(got), len(want), err)
	}
	for range 3 {
		after := m.someplace()
		rest := slices.DeleteFunc(slices.Clone(want), func(f Found) bool { return !f.At.After(after) })
		if got, _, err := m.s.IDs(prints, math.MinInt64, after); err != nil || !slices.Equal(got, rest) {
			m.t.Fatalf("behind %v %d of %d are found: %v", after, len(got), len(rest), err)
		}
	}
	m.checkSince()
	for l, want := range m.lists {
		m.checkList(m.s.Print('l', word(l)), want)
	}
}

// checkSince looks for the ids of a time, and later: all are found, and a run has
// the latest time of its records.
func (m *model) checkSince() {
	m.t.Helper()
	since := timeOf(m.newID()) - m.r.Int64N(int64(len(m.groups)+1))
	var prints []Print
	var want []Found
	for id, at := range m.ids {
		if timeOf(id) >= since {
			want = appendFound(want, len(prints), at)
			prints = append(prints, m.s.Print('i', word(id)))
		}
	}
	got, _, err := m.s.IDs(prints, since, Place{})
	if err != nil || !slices.Equal(got, want) {
		m.t.Fatalf("since %d %d of %d are found: %v", since, len(got), len(want), err)
	}
	m.s.mu.RLock()
	defer m.s.mu.RUnlock()
	for _, r := range m.s.set.runs {
		want := int64(math.MinInt64)
		for _, g := range m.groups {
			if at := (Place{g.at.Seq, g.at.Offset, 0}); !r.first.After(at) && !at.After(r.last) {
				want = max(want, latest(g.ids))
			}
		}
		if r.latest != want {
			m.t.Fatalf("the latest time of a run is %d, of its records %d", r.latest, want)
		}
		if held := r.filter != nil; held != (r.ids <= m.opt.Resident) {
			m.t.Fatalf("the filter of %d ids: %v", r.ids, held)
		}
	}
}

func (m *model) someplace() Place {
	if len(m.groups) == 0 {
		return Place{}
	}
	g := m.groups[m.r.IntN(len(m.groups))]
	return Place{g.at.Seq, g.at.Offset, m.r.Uint32N(uint32(len(g.ids)))}
}

func (m *model) checkList(p Print, want []Place) {
	m.t.Helper()
	var got []Place
	limit := 1 + len(want)/8 + m.r.IntN(5)
	after := Place{}
	for {
		page, err := m.s.Page(p, after, limit)
		if err != nil || len(page) > limit {
			m.t.Fatal(len(page), limit, err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		after = page[len(page)-1]
	}
	if !slices.Equal(got, want) {
		m.t.Fatalf("a list has %d places where %d were added, or in another order", len(got), len(want))
	}
	after = m.someplace()
	all, err := m.s.Page(p, after, math.MaxInt)
	i := slices.IndexFunc(want, func(p Place) bool { return p.After(after) })
	if err != nil || i < 0 && len(all) != 0 || i >= 0 && !slices.Equal(all, want[i:]) {
		m.t.Fatalf("behind %v: %d, %v", after, len(all), err)
	}
}

// idle waits until nothing is merged.
func (m *model) idle() {
	m.t.Helper()
	end := time.Now().Add(10 * time.Second)
	for {
		m.s.mu.Lock()
		done := m.s.merging == 0 && m.s.flushing == nil
		m.s.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(end) {
			m.t.Fatal("merging does not end")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestAgainstAMap(t *testing.T) {
	for seed := range uint64(5) {
		m := newModel(t, seed, 20+int(seed*seed)*20)
		for step := range 150 {
			switch m.r.IntN(20) {
			case 0: // as after a crash of the process
				m.s.Close()
				m.open()
			case 1:
				if err := errors.Join(m.s.Flush(), m.s.Close()); err != nil {
					t.Fatal(err)
				}
				m.open()
			case 2:
				m.idle()
			default:
				if err := m.add(1 + m.r.IntN(60)); err != nil {
					t.Fatal(err)
				}
			}
			if step%30 == 29 {
				m.check()
			}
		}
		m.idle()
		m.check()
		if n := len(runFiles(m.dir)); n != len(m.s.set.runs) {
			t.Errorf("%d files of %d runs", n, len(m.s.set.runs))
		}
		m.s.Close()
	}
}

func TestDiesAtEveryStep(t *testing.T) {
	life := func(m *model) error {
		for range 14 {
			if err := m.add(20); err != nil {
				return err
			}
			m.idleOrDead()
		}
		m.s.Flush()
		m.idleOrDead()
		return nil
	}
	m := newModel(t, 1, 40)
	if err := life(m); err != nil {
		t.Fatal(err)
	}
	m.check()
	steps := m.disk.steps.Load()
	if runs := len(m.s.set.runs); steps < 60 || runs > fan+1 {
		t.Fatalf("%d steps, %d runs", steps, runs)
	}
	m.s.Close()
	for at := range steps {
		m := newModel(t, uint64(at), 40)
		var told sync.Once
		heard := false
		m.s.opt.Failed = func(error) { told.Do(func() { heard = true }) }
		m.disk.left.Store(at)
		if life(m) == nil {
			m.check() // what is there is found all the same
		}
		m.s.Close()
		if !heard && m.s.failed != nil {
			t.Errorf("step %d: it failed and did not say so", at)
		}
		m.disk = sound()
		m.open()
		m.check()
		if err := m.add(100); err != nil {
			t.Fatal(err)
		}
		m.idle()
		m.check()
		if got, want := len(runFiles(m.dir)), len(m.s.set.runs); got != want {
			t.Errorf("step %d: %d files of %d runs", at, got, want)
		}
		m.s.Close()
	}
}

func (m *model) idleOrDead() {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	for (m.s.merging > 0 || m.s.flushing != nil) && m.s.failed == nil {
		m.s.changed.Wait()
	}
}

func TestManyUnderOneList(t *testing.T) {
	m := newModel(t, 1, 1000)
	one := m.s.Print('l', []byte("one"))
	var want []Place
	const records = 100_000
	for i := range records / 100 {
		g := &Group{Seq: 1, Offset: uint32(i)}
		for j := range uint32(100) {
			g.IDs = append(g.IDs, m.s.Print('i', word(uint64(i)<<32|uint64(j))))
			g.Lists = append(g.Lists, Listed{one, j}, Listed{m.s.Print('l', pairBytes(i, j)), j})
			want = append(want, Place{1, uint32(i), j})
		}
		if err := m.s.Add(g); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		m.groups = append(m.groups, modelGroup{at: Place{1, m.r.Uint32N(records / 100), 0}, ids: make([]uint64, 100)})
		m.checkList(one, want)
	}
	m.idle()
	m.checkList(one, want)
	if n := len(m.s.set.runs); n > 3*4+fan {
		t.Errorf("%d runs", n)
	}
	m.s.Close()
}

func pairBytes(i int, j uint32) []byte { return fmt.Appendf(nil, "%d/%d", i, j) }

func TestLookUpsWhileItGrows(t *testing.T) {
	m := newModel(t, 3, 50)
	var added sync.Map // of Print to Place
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := 0
				added.Range(func(k, v any) bool {
					got, _, err := m.s.IDs([]Print{k.(Print)}, 0, Place{})
					if err != nil || len(got) != 1 || got[0].At != v.(Place) {
						t.Errorf("%v where %v was added: %v", got, v, err)
						return false
					}
					n++
					return n < 200
				})
			}
		}()
	}
	for i := range uint32(400) {
		g := &Group{Seq: 1, Offset: i}
		for range 20 {
			g.IDs = append(g.IDs, Print(m.r.Uint64())&printMask)
		}
		if err := m.s.Add(g); err != nil {
			t.Fatal(err)
		}
		for j, p := range g.IDs {
			added.Store(p, Place{1, i, uint32(j)})
		}
	}
	close(stop)
	wg.Wait()
	m.s.Close()
	if _, _, err := m.s.IDs([]Print{1}, 0, Place{}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// What is newer than all that is stored is looked for without reading anything,
// though no filter is held in memory.
func TestNewIDsWaitForNothing(t *testing.T) {
	m := newModel(t, 6, 40)
	m.s.opt.Resident = 1
	for range 40 {
		if err := m.add(20); err != nil {
			t.Fatal(err)
		}
	}
	m.idle()
	newest := latest(m.groups[0].ids)
	for id := range m.ids {
		newest = max(newest, timeOf(id))
	}
	look := func(since int64) int64 {
		before := m.disk.reads.Load()
		if _, _, err := m.s.IDs([]Print{1 << 20, 1 << 40, 1 << 60}, since, Place{}); err != nil {
			t.Fatal(err)
		}
		return m.disk.reads.Load() - before
	}
	if n := look(newest + 1); n != 0 {
		t.Errorf("%d reads for what is newer than all", n)
	}
	if n, runs := look(math.MinInt64), len(m.s.set.runs); n < 3*int64(runs) {
		t.Errorf("%d reads for three ids in %d runs without filters in memory", n, runs)
	}
	m.s.Close()
}

func TestNoRoomPutsMergesOff(t *testing.T) {
	m := newModel(t, 4, 10)
	m.disk.none.Store(true)
	for range 50 {
		if err := m.add(10); err != nil {
			t.Fatal(err)
		}
	}
	m.idle()
	if n := len(m.s.set.runs); n < 20 {
		t.Fatalf("%d runs without room for merging", n)
	}
	m.disk.none.Store(false)
	if err := m.add(10); err != nil {
		t.Fatal(err)
	}
	m.idle()
	m.check()
	if n := len(m.s.set.runs); n > 3*fan {
		t.Errorf("%d runs when there is room again", n)
	}
	m.s.Close()
}
