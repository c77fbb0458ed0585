package fsck

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/cometbft/cometbft/crypto/ed25519"
	cmtstate "github.com/cometbft/cometbft/proto/tendermint/state"
	cmtstore "github.com/cometbft/cometbft/proto/tendermint/store"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmtsm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/types"
)

// blocks are CometBFT's blocks, read by their keys and not by CometBFT's store,
// which ends the process on what it cannot read.
type blocks struct {
	l      *ledger
	c      *checker
	db     *database
	name   string
	height uint64 // of the newest block
	vals   *types.ValidatorSet
	self   []byte // address of the own consensus key

	seen   uint64        // last height that was handed to check
	before []byte        // AppHash before that height
	voted  atomic.Uint64 // newest height with a committed vote of the own key
}

// openBlocks opens the block store. The validators are the members of the
// genesis, each with one vote, at every height.
func (c *checker) openBlocks(l *ledger) (*blocks, error) {
	b := &blocks{l: l, c: c, name: c.rel(c.data("chain", "comet", "data", "blockstore.db"))}
	var vals []*types.Validator
	for _, id := range c.cons.ids {
		pub := ed25519.PubKey(c.cons.cards[id].Consensus.Bytes())
		vals = append(vals, types.NewValidator(pub, 1))
		if id == c.home.Self {
			b.self = pub.Address()
		}
	}
	b.vals = types.NewValidatorSet(vals)
	dir := c.data("chain", "comet", "data", "blockstore.db")
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		if l.head.height > 0 {
			return b, wrong(CodeMissing, b.name, "the ledger is at height %d and there are no blocks", l.head.height)
		}
		return b, nil
	}
	var err error
	if b.db, err = c.openDB(dir, false); err != nil {
		return b, err
	}
	raw, err := b.db.get([]byte("blockStore"))
	if err != nil {
		return b, err
	}
	var st cmtstore.BlockStoreState
	if err := st.Unmarshal(raw); err != nil || st.Base < 0 || st.Height < st.Base {
		return b, wrong(CodeBlock, b.name, "its range of heights is damaged: %v", err)
	}
	b.height = uint64(st.Height)
	if b.height > 0 && st.Base > 1 { // nothing of ours removes blocks
		return b, wrong(CodeBlock, b.name, "it begins at height %d: the blocks before are missing", st.Base).at("height", 1)
	}
	if b.height < l.head.height {
		return b, wrong(CodeComet, b.name, "blocks end at height %d, the ledger is at %d", b.height, l.head.height).at("height", b.height)
	}
	return b, nil
}

func (b *blocks) close() {
	if b.db != nil {
		b.db.close()
	}
}

// quiet checks heights in which the ledger took nothing; false where a job has
// failed.
func (b *blocks) quiet(from, to uint64, appHash []byte) (bool, error) {
	for h := from; h < to; h++ {
		if !b.check(h, appHash, nil) {
			return false, b.c.ctx.Err()
		}
		b.c.progress(PhaseLedger, int64(h), int64(b.l.head.height))
	}
	return true, nil
}

// check checks a block: appHash is the ledger's before it, added what it added.
func (b *blocks) check(height uint64, appHash []byte, added [][]byte) bool {
	b.seen, b.before = height, appHash
	return b.l.pool.do(func() error { return b.block(int64(height), appHash, added, true) })
}

func (b *blocks) wrong(code Code, height int64, format string, args ...any) *Problem {
	return wrong(code, b.name, format, args...).at("height", uint64(height))
}

// block checks one block: its bytes against its id, its commit, its place after
// the block before, its AppHash, and that what the ledger took stands in it.
func (b *blocks) block(height int64, appHash []byte, added [][]byte, executed bool) (err error) {
	defer caught(&err, CodeBlock, fmt.Sprintf("%s, height %d", b.name, height))
	meta, err := b.meta(height)
	if err != nil {
		return err
	}
	block, err := b.load(meta)
	if err != nil {
		return err
	}
	h := block.Header
	switch {
	case h.Height != height || h.ChainID != b.c.cons.chain:
		return b.wrong(CodeBlock, height, "it is block %d of chain %s", h.Height, h.ChainID)
	case !bytes.Equal(h.AppHash, appHash):
		return b.wrong(CodeAppHash, height, "the members agreed on AppHash %X, the ledger before this height gives %X", []byte(h.AppHash), appHash)
	case !bytes.Equal(h.ValidatorsHash, b.vals.Hash()) || !bytes.Equal(h.NextValidatorsHash, b.vals.Hash()):
		return b.wrong(CodeBlock, height, "its validators are not the members of the genesis")
	case h.Version.App != 1:
		return b.wrong(CodeBlock, height, "it is of application version %d", h.Version.App)
	}
	if executed {
		if err := b.contains(block, added); err != nil {
			return err
		}
	}
	if err := b.commit(meta); err != nil {
		return err
	}
	if err := b.follows(block); err != nil {
		return err
	}
	b.c.heights.Add(1)
	return nil
}

