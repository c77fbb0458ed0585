package canon

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"qifeng/proof/merkle"
)

// TestHexOfEveryByte puts every byte in every place of a hex string.
func TestHexOfEveryByte(t *testing.T) {
	for place := range 16 {
		for c := range 256 {
			text := []byte("0123456789abcdef")
			text[place] = byte(c)
			var out [8]byte
			got := decodeHex(out[:], text)
			want, err := hex.DecodeString(string(text))
			if valid := err == nil && strings.ToLower(string(text)) == string(text); got != valid {
				t.Fatalf("%q: taken %v", text, got)
			} else if valid && !bytes.Equal(out[:], want) {
				t.Fatalf("%q became %x", text, out)
			}
		}
	}
	if decodeHex(make([]byte, 3), []byte("000000")) || decodeHex(make([]byte, 4), []byte("000000")) {
		t.Error("hex of an odd length was taken")
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	if got := appendHex(nil, all); string(got) != hex.EncodeToString(all) {
		t.Errorf("written as %s", got)
	}
}

// TestTimes compares reading and writing of times with package time.
func TestTimes(t *testing.T) {
	check := func(s string) {
		want, err := time.Parse(TimeLayout, s)
		valid := err == nil && want.Format(TimeLayout) == s && want.Year() >= 2000
		got, ok := parseTime([]byte(s))
		if ok != valid || ok && got != want {
			t.Fatalf("%q was read as %v, %v", s, got, ok)
		}
		if w := NewWriter(nil).Time(got); ok && string(w.Bytes()) != `"`+s+`"` {
			t.Fatalf("%q was written as %s", s, w.Bytes())
		}
	}
	for _, year := range []string{"1999", "2000", "2023", "2024", "2100", "9999", "x000"} {
		for month := range 14 {
			for day := range 33 {
				check(fmt.Sprintf("%s-%02d-%02dT23:59:59.999Z", year, month, day))
			}
		}
	}
	for n := range 100 {
		check(fmt.Sprintf("2026-11-21T%02d:00:00.000Z", n))
		check(fmt.Sprintf("2026-11-21T00:%02d:00.000Z", n))
		check(fmt.Sprintf("2026-11-21T00:00:%02d.%03dZ", n, 10*n))
	}
	const good = "2026-11-21T08:00:00.000Z"
	for i := range len(good) {
		for c := range 128 {
			check(good[:i] + string(rune(c)) + good[i+1:])
		}
		check(good[:i] + good[i+1:])
		check(good[:i] + "0" + good[i:])
	}
	if got := string(NewWriter(nil).Time(time.Time{}).Bytes()); got != `"0001-01-01T00:00:00.000Z"` {
		t.Errorf("the zero time was written as %s", got)
	}
}

// TestShortWaysAtTheEnd cuts a document of digests, hex and names after every
// byte: the short ways must not look beyond it.
func TestShortWaysAtTheEnd(t *testing.T) {
	whole := `{"digest":` + digestJSON("a") + `,"list":[1],"n":7,"name":"x","when":"2026-11-21T08:00:00.123Z"}`
	for n := range whole {
		if _, err := decodeTestDoc(whole[:n]); err == nil {
			t.Errorf("%q was taken", whole[:n])
		}
	}
	if _, err := decodeTestDoc(whole); err != nil {
		t.Error(err)
	}
}

// TestWriterOfADigest holds the digest's fixed text against the fields of it.
func TestWriterOfADigest(t *testing.T) {
	d := merkle.Sum([]byte("x"))
	got := NewWriter(nil).Digest(d).Bytes()
	want := NewWriter(nil).Object().Key("sha256").Hex(d.SHA256[:]).Key("sm3").Hex(d.SM3[:]).EndObject().Bytes()
	if !bytes.Equal(got, want) || len(got) != DigestBytes {
		t.Errorf("written as %s, want %s", got, want)
	}
}

// TestDecoderOfUnreadValues leaves values unread, as a wrong decoder would.
func TestDecoderOfUnreadValues(t *testing.T) {
	schema := Fields("a", "b")
	d := NewDecoder([]byte(`{"a":1,"b":2}`))
	for f := d.First(schema); f >= 0; f = d.Next() {
		if f == 1 {
			d.Int(0, 9)
		}
	}
	if err := d.End(); err == nil || !strings.Contains(err.Error(), `"a": was not read`) {
		t.Errorf("an unread member: %v", err)
	}
	d = NewDecoder([]byte(`[1]`))
	for range d.Array(0, 9) {
	}
	if err := d.End(); err == nil || !strings.Contains(err.Error(), `"[0]": was not read`) {
		t.Errorf("an unread element: %v", err)
	}
	d = NewDecoder([]byte(`{"a":1,"b":2}`))
	for range d.Object(schema) {
		break
	}
	if d.End() == nil {
		t.Error("an object left half read was taken")
	}
}

// TestLongStringWithEscape: a string with an escape is refused behind the first
// character that is too many.
func TestLongStringWithEscape(t *testing.T) {
	for text, want := range map[string]int{`\"`: 13, `aaa\\aaa`: 13, `aaaaaaaaaa\"`: 13, `\"\"\"`: 15} {
		d := NewDecoder([]byte(`"` + text + strings.Repeat("a", 40) + `"`))
		d.String(10)
		var syn *SyntaxError
		if err := d.End(); !errors.As(err, &syn) || syn.Offset != want || syn.Problem != "is longer than 10 bytes" {
			t.Errorf("%s: %v, want byte %d", text, err, want)
		}
	}
}
