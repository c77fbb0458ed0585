package runs

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// The vectors of the SipHash paper's reference code: key 00..0f, message 00…
func TestSipHash(t *testing.T) {
	var key hashKey
	for i := range key {
		key[i] = byte(i)
	}
	msg := make([]byte, 64)
	for i := range msg {
		msg[i] = byte(i)
	}
	for n, want := range map[int]string{
		0: "310e0edd47db6f72", 1: "fd67dc93c539f874", 7: "37d1018bf50002ab", 8: "6224939a79f5f593",
		15: "e545be4961ca29a1", 63: "724506eb4c328a95",
	} {
		if got := hex.EncodeToString(binary.LittleEndian.AppendUint64(nil, key.sum(msg[:n]))); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
}

func TestFilter(t *testing.T) {
	const n = 100_000
	r := rand.New(rand.NewPCG(1, 2))
	f := make(filter, filterSize(n))
	var in []Print
	for range n {
		in = append(in, Print(r.Uint64())&printMask)
		f.add(in[len(in)-1])
	}
	if got := f.pass(in, nil); len(got) != n {
		t.Fatalf("%d of %d that are in are found", len(got), n)
	}
	var out []Print
	for range n {
		out = append(out, Print(r.Uint64())&printMask)
	}
	if wrong := len(f.pass(out, nil)); wrong > n/100 {
		t.Errorf("%d of %d are let through", wrong, n)
	}
}

func TestManifestIsStrict(t *testing.T) {
	m := manifest{key: hashKey{1, 2, 3}, numbers: []uint64{7, 5}}
	good := m.encode()
	if got, err := decodeManifest(good); err != nil || got.key != m.key || !slices.Equal(got.numbers, m.numbers) {
		t.Fatal(got, err)
	}
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 1
		if _, err := decodeManifest(bad); err == nil {
			t.Errorf("byte %d changed, and it is read", i)
		}
		if _, err := decodeManifest(good[:i]); err == nil {
			t.Errorf("cut to %d, and it is read", i)
		}
	}
}

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
	m.opt = Options{Records: records}
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

