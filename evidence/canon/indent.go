package canon

// Indent spreads canonical JSON over lines for people to read: one member or
// element a line down to depth levels of nesting, compact below. Canonicalize
// undoes it.
func Indent(data []byte, depth int) []byte {
	out := make([]byte, 0, len(data)+len(data)/4)
	level, inString := 0, false
	line := func() {
		out = append(out, '\n')
		for range level {
			out = append(out, "  "...)
		}
	}
	for i := 0; i < len(data); i++ {
		from := i
		for inString && i < len(data)-1 && plain[data[i]] {
			i++
		}
		out = append(out, data[from:i]...)
		c := data[i]
		switch {
		case inString && c == '\\':
			out = append(out, c)
			i++
			c = data[i]
		case c == '"':
			inString = !inString
		case inString:
		case (c == '{' || c == '[') && i+1 < len(data) && (data[i+1] == '}' || data[i+1] == ']'):
			out = append(out, c)
			i++
			c = data[i]
		case c == '{' || c == '[':
			level++
			if out = append(out, c); level <= depth {
				line()
			}
			continue
		case c == '}' || c == ']':
			if level--; level < depth {
				line()
			}
		case c == ',':
			if out = append(out, c); level <= depth {
				line()
			}
			continue
		case c == ':':
			if out = append(out, c); level <= depth {
				out = append(out, ' ')
			}
			continue
		}
		out = append(out, c)
	}
	return append(out, '\n')
}
