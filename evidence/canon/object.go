package canon

import (
	"iter"
	"slices"
	"strings"
)

// Schema is the set of keys that an object may have.
type Schema struct {
	names    []string
	optional []bool
	tokens   []string // the names as they stand in a document: `"name":`
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
		s.tokens = append(s.tokens, `"`+name+`":`)
	}
	return s
}

// First opens an object whose keys are those of s and returns the number in s
// of its first key, with the Decoder standing at that key's value, which the
// caller must read before it calls [Decoder.Next]. The number is -1 where there
// is no key, or after an error. Once a number was not -1 the caller goes on to
// the -1: frames of objects left half read would not close.
//
//	for f := d.First(fields); f >= 0; f = d.Next() {
//		switch f {
//		…
//
// It is [Decoder.Object] for formats that are read a hundred thousand times a
// second.
func (d *Decoder) First(s *Schema) int {
	if !d.enter('{', s) {
		return -1
	}
	return d.Next()
}

// Next returns the number of the next key of the innermost object, as
// [Decoder.First] does. Missing required keys and unknown keys are errors.
func (d *Decoder) Next() int {
	if d.err != nil {
		return -1
	}
	f := &d.frames[d.depth-1]
	if f.start == d.pos {
		d.Fail("was not read")
		return -1
	}
	f.start = -1
	from := f.index + 1
	switch c := d.peek(); {
	case c == '}':
		return d.close(f.schema, from)
	case from > 0 && c == ',':
		d.pos++
	case from > 0:
		d.expect(',') // which says what stands there
		return -1
	}
	rest := d.data[d.pos:]
	for i := from; i < len(f.schema.tokens); i++ {
		token := f.schema.tokens[i]
		if len(rest) > len(token) && rest[1] == token[1] && string(rest[:len(token)]) == token {
			d.pos += len(token)
			f.index, f.start = i, d.pos
			return i
		}
		if !f.schema.optional[i] {
			break
		}
	}
	return d.oddKey(f, from)
}

// close ends an object of which the keys below from have been read.
func (d *Decoder) close(s *Schema, from int) int {
	if d.leave('}') {
		d.missing(s, from, len(s.names))
	}
	return -1
}

// oddKey reads what stands where none of the keys does that may come next, and
// so says what is wrong with it.
func (d *Decoder) oddKey(f *frame, from int) int {
	i, ok := d.key(f.schema, from)
	if !ok {
		return -1
	}
	f.index, f.start = i, d.pos
	return i
}

// Object reads an object whose keys are those of s, yielding each key with the
// Decoder standing at its value; the loop body must read that value. Missing
// required keys and unknown keys are errors.
func (d *Decoder) Object(s *Schema) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := d.First(s); i >= 0; i = d.Next() {
			if !yield(s.names[i]) {
				d.Fail("was not read to its end")
				return
			}
		}
	}
}

// key reads `"name":` and returns the name's index in s, which must be at
// least from: keys rise.
func (d *Decoder) key(s *Schema, from int) (int, bool) {
	name := string(d.chars(maxKey, false))
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
		if !d.enter('[', inArray) {
			return
		}
		for d.element(max) {
			f := &d.frames[d.depth-1]
			if !yield(f.index) {
				d.Fail("was not read to its end")
				return
			}
			if d.err == nil && d.pos == f.start {
				d.Fail("was not read")
			}
		}
		n := d.frames[d.depth-1].index + 1
		if d.err == nil && d.leave(']') && n < min {
			d.Fail("has %d elements; at least %d are needed", n, min)
		}
	}
}

// element moves to the next element of the innermost array and reports whether
// there is one.
func (d *Decoder) element(max int) bool {
	if d.err != nil {
		return false
	}
	f := &d.frames[d.depth-1]
	f.start = -1
	switch {
	case d.peek() == ']':
		return false
	case f.index >= 0 && !d.expect(','):
		return false
	case f.index+1 >= max:
		d.Fail("has more than %d elements", max)
		return false
	}
	f.index++
	f.start = d.pos
	return true
}
