package chain

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	abci "github.com/cometbft/cometbft/abci/types"
)

// appVersion is the version of the state machine's rules.
const appVersion = 1

// app is the ABCI 2.0 application. CometBFT calls it over connections that
// each have their own lock: the consensus calls never overlap each other, but
// CheckTx and Query run beside them.
type app struct {
	abci.BaseApplication
	c     *consortium
	store *store
	log   *slog.Logger

	// block is the height executed last and not yet committed. Only consensus
	// calls touch it.
	block *block

	mu        sync.RWMutex // guards what follows
	committed *state
	pending   map[string]map[[32]byte]bool // member -> transactions in the mempool since the last height

	// committing is told of every committed height, after it is durable; a
	// new size is said to be one.
	committing func(st *state, newSize bool)
	// twice is told of two signed headers for one number of a node.
	twice func(t takenBatch, first []byte)
	// alarm reports what a person must look at.
	alarm func(code Code, text string, args ...any)
}

func newApp(c *consortium, s *store, st *state, log *slog.Logger) *app {
	return &app{c: c, store: s, log: log, committed: st, pending: map[string]map[[32]byte]bool{},
		committing: func(*state, bool) {}, twice: func(takenBatch, []byte) {}, alarm: func(Code, string, ...any) {}}
}

// state returns the committed state.
func (a *app) state() *state {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.committed
}

// Info tells CometBFT the height and hash that the store has.
func (a *app) Info(context.Context, *abci.RequestInfo) (*abci.ResponseInfo, error) {
	st := a.state()
	res := &abci.ResponseInfo{Data: "qifeng", Version: formatVersion, AppVersion: appVersion, LastBlockHeight: st.height}
	if st.height > 0 {
		res.LastBlockAppHash = st.appHash[:]
	}
	return res, nil
}

// InitChain checks that CometBFT begins the chain that this node was made for.
func (a *app) InitChain(_ context.Context, req *abci.RequestInitChain) (*abci.ResponseInitChain, error) {
	if req.ChainId != a.c.chainID {
		return nil, fmt.Errorf("init chain: CometBFT begins %s, this node is of %s", req.ChainId, a.c.chainID)
	}
	if !bytes.Equal(req.AppStateBytes, appState(a.c.raw)) {
		return nil, errors.New("init chain: CometBFT's genesis is made from other genesis bytes")
	}
	if len(req.Validators) != len(a.c.ids) {
		return nil, fmt.Errorf("init chain: %d validators, %d members", len(req.Validators), len(a.c.ids))
	}
	st := a.state()
	if st.height != 0 {
		return nil, fmt.Errorf("init chain: the ledger is at height %d", st.height)
	}
	return &abci.ResponseInitChain{AppHash: st.appHash[:]}, nil
}

// appState is the genesis as CometBFT carries it: base64 in a JSON string,
// because CometBFT re-encodes JSON and the bytes must stay as they are.
func appState(raw []byte) []byte {
	return []byte(`"` + base64.StdEncoding.EncodeToString(raw) + `"`)
}

// Query answers CometBFT's question whether a peer is let in: every address is,
// for members may sit behind any; but only the node ids of the register.
func (a *app) Query(_ context.Context, req *abci.RequestQuery) (*abci.ResponseQuery, error) {
	if strings.HasPrefix(req.Path, "/p2p/filter/addr/") {
		return &abci.ResponseQuery{}, nil
	}
	if id, ok := strings.CutPrefix(req.Path, "/p2p/filter/id/"); ok {
		if _, known := a.c.byNode[id]; known {
			return &abci.ResponseQuery{}, nil
		}
		a.log.Warn("refused a peer that is no member's node", "node_id", id)
		return &abci.ResponseQuery{Code: uint32(codeMember), Log: "no member's node has this id"}, nil
	}
	return &abci.ResponseQuery{Code: uint32(codeMalformed), Log: "queries are not answered here"}, nil
}

