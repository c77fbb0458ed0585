package chain

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
)

// failure is the way out for whatever ends consensus: the first report counts,
// all others are only logged. It logs by itself, because CometBFT may take the
// process down before anybody has read the channel.
type failure struct {
	log  *slog.Logger
	once sync.Once
	ch   chan error // capacity 1, never closed
}

func newFailure(log *slog.Logger) *failure { return &failure{log: log, ch: make(chan error, 1)} }

func (f *failure) report(err error) {
	f.log.Error("consensus has failed; this process must end", "error", err)
	f.once.Do(func() { f.ch <- err })
}

// watched stands between CometBFT and the app. CometBFT recovers a panic or an
// error of the app in its consensus goroutine, logs "CONSENSUS FAILURE!!!" and
// lives on as a zombie: peers connected, no more blocks. So each is reported
// before CometBFT sees it. A refused transaction is neither.
type watched struct {
	abci.Application
	fail   *failure
	pace   *pace
	votes  *voter
	height func() int64 // the last committed one
}

func (w *watched) guard(call string, err *error) {
	if r := recover(); r != nil {
		w.fail.report(fmt.Errorf("panic in %s: %v\n%s", call, r, debug.Stack()))
		panic(r)
	}
	if *err != nil {
		w.fail.report(fmt.Errorf("%s failed: %w", call, *err))
	}
}

func (w *watched) Info(ctx context.Context, req *abci.RequestInfo) (res *abci.ResponseInfo, err error) {
	defer w.guard("Info", &err)
	return w.Application.Info(ctx, req)
}

func (w *watched) InitChain(ctx context.Context, req *abci.RequestInitChain) (res *abci.ResponseInitChain, err error) {
	defer w.guard("InitChain", &err)
	return w.Application.InitChain(ctx, req)
}

func (w *watched) Query(ctx context.Context, req *abci.RequestQuery) (res *abci.ResponseQuery, err error) {
	defer w.guard("Query", &err)
	return w.Application.Query(ctx, req)
}

func (w *watched) CheckTx(ctx context.Context, req *abci.RequestCheckTx) (res *abci.ResponseCheckTx, err error) {
	defer w.guard("CheckTx", &err)
	return w.Application.CheckTx(ctx, req)
}

func (w *watched) PrepareProposal(ctx context.Context, req *abci.RequestPrepareProposal) (res *abci.ResponsePrepareProposal, err error) {
	defer w.guard("PrepareProposal", &err)
	return w.Application.PrepareProposal(ctx, req)
}

func (w *watched) ProcessProposal(ctx context.Context, req *abci.RequestProcessProposal) (res *abci.ResponseProcessProposal, err error) {
	defer w.guard("ProcessProposal", &err)
	return w.Application.ProcessProposal(ctx, req)
}

func (w *watched) FinalizeBlock(ctx context.Context, req *abci.RequestFinalizeBlock) (res *abci.ResponseFinalizeBlock, err error) {
	defer w.guard("FinalizeBlock", &err)
	w.votes.check(req)
	defer w.pace.since(StepExecute, time.Now())
	return w.Application.FinalizeBlock(ctx, req)
}

func (w *watched) Commit(ctx context.Context, req *abci.RequestCommit) (res *abci.ResponseCommit, err error) {
	defer w.guard("Commit", &err)
	began := time.Now()
	if res, err = w.Application.Commit(ctx, req); err == nil {
		w.pace.since(StepCommit, began)
		w.votes.done(w.height())
	}
	return res, err
}
