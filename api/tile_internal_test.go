package api

import (
	"strings"
	"testing"

	"filippo.io/torchwood"
)

func TestParseTile(t *testing.T) {
	for _, tt := range []struct {
		level, path string
		want        tile
	}{
		{"0", "000", tile{false, 0, 0, 256}},
		{"0", "000.p/1", tile{false, 0, 0, 1}},
		{"0", "999.p/255", tile{false, 0, 999, 255}},
		{"1", "x001/000", tile{false, 1, 1000, 256}},
		{"63", "x001/x234/067", tile{false, 63, 1234067, 256}},
		{"entries", "x001/x234/067.p/10", tile{true, 0, 1234067, 10}},
		{"2", "x035/x184/x372/x088/831.p/255", tile{false, 2, 35184372088831, 255}},
		{"0", "x999/x999/x999/x999/999", tile{false, 0, maxTileIndex, 256}},
	} {
		if got, field := parseTile(tt.level, tt.path); field != "" || got != tt.want {
			t.Errorf("%s/%s: %+v, %q", tt.level, tt.path, got, field)
		}
	}
	for _, level := range []string{"", "64", "-1", "+1", "00", "01", "1.0", "0x1", "entries ", "Entries", "data", "..", "*", "１"} {
		if _, field := parseTile(level, "000"); field != "level" {
			t.Errorf("level %q: field %q", level, field)
		}
	}
	for _, path := range []string{
		"", "0", "00", "0000", "x000", "x000/000", "001/000", "x001/x000", "x001000", "x001//000", "x001/000/", "/000", "000/", "000.p",
		"000.p/", "000.p/0", "000.p/01", "000.p/256", "000.p/-1", "000.p/+1", "000.p/1/", "000.p/1.p/1", "000.P/1", "000.p/1 ", " 000", "-01",
		"+01", "0_0", "..", "../000", "x001/../000", "00%30", "０００", "x1000/000", "xx01/000", "x01/0000", "000\x00", "000\n",
		"x001/x000/x000/x000/x000/000", strings.Repeat("x001/", 100) + "000", strings.Repeat("9", 400),
	} {
		if got, field := parseTile("0", path); field != "path" {
			t.Errorf("path %q: field %q, %+v", path, field, got)
		}
	}
}

func TestTileWithin(t *testing.T) {
	for _, tt := range []struct {
		path string // level/index
		size uint64 // the least that has it
	}{
		{"0/000.p/1", 1}, {"0/000.p/255", 255}, {"0/000", 256}, {"0/001.p/1", 257}, {"1/000.p/1", 256}, {"1/000.p/2", 512},
		{"1/000", 65536}, {"2/000.p/1", 65536}, {"0/255", 65536}, {"0/256.p/1", 65537}, {"1/001.p/1", 65536 + 256},
		{"2/000", 1 << 24}, {"6/000.p/32", 32 << 48}, {"7/000.p/1", 0}, {"63/000.p/1", 0},
		{"entries/000.p/1", 1}, {"entries/000", 256}, {"entries/256.p/1", 65537},
		{"0/x999/x999/x999/x999/999", 256 * (maxTileIndex + 1)},
	} {
		level, path, _ := strings.Cut(tt.path, "/")
		tile, field := parseTile(level, path)
		if field != "" {
			t.Fatal(tt.path)
		}
		if tt.size == 0 {
			if tile.within(1<<53 - 1) {
				t.Errorf("%s is within the largest ledger", tt.path)
			}
			continue
		}
		if tile.within(tt.size-1) || !tile.within(tt.size) {
			t.Errorf("%s: within %d: %t, within %d: %t", tt.path, tt.size-1, tile.within(tt.size-1), tt.size, tile.within(tt.size))
		}
	}
}

// FuzzParseTile: a path that is taken is the only spelling of its tile, and
// torchwood reads the same in it; what torchwood takes is taken, up to our bounds.
func FuzzParseTile(f *testing.F) {
	for _, s := range []string{"0/000", "entries/x001/234.p/56", "63/x999/999", "1/000.p/256", "data/000", "0/x000/000", "00/000", "0/../000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		level, rest, _ := strings.Cut(s, "/")
		ours, field := parseTile(level, rest)
		theirs, err := torchwood.ParseTilePath("tile/" + s)
		if field == "" {
			if ours.path() != rest {
				t.Fatalf("%q is read as %q", rest, ours.path())
			}
			if err != nil || theirs.N != int64(ours.index) || theirs.W != ours.width || (theirs.L == -1) != ours.bundle ||
				!ours.bundle && theirs.L != int(ours.level) {
				t.Fatalf("%q: ours %+v, theirs %+v %v", s, ours, theirs, err)
			}
		} else if err == nil && theirs.N <= maxTileIndex && theirs.L <= maxLevel && level != "data" { // which is another format's
			t.Fatalf("%q: theirs %+v, ours refuses %s", s, theirs, field)
		}
	})
}
