package canon

import (
	"bytes"
	"strconv"
)

// maxDigits is the length of MaxInt in decimal.
const maxDigits = 16

// Int reads an integer in [min, max]; max is at most [MaxInt].
func (d *Decoder) Int(min, max uint64) uint64 {
	if d.err != nil {
		return 0
	}
	start := d.pos
	for d.pos < len(d.data) && '0' <= d.data[d.pos] && d.data[d.pos] <= '9' {
		d.pos++
	}
	digits := d.data[start:d.pos]
	switch c := d.peek(); {
	case len(digits) == 0 && c == '-':
		d.Fail("is negative; integers are 0 to 2^53-1")
		return 0
	case len(digits) == 0:
		d.unexpected("an integer")
		return 0
	case c == '.' || c == 'e' || c == 'E':
		d.Fail("is not an integer: fractions and exponents are refused")
		return 0
	case len(digits) > 1 && digits[0] == '0':
		d.Fail("has a leading zero")
		return 0
	}
	v := uint64(0)
	for _, c := range digits {
		v = 10*v + uint64(c-'0')
	}
	// Longer digits may have wrapped round; as they do not begin with 0 they are
	// above MaxInt in any case.
	if len(digits) > maxDigits || v > MaxInt {
		d.Fail("is above 2^53-1")
		return 0
	}
	if v < min || v > max {
		d.Fail("is out of range; allowed are %d to %d", min, max)
		return 0
	}
	return v
}

// Bool reads true or false.
func (d *Decoder) Bool() bool {
	for _, v := range []bool{true, false} {
		if text := strconv.FormatBool(v); d.err == nil && bytes.HasPrefix(d.data[d.pos:], []byte(text)) {
			d.pos += len(text)
			return v
		}
	}
	if d.err == nil {
		d.unexpected("true or false")
	}
	return false
}