// CheckTx admits a transaction to the mempool, in the order of cost: size,
// decoding, member, sequence number and the other rules of the state, pending
// bound, and the signature last. On a recheck the signature is known to be good.
func (a *app) CheckTx(_ context.Context, req *abci.RequestCheckTx) (*abci.ResponseCheckTx, error) {
	t, why := a.c.decode(req.Tx)
	if why == nil {
		if why = a.state().check(t); why != nil && why.code == codeSeq && req.Type != abci.CheckTxType_Recheck {
			a.lookAtRefused(t)
		}
	}
	if why == nil {
		why = a.crowded(t)
	}
	if why == nil && req.Type != abci.CheckTxType_Recheck {
		why = a.c.verify(t)
	}
	if why != nil {
		return &abci.ResponseCheckTx{Code: uint32(why.code), Log: why.text}, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending[t.member] == nil {
		a.pending[t.member] = map[[32]byte]bool{}
	}
	a.pending[t.member][sha256.Sum256(t.raw)] = true
	return &abci.ResponseCheckTx{}, nil
}

func (a *app) crowded(t *tx) *refusal {
	a.mu.RLock()
	defer a.mu.RUnlock()
	waiting := a.pending[t.member]
	if len(waiting) < maxPendingPerMember || waiting[sha256.Sum256(t.raw)] {
		return nil
	}
	return refuse(codeBusy, "%s has %d transactions waiting, as many as it may", t.member, len(waiting))
}

// PrepareProposal picks what every node will take: decoded, acceptable on the
// committed state, in order of a node's sequence numbers, and no more than a
// member may have in a block.
func (a *app) PrepareProposal(_ context.Context, req *abci.RequestPrepareProposal) (*abci.ResponsePrepareProposal, error) {
	st := a.state()
	var picked []*tx
	for _, raw := range req.Txs {
		if t, why := a.c.decode(raw); why == nil && st.check(t) == nil {
			picked = append(picked, t)
		}
	}
	slices.SortStableFunc(picked, func(x, y *tx) int {
		if x.batch == nil || y.batch == nil || x.member != y.member {
			return 0
		}
		return cmp.Compare(x.batch.Seq, y.batch.Seq)
	})
	res := &abci.ResponsePrepareProposal{}
	count, room := map[string]int{}, req.MaxTxBytes
	for _, t := range picked {
		if count[t.member] == maxTxsPerMember || int64(len(t.raw))+txOverhead > room {
			continue
		}
		count[t.member]++
		room -= int64(len(t.raw)) + txOverhead
		res.Txs = append(res.Txs, t.raw)
	}
	return res, nil
}

// txOverhead is more than what protobuf adds to a transaction in a block: one
// byte of tag and three of length.
const txOverhead = 8

// ProcessProposal rejects a block that no honest proposer makes: a transaction
// that does not decode or is from no member, or too many of one member. It does
// not look at the state: what is false is refused when the block is executed.
func (a *app) ProcessProposal(_ context.Context, req *abci.RequestProcessProposal) (*abci.ResponseProcessProposal, error) {
	count := map[string]int{}
	for _, raw := range req.Txs {
		t, why := a.c.decode(raw)
		if why == nil {
			if count[t.member]++; count[t.member] > maxTxsPerMember {
				why = refuse(codeCrowded, "%s has more than %d transactions in this block", t.member, maxTxsPerMember)
			}
		}
		if why != nil {
			a.log.Warn("rejected a proposed block", "height", req.Height, "proposer", fmt.Sprintf("%x", req.ProposerAddress), "reason", why.text)
			return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_REJECT}, nil
		}
	}
	return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_ACCEPT}, nil
}

// FinalizeBlock executes a height in memory. It may be called again for the
// same height, after a crash or with another block.
func (a *app) FinalizeBlock(_ context.Context, req *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	base := a.state()
	if req.Height != base.height+1 {
		return nil, fmt.Errorf("finalize block: height %d after %d", req.Height, base.height)
	}
	blk, err := execute(a.c, base, a.store, req.Height, req.Time.UTC(), req.Txs)
	if err != nil {
		return nil, fmt.Errorf("finalize block: %w", err)
	}
	a.block = blk
	res := &abci.ResponseFinalizeBlock{AppHash: blk.next.appHash[:]}
	for i, why := range blk.results {
		r := &abci.ExecTxResult{}
		if why != nil {
			r.Code, r.Log = uint32(why.code), why.text
			a.log.Warn("refused a transaction", "height", req.Height, "position", i, "code", r.Code, "reason", why.text)
		}
		res.TxResults = append(res.TxResults, r)
	}
	for _, m := range req.Misbehavior {
		a.alarm(CodeDoubleVote, "a validator voted twice in one round", "address", fmt.Sprintf("%x", m.Validator.Address), "height", m.Height)
	}
	return res, nil
}

// Commit makes the executed height durable; see [store] for the order.
func (a *app) Commit(context.Context, *abci.RequestCommit) (*abci.ResponseCommit, error) {
	blk := a.block
	if blk == nil {
		return nil, errors.New("commit: no height was executed")
	}
	a.lookAtTaken(blk) // before the height is durable: a crash in between comes back here
	newSize := len(blk.entries) > 0 || blk.next.height == 1
	if err := a.store.commit(blk, newSize); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	a.block = nil
	a.mu.Lock()
	a.committed = blk.next
	clear(a.pending) // CometBFT rechecks what is left in the mempool, and CheckTx counts it again
	a.mu.Unlock()
	a.committing(blk.next, newSize)
	return &abci.ResponseCommit{}, nil
}
