package chain

import (
	"fmt"

	abci "github.com/cometbft/cometbft/abci/types"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"
)

// durableSigner makes sure that the last-signature file is on disk before a
// signature is handed out. CometBFT's FilePV writes the file synchronously and
// renames it, but does not fsync the folder: after a power failure the old file
// could be back, and the vote out.
type durableSigner struct {
	types.PrivValidator
	folder string
}

// SignVote implements types.PrivValidator.
func (s durableSigner) SignVote(chainID string, vote *cmtproto.Vote) error {
	if err := s.PrivValidator.SignVote(chainID, vote); err != nil {
		return err
	}
	return syncFolder(s.folder)
}

// SignProposal implements types.PrivValidator.
func (s durableSigner) SignProposal(chainID string, proposal *cmtproto.Proposal) error {
	if err := s.PrivValidator.SignProposal(chainID, proposal); err != nil {
		return err
	}
	return syncFolder(s.folder)
}

// doubleGuard finds that the consensus key of this home votes elsewhere: that
// the chain holds a vote of it for a height that this home's last-signature
// file has never reached. That is a home copied by hand, or put back from an
// old copy. To vote on could be a double vote, so the node fails instead.
//
// CometBFT's own double_sign_check_height cannot serve here and stays 0: it
// refuses to start whenever one of the last n commits carries the own
// signature, which after every ordinary restart they do.
//
// The last-signature file is on disk before a vote leaves the process (see
// [durableSigner]), so an honest restart never finds a vote that it does not know. What a parallel copy
// signs while this node also votes becomes CometBFT's evidence of a double
// vote, and an alarm.
type doubleGuard struct {
	address    []byte       // of the own validator
	lastSigned func() int64 // height of the last signature; called by consensus only
}

// check looks at the commit of the height before the one to be executed.
func (g doubleGuard) check(req *abci.RequestFinalizeBlock) error {
	voted := req.Height - 1
	if g.lastSigned == nil || voted <= g.lastSigned() {
		return nil
	}
	for _, v := range req.DecidedLastCommit.Votes {
		if string(v.Validator.Address) == string(g.address) && v.BlockIdFlag != cmtproto.BlockIDFlagAbsent {
			return fmt.Errorf("the consensus key of this home signed height %d, which this home knows only up to %d: the key is in use elsewhere, or the home is an old copy", voted, g.lastSigned())
		}
	}
	return nil
}
