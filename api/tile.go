package api

import (
	"strconv"
	"strings"

	"qifeng/api/wire"
)

// The form of C2SP tiles (c2sp.org/tlog-tiles).
const (
	tileHeight = 8
	tileWidth  = wire.TileWidth // 1 << tileHeight
	maxLevel   = 63
	bundles    = "entries" // stands in the place of the level

	// maxTileIndex is what five groups of digits can say; the largest ledger has
	// less than a twentieth of it.
	maxTileIndex = 999_999_999_999_999
)

// tile names a tile of hashes, or a bundle of entries.
type tile struct {
	bundle bool
	level  uint8  // of a bundle 0
	index  uint64 // within the level
	width  int    // 1 to tileWidth; full if tileWidth
}

// parseTile reads the two parts of a tile's path, the second without a leading
// slash. A tile has one spelling; every other one is refused, not mended. The
// field that is wrong is named.
func parseTile(level, rest string) (t tile, field string) {
	if level == bundles {
		t.bundle = true
	} else if n, ok := number(level, maxLevel); ok {
		t.level = uint8(n)
	} else {
		return t, "level"
	}
	if len(rest) > maxTilePath {
		return t, "path"
	}
	groups, width, partial := strings.Cut(rest, ".p/")
	t.width = tileWidth
	if partial {
		n, ok := number(width, tileWidth-1)
		if !ok || n == 0 {
			return t, "path"
		}
		t.width = int(n)
	}
	digits := strings.NewReplacer("/", "", "x", "").Replace(groups)
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > maxTileIndex {
		return t, "path"
	}
	if t.index = n; t.path() != rest {
		return t, "path"
	}
	return t, ""
}

// number reads a decimal number of at most max in its one spelling.
func number(s string, max uint64) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && n <= max && strconv.FormatUint(n, 10) == s
}

// path is what stands behind the level.
func (t tile) path() string { return wire.TilePath(t.index, t.width) }

// within reports whether a ledger of this size has the tile: whether all of its
// hashes are complete.
func (t tile) within(size uint64) bool {
	if t.level >= 64/tileHeight {
		return false
	}
	return t.first()+uint64(t.width) <= size>>(t.level*tileHeight)
}

// first is the index of the tile's first hash within the tree's level
// 8·t.level, of a bundle that of its first entry.
func (t tile) first() uint64 { return t.index * tileWidth }

// full reports whether no later ledger has more of this tile.
func (t tile) full() bool { return t.width == tileWidth }
