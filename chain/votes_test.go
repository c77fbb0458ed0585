package chain

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/privval"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
)

// newTestVoter is a voter over the consensus key of one member of four.
func newTestVoter(t *testing.T, f *fixture, marked bool) (*voter, *[]Alarm) {
	t.Helper()
	cfg := f.config("court-a")
	cfg = cfg.withDefaults()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if marked {
		if err := Mark(cfg.MarkPath); err != nil {
			t.Fatal(err)
		}
	}
	alarms := &[]Alarm{}
	pv := privval.LoadFilePV(cfg.ConsensusKeyPath, lastSignedPath(cfg.ConsensusKeyPath))
	return newVoter(pv, &cfg, 4, quiet(), func(code Code, text string, _ ...any) {
		*alarms = append(*alarms, Alarm{Code: code, Text: text})
	}), alarms
}

func vote(v *voter, height int64, round int32, hash byte) (*cmtproto.Vote, error) {
	x := &cmtproto.Vote{Type: cmtproto.PrecommitType, Height: height, Round: round, Timestamp: time.Now().UTC(),
		BlockID: cmtproto.BlockID{Hash: bytes.Repeat([]byte{hash}, 32), PartSetHeader: cmtproto.PartSetHeader{Total: 1, Hash: make([]byte, 32)}}}
	return x, v.SignVote("test-12345678", x)
}

func executing(v *voter, height int64, flag cmtproto.BlockIDFlag) *abci.RequestFinalizeBlock {
	return &abci.RequestFinalizeBlock{Height: height, DecidedLastCommit: abci.CommitInfo{Votes: []abci.VoteInfo{
		{Validator: abci.Validator{Address: []byte("other-address-------")}, BlockIdFlag: cmtproto.BlockIDFlagCommit},
		{Validator: abci.Validator{Address: v.pv.Key.Address}, BlockIdFlag: flag}}}}
}

// TestVoterFindsOldCopies: a vote of the own key that this home did not give
// silences it; nothing else does.
func TestVoterFindsOldCopies(t *testing.T) {
	const commit, none, nilVote = cmtproto.BlockIDFlagCommit, cmtproto.BlockIDFlagAbsent, cmtproto.BlockIDFlagNil
	cases := []struct {
		name      string
		prepare   func(v *voter)
		height    int64 // that is executed; the commit is of the one before
		flag      cmtproto.BlockIDFlag
		committed []byte // the signature in the commit; nil if unknown
		old       bool
	}{
		{"a vote of the last-signature file", nil, 11, commit, nil, false},
		{"absent while this home was away", nil, 16, none, nil, false},
		{"a vote beyond the file", nil, 12, commit, nil, true},
		{"a nil vote beyond the file", nil, 12, nilVote, nil, true},
		{"a vote of this process, not yet looked up", func(v *voter) { _, _ = vote(v, 11, 0, 1) }, 12, commit, nil, false},
		{"another vote at a height where this process voted", func(v *voter) { _, _ = vote(v, 11, 0, 1) }, 12, commit, []byte("other"), true},
		{"a vote at a height that this process passed over", func(v *voter) { _, _ = vote(v, 14, 0, 1) }, 13, commit, []byte("other"), true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v, alarms := newTestVoter(t, newFixture(t), false)
			if _, err := vote(v, 10, 0, 1); err != nil {
				t.Fatal(err)
			}
			v.known, v.signed = 10, map[int64][][]byte{}
			if c.prepare != nil {
				c.prepare(v)
			}
			v.committed = func(int64, []byte) []byte { return c.committed }
			v.check(executing(v, c.height, c.flag))
			why := v.still()
			if (why != nil) != c.old || c.old && (why.code != CodeOldCopy || !why.alarm || len(*alarms) != 1) {
				t.Fatalf("still because of %+v, alarms %+v", why, *alarms)
			}
			if _, err := vote(v, 20, 0, 2); c.old != errors.Is(err, errStill) {
				t.Errorf("voting on: %v", err)
			}
			if err := v.SignProposal("test-12345678", &cmtproto.Proposal{Height: 21}); c.old != errors.Is(err, errStill) {
				t.Errorf("proposing: %v", err)
			}
		})
	}
	v, _ := newTestVoter(t, newFixture(t), false)
	x, err := vote(v, 11, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	v.committed = func(int64, []byte) []byte { return x.Signature }
	if v.check(executing(v, 12, commit)); v.still() != nil {
		t.Errorf("an own vote, found in the commit: %+v", v.still())
	}
}

