package canon

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"qifeng/proof/merkle"
)

// A SyntaxError says where and why input was refused. Field is the path of the
// value ("submissions[3].digest.sm3"), empty for the whole document; Offset
// counts bytes from 0. Neither Field nor Problem repeats a value of the input,
// which may be what must not stand in an answer or a log: of what is not in a
// schema, only a key that looks like a field's name is named.
type SyntaxError struct {
	Field   string
	Offset  int
	Problem string
}

func (e *SyntaxError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("%s (at byte %d)", e.Problem, e.Offset)
	}
	return fmt.Sprintf("field %q: %s (at byte %d)", e.Field, e.Problem, e.Offset)
}

// Schema is the set of keys that an object may have.
type Schema struct {
	names    []string
	optional []bool
}

// Fields makes a Schema from key names in rising order; a name that ends in
// "?" may be absent. It panics on names out of order, which is a programming
// error and found by the first test that touches the schema.
func Fields(names ...string) *Schema {
	s := &Schema{}
	for _, n := range names {
		name, opt := strings.CutSuffix(n, "?")
		if k := len(s.names); k > 0 && s.names[k-1] >= name {
			panic("canon: schema out of order at " + name)
		}
		s.names = append(s.names, name)
		s.optional = append(s.optional, opt)
	}
	return s
}

// pathStep is one step from the root to the value being read.
type pathStep struct {
	name  string
	index int // -1 for an object member
}

// Decoder reads one canonical document from left to right. Its first error
// stays: every later call returns zero values, so callers check [Decoder.End]
// once. It is not safe for concurrent use.
type Decoder struct {
	data []byte
	pos  int
	path []pathStep
	err  *SyntaxError
}

// NewDecoder returns a Decoder over data, which the caller must not change
// while decoding.
func NewDecoder(data []byte) *Decoder {
	d := &Decoder{data: data}
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		d.Fail("begins with a byte order mark; remove it")
	}
	return d
}

// Err returns the first error, or nil.
func (d *Decoder) Err() error {
	if d.err == nil {
		return nil
	}
	return d.err
}

// End returns the first error, and otherwise checks that nothing follows the
// document.
func (d *Decoder) End() error {
	if d.err == nil && d.pos != len(d.data) {
		d.Fail("has data after the end of the JSON document")
	}
	return d.Err()
}

// Fail records a problem with the value being read, unless an earlier problem
// stands. Decoders of documents use it for rules beyond syntax.
func (d *Decoder) Fail(format string, args ...any) {
	if d.err == nil {
		d.err = &SyntaxError{Field: d.field(), Offset: d.pos, Problem: fmt.Sprintf(format, args...)}
	}
}

// FailAt records a problem with the member or element name below the value
// being read.
func (d *Decoder) FailAt(name, format string, args ...any) {
	d.push(pathStep{name: name, index: -1})
	d.Fail(format, args...)
	d.pop()
}

func (d *Decoder) field() string {
	var b strings.Builder
	for _, s := range d.path {
		if s.index >= 0 {
			b.WriteByte('[')
			b.WriteString(strconv.Itoa(s.index))
			b.WriteByte(']')
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(s.name)
	}
	return b.String()
}

func (d *Decoder) push(s pathStep) { d.path = append(d.path, s) }
func (d *Decoder) pop()            { d.path = d.path[:len(d.path)-1] }

// expect consumes c.
func (d *Decoder) expect(c byte) bool {
	if d.err != nil {
		return false
	}
	if d.pos < len(d.data) && d.data[d.pos] == c {
		d.pos++
		return true
	}
	d.unexpected(strconv.QuoteRune(rune(c)))
	return false
}

// unexpected fails with what stands at the position instead of want.
func (d *Decoder) unexpected(want string) {
	switch {
	case d.pos >= len(d.data):
		d.Fail("ends where %s is expected", want)
	case d.data[d.pos] == ' ' || d.data[d.pos] == '\n' || d.data[d.pos] == '\r' || d.data[d.pos] == '\t':
		d.Fail("has white space; canonical JSON (RFC 8785) has none")
	case bytes.HasPrefix(d.data[d.pos:], []byte("null")):
		d.Fail("is null; leave the field out instead")
	default:
		d.Fail("has %q where %s is expected", d.data[d.pos], want)
	}
}

// peek returns the next byte, 0 at the end or after an error.
func (d *Decoder) peek() byte {
	if d.err != nil || d.pos >= len(d.data) {
		return 0
	}
	return d.data[d.pos]
}

func (d *Decoder) enter(c byte) bool {
	if len(d.path) >= MaxDepth {
		d.Fail("nests deeper than %d levels", MaxDepth)
	}
	return d.expect(c)
}

// Object reads an object whose keys are those of s, yielding each key with the
// Decoder standing at its value; the loop body must read that value. Missing
// required keys and unknown keys are errors.
func (d *Decoder) Object(s *Schema) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !d.enter('{') {
			return
		}
		next, first := 0, true
		for d.err == nil && d.peek() != '}' {
			if !first && !d.expect(',') {
				return
			}
			first = false
			i, ok := d.key(s, next)
			if !ok {
				return
			}
			next = i + 1
			if !d.member(s.names[i], yield) {
				return
			}
		}
		if d.expect('}') {
			d.missing(s, next, len(s.names))
		}
	}
}

// member yields one key with the path pushed; it reports whether to go on.
func (d *Decoder) member(name string, yield func(string) bool) bool {
	d.push(pathStep{name: name, index: -1})
	defer d.pop()
	before := d.pos
	if !yield(name) {
		d.Fail("was not read to its end")
		return false
	}
	if d.err == nil && d.pos == before {
		d.Fail("was not read")
	}
	return d.err == nil
}

