package canon

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
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
	name := d.str(maxKey, false)
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
		name := d.str(maxKey, false)
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
