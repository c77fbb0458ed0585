package httpsig

import (
	"fmt"
	"net/http"
	"strings"
)

// component is one covered part of a message: its identifier as it stands in the
// base, with quotation marks, and its value.
type component struct {
	id    string
	value string
}

// appendBase appends the signature base of RFC 9421 §2.5: a line for each
// component, then the signature's parameters, without a line feed at the end.
// The values hold no line feeds; request.go sees to that.
func appendBase(b []byte, covered []component, params string) []byte {
	for _, c := range covered {
		b = append(b, c.id...)
		b = append(b, ": "...)
		b = append(b, c.value...)
		b = append(b, '\n')
	}
	b = append(b, `"@signature-params": `...)
	return append(b, params...)
}

// names are the covered components, in their order; contentDigest follows where
// the request has a body.
var names = []string{"@method", "@authority", "@path", "@query"}

const contentDigest = "content-digest"

// derive makes the covered components of a request (RFC 9421 §2.2). authority is
// r's, in its normal form; digest is the Content-Digest of its body, empty
// without one.
func derive(r *http.Request, authority, digest string) ([]component, error) {
	method, err := methodOf(r)
	if err != nil {
		return nil, err
	}
	path, query, err := targetOf(r)
	if err != nil {
		return nil, err
	}
	out := append(make([]component, 0, 5),
		component{`"@method"`, method},
		component{`"@authority"`, authority},
		component{`"@path"`, path},
		component{`"@query"`, query})
	if digest != "" {
		out = append(out, component{`"content-digest"`, digest})
	}
	return out, nil
}

func methodOf(r *http.Request) (string, error) {
	m := r.Method
	if m == "" {
		return http.MethodGet, nil // as net/http sends it
	}
	if len(m) > maxMethod || strings.Trim(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
		return "", refuse(Unsignable, "@method", "is 1 to %d capital letters", maxMethod)
	}
	return m, nil
}

// targetOf is path and query as the handlers read them, in the only spelling that
// is accepted. Where the request line was spelt otherwise, the parsed URL writes
// it anew, and the signature over the other spelling does not verify.
func targetOf(r *http.Request) (path, query string, err error) {
	u := r.URL
	if u == nil || u.Opaque != "" {
		return "", "", refuse(Unsignable, "@path", "is missing: the target is a path beginning with a slash")
	}
	path, query = u.EscapedPath(), "?"+u.RawQuery
	if path == "" {
		path = "/"
	}
	if len(path)+len(query) > maxTarget {
		return "", "", refuse(Unsignable, "@path", "and @query have %d bytes, the limit is %d", len(path)+len(query), maxTarget)
	}
	if problem := checkPath(path); problem != "" {
		return "", "", refuse(Unsignable, "@path", "%s", problem)
	}
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return "", "", refuse(Unsignable, "@query", "holds the byte %#02x: write it with a percent sign", c)
		}
	}
	return path, query, nil
}

const (
	unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	pathBytes  = unreserved + "!$&'()*+,;=:@/"
)

// checkPath says why a path is not in the normal form of RFC 3986 §6.2.2, in
// which nobody on the way has a reason to change it.
func checkPath(p string) string {
	if p[0] != '/' {
		return "does not begin with a slash"
	}
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case strings.IndexByte(pathBytes, c) >= 0:
		case c != '%':
			return fmt.Sprintf("holds the byte %#02x: write it with a percent sign", c)
		case i+2 >= len(p) || upperHex(p[i+1]) < 0 || upperHex(p[i+2]) < 0:
			return "holds a percent sign without two digits 0-9 A-F"
		default:
			if d := byte(upperHex(p[i+1])<<4 | upperHex(p[i+2])); strings.IndexByte(unreserved, d) >= 0 {
				return fmt.Sprintf("writes the plain character %q with a percent sign", d)
			}
			i += 2
		}
	}
	for segment := range strings.SplitSeq(p, "/") {
		if segment == "." || segment == ".." {
			return "holds a dot segment"
		}
	}
	return ""
}

func upperHex(c byte) int { return strings.IndexByte("0123456789ABCDEF", c) }
