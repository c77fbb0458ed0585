package chain

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/privval"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"

	"qifeng/internal/durable"
)

// voter signs this node's votes, and keeps still where a vote could be a second
// one: in a home that was put back from a copy, the consensus key may have voted
// what its last-signature file does not know.
//
//   - A marked home (see [Mark]) neither votes nor seals until it has caught up
//     and the others have committed the height that they were then deciding.
//   - A home copied by hand has no mark. It is found by its own votes: a commit
//     holds a vote of this key at a height beyond the last-signature file, and
//     this process did not sign it. From then on it neither votes nor seals,
//     until a person has looked and marked it.
//   - At heights that others have left behind no vote is signed. It would decide
//     nothing, and would be a second one where an earlier life has voted.
//
// To keep still is no failure: the node follows the chain and answers, and the
// others go on as long as they are a quorum without it.
//
// CometBFT's own double_sign_check_height cannot serve here and stays 0: it
// refuses to start whenever one of the last n commits carries the own
// signature, which after every ordinary restart they do.
//
// Order of a signature: the last-signature file is written and renamed by
// CometBFT's FilePV, its folder is fsynced here, and only then is the signature
// handed out. Without that a power failure could bring the old file back with
// the vote out. An honest restart therefore finds no vote that it does not know.
type voter struct {
	types.PrivValidator // the FilePV
	pv                  *privval.FilePV
	folder              string // of the last-signature file
	mark                string // path of the mark; "" where homes are never marked
	log                 *slog.Logger
	alarm               func(code Code, text string, args ...any)

	// others returns the heights that the connected members work on.
	others func() []int64
	// members is the number of validators, all of power 1.
	members int
	// committed returns the own signature in the commit of a height, nil if the
	// block store does not have it.
	committed func(height int64, address []byte) []byte

	mu     sync.Mutex // guards what follows
	why    *refusedSeal
	marked bool
	target int64 // the others must commit it before a marked home is released; 0 until it has caught up
	known  int64 // votes up to this height are this home's own
	signed map[int64][][]byte
}

var errStill = errors.New("no vote is signed")

// Mark marks a home that was restored from a backup, durably, before its node
// is started: an empty file at the path that Config.MarkPath names. A home may
// be marked more than once.
func Mark(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("marking the home: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close(), durable.SyncFolder(filepath.Dir(path))); err != nil {
		return fmt.Errorf("marking the home: %w", err)
	}
	return nil
}