func (b *blocks) meta(height int64) (*types.BlockMeta, error) {
	raw, err := b.db.get(fmt.Appendf(nil, "H:%d", height))
	if err != nil {
		return nil, err
	}
	if raw == nil {
		return nil, b.wrong(CodeBlock, height, "the block is missing")
	}
	var p cmtproto.BlockMeta
	if err := p.Unmarshal(raw); err != nil {
		return nil, b.wrong(CodeBlock, height, "its description: %v", err)
	}
	meta, err := types.BlockMetaFromTrustedProto(&p)
	if err == nil {
		err = meta.ValidateBasic()
	}
	if err != nil {
		return nil, b.wrong(CodeBlock, height, "its description: %v", err)
	}
	return meta, nil
}

// load puts a block together from its parts and compares it with its id.
func (b *blocks) load(meta *types.BlockMeta) (*types.Block, error) {
	height, total := meta.Header.Height, meta.BlockID.PartSetHeader.Total
	if total > maxBlockParts {
		return nil, b.wrong(CodeBlock, height, "it has %d parts", total)
	}
	var raw []byte
	for i := range total {
		v, err := b.db.get(fmt.Appendf(nil, "P:%d:%d", height, i))
		if err != nil {
			return nil, err
		}
		var part cmtproto.Part
		if err := part.Unmarshal(v); v == nil || err != nil || part.Index != i {
			return nil, b.wrong(CodeBlock, height, "part %d of %d is missing or damaged: %v", i, total, err)
		}
		raw = append(raw, part.Bytes...)
	}
	var p cmtproto.Block
	if err := p.Unmarshal(raw); err != nil {
		return nil, b.wrong(CodeBlock, height, "%v", err)
	}
	block, err := types.BlockFromProto(&p)
	if err == nil {
		err = block.ValidateBasic()
	}
	if err != nil {
		return nil, b.wrong(CodeBlock, height, "%v", err)
	}
	parts := types.NewPartSetFromData(raw, types.BlockPartSizeBytes)
	if id := (types.BlockID{Hash: block.Hash(), PartSetHeader: parts.Header()}); !id.Equals(meta.BlockID) {
		return nil, b.wrong(CodeBlock, height, "its parts make block %s, its description says %s", id, meta.BlockID)
	}
	at, err := b.db.get(fmt.Appendf(nil, "BH:%x", []byte(block.Hash())))
	if err != nil {
		return nil, err
	}
	if string(at) != strconv.FormatInt(height, 10) {
		return nil, b.wrong(CodeBlock, height, "it is not found by its hash")
	}
	return block, nil
}

// contains checks that what the ledger took at this height stands in the block,
// in this order. What it refused stands between; that it was rightly refused, the
// AppHash of the next block says.
func (b *blocks) contains(block *types.Block, added [][]byte) error {
	i := 0
	for _, tx := range block.Txs {
		if i < len(added) && bytes.Equal(tx, added[i]) {
			i++
		}
	}
	if i < len(added) {
		return b.wrong(CodeAppHash, block.Height, "%d entries that the ledger took at this height do not stand in the block in that order", len(added)-i)
	}
	return nil
}

// commit verifies that more than two thirds of the members committed a block.
func (b *blocks) commit(meta *types.BlockMeta) error {
	height := meta.Header.Height
	key := "C:%d"
	if uint64(height) == b.height {
		key = "SC:%d" // the last one is in no block yet
	}
	raw, err := b.db.get(fmt.Appendf(nil, key, height))
	if err != nil {
		return err
	}
	var p cmtproto.Commit
	if err := p.Unmarshal(raw); raw == nil || err != nil {
		return b.wrong(CodeBlock, height, "its commit is missing or damaged: %v", err)
	}
	commit, err := types.CommitFromProto(&p)
	if err != nil {
		return b.wrong(CodeBlock, height, "its commit: %v", err)
	}
	if err := b.vals.VerifyCommit(b.c.cons.chain, meta.BlockID, height, commit); err != nil {
		return b.wrong(CodeBlock, height, "its commit: %v", err)
	}
	for _, s := range commit.Signatures {
		if bytes.Equal(s.ValidatorAddress, b.self) && s.BlockIDFlag != types.BlockIDFlagAbsent {
			for was := b.voted.Load(); was < uint64(height) && !b.voted.CompareAndSwap(was, uint64(height)); was = b.voted.Load() {
			}
		}
	}
	return nil
}

