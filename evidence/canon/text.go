package canon

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// String reads a string of at most max bytes without control,
// bidirectional-format or zero-width characters.
func (d *Decoder) String(max int) string { return string(d.chars(max, false)) }

// StringLike is String, and returns last where the string is the same: a field
// that mostly repeats is not allocated each time.
func (d *Decoder) StringLike(max int, last string) string {
	raw := d.chars(max, false)
	if string(raw) == last {
		return last
	}
	return string(raw)
}

// StringOf is String, and does not allocate where the string is one of usual.
func (d *Decoder) StringOf(max int, usual []string) string {
	raw := d.chars(max, false)
	for _, u := range usual {
		if string(raw) == u {
			return u
		}
	}
	return string(raw)
}

// Text reads a string of at most max bytes in which line feeds are allowed:
// a signed note inside a proof file.
func (d *Decoder) Text(max int) string { return string(d.chars(max, true)) }

// plain are the characters that stand for themselves in a string and need no
// look at what is around them.
var plain = func() (is [256]bool) {
	for c := 0x20; c < 0x7f; c++ {
		is[c] = c != '"' && c != '\\'
	}
	return is
}()

// chars reads a string in its canonical spelling and returns its characters,
// which are a part of the input unless it has escapes.
func (d *Decoder) chars(max int, lines bool) []byte {
	if !d.expect('"') {
		return nil
	}
	start, at := d.pos, d.pos
	for at < len(d.data) && plain[d.data[at]] {
		at++
	}
	d.pos = at
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; {
		case c == '"':
			raw := d.data[start:d.pos]
			if len(raw) > max {
				d.Fail("is longer than %d bytes", max)
				return nil
			}
			d.pos++
			return raw
		case c == '\\':
			return d.escaped(start, max, lines)
		case c < 0x20 || c == 0x7f:
			d.Fail("has a control character (U+%04X)", c)
			return nil
		case c < utf8.RuneSelf:
			d.pos++
		default:
			if !d.rune() {
				return nil
			}
		}
	}
	d.Fail("is a string without an end")
	return nil
}

// rune consumes one character beyond ASCII.
func (d *Decoder) rune() bool {
	r, n := utf8.DecodeRune(d.data[d.pos:])
	if problem := charProblem(r, n); problem != "" {
		d.Fail("%s", problem)
		return false
	}
	d.pos += n
	return true
}

// escaped goes on with a string from its first backslash; start is where the
// string's text begins.
func (d *Decoder) escaped(start, max int, lines bool) []byte {
	out := slices.Clone(d.data[start:d.pos])
	for d.pos < len(d.data) && len(out) <= max {
		c := d.data[d.pos]
		switch {
		case c == '"':
			d.pos++
			return out
		case c == '\\':
			e := byte(0)
			if d.pos+1 < len(d.data) {
				e = d.data[d.pos+1]
			}
			switch {
			case e == '"' || e == '\\':
				out = append(out, e)
			case e == 'n' && lines:
				out = append(out, '\n')
			default:
				d.Fail("has an escape that canonical JSON does not use, or one of a control character")
				return nil
			}
			d.pos += 2
		case c < 0x20 || c == 0x7f:
			d.Fail("has a control character (U+%04X)", c)
			return nil
		case c < utf8.RuneSelf:
			from, end := d.pos, min(len(d.data), d.pos+max+1-len(out))
			for d.pos < end && plain[d.data[d.pos]] {
				d.pos++
			}
			out = append(out, d.data[from:d.pos]...)
		default:
			from := d.pos
			if !d.rune() {
				return nil
			}
			out = append(out, d.data[from:d.pos]...)
		}
	}
	if len(out) > max {
		d.Fail("is longer than %d bytes", max)
	} else {
		d.Fail("is a string without an end")
	}
	return nil
}

// charProblem says why a character beyond ASCII may not stand in a string, or
// returns "".
func charProblem(r rune, size int) string {
	switch {
	case r == utf8.RuneError && size <= 1:
		return "is not valid UTF-8"
	case 0x80 <= r && r <= 0x9f:
		return fmt.Sprintf("has a control character (U+%04X)", r)
	case r == 0x061c, 0x200e <= r && r <= 0x200f, 0x202a <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069:
		return fmt.Sprintf("has a bidirectional-format character (U+%04X)", r)
	case r == 0x00ad, r == 0x034f, r == 0x115f, r == 0x1160, r == 0x17b4, r == 0x17b5, 0x180b <= r && r <= 0x180f,
		0x200b <= r && r <= 0x200d, 0x2028 <= r && r <= 0x2029, 0x2060 <= r && r <= 0x2065, 0x206a <= r && r <= 0x206f,
		r == 0x3164, r == 0xfeff, r == 0xffa0, 0xfff9 <= r && r <= 0xfffb, 0xe0000 <= r && r <= 0xe007f:
		return fmt.Sprintf("has a zero-width or invisible character (U+%04X)", r)
	}
	return ""
}
