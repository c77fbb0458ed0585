//go:build linux

package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"

	"qifeng/archive/runs"
	"qifeng/proof/merkle"
)

// levelIndex is how the index was before ADR 27: every key in goleveldb. It is
// what the runs are measured against.
type levelIndex struct{ db *leveldb.DB }

func (ix *levelIndex) add(group locator, entries []entry) error {
	var b leveldb.Batch
	var key []byte
	for i := range entries {
		id := append([]byte{'i'}, entries[i].id[:]...)
		known, err := ix.db.Get(id, nil)
		if err != nil && !errors.Is(err, leveldb.ErrNotFound) {
			return err
		}
		at := locator{group.seq, group.offset, uint32(i)}.append(nil)
		b.Put(id, append(known[:len(known):len(known)], at...))
		for _, l := range entries[i].lists(nil) {
			key = append(append(append(key[:0], byte(l.space)), l.key...), at...)
			b.Put(key, nil)
		}
	}
	b.Put([]byte{'m'}, group.append(nil))
	return ix.db.Write(&b, nil)
}

// synthetic is record n of an endless archive: its keys are as random as digests.
func synthetic(n uint64) entry {
	e := entry{time: int64(n)}
	var d merkle.Digest
	r := rand.NewPCG(n, 7)
	for _, half := range [][]byte{e.id[:], d.SM3[:], d.SHA256[:]} {
		binary.BigEndian.PutUint64(half, r.Uint64())
		binary.BigEndian.PutUint64(half[24:], r.Uint64())
	}
	e.content = &d
	e.dossier = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n/5), 1) // five records each
	return e
}

func syntheticGroup(first uint64, n int) []entry {
	out := make([]entry, n)
	for i := range out {
		out[i] = synthetic(first + uint64(i))
	}
	return out
}

const (
	benchGroup = 1000
	benchBatch = 200 // groups
)

// groupAt is where group n of the synthetic archive is.
func groupAt(n int) locator {
	return locator{seq: 1 + uint64(n/benchBatch), offset: 100 + uint32(n%benchBatch)*1_000_000}
}

// used is what all threads of this process, or the calling one, have used of the
// processors.
func used(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const thisThread = 1 // RUSAGE_THREAD of Linux

// addGroups adds groups [from, to) and returns what the index used of the
// processors, its background work included, and how long add took. The making
// of the groups is left out of both.
func addGroups(b testing.TB, add func(locator, []entry) error, from, to int) (cpu, took time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := used(syscall.RUSAGE_SELF)
	making := time.Duration(0)
	for n := from; n < to; n++ {
		thread := used(thisThread)
		group := syntheticGroup(uint64(n)*benchGroup, benchGroup)
		making += used(thisThread) - thread
		began := time.Now()
		if err := add(groupAt(n), group); err != nil {
			b.Fatal(err)
		}
		took += time.Since(began)
	}
	return used(syscall.RUSAGE_SELF) - before - making, took
}

func benchIndex(b testing.TB) *index {
	ix, _, err := openIndex(osDisk{}, b.TempDir(), fileStorage, runs.Options{Failed: func(err error) { b.Error(err) }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ix.close() })
	return ix
}

// BenchmarkIndexAdd adds groups of 1000 records with four keys each, background
// work included: cpu-ns/record is of all threads.
func BenchmarkIndexAdd(b *testing.B) {
	run := func(b *testing.B, add func(locator, []entry) error, finish func()) {
		b.ReportAllocs()
		cpu, took := addGroups(b, add, 0, b.N)
		before, began := used(syscall.RUSAGE_SELF), time.Now()
		finish()
		cpu, took = cpu+used(syscall.RUSAGE_SELF)-before, took+time.Since(began)
		b.ReportMetric(float64(cpu)/float64(b.N*benchGroup), "cpu-ns/record")
		b.ReportMetric(float64(took)/float64(b.N*benchGroup), "ns/record")
	}
	b.Run("runs", func(b *testing.B) {
		ix := benchIndex(b)
		run(b, ix.add, func() {
			if err := ix.flush(); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("goleveldb", func(b *testing.B) {
		db, err := leveldb.OpenFile(b.TempDir(), &opt.Options{Filter: filter.NewBloomFilter(10), WriteBuffer: 16 << 20})
		if err != nil {
			b.Fatal(err)
		}
		run(b, (&levelIndex{db}).add, func() {
			if err := db.Close(); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// BenchmarkIndexLookUp looks into an index of a million records, or of as many as
// QIFENG_INDEX_RECORDS says (50000000 takes a few minutes and 5 GB in TMPDIR), and
// says what it has in memory. The misses are asked for by hundreds, as requests do.
func BenchmarkIndexLookUp(b *testing.B) {
	records := 1_000_000
	if s := os.Getenv("QIFENG_INDEX_RECORDS"); s != "" {
		var err error
		if records, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	ix := benchIndex(b)
	groups := records / benchGroup
	for tenth := range 10 {
		from, to := groups*tenth/10, groups*(tenth+1)/10
		cpu, took := addGroups(b, ix.add, from, to)
		n := time.Duration(max(to-from, 1) * benchGroup)
		b.Logf("%d to %d records: %v of processor and %v of waiting a record; %s", from*benchGroup, to*benchGroup, cpu/n, took/n, memory())
	}
	if err := ix.flush(); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d records: %s", records, memory())
	r := rand.New(rand.NewPCG(3, 4))
	stored := func() uint64 { return r.Uint64N(uint64(records)) }
	b.Run("id", func(b *testing.B) {
		for range b.N {
			n := stored()
			got, _, err := ix.byIDs([][32]byte{synthetic(n).id}, math.MinInt64, locator{})
			at := groupAt(int(n / benchGroup))
			at.position = uint32(n % benchGroup)
			if err != nil || len(got) != 1 || got[0].at != at {
				b.Fatal(got, err)
			}
		}
	})
	b.Run("digest", func(b *testing.B) {
		for range b.N {
			d := synthetic(stored()).content.SM3
			if got, err := ix.page(listKey{bySM3, d[:]}, locator{}, 1); err != nil || len(got) != 1 {
				b.Fatal(got, err)
			}
		}
	})
	b.Run("dossier", func(b *testing.B) {
		for range b.N {
			if got, err := ix.page(listKey{byDossier, synthetic(stored()).dossier}, locator{}, 10); err != nil || len(got) != 5 {
				b.Fatal(got, err)
			}
		}
	})
	for name, since := range map[string]int64{"new-ids": int64(records), "late-ids": 0} { // late: captured before what is stored
		b.Run(name, func(b *testing.B) {
			ids := make([][32]byte, 100)
			for range b.N {
				for i := range ids {
					binary.BigEndian.PutUint64(ids[i][:], r.Uint64())
				}
				if got, _, err := ix.byIDs(ids, since, locator{}); err != nil || len(got) > 1 { // one in millions is found in vain
					b.Fatal(got, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N*len(ids)), "ns/id")
		})
	}
}

// memory is what the process holds.
func memory() string {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	status, _ := os.ReadFile("/proc/self/status")
	lines := slices.DeleteFunc(strings.Split(string(status), "\n"), func(l string) bool {
		return !strings.HasPrefix(l, "VmRSS") && !strings.HasPrefix(l, "VmHWM")
	})
	return fmt.Sprintf("heap %d MiB, %s", m.HeapAlloc>>20, strings.Join(lines, ", "))
}