// key reads `"name":` and returns the name's index in s, which must be at
// least from: keys rise.
func (d *Decoder) key(s *Schema, from int) (int, bool) {
	name := d.str(64, false)
	if d.err != nil {
		return 0, false
	}
	i, known := slices.BinarySearch(s.names, name)
	switch {
	case !known:
		d.unknown(s, name)
	case i == from-1:
		d.FailAt(name, "appears twice")
	case i < from:
		d.FailAt(name, "is out of order: keys are sorted in canonical JSON (RFC 8785)")
	default:
		d.missing(s, from, i)
	}
	return i, d.expect(':')
}

func (d *Decoder) unknown(s *Schema, name string) {
	for _, n := range s.names {
		if strings.EqualFold(n, name) {
			d.FailAt(n, "is spelt %q; keys are lower case", name)
			return
		}
	}
	d.Fail("has the unknown field %q; known here: %s", fieldName(name), strings.Join(s.names, ", "))
}

// missing fails if a required key of s[from:to] was passed over.
func (d *Decoder) missing(s *Schema, from, to int) {
	for i := from; i < to; i++ {
		if !s.optional[i] {
			d.FailAt(s.names[i], "is missing, or not in sorted order")
			return
		}
	}
}

// Array reads an array of min to max elements, yielding each index with the
// Decoder standing at the element, which the loop body must read.
func (d *Decoder) Array(min, max int) iter.Seq[int] {
	return func(yield func(int) bool) {
		if !d.enter('[') {
			return
		}
		n := 0
		for ; d.err == nil && d.peek() != ']'; n++ {
			if n > 0 && !d.expect(',') {
				return
			}
			if n >= max {
				d.Fail("has more than %d elements", max)
				return
			}
			if !d.element(n, yield) {
				return
			}
		}
		if d.expect(']') && n < min {
			d.Fail("has %d elements; at least %d are needed", n, min)
		}
	}
}

func (d *Decoder) element(n int, yield func(int) bool) bool {
	d.push(pathStep{index: n})
	defer d.pop()
	before := d.pos
	if !yield(n) {
		d.Fail("was not read to its end")
		return false
	}
	if d.err == nil && d.pos == before {
		d.Fail("was not read")
	}
	return d.err == nil
}

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
	v, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil || v > MaxInt {
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

// String reads a string of at most max bytes without control,
// bidirectional-format or zero-width characters.
func (d *Decoder) String(max int) string { return d.str(max, false) }

// Text reads a string of at most max bytes in which line feeds are allowed:
// a signed note inside a proof file.
func (d *Decoder) Text(max int) string { return d.str(max, true) }

// str reads a string in its canonical spelling.
func (d *Decoder) str(max int, lines bool) string {
	if !d.expect('"') {
		return ""
	}
	start := d.pos
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; {
		case c == '"':
			raw := d.data[start:d.pos]
			if len(raw) > max {
				d.Fail("is longer than %d bytes", max)
				return ""
			}
			d.pos++
			return string(raw)
		case c == '\\':
			return d.escaped(start, max, lines)
		case c < 0x20 || c == 0x7f:
			d.Fail("has a control character (U+%04X)", c)
			return ""
		case c < utf8.RuneSelf:
			d.pos++
		default:
			if !d.rune() {
				return ""
			}
		}
	}
	d.Fail("is a string without an end")
	return ""
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
func (d *Decoder) escaped(start, max int, lines bool) string {
	out := slices.Clone(d.data[start:d.pos])
	for d.pos < len(d.data) && len(out) <= max {
		c := d.data[d.pos]
		switch {
		case c == '"':
			d.pos++
			return string(out)
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
				return ""
			}
			d.pos += 2
		case c < 0x20 || c == 0x7f:
			d.Fail("has a control character (U+%04X)", c)
			return ""
		case c < utf8.RuneSelf:
			out = append(out, c)
			d.pos++
		default:
			from := d.pos
			if !d.rune() {
				return ""
			}
			out = append(out, d.data[from:d.pos]...)
		}
	}
	if len(out) > max {
		d.Fail("is longer than %d bytes", max)
	} else {
		d.Fail("is a string without an end")
	}
	return ""
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

// Offset returns how many bytes have been read.
func (d *Decoder) Offset() int { return d.pos }

// skip reads any canonical value.
func (d *Decoder) skip() {
	switch c := d.peek(); {
	case c == '{':
		d.skipObject()
	case c == '[':
		for range d.Array(0, MaxInt) {
			d.skip()
		}
	case c == '"':
		d.str(len(d.data), true)
	case c == 't' || c == 'f':
		d.Bool()
	default:
		d.Int(0, MaxInt)
	}
}

func (d *Decoder) skipObject() {
	if !d.enter('{') {
		return
	}
	last := ""
	for first := true; d.err == nil && d.peek() != '}'; first = false {
		if !first && !d.expect(',') {
			return
		}
		name := d.str(64, false)
		switch {
		case d.err != nil:
			return
		case !isASCII(name):
			d.Fail("has a key that is not ASCII")
		case !first && name == last:
			d.FailAt(fieldName(name), "appears twice")
		case !first && name < last:
			d.FailAt(fieldName(name), "is out of order: keys are sorted in canonical JSON (RFC 8785)")
		}
		last = name
		if !d.expect(':') {
			return
		}
		d.push(pathStep{name: fieldName(name), index: -1})
		d.skip()
		d.pop()
	}
	d.expect('}')
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

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
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
