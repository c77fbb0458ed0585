package fsck

import (
	"context"
	"fmt"
	"sync"
)

// pool runs jobs on some workers and keeps the error of the earliest one, so
// that the first wrong thing is the same in every run. Jobs are handed over by
// one goroutine; do waits while all workers are busy, which bounds memory.
type pool struct {
	ctx   context.Context
	slots chan struct{}
	wg    sync.WaitGroup
	next  uint64 // owned by the caller of do

	mu    sync.Mutex // guards what follows
	err   error
	first uint64 // the job that err is of
}

func newPool(ctx context.Context, workers int) *pool {
	return &pool{ctx: ctx, slots: make(chan struct{}, workers)}
}

// do runs a job; false says that one has failed, or the context has ended, and
// no more is needed.
func (p *pool) do(job func() error) bool {
	if p.stopped() {
		return false
	}
	n := p.next
	p.next++
	p.slots <- struct{}{}
	p.wg.Go(func() {
		defer func() { <-p.slots }()
		p.keep(n, guarded(job))
	})
	return true
}

// guarded keeps a panic of a library from ending the process: what it was given
// could not be judged.
func guarded(job func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a library gave up: %v", r)
		}
	}()
	return job()
}

func (p *pool) keep(n uint64, err error) {
	if err == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil || n < p.first {
		p.err, p.first = err, n
	}
}

func (p *pool) stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err != nil || p.ctx.Err() != nil
}

// end waits for all jobs. err is what the caller itself found, after all jobs
// that it has handed over.
func (p *pool) end(err error) error {
	p.wg.Wait()
	p.keep(p.next, err)
	if p.err == nil {
		return p.ctx.Err()
	}
	return p.err
}
