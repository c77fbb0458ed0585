package wire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"qifeng/proof/merkle"
)

// Pair is a digest pair in lower-case hex (docs/spec/canonical-json.md §1.4).
type Pair struct {
	SHA256 string `json:"sha256"`
	SM3    string `json:"sm3"`
}

// PairOf writes a digest pair.
func PairOf(d merkle.Digest) Pair {
	return Pair{SHA256: hex.EncodeToString(d.SHA256[:]), SM3: hex.EncodeToString(d.SM3[:])}
}

// Digest reads a digest pair.
func (p Pair) Digest() (d merkle.Digest, err error) {
	for _, half := range []struct {
		text string
		into []byte
	}{{p.SHA256, d.SHA256[:]}, {p.SM3, d.SM3[:]}} {
		if len(half.text) != 2*len(half.into) {
			return d, errors.New("a hash of a pair has not 64 hex digits")
		}
		if _, err := hex.Decode(half.into, []byte(half.text)); err != nil {
			return d, fmt.Errorf("a hash of a pair: %w", err)
		}
	}
	return d, nil
}

// Consistency answers GET /v1/consistency: the path that shows the ledger of
// size From to be the beginning of that of size To (docs/spec/merkle.md).
type Consistency struct {
	Chain string `json:"chain"`
	From  uint64 `json:"from"`
	To    uint64 `json:"to"`
	Path  []Pair `json:"path"`

	// FromNote and ToNote are the checkpoints of the two sizes with their first
	// seals. One is missing where that very size did not meet the quorum; a later
	// one covers it.
	FromNote string `json:"from_note,omitempty"`
	ToNote   string `json:"to_note,omitempty"`
}

// TileWidth is the number of hashes or entries of a full C2SP tile.
const TileWidth = 256

// TilePath is the address of a tile below its level (c2sp.org/tlog-tiles):
// x001/x234/067 or, of a partial one, x001/x234/067.p/12.
func TilePath(index uint64, width int) string {
	path := fmt.Sprintf("%03d", index%1000)
	for n := index / 1000; n > 0; n /= 1000 {
		path = fmt.Sprintf("x%03d/%s", n%1000, path)
	}
	if width < TileWidth {
		path += ".p/" + strconv.Itoa(width)
	}
	return path
}
