package fsck

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
)

// lastSigned is CometBFT's file of the consensus key's last signature.
type lastSigned struct {
	Height    *string `json:"height"`
	Round     int64   `json:"round"`
	Step      int8    `json:"step"`
	Signature []byte  `json:"signature"`
	SignBytes string  `json:"signbytes"` // hex
}

// checkLastSigned reads the last vote of the consensus key: voted is the newest
// height whose commit holds a vote of it.
func (c *checker) checkLastSigned(voted uint64) (err error) {
	path := strings.TrimSuffix(c.home.Keys.Consensus, ".json") + ".last-signed.json"
	defer caught(&err, CodeLastSigned, c.rel(path))
	raw, err := c.private(path)
	if err != nil {
		return err
	}
	var f lastSigned
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil || f.Height == nil || f.Step < 0 || f.Step > 3 || f.Round < 0 {
		return wrong(CodeLastSigned, c.rel(path), "it is not in CometBFT's form: %v", err)
	}
	h, err := strconv.ParseInt(*f.Height, 10, 64)
	if err != nil || h < 0 {
		return wrong(CodeLastSigned, c.rel(path), "its height is %q", *f.Height)
	}
	if err := f.verify(h, c.cons.chain, c.cons.cards[c.home.Self].Consensus.Bytes()); err != nil {
		return wrong(CodeLastSigned, c.rel(path), "%v", err)
	}
	if uint64(h) < voted {
		return wrong(CodeLastSigned, c.rel(path), "it knows votes up to height %d, and block %d was committed with a vote of this key", h, voted).at("height", voted)
	}
	return nil
}

// verify checks the signature and what it is over. Of a home that was released
// after a restore, and of a new one, there is none.
func (f *lastSigned) verify(height int64, chain string, key ed25519.PublicKey) error {
	if len(f.Signature) == 0 && f.SignBytes == "" {
		return nil
	}
	msg, err := hex.DecodeString(f.SignBytes)
	if err != nil {
		return errors.New("what was signed is no hex")
	}
	if !ed25519.Verify(key, msg, f.Signature) {
		return errors.New("the signature in it is not one of this key")
	}
	n, size := binary.Uvarint(msg)
	if size <= 0 || n != uint64(len(msg)-size) {
		return errors.New("what was signed is no vote")
	}
	var gotHeight, gotRound int64
	var gotChain string
	if f.Step == 1 {
		var p cmtproto.CanonicalProposal
		if err := p.Unmarshal(msg[size:]); err != nil {
			return err
		}
		gotHeight, gotRound, gotChain = p.Height, p.Round, p.ChainID
	} else {
		var v cmtproto.CanonicalVote
		if err := v.Unmarshal(msg[size:]); err != nil {
			return err
		}
		gotHeight, gotRound, gotChain = v.Height, v.Round, v.ChainID
		if want := map[int8]cmtproto.SignedMsgType{2: cmtproto.PrevoteType, 3: cmtproto.PrecommitType}[f.Step]; v.Type != want {
			return errors.New("its step is not that of the vote that was signed")
		}
	}
	if gotHeight != height || gotRound != f.Round || gotChain != chain {
		return errors.New("height, round or chain are not those of what was signed")
	}
	return nil
}
