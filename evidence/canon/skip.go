package canon

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// Raw returns the bytes of the next value, which must be canonical, without
// copying them.
func (d *Decoder) Raw() []byte {
	start := d.pos
	d.skip()
	if d.err != nil {
		return nil
	}
	return d.data[start:d.pos:d.pos]
}

// skip reads any canonical value.
func (d *Decoder) skip() {
	switch c := d.peek(); {
	case c == '{':
		d.skipObject()
	case c == '[':
		d.skipArray()
	case c == '"':
		d.chars(len(d.data), true)
	case c == 't' || c == 'f':
		d.Bool()
	default:
		d.Int(0, MaxInt)
	}
}

func (d *Decoder) skipArray() {
	if !d.enter('[', inArray) {
		return
	}
	for d.element(MaxInt) {
		d.skip()
	}
	if d.err == nil {
		d.leave(']')
	}
}

func (d *Decoder) skipObject() {
	if !d.enter('{', freeKeys) {
		return
	}
	f := &d.frames[d.depth-1]
	var last []byte
	for first := true; d.err == nil && d.peek() != '}'; first = false {
		f.start = -1
		if !first && !d.expect(',') {
			return
		}
		at := d.pos
		name := d.chars(maxKey, false)
		order := bytes.Compare(name, last)
		switch {
		case d.err != nil:
			return
		case !isASCII(name):
			d.Fail("has a key that is not ASCII")
		case !first && order == 0:
			d.FailAt(fieldName(string(name)), "appears twice")
		case !first && order < 0:
			d.FailAt(fieldName(string(name)), "is out of order: keys are sorted in canonical JSON (RFC 8785)")
		}
		last = name
		if !d.expect(':') {
			return
		}
		f.index, f.start = at, d.pos
		d.skip()
	}
	if d.err == nil {
		d.leave('}')
	}
}

// fieldName is a key as an error may name it: as it stands where it could be a
// field's name, letters and underscores with at most a few digits behind them.
func fieldName(key string) string {
	letters := strings.TrimRight(key, "0123456789")
	if len(key) > 32 || len(letters) == 0 || len(key)-len(letters) > 3 || strings.Trim(letters, fieldLetters) != "" {
		return "…"
	}
	return key
}

const fieldLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"

func isASCII(s []byte) bool {
	for _, c := range s {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// IsCanonical says why data is not one canonical value, or returns nil.
func IsCanonical(data []byte) error {
	d := NewDecoder(data)
	d.skip()
	return d.End()
}
