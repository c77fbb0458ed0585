package tsa

import (
	"errors"
	"strings"
	"testing"

	"qifeng/anchor"
)

// element puts short contents under a tag.
func element(tag byte, contents ...string) string {
	body := strings.Join(contents, "")
	return string([]byte{tag, byte(len(body))}) + body
}

func TestParseAnswer(t *testing.T) {
	status := func(parts ...string) string { return element(0x30, parts...) }
	granted, rejected := element(2, "\x00"), element(2, "\x02")
	token := element(0x30, "x")
	for _, c := range []struct {
		name, in, want string
		refused        bool
	}{
		{name: "granted", in: element(0x30, status(granted), token)},
		{name: "with changes", in: element(0x30, status(element(2, "\x01")), token)},
		{name: "with a text", in: element(0x30, status(granted, element(0x30, element(12, "fine"))), token)},
		{name: "tail", in: element(0x30, status(granted), token) + "\x00", want: "malformed"},
		{name: "two tokens", in: element(0x30, status(granted), token, token), want: "without a token"},
		{name: "status 6", in: element(0x30, status(element(2, "\x06"))), want: "malformed"},
		{name: "negative status", in: element(0x30, status(element(2, "\xff"))), want: "malformed"},
		{name: "huge status", in: element(0x30, status(element(2, "\x01\x00\x00\x00\x00"))), want: "malformed"},
		{name: "waiting", in: element(0x30, status(element(2, "\x03"))), want: "(waiting)"},
		{name: "revoked", in: element(0x30, status(element(2, "\x05"))), want: "(revocation notification)", refused: true},
		{name: "no reason", in: element(0x30, status(rejected)), want: "(rejection)"},
		{name: "a reason", in: element(0x30, status(rejected, element(3, "\x05\x20"))), want: "badRequest", refused: true},
		{name: "text with controls", in: element(0x30, status(rejected, element(0x30, element(12, "a\x1b[1m\xffb\n\nc")))), want: `"a [1mb c"`},
		{name: "unknown fields", in: element(0x30, status(rejected, element(5))), want: "malformed"},
		{name: "nine texts", in: element(0x30, status(rejected, element(0x30, strings.Repeat(element(12, "a"), 9)))), want: "malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseAnswer([]byte(c.in))
			if c.want == "" {
				if err != nil || string(got) != token {
					t.Fatalf("%q, %v", got, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, anchor.ErrRefused) != c.refused {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte(element(0x30, element(0x30, element(2, "\x00")), element(0x30, "x"))))
	f.Add([]byte(element(0x30, element(0x30, element(2, "\x02"), element(0x30, element(12, "no")), element(3, "\x05\x20")))))
	f.Fuzz(func(t *testing.T, in []byte) {
		token, err := parseAnswer(in)
		if (err == nil) != (len(token) > 0) {
			t.Fatalf("token of %d bytes, error %v", len(token), err)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Fatalf("an error of %d bytes", len(err.Error()))
		}
	})
}
