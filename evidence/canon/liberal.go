package canon

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Canonicalize returns the canonical form of JSON in which white space, key
// order and the choice of escapes are free, as an editor or another program
// may have left them. Everything else that the package refuses is refused,
// except line feeds in strings. A byte order mark at the very beginning, which
// some editors add, is passed over. data longer than max bytes is refused.
func Canonicalize(data []byte, max int) ([]byte, error) {
	if len(data) > max {
		return nil, &SyntaxError{Problem: fmt.Sprintf("is %d bytes long; at most %d are read", len(data), max), Offset: max}
	}
	l := &liberal{Decoder: Decoder{data: bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))}}
	l.space()
	out := l.value(nil)
	l.space()
	if err := l.End(); err != nil {
		return nil, err
	}
	return out, nil
}

// liberal is a Decoder that also takes free spelling.
type liberal struct{ Decoder }

func (l *liberal) space() {
	for l.pos < len(l.data) && strings.IndexByte(" \t\r\n", l.data[l.pos]) >= 0 {
		l.pos++
	}
}

// value reads any value and appends its canonical form to out.
func (l *liberal) value(out []byte) []byte {
	switch c := l.peek(); {
	case c == '{':
		return l.object(out)
	case c == '[':
		return l.array(out)
	case c == '"':
		return appendString(out, l.text())
	case c == 't' || c == 'f':
		return strconv.AppendBool(out, l.Bool())
	default:
		return strconv.AppendUint(out, l.Int(0, MaxInt), 10)
	}
}

// member is where one member of an object stands in the output.
type member struct {
	name     []byte
	from, to int
}

// object appends the members as they come, and puts them in order after.
func (l *liberal) object(out []byte) []byte {
	if !l.enter('{', looseKeys) {
		return nil
	}
	f := &l.frames[l.depth-1]
	var few [16]member
	members, sorted := few[:0], true
	out = append(out, '{')
	l.space()
	for first := true; l.err == nil && l.peek() != '}'; first = false {
		f.start = -1
		if !first && !l.expect(',') {
			return nil
		}
		l.space()
		m := member{from: len(out)}
		at := l.pos
		if m.name = l.text(); l.err == nil && (!isASCII(m.name) || len(m.name) > maxKey || bytes.IndexByte(m.name, '\n') >= 0) {
			l.Fail("has a key that is not at most %d printable ASCII characters", maxKey)
		}
		l.space()
		if !l.expect(':') {
			return nil
		}
		l.space()
		f.index, f.start = at, l.pos
		out = append(appendString(out, m.name), ':')
		out = l.value(out)
		f.start = -1
		l.space()
		out = append(out, ',')
		m.to = len(out)
		sorted = sorted && (first || bytes.Compare(members[len(members)-1].name, m.name) < 0)
		members = append(members, m)
	}
	if l.err != nil || !l.leave('}') {
		return nil
	}
	if !sorted {
		l.sort(out, members)
	}
	return append(bytes.TrimSuffix(out, []byte(",")), '}')
}

// sort puts the members of an object, which end the output, in order.
func (l *liberal) sort(out []byte, members []member) {
	slices.SortStableFunc(members, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	to := members[0].from
	for _, m := range members {
		to = min(to, m.from)
	}
	unsorted := slices.Clone(out[to:])
	begin := to
	for i, m := range members {
		if i > 0 && bytes.Equal(members[i-1].name, m.name) {
			l.FailAt(string(m.name), "appears twice")
			return
		}
		to += copy(out[to:], unsorted[m.from-begin:m.to-begin])
	}
}

func (l *liberal) array(out []byte) []byte {
	if !l.enter('[', inArray) {
		return nil
	}
	out = append(out, '[')
	l.space()
	for l.element(MaxInt) {
		f := &l.frames[l.depth-1]
		if f.index > 0 {
			out = append(out, ',')
		}
		l.space()
		out = l.value(out)
		f.start = -1
		l.space()
	}
	if l.err != nil || !l.leave(']') {
		return nil
	}
	return append(out, ']')
}

// text reads a string with any of JSON's escapes (RFC 8259 §7) and returns its
// characters, which are a part of the input unless it has escapes.
func (l *liberal) text() []byte {
	if !l.expect('"') {
		return nil
	}
	start, copied := l.pos, false
	var out []byte
	for l.pos < len(l.data) {
		c := l.data[l.pos]
		switch {
		case c == '"':
			if !copied {
				out = l.data[start:l.pos]
			}
			l.pos++
			return out
		case c == '\\':
			if !copied {
				out, copied = slices.Clone(l.data[start:l.pos]), true
			}
			r, ok := l.escape()
			if !ok {
				return nil
			}
			out = utf8.AppendRune(out, r)
		case c < 0x20 || c == 0x7f:
			l.Fail("has a control character (U+%04X)", c)
			return nil
		default:
			from := l.pos
			for l.pos < len(l.data) && plain[l.data[l.pos]] {
				l.pos++
			}
			if l.pos == from && !l.rune() {
				return nil
			}
			if copied {
				out = append(out, l.data[from:l.pos]...)
			}
		}
	}
	l.Fail("is a string without an end")
	return nil
}

// escape reads one escape sequence and returns its character.
func (l *liberal) escape() (rune, bool) {
	l.pos++ // the backslash
	if l.pos >= len(l.data) {
		l.Fail("is a string without an end")
		return 0, false
	}
	c := l.data[l.pos]
	l.pos++
	var r rune
	switch c {
	case '"', '\\', '/':
		return rune(c), true
	case 'n':
		return '\n', true
	case 'u':
		r = l.unit()
		if utf16.IsSurrogate(r) {
			if !bytes.HasPrefix(l.data[l.pos:], []byte(`\u`)) {
				l.Fail("has a lone surrogate")
				return 0, false
			}
			l.pos += 2
			if r = utf16.DecodeRune(r, l.unit()); r == utf8.RuneError {
				l.Fail("has a lone surrogate")
			}
		}
	default:
		l.Fail("has the escape \\%c, of a control character or unknown", c)
	}
	if l.err == nil && r != '\n' && (r < 0x20 || r == 0x7f) {
		l.Fail("has a control character (U+%04X)", r)
	}
	if problem := charProblem(r, utf8.RuneLen(r)); l.err == nil && r >= utf8.RuneSelf && problem != "" {
		l.Fail("%s", problem)
	}
	return r, l.err == nil
}

// unit reads four hex digits.
func (l *liberal) unit() rune {
	if l.pos+4 > len(l.data) {
		l.Fail("has an incomplete \\u escape")
		return 0
	}
	v, err := strconv.ParseUint(string(l.data[l.pos:l.pos+4]), 16, 32)
	if err != nil {
		l.Fail("has a \\u escape that is not hex")
		return 0
	}
	l.pos += 4
	return rune(v)
}
