package archive

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"qifeng/evidence"
)

// benchRequests makes requests beforehand, so that only the archive is measured.
func benchRequests(b *testing.B, w *world, records int) []*evidence.Request {
	b.Helper()
	reqs := make([]*evidence.Request, b.N)
	for i := range reqs {
		reqs[i] = w.request(submissions(records)...)
	}
	return reqs
}

func benchWorld(b *testing.B) *world {
	w := newWorld(b, func(c *Config) {
		c.Limits = Limits{ReplayWindow: time.Hour, PendingRecords: 1 << 20}
	})
	w.open()
	return w
}

// BenchmarkSubmit is the whole intake: signature check, look-up, hashing,
// journal with fsync, index, paths. The chain is a fake that takes at once.
func BenchmarkSubmit(b *testing.B) {
	for _, records := range []int{1, 100} {
		b.Run(fmt.Sprintf("records=%d/alone", records), func(b *testing.B) {
			w := benchWorld(b)
			reqs := benchRequests(b, w, records)
			b.ReportAllocs()
			b.ResetTimer()
			for _, r := range reqs {
				if _, err := w.a.Submit(context.Background(), r); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*records)/b.Elapsed().Seconds(), "records/s")
		})
		b.Run(fmt.Sprintf("records=%d/64-clients", records), func(b *testing.B) {
			w := benchWorld(b)
			reqs := benchRequests(b, w, records)
			var next atomic.Int64
			b.SetParallelism(64 / runtime.GOMAXPROCS(0))
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := w.a.Submit(context.Background(), reqs[next.Add(1)-1]); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N*records)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkByID reads records back from closed batches, with all paths.
func BenchmarkByID(b *testing.B) {
	w := benchWorld(b)
	var ids []evidence.ID
	for range 20 {
		for _, s := range w.submit(submissions(500)...) {
			ids = append(ids, s.ID)
		}
	}
	w.settled()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if got, err := w.a.ByID(ids[i*7919%len(ids)]); err != nil || len(got) != 1 {
			b.Fatal(err)
		}
	}
}

// BenchmarkReplay is the recovery of a journal.
func BenchmarkReplay(b *testing.B) {
	w := benchWorld(b)
	w.chain.hold = true
	w.submit(submission(evidence.ContractFinal))
	until(b, "batch 1 is closed", func() bool { return w.a.Status().InFlight.Sent > 0 })
	const records = 2000
	for range records / 100 {
		w.submit(submissions(100)...)
	}
	w.close()
	f, err := osDisk{}.open(w.cfg.Dir+"/journal/"+journalName(2), false)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	a := &Archive{cfg: w.cfg, disk: osDisk{}}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		r, err := a.replay("journal", f, opening{2, testNode, testChain}, func(locator, []entry) error { return nil })
		if err != nil || r.batch.records != records {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*records)/b.Elapsed().Seconds(), "records/s")
}