// isMarked says whether a mark stands. What cannot be looked at counts as one.
func isMarked(path string) bool {
	if path == "" {
		return false
	}
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

func newVoter(pv *privval.FilePV, cfg *Config, members int, log *slog.Logger, alarm func(Code, string, ...any)) *voter {
	v := &voter{PrivValidator: pv, pv: pv, folder: filepath.Dir(cfg.ConsensusKeyPath), mark: cfg.MarkPath, log: log, alarm: alarm,
		others: func() []int64 { return nil }, members: members, committed: func(int64, []byte) []byte { return nil },
		known: pv.LastSignState.Height, signed: map[int64][][]byte{}}
	if isMarked(v.mark) {
		v.marked = true
		v.why = &refusedSeal{code: CodeRestored, alarm: true,
			text: fmt.Sprintf("this home was restored (%s): it votes and seals nothing until it has caught up and the others have committed one block more", v.mark)}
		log.Warn("this home was restored from a backup and keeps still at first", "mark", v.mark)
	}
	return v
}

// still says why this home neither votes nor seals, nil if it may.
func (v *voter) still() *refusedSeal {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.why
}

// SignVote implements types.PrivValidator.
func (v *voter) SignVote(chainID string, vote *cmtproto.Vote) error {
	if err := v.may(vote.Height); err != nil {
		return err
	}
	if err := v.PrivValidator.SignVote(chainID, vote); err != nil {
		return err
	}
	if vote.Type == cmtproto.PrecommitType {
		v.mu.Lock()
		v.signed[vote.Height] = append(v.signed[vote.Height], bytes.Clone(vote.Signature))
		delete(v.signed, vote.Height-signedHeights)
		v.mu.Unlock()
	}
	return durable.SyncFolder(v.folder)
}

// SignProposal implements types.PrivValidator.
func (v *voter) SignProposal(chainID string, proposal *cmtproto.Proposal) error {
	if err := v.may(proposal.Height); err != nil {
		return err
	}
	if err := v.PrivValidator.SignProposal(chainID, proposal); err != nil {
		return err
	}
	return durable.SyncFolder(v.folder)
}

func (v *voter) may(height int64) error {
	if why := v.still(); why != nil {
		return fmt.Errorf("%w: %s", errStill, why.code)
	}
	if v.ahead(height) {
		return fmt.Errorf("%w: the others have left height %d behind", errStill, height)
	}
	return nil
}

// ahead says whether more than a third of the members work on heights beyond
// one: at least one of them is honest, so that height is decided.
func (v *voter) ahead(height int64) bool {
	n := 0
	for _, h := range v.others() {
		if h > height {
			n++
		}
	}
	return n > (v.members-1)/3
}

// check looks, before a height is executed, at the commit of the height before:
// a vote of this key beyond the last-signature file, that this process did not
// sign, was given in another life of this home or by a copy of it.
func (v *voter) check(req *abci.RequestFinalizeBlock) {
	if v == nil {
		return // a test of the watch alone
	}
	voted, address := req.Height-1, v.pv.Key.Address
	if !slices.ContainsFunc(req.DecidedLastCommit.Votes, func(x abci.VoteInfo) bool {
		return string(x.Validator.Address) == string(address) && x.BlockIdFlag != cmtproto.BlockIDFlagAbsent
	}) {
		return
	}
	signature := v.committed(voted, address)
	v.mu.Lock()
	own := voted <= v.known
	if mine := v.signed[voted]; !own && len(mine) > 0 {
		own = signature == nil || slices.ContainsFunc(mine, func(s []byte) bool { return bytes.Equal(s, signature) })
	}
	if own || v.why != nil { // a marked home expects votes of its earlier life
		v.mu.Unlock()
		return
	}
	v.why = &refusedSeal{code: CodeOldCopy, alarm: true,
		text: fmt.Sprintf("the consensus key of this home signed height %d, and this home did not: the key is in use elsewhere, or the home is an old copy. It votes and seals nothing. If no other process uses its keys, stop it, mark it as restored (an empty file %s), and start it again", voted, v.mark)}
	why := v.why
	v.mu.Unlock()
	v.alarm(CodeOldCopy, why.text, "height", voted)
}

// look sets, once a marked home has caught up, what it waits for: the greatest
// height that more than a third of the members work on. It needs enough others
// for a block without this member.
func (v *voter) look(height int64) {
	if why := v.still(); why == nil || why.code != CodeRestored {
		return
	}
	heights := slices.DeleteFunc(v.others(), func(h int64) bool { return h <= 0 })
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.target != 0 || 3*len(heights) <= 2*v.members {
		return
	}
	slices.Sort(heights)
	v.target = max(height+1, heights[len(heights)-1-(v.members-1)/3])
	v.log.Info("this restored home has caught up and waits for the others", "height", height, "released_at", v.target)
}

// done is told of a height that has been committed here. It releases a marked
// home, in this order: the last-signature file says the height, so that nothing
// up to it is ever voted on again; the mark is removed; votes are signed. A
// crash in between leaves a marked home, which waits once more.
func (v *voter) done(height int64) {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.marked || v.target == 0 || height < v.target {
		return
	}
	if last := &v.pv.LastSignState; last.Height <= height {
		last.Height, last.Round, last.Step, last.Signature, last.SignBytes = height, math.MaxInt32, stepPrecommit, nil, nil
		last.Save() // panics if it cannot; that ends consensus here, with the mark in place
	}
	err := durable.SyncFolder(v.folder)
	if err == nil {
		err = os.Remove(v.mark)
	}
	if err == nil || errors.Is(err, os.ErrNotExist) {
		err = durable.SyncFolder(filepath.Dir(v.mark))
	}
	if err != nil {
		v.log.Error("a restored home could not be released; it keeps still", "error", err)
		return
	}
	v.known, v.marked, v.why = height, false, nil
	v.alarm(CodeReleased, "this restored home has caught up, and votes and seals again", "height", height)
}

// stepPrecommit is the last step of a round in CometBFT's last-signature file.
const stepPrecommit = 3
