package canon

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
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

// frame is one object or array that is being read. Frames keep of a value's
// path only what it costs nothing to keep; an error makes the words of it.
type frame struct {
	schema *Schema // of an object's keys, or one of those below
	index  int     // of the member or element in schema or array, -1 before the first; without names where the key stands
	start  int     // where the value of that member or element begins, -1 between two of them
}

// What has no schema: arrays, and objects whose keys are any, in canonical or
// in free spelling.
var inArray, freeKeys, looseKeys = &Schema{}, &Schema{}, &Schema{}

// Decoder reads one canonical document from left to right. Its first error
// stays: every later call returns zero values, so callers check [Decoder.End]
// once. It is not safe for concurrent use.
//
// Strings, digests, hex and integers have a short way each for what is well
// formed; whatever it does not take goes the long way from the same place,
// which alone says what is wrong.
type Decoder struct {
	data   []byte
	pos    int
	err    *SyntaxError
	depth  int // frames in use
	frames [MaxDepth]frame
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// NewDecoder returns a Decoder over data, which the caller must not change
// while decoding.
func NewDecoder(data []byte) *Decoder {
	d := &Decoder{data: data}
	d.noMark()
	return d
}

func (d *Decoder) noMark() {
	if bytes.HasPrefix(d.data, byteOrderMark) {
		d.Fail("begins with a byte order mark; remove it")
	}
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
	if d.err != nil {
		return
	}
	d.Fail(format, args...)
	if d.err.Field != "" {
		name = d.err.Field + "." + name
	}
	d.err.Field = name
}

// field is the path of the value being read.
func (d *Decoder) field() string {
	var b strings.Builder
	for _, f := range d.frames[:d.depth] {
		switch {
		case f.start < 0: // the object or array itself, which its parent names
		case f.schema == inArray:
			b.WriteByte('[')
			b.WriteString(strconv.Itoa(f.index))
			b.WriteByte(']')
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(d.memberName(f))
		}
	}
	return b.String()
}

// memberName is the key of the member that is being read of an object.
func (d *Decoder) memberName(f frame) string {
	again := liberal{Decoder{data: d.data, pos: f.index}}
	switch f.schema {
	case freeKeys:
		return fieldName(string(again.chars(maxKey, false)))
	case looseKeys:
		return string(again.text())
	}
	return f.schema.names[f.index]
}

// expect consumes c.
func (d *Decoder) expect(c byte) bool {
	if d.err == nil && d.pos < len(d.data) && d.data[d.pos] == c {
		d.pos++
		return true
	}
	if d.err == nil {
		d.unexpected(strconv.QuoteRune(rune(c)))
	}
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

// enter opens an object or array, which c begins.
func (d *Decoder) enter(c byte, s *Schema) bool {
	if d.depth >= MaxDepth {
		d.Fail("nests deeper than %d levels", MaxDepth)
	}
	if !d.expect(c) {
		return false
	}
	d.frames[d.depth] = frame{s, -1, -1}
	d.depth++
	return true
}

// leave closes what enter opened, which c ends.
func (d *Decoder) leave(c byte) bool {
	d.frames[d.depth-1].start = -1
	if !d.expect(c) {
		return false
	}
	d.depth--
	return true
}

// Offset returns how many bytes have been read.
func (d *Decoder) Offset() int { return d.pos }