// follows checks that a block names the one before it, with the commit that is
// stored of that.
func (b *blocks) follows(block *types.Block) error {
	before := block.Height - 1
	if before == 0 {
		return nil
	}
	meta, err := b.meta(before)
	if err != nil {
		return err
	}
	if !block.LastBlockID.Equals(meta.BlockID) {
		return b.wrong(CodeBlock, block.Height, "it follows block %s, stored is %s", block.LastBlockID, meta.BlockID)
	}
	raw, err := b.db.get(fmt.Appendf(nil, "C:%d", before))
	if err != nil {
		return err
	}
	var p cmtproto.Commit
	if err := p.Unmarshal(raw); raw == nil || err != nil {
		return b.wrong(CodeBlock, before, "its commit is missing or damaged: %v", err)
	}
	commit, err := types.CommitFromProto(&p)
	if err != nil || !bytes.Equal(commit.Hash(), block.LastCommitHash) {
		return b.wrong(CodeBlock, before, "its stored commit is not the one in the next block: %v", err)
	}
	return nil
}

// rest checks a block that was stored and not executed yet, CometBFT's state and
// its other files, and the last vote of the own key.
func (b *blocks) rest(l *ledger) error {
	if b.height > l.head.height+1 {
		return wrong(CodeComet, b.name, "blocks go on to height %d, the ledger is at %d: it lost what was committed", b.height, l.head.height).at("height", b.height)
	}
	if b.height == l.head.height+1 {
		if err := b.block(int64(b.height), l.head.appHash, nil, false); err != nil {
			return err
		}
	}
	if b.height > 0 {
		if err := b.state(l); err != nil {
			return err
		}
		if err := b.wal(); err != nil {
			return err
		}
	}
	for _, name := range []string{"blockstore.db", "evidence.db"} {
		if err := b.tables(name); err != nil {
			return err
		}
	}
	return b.c.unlessRestored(b.c.checkLastSigned(b.voted.Load()))
}

// tables reads all of a database that holds nothing else to compare.
func (b *blocks) tables(name string) error {
	dir := b.c.data("chain", "comet", "data", name)
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		if b.height > 0 {
			return wrong(CodeMissing, b.c.rel(dir), "there is no such folder")
		}
		return nil
	}
	if name == "blockstore.db" {
		return b.db.readAll()
	}
	db, err := b.c.openDB(dir, false)
	if err != nil {
		return err
	}
	defer db.close()
	return db.readAll()
}

// state compares CometBFT's state: it is saved after the ledger has committed, so
// it is at the ledger's height or one behind.
func (b *blocks) state(l *ledger) (err error) {
	dir := b.c.data("chain", "comet", "data", "state.db")
	name := b.c.rel(dir)
	defer caught(&err, CodeComet, name)
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		return wrong(CodeMissing, name, "there is no such folder")
	}
	db, err := b.c.openDB(dir, false)
	if err != nil {
		return err
	}
	defer db.close()
	raw, err := db.get([]byte("stateKey"))
	if err != nil {
		return err
	}
	var p cmtstate.State
	if err := p.Unmarshal(raw); raw == nil || err != nil {
		return wrong(CodeComet, name, "the state is missing or damaged: %v", err)
	}
	st, err := cmtsm.FromProto(&p)
	if err != nil {
		return wrong(CodeComet, name, "%v", err)
	}
	want := l.head.appHash
	at := uint64(st.LastBlockHeight)
	switch {
	case st.ChainID != b.c.cons.chain:
		return wrong(CodeComet, name, "it is of chain %s", st.ChainID)
	case at > l.head.height:
		return wrong(CodeComet, l.name, "the ledger is at height %d, CometBFT knows that it was at %d: it lost what it had committed", l.head.height, at).at("height", l.head.height)
	case at+1 < b.height || at+1 < l.head.height:
		return wrong(CodeComet, name, "it is at height %d, the ledger at %d, the blocks at %d: it lost what it had saved", at, l.head.height, b.height).at("height", at)
	case at < l.head.height && b.seen == l.head.height:
		want = b.before
	}
	if at > 0 && !bytes.Equal(st.AppHash, want) {
		return wrong(CodeAppHash, name, "its AppHash is %X, the ledger gives %X", st.AppHash, want).at("height", at)
	}
	if !bytes.Equal(st.Validators.Hash(), b.vals.Hash()) || !bytes.Equal(st.NextValidators.Hash(), b.vals.Hash()) {
		return wrong(CodeComet, name, "its validators are not the members of the genesis")
	}
	if err := b.genesisDoc(db, name); err != nil {
		return err
	}
	return db.readAll()
}

// genesisDoc looks for our genesis in CometBFT's, where it is kept as base64.
func (b *blocks) genesisDoc(db *database, name string) error {
	doc, err := db.get([]byte("genesisDoc"))
	if err == nil && !bytes.Contains(doc, []byte(base64.StdEncoding.EncodeToString(b.c.cons.raw))) {
		return wrong(CodeComet, name, "CometBFT's genesis is not made from this one")
	}
	return err
}
