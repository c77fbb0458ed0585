package canon

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"qifeng/proof/merkle"
)

// Enum reads a string that must be one of allowed, and returns that one.
func (d *Decoder) Enum(allowed ...string) string {
	if i := d.Choice(allowed); i >= 0 {
		return allowed[i]
	}
	return ""
}

// Choice reads a string that must be one of allowed, which need no escapes, and
// returns its place in the list, -1 after an error.
func (d *Decoder) Choice(allowed []string) int {
	for i, a := range allowed {
		if text := d.quoted(len(a)); text != nil && string(text) == a {
			d.pos += len(a) + 2
			return i
		}
	}
	d.chars(64, false)
	d.Fail("is not in the list; allowed are %s", strings.Join(allowed, ", "))
	return -1
}

// decodeHex decodes the 2*len(out) characters that text begins with into out,
// whose length is a multiple of four, and reports whether all of them are
// lower-case hex digits. It takes eight at a time, each in a byte of a word.
func decodeHex(out, text []byte) bool {
	const ones = 0x0101010101010101
	valid := uint64(0x80 * ones)
	for len(out) >= 4 && len(text) >= 8 {
		x := binary.LittleEndian.Uint64(text)
		// The top bit of a byte of x+(0x80-c)*ones says that the character is at
		// least c, as long as none is beyond ASCII.
		digit := (x + (0x80-'0')*ones) &^ (x + (0x80-'9'-1)*ones)
		letter := (x + (0x80-'a')*ones) &^ (x + (0x80-'f'-1)*ones)
		valid &= (digit | letter) &^ x
		// Of a letter the low four bits are 1 to 6, and bit 6 is set.
		v := x&(0x0f*ones) + 9*(x>>6&ones)
		v = (v<<4 | v>>8) & 0x00ff00ff00ff00ff
		v = (v | v>>8) & 0x0000ffff0000ffff
		binary.LittleEndian.PutUint32(out, uint32(v|v>>16))
		out, text = out[4:], text[8:]
	}
	return valid == 0x80*ones && len(out) == 0
}

// isHex reports whether text is lower-case hex digits.
func isHex(text []byte) bool {
	return !slices.ContainsFunc(text, func(c byte) bool { return !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') })
}

// HexInto reads lower-case hex of exactly len(out) bytes into out; the length is
// a multiple of four.
func (d *Decoder) HexInto(out []byte) {
	if text := d.quoted(2 * len(out)); text != nil && decodeHex(out, text) {
		d.pos += len(text) + 2
		return
	}
	d.oddHex(len(out))
	clear(out)
}

// quoted returns the n bytes between two quotes at the position, without
// consuming or judging them, or nil.
func (d *Decoder) quoted(n int) []byte {
	if d.err != nil || len(d.data)-d.pos < n+2 || d.data[d.pos] != '"' || d.data[d.pos+n+1] != '"' {
		return nil
	}
	return d.data[d.pos+1 : d.pos+n+1]
}

// oddHex reads what is not hex of n bytes and says why.
func (d *Decoder) oddHex(n int) {
	s := d.chars(max(256, 2*n), false)
	if d.err != nil {
		return
	}
	if len(s) != 2*n {
		d.Fail("has %d characters; %d hex digits are needed", len(s), 2*n)
		return
	}
	for i, c := range s {
		if !isHex(s[i : i+1]) {
			d.Fail("has %q; only the digits 0-9 and a-f are hex here", c)
			return
		}
	}
	d.Fail("is not hex") // not reached: the short way takes all that is
}

// Hex reads lower-case hex of exactly n bytes and returns it as it stands.
func (d *Decoder) Hex(n int) string { return d.HexLike(n, "") }

// HexLike is Hex, and returns last where the hex is the same.
func (d *Decoder) HexLike(n int, last string) string {
	text := d.quoted(2 * n)
	if text == nil || !isHex(text) {
		d.oddHex(n)
		return ""
	}
	d.pos += len(text) + 2
	if string(text) == last {
		return last
	}
	return string(text)
}

var digestFields = Fields("sha256", "sm3")

// The parts of a digest pair's text, all of which is of one length.
const (
	digestHead = `{"sha256":"`
	digestMid  = `","sm3":"`
	digestTail = `"}`
	midAt      = len(digestHead) + 64
	tailAt     = midAt + len(digestMid) + 64

	// DigestBytes is the length of a digest pair in a document.
	DigestBytes = tailAt + len(digestTail)
)

// Digest reads a digest pair {"sha256":…,"sm3":…}.
func (d *Decoder) Digest() (out merkle.Digest) {
	d.DigestInto(&out)
	return out
}

// DigestInto is Digest into a place that the caller has.
func (d *Decoder) DigestInto(out *merkle.Digest) {
	if d.err == nil && d.depth < MaxDepth && len(d.data)-d.pos >= DigestBytes {
		text := d.data[d.pos : d.pos+DigestBytes]
		if string(text[:len(digestHead)]) == digestHead && string(text[midAt:midAt+len(digestMid)]) == digestMid &&
			string(text[tailAt:]) == digestTail &&
			decodeHex(out.SHA256[:], text[len(digestHead):]) && decodeHex(out.SM3[:], text[midAt+len(digestMid):]) {
			d.pos += DigestBytes
			return
		}
	}
	for key := range d.Object(digestFields) {
		switch key {
		case "sha256":
			d.HexInto(out.SHA256[:])
		case "sm3":
			d.HexInto(out.SM3[:])
		}
	}
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
	s := d.chars(64, false)
	if d.err != nil {
		return time.Time{}
	}
	t, ok := parseTime(s)
	if !ok {
		d.Fail("is not a time like 2026-11-21T08:00:00.000Z (UTC, three decimals, from the year 2000)")
		return time.Time{}
	}
	return t
}

// parseTime reads s in exactly [TimeLayout]; a day that its month does not have
// and a leap second are no times.
func parseTime(s []byte) (time.Time, bool) {
	if len(s) != len(TimeLayout) || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[19] != '.' || s[23] != 'Z' {
		return time.Time{}, false
	}
	bad := false
	number := func(digits []byte) (n int) {
		for _, c := range digits {
			bad = bad || c < '0' || c > '9'
			n = 10*n + int(c-'0')
		}
		return n
	}
	year, month, day := number(s[0:4]), number(s[5:7]), number(s[8:10])
	hour, minute, second, milli := number(s[11:13]), number(s[14:16]), number(s[17:19]), number(s[20:23])
	if bad || year < 2000 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, milli*int(time.Millisecond), time.UTC)
	// Date takes the 30th of February for the 2nd of March.
	return t, day <= 28 || t.Day() == day
}
