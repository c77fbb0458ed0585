package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// Physical is what the machine can do of the single steps that no intake can
// leave out, on all cores and with nothing else to do.
type Physical struct {
	Head
	// Hash is both leaf hashes of one submission, Verify one SM2 signature over a
	// statement, Sign making one, Sync an fsync after an append of SyncBytes, Make
	// what the generator does to make one record of a request of 100.
	Hash        float64 `json:"hash_only_records_per_s"`
	RecordBytes float64 `json:"submission_bytes"`
	Verify      float64 `json:"sm2_verify_per_s"`
	Sign        float64 `json:"sm2_sign_per_s"`
	Sync        float64 `json:"fsync_per_s"`
	SyncBytes   int     `json:"fsync_bytes"`
	Make        float64 `json:"generator_records_per_s"`
}

// syncBytes is what a group of a hundred records takes in the journal.
const syncBytes = 64 << 10

// Measure takes the figures, each for a while; dir is a folder on the disk that
// the node writes to.
func Measure(ctx context.Context, dir string, each time.Duration, head Head) (*Physical, error) {
	key, err := gm.GenerateKey(gm.SM2)
	if err != nil {
		return nil, err
	}
	by := Submitter{Chain: "bench-00000000", Member: "vendor-a", Key: "submit", Signer: key}
	makers := make([]*Maker, runtime.GOMAXPROCS(0))
	for i := range makers {
		if makers[i], err = NewMaker(by, 100); err != nil {
			return nil, err
		}
	}
	raw, err := makers[0].Next(time.Now())
	if err != nil {
		return nil, err
	}
	req, err := evidence.ParseRequest(append([]byte{}, raw...))
	if err != nil {
		return nil, err
	}
	signed := req.Statement.Signed
	p := &Physical{Head: head, RecordBytes: makers[0].meanBytes(), SyncBytes: syncBytes}
	for _, step := range []struct {
		to *float64
		do func(core int) (int, error)
	}{
		{&p.Hash, func(core int) (int, error) { return len(merkle.LeafHashes(makers[core].forms[0].entries)), nil }},
		{&p.Verify, func(int) (int, error) { return 1, signed.Verify(by.Chain, key.Public()) }},
		{&p.Sign, func(int) (int, error) { _, err := key.Sign(signed.Body); return 1, err }},
		{&p.Make, func(core int) (int, error) { _, err := makers[core].Next(time.Now()); return 100, err }},
	} {
		if *step.to, err = allCores(ctx, each, step.do); err != nil {
			return nil, err
		}
	}
	p.Sync, err = syncRate(ctx, dir, each)
	return p, err
}

// allCores repeats do on every core and returns how much a second was done.
func allCores(ctx context.Context, each time.Duration, do func(core int) (int, error)) (float64, error) {
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	began := time.Now()
	for core := range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for first := true; first || time.Since(began) < each && ctx.Err() == nil; first = false {
				n, err := do(core)
				if err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				done.Add(int64(n))
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(done.Load()) / time.Since(began).Seconds(), ctx.Err()
}

// syncRate is how often a second an append to a file can be made durable.
func syncRate(ctx context.Context, dir string, each time.Duration) (float64, error) {
	f, err := os.CreateTemp(dir, "fsync-*")
	if err != nil {
		return 0, fmt.Errorf("measuring fsync: %w", err)
	}
	defer os.Remove(filepath.Clean(f.Name()))
	defer f.Close()
	block := make([]byte, syncBytes)
	n := 0
	began := time.Now()
	for n == 0 || time.Since(began) < each && ctx.Err() == nil {
		if _, err := f.Write(block); err != nil {
			return 0, fmt.Errorf("measuring fsync: %w", err)
		}
		if err := f.Sync(); err != nil {
			return 0, fmt.Errorf("measuring fsync: %w", err)
		}
		n++
	}
	return float64(n) / time.Since(began).Seconds(), ctx.Err()
}
