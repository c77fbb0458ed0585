package runs

import (
	"math/rand/v2"
	"os"
	"testing"
)

// BenchmarkMerge makes one run of eight, of 2^17 records with three lists each.
func BenchmarkMerge(b *testing.B) {
	s, err := Open(memoryDir(b), sound(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	r := rand.New(rand.NewPCG(1, 2))
	for n := uint32(0); len(s.set.runs) < fan; n++ {
		g := &Group{Seq: 1, Offset: n}
		for i := range uint32(1024) {
			g.IDs = append(g.IDs, Print(r.Uint64())&printMask)
			for range listsPerRecord {
				g.Lists = append(g.Lists, Listed{Print(r.Uint64()) & printMask, i})
			}
		}
		if err := s.Add(g); err != nil {
			b.Fatal(err)
		}
		if n%128 == 127 {
			if err := s.Flush(); err != nil {
				b.Fatal(err)
			}
			s.mu.Lock()
			for _, r := range s.set.runs {
				r.busy = true // nothing is merged by itself
			}
			s.mu.Unlock()
		}
	}
	old := s.set.runs
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		merged, err := s.join(old, 1000+uint64(i))
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		merged.f.Close()
		os.Remove(merged.path)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N*fan*DefaultRecords*(1+listsPerRecord)), "ns/entry")
}
