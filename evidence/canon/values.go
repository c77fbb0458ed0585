package canon

import (
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"qifeng/proof/merkle"
)

// Enum reads a string that must be one of allowed.
func (d *Decoder) Enum(allowed ...string) string {
	s := d.str(64, false)
	if d.err == nil && !slices.Contains(allowed, s) {
		d.Fail("is not in the list; allowed are %s", strings.Join(allowed, ", "))
		return ""
	}
	return s
}

// HexInto reads lower-case hex of exactly len(out) bytes into out.
func (d *Decoder) HexInto(out []byte) {
	s := d.str(max(256, 2*len(out)), false)
	if d.err != nil {
		return
	}
	if len(s) != 2*len(out) {
		d.Fail("has %d characters; %d hex digits are needed", len(s), 2*len(out))
		return
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			d.Fail("has %q; only the digits 0-9 and a-f are hex here", c)
			return
		}
	}
	// The length and the alphabet are checked: Decode cannot fail.
	_, _ = hex.Decode(out, []byte(s))
}

// Hex reads lower-case hex of exactly n bytes and returns it as it stands.
func (d *Decoder) Hex(n int) string {
	start := d.pos
	buf := make([]byte, n)
	d.HexInto(buf)
	if d.err != nil {
		return ""
	}
	return string(d.data[start+1 : d.pos-1])
}

var digestFields = Fields("sha256", "sm3")

// Digest reads a digest pair {"sha256":…,"sm3":…}.
func (d *Decoder) Digest() merkle.Digest {
	var out merkle.Digest
	for key := range d.Object(digestFields) {
		switch key {
		case "sha256":
			d.HexInto(out.SHA256[:])
		case "sm3":
			d.HexInto(out.SM3[:])
		}
	}
	return out
}

// Digests reads an array of at most max digest pairs, a Merkle path.
func (d *Decoder) Digests(max int) []merkle.Digest {
	out := []merkle.Digest{}
	for range d.Array(0, max) {
		out = append(out, d.Digest())
	}
	return out
}

// TimeLayout is how times are written: RFC 3339, UTC, milliseconds.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// Time reads a time in [TimeLayout], from the year 2000 to 9999.
func (d *Decoder) Time() time.Time {
	s := d.str(64, false)
	if d.err != nil {
		return time.Time{}
	}
	t, err := time.Parse(TimeLayout, s)
	if err != nil || t.Format(TimeLayout) != s || t.Year() < 2000 {
		d.Fail("is not a time like 2026-11-21T08:00:00.000Z (UTC, three decimals, from the year 2000)")
		return time.Time{}
	}
	return t
}
