package archive

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qifeng/evidence"
)

// journal makes the bytes of a journal with two groups, and where the last
// frame begins. The batch stays open since the one before is not on the chain.
func journal(t *testing.T) (w *world, name string, data []byte, last int64, stored [2][]Stored) {
	t.Helper()
	w = newWorld(t)
	w.chain.hold = true
	w.open()
	w.submit(submission(evidence.ContractFinal))
	until(t, "batch 1 is closed", func() bool { return w.a.Status().Queued.Batches == 1 })
	stored[0] = w.submit(submissions(3)...)
	last = int64(w.a.Status().Open.Bytes)
	stored[1] = w.submit(submissions(2)...)
	w.close()
	name = journalName(2)
	data, err := os.ReadFile(filepath.Join(w.dir, journalDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return w, name, data, last, stored
}

// memFile is a file of bytes that is only read.
type memFile struct {
	*bytes.Reader
	file
}

func (m memFile) ReadAt(p []byte, at int64) (int, error) { return m.Reader.ReadAt(p, at) }
func (m memFile) Stat() (os.FileInfo, error)             { return memInfo{size: m.Reader.Size()}, nil }

type memInfo struct {
	os.FileInfo
	size int64
}

func (m memInfo) Size() int64 { return m.size }

// replayBytes replays a journal of these bytes.
func replayBytes(w *world, data []byte) (*replayed, int, error) {
	a := &Archive{cfg: w.cfg, disk: osDisk{}}
	groups := 0
	r, err := a.replay("journal", memFile{Reader: bytes.NewReader(data)}, opening{2, testNode, testChain},
		func(locator, []entry) error { groups++; return nil })
	return r, groups, err
}

func TestTornTailIsCutAtEveryByte(t *testing.T) {
	w, _, data, last, _ := journal(t)
	for n := last; n < int64(len(data)); n++ {
		r, groups, err := replayBytes(w, data[:n])
		if err != nil || groups != 1 || r.torn != n-last || r.batch.size != last {
			t.Fatalf("cut to %d of %d bytes: %d groups, %+v, %v", n, len(data), groups, r, err)
		}
	}
	if r, groups, err := replayBytes(w, data); err != nil || groups != 2 || r.torn != 0 {
		t.Fatalf("whole: %d groups, %+v, %v", groups, r, err)
	}
}

func TestEveryChangedByteIsFound(t *testing.T) {
	w, _, data, _, _ := journal(t)
	for i := range data {
		for _, flip := range []byte{0x01, 0xff} {
			bad := bytes.Clone(data)
			bad[i] ^= flip
			if _, _, err := replayBytes(w, bad); !errors.Is(err, ErrTampered) {
				t.Fatalf("byte %d of %d changed by %02x: %v", i, len(data), flip, err)
			}
		}
	}
}

func TestLostSectorsOfTheLastFrameAreTorn(t *testing.T) {
	w, _, data, last, _ := journal(t)
	sectors := 0
	for from := last / sector * sector; from < int64(len(data)); from += sector {
		bad := bytes.Clone(data)
		lost := bad[max(from, last):min(from+sector, int64(len(bad)))]
		clear(lost)
		sectors++
		r, groups, err := replayBytes(w, bad)
		if err != nil || groups != 1 || r.torn != int64(len(data))-last {
			t.Fatalf("sector at %d lost: %d groups, %v", from, groups, err)
		}
	}
	if sectors < 4 {
		t.Fatalf("the last frame has only %d sectors", sectors)
	}
}

func TestDamageBeforeTheTailIsCorrupt(t *testing.T) {
	w, _, data, last, _ := journal(t)
	cases := []struct {
		name string
		make func() []byte
	}{
		{"a sector of zeros with a good frame behind", func() []byte {
			bad := bytes.Clone(data)
			from := (last - 600) / sector * sector
			clear(bad[from : from+sector])
			return bad
		}},
		{"the first group is cut out", func() []byte {
			end := int64(len(filePreface)) + frameSize(len(opening{2, testNode, testChain}.encode())-frameHead)
			return append(bytes.Clone(data[:end]), data[last:]...)
		}},
		{"the last group stands twice", func() []byte { return append(bytes.Clone(data), data[last:]...) }},
		{"garbage behind", func() []byte { return append(bytes.Clone(data), "garbage that is no frame"...) }},
		{"another version", func() []byte { bad := bytes.Clone(data); bad[7] = 1; return bad }},
		{"empty", func() []byte { return nil }},
		{"only the preface", func() []byte { return data[:len(filePreface)] }},
		{"the opening is cut off", func() []byte { return data[:len(filePreface)+20] }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := replayBytes(w, c.make())
			if !errors.Is(err, ErrTampered) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), "put the file back") {
				t.Errorf("the error names no mend: %v", err)
			}
		})
	}
}

func TestOpenCutsTheTornTailAndGoesOn(t *testing.T) {
	w, name, data, last, stored := journal(t)
	path := filepath.Join(w.dir, journalDir, name)
	for _, n := range []int64{last + 1, last + frameHead, last + 700, int64(len(data)) - 1} {
		if err := os.WriteFile(path, data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		// The index of a crash at this point knows nothing of the last group.
		if err := os.RemoveAll(filepath.Join(w.dir, indexDir)); err != nil {
			t.Fatal(err)
		}
		a := w.open()
		for _, s := range stored[0] {
			if got, err := a.ByID(s.ID); err != nil || len(got) != 1 || !sameReceipt(got[0], s) {
				t.Fatalf("cut to %d: %s: %v", n, s.ID, err)
			}
		}
		for _, s := range stored[1] {
			if got, err := a.ByID(s.ID); err != nil || len(got) != 0 {
				t.Fatalf("cut to %d: %d of %s, %v", n, len(got), s.ID, err)
			}
		}
		w.close()
		if st, err := os.Stat(path); err != nil || st.Size() != last {
			t.Fatalf("cut to %d: the journal has %d bytes, %v", n, st.Size(), err)
		}
	}
	// With the index knowing what was acknowledged, a shorter journal is a loss.
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	w.open()
	w.close()
	if err := os.WriteFile(path, data[:last+10], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(w.cfg); !errors.Is(err, ErrTampered) {
		t.Fatalf("a journal without an acknowledged group: %v", err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	w.open()
	w.chain.set(func(c *fakeChain) { c.hold = false })
	w.settled()
	for _, s := range append(stored[0], stored[1]...) {
		w.checkPromise(s)
	}
}

func FuzzFrame(f *testing.F) {
	good := sealFrame(append(make([]byte, frameHead), "payload of a frame"...), 7, 0)
	f.Add(good)
	f.Add(append(bytes.Clone(good), good...))
	f.Add(good[:9])
	f.Add(make([]byte, 2000))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		payload, err := readFrame(r, int64(len(data)), 7, 0, maxGroupPayload)
		if err == nil {
			again := sealFrame(append(make([]byte, frameHead), payload...), 7, 0)
			if !bytes.Equal(again, data[:len(again)]) {
				t.Fatalf("a frame was read that is not written so")
			}
			return
		}
		var bad *badFrame
		if !errors.As(err, &bad) {
			t.Fatal(err)
		}
		if _, _, err := torn(r, int64(len(data)), 7, 0, bad); err != nil {
			t.Fatal(err)
		}
	})
}
