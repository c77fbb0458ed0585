package runs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

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
	for _, resident := range []int64{1, DefaultResident} {
		testDamage(t, resident)
	}
}

func testDamage(t *testing.T, resident int64) {
	m := filled(t)
	m.opt.Resident = resident
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
	s, err := Open(m.dir, m.disk, Options{Records: m.opt.Records, Resident: m.opt.Resident, Failed: func(err error) { told = err }})
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
	_, _, err = s.IDs(prints, math.MinInt64, Place{})
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
	f.Add(b, true, int64(1))
	f.Add(b, false, int64(1000))
	f.Add(b[:len(b)/2], true, int64(1000))
	f.Fuzz(func(t *testing.T, b []byte, mend bool, resident int64) {
		if mend {
			b = mended(b)
		}
		r, err := load("x.run", memFile{Reader: bytes.NewReader(b)}, resident)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if _, err := r.pass([]Print{0, 1 << 63, math.MaxUint64}, nil); err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
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

// mended gives every block a good checksum, and the file the size that its head
// says.
func mended(b []byte) []byte {
	b = slices.Clone(b)
	seal := func() {
		for n := int64(0); (n+1)*blockSize <= int64(len(b)); n++ {
			end := (n+1)*blockSize - blockTail
			binary.BigEndian.PutUint32(b[end:], checksum(b[n*blockSize:end], n))
		}
	}
	seal()
	if len(b) < blockSize {
		return b
	}
	if h, err := decodeHeader(b); err == nil && h.size() <= 1<<18 {
		b = append(b, make([]byte, max(0, h.size()-int64(len(b))))...)[:h.size()]
		seal()
	}
	return b
}
