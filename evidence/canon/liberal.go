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
		return AppendString(out, l.text())
	case c == 't' || c == 'f':
		return strconv.AppendBool(out, l.Bool())
	default:
		return strconv.AppendUint(out, l.Int(0, MaxInt), 10)
	}
}

func (l *liberal) object(out []byte) []byte {
	type pair struct {
		name  string
		value []byte
	}
	var pairs []pair
	if !l.enter('{') {
		return nil
	}
	l.space()
	for first := true; l.err == nil && l.peek() != '}'; first = false {
		if !first && !l.expect(',') {
			return nil
		}
		l.space()
		name := l.text()
		if l.err == nil && (!isASCII(name) || len(name) > maxKey || strings.Contains(name, "\n")) {
			l.Fail("has a key that is not at most %d printable ASCII characters", maxKey)
		}
		l.space()
		if !l.expect(':') {
			return nil
		}
		l.space()
		l.push(pathStep{name: name, index: -1})
		pairs = append(pairs, pair{name, l.value(nil)})
		l.pop()
		l.space()
	}
	if !l.expect('}') {
		return nil
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	out = append(out, '{')
	for i, p := range pairs {
		if i > 0 {
			if pairs[i-1].name == p.name {
				l.FailAt(p.name, "appears twice")
				return nil
			}
			out = append(out, ',')
		}
		out = append(AppendString(out, p.name), ':')
		out = append(out, p.value...)
	}
	return append(out, '}')
}

func (l *liberal) array(out []byte) []byte {
	if !l.enter('[') {
		return nil
	}
	out = append(out, '[')
	l.space()
	for n := 0; l.err == nil && l.peek() != ']'; n++ {
		if n > 0 {
			if !l.expect(',') {
				return nil
			}
			out = append(out, ',')
		}
		l.space()
		l.push(pathStep{index: n})
		out = l.value(out)
		l.pop()
		l.space()
	}
	if !l.expect(']') {
		return nil
	}
	return append(out, ']')
}

// text reads a string with any of JSON's escapes (RFC 8259 §7).
func (l *liberal) text() string {
	if !l.expect('"') {
		return ""
	}
	var out []byte
	for l.pos < len(l.data) {
		c := l.data[l.pos]
		switch {
		case c == '"':
			l.pos++
			return string(out)
		case c == '\\':
			r, ok := l.escape()
			if !ok {
				return ""
			}
			out = utf8.AppendRune(out, r)
		case c < 0x20 || c == 0x7f:
			l.Fail("has a control character (U+%04X)", c)
			return ""
		default:
			from := l.pos
			if c < utf8.RuneSelf {
				l.pos++
			} else if !l.rune() {
				return ""
			}
			out = append(out, l.data[from:l.pos]...)
		}
	}
	l.Fail("is a string without an end")
	return ""
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
