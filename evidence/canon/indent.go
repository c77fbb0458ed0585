package canon

import "bytes"

// Indent spreads canonical JSON over lines for people to read: one member or
// element a line down to depth levels of nesting, compact below. Canonicalize
// undoes it.
func Indent(data []byte, depth int) []byte {
	var out bytes.Buffer
	level, inString := 0, false
	line := func() {
		if level <= depth {
			out.WriteByte('\n')
			out.Write(bytes.Repeat([]byte("  "), level))
		}
	}
	for i := 0; i < len(data); i++ {
		c := data[i]
		switch {
		case inString && c == '\\':
			out.WriteByte(c)
			i++
			c = data[i]
		case c == '"':
			inString = !inString
		case inString:
		case (c == '{' || c == '[') && i+1 < len(data) && (data[i+1] == '}' || data[i+1] == ']'):
			out.WriteByte(c)
			i++
			c = data[i]
		case c == '{' || c == '[':
			level++
			out.WriteByte(c)
			line()
			continue
		case c == '}' || c == ']':
			if level--; level < depth {
				out.WriteByte('\n')
				out.Write(bytes.Repeat([]byte("  "), level))
			}
		case c == ',':
			out.WriteByte(c)
			line()
			continue
		case c == ':':
			out.WriteByte(c)
			if level <= depth {
				out.WriteByte(' ')
			}
			continue
		}
		out.WriteByte(c)
	}
	out.WriteByte('\n')
	return out.Bytes()
}