// TestVoterLeavesDecidedHeights: at heights that more than a third have left
// behind nothing is signed; fewer may lie about where they are.
func TestVoterLeavesDecidedHeights(t *testing.T) {
	v, _ := newTestVoter(t, newFixture(t), false)
	v.others = func() []int64 { return []int64{1 << 40, 5, 0} }
	if _, err := vote(v, 5, 0, 1); err != nil {
		t.Errorf("one member ahead: %v", err)
	}
	v.others = func() []int64 { return []int64{9, 9, 6} }
	if _, err := vote(v, 8, 0, 1); !errors.Is(err, errStill) {
		t.Errorf("two members ahead: %v", err)
	}
	if _, err := vote(v, 9, 0, 1); err != nil {
		t.Errorf("in step: %v", err)
	}
}

// TestVoterReleasesMarkedHomes: a marked home keeps still until enough others
// are there and the height that they were deciding is committed.
func TestVoterReleasesMarkedHomes(t *testing.T) {
	f := newFixture(t)
	v, alarms := newTestVoter(t, f, true)
	if why := v.still(); why == nil || why.code != CodeRestored || !why.alarm {
		t.Fatalf("a marked home: %+v", why)
	}
	v.check(executing(v, 20, cmtproto.BlockIDFlagCommit)) // its earlier life
	v.done(20)
	v.others = func() []int64 { return []int64{22, 22, 0} } // the third is starting
	v.look(20)
	v.done(40)
	if v.target != 0 || v.still() == nil {
		t.Fatal("released without a quorum of others")
	}
	v.others = func() []int64 { return []int64{22, 21, 1 << 50} }
	v.look(20)
	v.others = func() []int64 { return []int64{99, 99, 99} }
	v.look(21)
	v.done(21)
	if v.target != 22 || v.still().code != CodeRestored || !isMarked(v.mark) {
		t.Fatalf("waits for %d, %+v", v.target, v.still())
	}
	v.others = func() []int64 { return []int64{23, 23, 23} }
	v.done(22)
	if v.still() != nil || isMarked(v.mark) || len(*alarms) != 1 || (*alarms)[0].Code != CodeReleased {
		t.Fatalf("after the height: %+v, marked %v, alarms %+v", v.still(), isMarked(v.mark), *alarms)
	}
	v.others = func() []int64 { return nil }
	if _, err := vote(v, 22, 7, 1); err == nil {
		t.Error("voted at the height of its release")
	}
	if _, err := vote(v, 23, 0, 1); err != nil {
		t.Errorf("voting after the release: %v", err)
	}
	v.check(executing(v, 23, cmtproto.BlockIDFlagCommit))
	if v.still() != nil {
		t.Errorf("old votes after the release: %+v", v.still())
	}
}

// TestVoterReleaseFails: a mark that cannot be removed leaves the home still.
func TestVoterReleaseFails(t *testing.T) {
	v, _ := newTestVoter(t, newFixture(t), true)
	v.others = func() []int64 { return []int64{5, 5, 5} }
	v.look(4)
	if err := os.Remove(v.mark); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(v.mark, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	v.done(5)
	if v.still() == nil {
		t.Fatal("released with its mark in place")
	}
	if err := os.RemoveAll(v.mark); err != nil {
		t.Fatal(err)
	}
	if v.done(6); v.still() != nil {
		t.Error("not released when it could be")
	}
	if raw := string(must[[]byte](t)(os.ReadFile(lastSignedPath(filepath.Join(v.folder, "consensus.json"))))); !strings.Contains(raw, `"height": "6"`) {
		t.Errorf("the last-signature file says %s", raw)
	}
}
