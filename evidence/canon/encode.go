package canon

import (
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"qifeng/proof/merkle"
)

// Writer builds one canonical document. The caller gives keys in rising order;
// the Writer places commas. Documents end by being decoded again by their own
// room before they are used, so a mistake cannot leave it.
type Writer struct {
	buf   []byte
	comma bool
}

// Bytes returns what was written.
func (w *Writer) Bytes() []byte { return w.buf }

func (w *Writer) sep() {
	if w.comma {
		w.buf = append(w.buf, ',')
	}
	w.comma = true
}

// Object opens an object.
func (w *Writer) Object() *Writer { w.sep(); w.buf = append(w.buf, '{'); w.comma = false; return w }

// EndObject closes the innermost object.
func (w *Writer) EndObject() *Writer { w.buf = append(w.buf, '}'); w.comma = true; return w }

// Array opens an array.
func (w *Writer) Array() *Writer { w.sep(); w.buf = append(w.buf, '['); w.comma = false; return w }

// EndArray closes the innermost array.
func (w *Writer) EndArray() *Writer { w.buf = append(w.buf, ']'); w.comma = true; return w }

// Key writes a key; the next call writes its value.
func (w *Writer) Key(name string) *Writer {
	w.sep()
	w.buf = AppendString(w.buf, name)
	w.buf = append(w.buf, ':')
	w.comma = false
	return w
}

// String writes a string.
func (w *Writer) String(s string) *Writer { w.sep(); w.buf = AppendString(w.buf, s); return w }

// Int writes an integer.
func (w *Writer) Int(v uint64) *Writer {
	w.sep()
	w.buf = strconv.AppendUint(w.buf, v, 10)
	return w
}

// Bool writes true or false.
func (w *Writer) Bool(v bool) *Writer { w.sep(); w.buf = strconv.AppendBool(w.buf, v); return w }

// Hex writes bytes as lower-case hex.
func (w *Writer) Hex(b []byte) *Writer {
	w.sep()
	w.buf = append(w.buf, '"')
	w.buf = appendHex(w.buf, b)
	w.buf = append(w.buf, '"')
	return w
}

// Digest writes a digest pair.
func (w *Writer) Digest(d merkle.Digest) *Writer {
	w.sep()
	w.buf = append(w.buf, digestHead...)
	w.buf = appendHex(w.buf, d.SHA256[:])
	w.buf = append(w.buf, digestMid...)
	w.buf = appendHex(w.buf, d.SM3[:])
	w.buf = append(w.buf, digestTail...)
	return w
}

// Digests writes an array of digest pairs.
func (w *Writer) Digests(ds []merkle.Digest) *Writer {
	w.Array()
	for _, d := range ds {
		w.Digest(d)
	}
	return w.EndArray()
}

// Time writes a time in [TimeLayout].
func (w *Writer) Time(t time.Time) *Writer {
	w.sep()
	w.buf = append(w.buf, '"')
	w.buf = appendTime(w.buf, t.UTC())
	w.buf = append(w.buf, '"')
	return w
}

// appendTime appends t, which is in UTC, in [TimeLayout].
func appendTime(b []byte, t time.Time) []byte {
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(b, TimeLayout) // which no decoder takes
	}
	hour, minute, second := t.Clock()
	b = appendPadded(b, year, 4)
	b = appendPadded(append(b, '-'), int(month), 2)
	b = appendPadded(append(b, '-'), day, 2)
	b = appendPadded(append(b, 'T'), hour, 2)
	b = appendPadded(append(b, ':'), minute, 2)
	b = appendPadded(append(b, ':'), second, 2)
	b = appendPadded(append(b, '.'), t.Nanosecond()/int(time.Millisecond), 3)
	return append(b, 'Z')
}

// appendPadded appends n in width decimal digits.
func appendPadded(b []byte, n, width int) []byte {
	b = append(b, "0000"[:width]...)
	for i := len(b) - 1; n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

const hexDigits = "0123456789abcdef"

// hexPairs are the two digits of every byte.
var hexPairs = func() (p [256][2]byte) {
	for i := range p {
		p[i] = [2]byte{hexDigits[i>>4], hexDigits[i&15]}
	}
	return p
}()

func appendHex(out, b []byte) []byte {
	at := len(out)
	out = slices.Grow(out, 2*len(b))[:at+2*len(b)]
	for i, c := range b {
		p := &hexPairs[c]
		out[at+2*i], out[at+2*i+1] = p[0], p[1]
	}
	return out
}

// Raw writes a value that is canonical already.
func (w *Writer) Raw(b []byte) *Writer { w.sep(); w.buf = append(w.buf, b...); return w }

// AppendString appends s as a JSON string in the spelling of RFC 8785
// §3.2.2.2. Bytes that are not UTF-8 become U+FFFD; decoders refuse them
// before, so documents never hold any.
func AppendString(b []byte, s string) []byte { return appendString(b, s) }

func appendString[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		from := i
		for i < len(s) && plain[s[i]] {
			i++
		}
		if b = append(b, s[from:i]...); i == len(s) {
			break
		}
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			b = utf8.AppendRune(b, r)
			i += n
			continue
		}
		i++
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= 0x20:
			b = append(b, c) // U+007F
		case c == '\b':
			b = append(b, '\\', 'b')
		case c == '\t':
			b = append(b, '\\', 't')
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\f':
			b = append(b, '\\', 'f')
		case c == '\r':
			b = append(b, '\\', 'r')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(b, '"')
}

// NewWriter returns a Writer that appends to b.
func NewWriter(b []byte) *Writer { return &Writer{buf: b} }
