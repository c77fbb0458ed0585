package httpsig

import (
	"strings"
	"testing"
)

func TestNormalAuthority(t *testing.T) {
	for _, tc := range []struct{ scheme, host, want string }{
		{"http", "127.0.0.1:8100", "127.0.0.1:8100"},
		{"http", "Court.EXAMPLE", "court.example"},
		{"http", "court.example:80", "court.example"},
		{"http", "court.example:443", "court.example:443"},
		{"https", "court.example:443", "court.example"},
		{"https", "court.example:80", "court.example:80"},
		{"https", "court.example:", "court.example"},
		{"http", "[::1]", "[::1]"},
		{"http", "[FE80::1]:80", "[fe80::1]"},
		{"http", "[::1]:8100", "[::1]:8100"},
		{"http", "my_host", "my_host"},
	} {
		if got, err := normalAuthority(tc.scheme, tc.host); err != nil || got != tc.want {
			t.Errorf("%s %q: %q, %v, want %q", tc.scheme, tc.host, got, err, tc.want)
		}
	}
	for _, host := range []string{
		"", ":80", "[]", "[]:80", "::1", "a:b", "a:080", "a:65536", "a:-1", "a:+1", "a b", "法院.example", "a/b", "a@b", "a%41",
		"[::1", "::1]", "[::1]x", "[fe80::1%25eth0]", "[zz]", "a,b", "a\nb", "a\x00", strings.Repeat("a", maxHost+1),
	} {
		if got, err := normalAuthority("http", host); err == nil {
			t.Errorf("%q is read as %q", host, got)
		}
	}
}

func TestOrigins(t *testing.T) {
	a, err := newAuthorities([]string{"http://127.0.0.1:8100", "https://Court.example", "http://court.example:8080", "https://court.example:443"})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"127.0.0.1:8100":     "127.0.0.1:8100",
		"court.example":      "court.example",
		"COURT.example":      "court.example",
		"court.example:443":  "court.example",
		"court.example:8080": "court.example:8080",
	} {
		if got, err := a.of(host); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", host, got, err, want)
		}
	}
	for _, host := range []string{"", "127.0.0.1", "127.0.0.1:80", "localhost:8100", "court.example:80", "court.example.", "court.example:"} {
		_, err := a.of(host)
		refused(t, err, Authority)
	}
	for name, origins := range map[string][]string{
		"none":            {},
		"no scheme":       {"court.example"},
		"another scheme":  {"ftp://court.example"},
		"a path":          {"https://court.example/qifeng"},
		"a slash":         {"https://court.example/"},
		"a query":         {"https://court.example?x"},
		"a user":          {"https://u@court.example"},
		"no host":         {"https://"},
		"control byte":    {"https://a\x7f"},
		"not ASCII":       {"https://法院.example"},
		"claimed by two":  {"http://court.example", "https://court.example:80"},
		"claimed by two′": {"https://court.example:80", "http://court.example"},
	} {
		if _, err := newAuthorities(origins); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestCheckPath(t *testing.T) {
	for _, p := range []string{"/", "/v1/records/00ff", "/a-._~!$&'()*+,;=:@/", "/%E8%AF%81", "/%2F", "/...", "/a..b", "/.a", "//", "/a//b"} {
		if problem := checkPath(p); problem != "" {
			t.Errorf("%q: %s", p, problem)
		}
	}
	for _, p := range []string{"*", "a", "/%", "/%4", "/%zz", "/%2f", "/%41", "/%7E", "/%2D", "/.", "/..", "/a/../b", "/a/.", "/./", "/a b", "/证", "/a?b", "/a#b", "/\"", "/<", "/\n", "/%2"} {
		if checkPath(p) == "" {
			t.Errorf("%q: accepted", p)
		}
	}
}