func word(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func (m *model) group(g modelGroup) *Group {
	out := &Group{Seq: g.at.Seq, Offset: g.at.Offset}
	for i, id := range g.ids {
		out.IDs = append(out.IDs, m.s.Print('i', word(id)))
		for _, l := range g.lists[i] {
			out.Lists = append(out.Lists, Listed{m.s.Print('l', word(l)), uint32(i)})
		}
	}
	return out
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
		id := m.r.Uint64()
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
	got, newest, err := m.s.IDs(prints, Place{})
	if err != nil || !slices.Equal(got, want) || newest != m.s.Newest() {
		m.t.Fatalf("%d of %d are found: %v", len(got), len(want), err)
	}
	for range 3 {
		after := m.someplace()
		rest := slices.DeleteFunc(slices.Clone(want), func(f Found) bool { return !f.At.After(after) })
		if got, _, err := m.s.IDs(prints, after); err != nil || !slices.Equal(got, rest) {
			m.t.Fatalf("behind %v %d of %d are found: %v", after, len(got), len(rest), err)
		}
	}
	for l, want := range m.lists {
		m.checkList(m.s.Print('l', word(l)), want)
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
					got, _, err := m.s.IDs([]Print{k.(Print)}, Place{})
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
	if _, _, err := m.s.IDs([]Print{1}, Place{}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
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

// filled is a store of several runs, closed.
func filled(t testing.TB) *model {
	m := newModel(t, 5, 200)
	for range 12 {
		if err := m.add(60); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.s.Flush(); err != nil {
		t.Fatal(err)
	}
	m.idle()
	m.s.Close()
	return m
}

// Each byte of a run is under a checksum: a change is found at the start, or when
// the block is read, and is never answered.
func TestDamageIsFound(t *testing.T) {
	m := filled(t)
	for _, path := range append(runFiles(m.dir), filepath.Join(m.dir, manifestName)) {
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 12 {
			bad := slices.Clone(good)
			i := m.r.IntN(len(bad))
			bad[i] ^= 1 << m.r.IntN(8)
			if m.r.IntN(8) == 0 {
				bad = good[:i]
			}
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			m.damaged(path)
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.open()
	m.check()
	m.s.Close()
}

// damaged opens a store of which one byte is wrong.
func (m *model) damaged(path string) {
	manifest := filepath.Join(m.dir, manifestName)
	before, err := os.ReadFile(manifest)
	if err != nil {
		m.t.Fatal(err)
	}
	var told error
	s, err := Open(m.dir, m.disk, Options{Records: m.opt.Records, Failed: func(err error) { told = err }})
	if err != nil {
		if !errors.Is(err, ErrDamaged) {
			m.t.Fatal(err)
		}
		return
	}
	defer s.Close()
	var prints []Print
	for id := range m.ids {
		prints = append(prints, s.Print('i', word(id)))
	}
	_, _, err = s.IDs(prints, Place{})
	for l := range m.lists {
		if _, other := s.Page(s.Print('l', word(l)), Place{}, math.MaxInt); err == nil {
			err = other
		}
	}
	var damage *DamagedError
	if !errors.As(err, &damage) || damage.Path != path || !errors.Is(told, ErrDamaged) {
		m.t.Fatalf("damage of %s is answered with %v, and told as %v", path, err, told)
	}
	if _, err := os.Stat(manifest); !errors.Is(err, os.ErrNotExist) {
		m.t.Fatalf("a damaged index is not given up: %v", err)
	}
	if err := os.WriteFile(manifest, before, 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// FuzzRun reads any file as a run, with its checksums made good.
func FuzzRun(f *testing.F) {
	m := newModel(f, 5, 10)
	if err := errors.Join(m.add(8), m.s.Flush(), m.s.Close()); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(runFiles(m.dir)[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, true)
	f.Add(b, false)
	f.Add(b[:len(b)/2], true)
	f.Fuzz(func(t *testing.T, b []byte, mend bool) {
		if mend {
			b = mended(b)
		}
		r, err := load("x.run", memFile{Reader: bytes.NewReader(b)})
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		for _, s := range []*section{&r.idPart, &r.list} {
			for _, p := range append([]Print{0, 1 << 63, math.MaxUint64}, s.fences[:min(len(s.fences), 20)]...) {
				at, err := r.find(s, p, Place{}, 1000, nil)
				if err != nil && !errors.Is(err, ErrDamaged) {
					t.Fatal(err)
				}
				if int64(len(at)) > s.entries {
					t.Fatalf("%d places of %d", len(at), s.entries)
				}
			}
		}
	})
}

// memFile is a file that is only read.
type memFile struct {
	File
	*bytes.Reader
}

func (f memFile) ReadAt(p []byte, at int64) (int, error) { return f.Reader.ReadAt(p, at) }
func (f memFile) Stat() (os.FileInfo, error)             { return memInfo{size: f.Size()}, nil }

type memInfo struct {
	os.FileInfo
	size int64
}

func (i memInfo) Size() int64 { return i.size }

// mended gives every block and table a good checksum, as far as the head lets it.
func mended(b []byte) []byte {
	b = slices.Clone(b)
	if len(b) < blockSize {
		return b
	}
	seal := func(from, to int64) {
		if from >= 0 && to-from >= blockTail && to <= int64(len(b)) {
			binary.BigEndian.PutUint32(b[to-blockTail:], checksum(b[from:to-blockTail], from/blockSize))
		}
	}
	for n := int64(0); (n+1)*blockSize <= int64(len(b)); n++ {
		seal(n*blockSize, (n+1)*blockSize)
	}
	h, err := decodeHeader(b)
	if err != nil || h.size() > 1<<18 {
		return b
	}
	b = append(b, make([]byte, max(0, h.size()-int64(len(b))))...)[:h.size()]
	for n := int64(0); n < h.blocks(); n++ {
		seal(n*blockSize, (n+1)*blockSize)
	}
	at := h.blocks() * blockSize
	seal(at, at+h.fencesSize())
	seal(at+h.fencesSize(), h.size())
	return b
}
