package floods

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qifeng/api/client"
	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// The main job: workers that each submit a request of some records and wait
// until it is sealed.
const (
	workers   = 6
	perInsert = 100
)

type job struct {
	c      *client.Client
	s      *client.Submitter
	sealed atomic.Int64 // records
	failed atomic.Int64 // requests that were not answered in the end

	mu   sync.Mutex
	open [][]byte // requests that were acknowledged and not yet sealed

	cancel context.CancelFunc
	done   sync.WaitGroup
}

func startJob(t testing.TB, n *network) *job {
	t.Helper()
	j := &job{}
	j.c, j.s = n.submitter(t)
	var ctx context.Context
	ctx, j.cancel = context.WithCancel(context.Background())
	for range workers {
		j.done.Go(func() { j.work(ctx, t) })
	}
	t.Cleanup(func() { j.cancel(); j.done.Wait() })
	return j
}

func (j *job) work(ctx context.Context, t testing.TB) {
	content := merkle.Sum([]byte("contract"))
	for ctx.Err() == nil {
		subs := make([]*evidence.Submission, perInsert)
		for i := range subs {
			subs[i] = j.s.NewContract(evidence.ContractFinal, content, 8)
		}
		req, err := j.s.NewRequest(subs...)
		if err != nil {
			t.Error(err)
			return
		}
		out, err := j.c.Submit(ctx, req.Raw, 10*time.Second)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			j.failed.Add(1)
			t.Logf("a request of the main job: %v", err)
		case out.State == client.Sealed:
			j.sealed.Add(perInsert)
		default:
			j.mu.Lock()
			j.open = append(j.open, req.Raw)
			j.mu.Unlock()
		}
	}
}

// rate is what is sealed a second in a window.
func (j *job) rate(window time.Duration) float64 {
	began, before := time.Now(), j.sealed.Load()
	<-time.After(window)
	return float64(j.sealed.Load()-before) / time.Since(began).Seconds()
}

// end stops the workers and makes sure that everything acknowledged is sealed:
// sending a request again stores nothing twice and tells its state.
func (j *job) end(t testing.TB) {
	t.Helper()
	j.cancel()
	j.done.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, raw := range j.open {
		out, err := j.c.Submit(ctx, raw, 30*time.Second)
		if err != nil || out.State != client.Sealed {
			t.Errorf("acknowledged and not sealed: %v, %v", out, err)
		}
	}
	t.Logf("main job: %d records sealed, %d requests failed, %d were sealed late", j.sealed.Load(), j.failed.Load(), len(j.open))
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
