package canon

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gowebpki/jcs"

	"qifeng/proof/merkle"
)

func TestIsCanonical(t *testing.T) {
	valid := []string{
		`{}`, `[]`, `""`, `0`, `9007199254740991`, `true`, `false`,
		`{"a":1,"b":[true,false,"x"],"c":{"d":""}}`,
		`"合同 — ü"`, `"\"\\/"`, `"😀"`, `"a\nb"`,
	}
	for _, s := range valid {
		if err := IsCanonical([]byte(s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	invalid := map[string]string{
		"empty":               ``,
		"white space":         `{ }`,
		"leading space":       ` {}`,
		"trailing newline":    "{}\n",
		"trailing data":       `{}{}`,
		"null":                `null`,
		"null member":         `{"a":null}`,
		"duplicate key":       `{"a":1,"a":1}`,
		"unsorted keys":       `{"b":1,"a":1}`,
		"non-ASCII key":       `{"ä":1}`,
		"byte order mark":     "\xef\xbb\xbf{}",
		"minus zero":          `-0`,
		"negative":            `-1`,
		"fraction":            `1.0`,
		"exponent":            `1e2`,
		"big exponent":        `1E2`,
		"leading zero":        `01`,
		"above 2^53-1":        `9007199254740992`,
		"above 2^64":          `99999999999999999999999`,
		"plus":                `+1`,
		"invalid UTF-8":       "\"\xff\"",
		"overlong UTF-8":      "\"\xc0\xaf\"",
		"UTF-8 surrogate":     "\"\xed\xa0\x80\"",
		"escaped surrogate":   `"\ud800"`,
		"needless escape":     `"\u0041"`,
		"escaped slash":       `"\/"`,
		"control":             "\"\x01\"",
		"escaped control":     `"\u0001"`,
		"escaped tab":         `"\t"`,
		"delete":              "\"\x7f\"",
		"C1 control":          "\"\u0085\"",
		"right-to-left":       "\"\u202e\"",
		"isolate":             "\"\u2066\"",
		"zero-width space":    "\"\u200b\"",
		"zero-width joiner":   "\"\u200d\"",
		"inner BOM":           "\"\ufeff\"",
		"line separator":      "\"\u2028\"",
		"tag character":       "\"\U000e0041\"",
		"soft hyphen":         "\"\u00ad\"",
		"unterminated string": `"abc`,
		"unterminated escape": `"abc\`,
		"unterminated object": `{"a":1`,
		"missing comma":       `[1 2]`,
		"trailing comma":      `[1,]`,
		"trailing comma obj":  `{"a":1,}`,
		"bare word":           `nope`,
		"single quotes":       `{'a':1}`,
		"deep":                strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1),
		"very deep":           strings.Repeat("[", 1<<16),
	}
	for name, s := range invalid {
		var syn *SyntaxError
		if err := IsCanonical([]byte(s)); !errors.As(err, &syn) {
			t.Errorf("%s: %q was taken (%v)", name, s, err)
		}
	}
}

var testSchema = Fields("digest", "list?", "n", "name?", "when?")

type testDoc struct {
	digest merkle.Digest
	list   []uint64
	n      uint64
	name   string
	when   time.Time
}

func decodeTestDoc(data string) (out testDoc, err error) {
	d := NewDecoder([]byte(data))
	for key := range d.Object(testSchema) {
		switch key {
		case "digest":
			out.digest = d.Digest()
		case "list":
			for range d.Array(1, 3) {
				out.list = append(out.list, d.Int(1, 9))
			}
		case "n":
			out.n = d.Int(0, MaxInt)
		case "name":
			out.name = d.Enum("x", "y")
		case "when":
			out.when = d.Time()
		}
	}
	return out, d.End()
}

func digestJSON(c string) string {
	h := strings.Repeat(c, 64)
	return `{"sha256":"` + h + `","sm3":"` + h + `"}`
}

func TestDecoderNamesFieldAndProblem(t *testing.T) {
	ok := digestJSON("a")
	tests := []struct{ name, data, field, problem string }{
		{"missing first", `{"n":1}`, "digest", "missing"},
		{"missing last", `{"digest":` + ok + `}`, "n", "missing"},
		{"unknown", `{"digest":` + ok + `,"n":1,"zz":1}`, "", "unknown field"},
		{"wrong case", `{"digest":` + ok + `,"N":1}`, "n", "lower case"},
		{"twice", `{"digest":` + ok + `,"n":1,"n":1}`, "n", "twice"},
		{"order", `{"n":1,"digest":` + ok + `}`, "digest", ""},
		{"short hex", `{"digest":{"sha256":"aa","sm3":"aa"},"n":1}`, "digest.sha256", "64"},
		{"upper hex", `{"digest":` + digestJSON("A") + `,"n":1}`, "digest.sha256", "hex"},
		{"missing half", `{"digest":{"sha256":"` + strings.Repeat("a", 64) + `"},"n":1}`, "digest.sm3", "missing"},
		{"range", `{"digest":` + ok + `,"list":[1,0],"n":1}`, "list[1]", "allowed"},
		{"too many", `{"digest":` + ok + `,"list":[1,2,3,4],"n":1}`, "list", "more than 3"},
		{"too few", `{"digest":` + ok + `,"list":[],"n":1}`, "list", "at least 1"},
		{"enum", `{"digest":` + ok + `,"n":1,"name":"z"}`, "name", "allowed are x, y"},
		{"null", `{"digest":null,"n":1}`, "digest", "null"},
		{"time zone", `{"digest":` + ok + `,"n":1,"when":"2026-11-21T08:00:00.000+08:00"}`, "when", "time"},
		{"no millis", `{"digest":` + ok + `,"n":1,"when":"2026-11-21T08:00:00Z"}`, "when", "time"},
		{"bad day", `{"digest":` + ok + `,"n":1,"when":"2026-02-30T08:00:00.000Z"}`, "when", "time"},
		{"old", `{"digest":` + ok + `,"n":1,"when":"1999-01-01T08:00:00.000Z"}`, "when", "time"},
	}
	for _, tt := range tests {
		_, err := decodeTestDoc(tt.data)
		var syn *SyntaxError
		if !errors.As(err, &syn) {
			t.Errorf("%s: no error", tt.name)
			continue
		}
		if (tt.name != "order" && syn.Field != tt.field) || !strings.Contains(syn.Problem, tt.problem) {
			t.Errorf("%s: got field %q, problem %q", tt.name, syn.Field, syn.Problem)
		}
	}
	got, err := decodeTestDoc(`{"digest":` + ok + `,"list":[1,2],"n":7,"name":"x","when":"2026-11-21T08:00:00.123Z"}`)
	if err != nil || got.n != 7 || len(got.list) != 2 || got.when.Nanosecond() != 123e6 {
		t.Errorf("valid document: %+v, %v", got, err)
	}
}

func TestCanonicalizeTakesFreeSpelling(t *testing.T) {
	tests := map[string]string{
		"\xef\xbb\xbf{ \"b\" : 1 ,\r\n\t\"a\" : [ ] }\n": `{"a":[],"b":1}`,
		`"\u0041\/\u4e2d\ud83d\ude00\n"`:                 `"A/中😀\n"`,
		` [ 1 , { } , true ] `:                           `[1,{},true]`,
	}
	for in, want := range tests {
		got, err := Canonicalize([]byte(in), 1<<10)
		if err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
	for _, in := range []string{`{"a":1,"\u0061":2}`, `null`, `1.5`, `-1`, `"\ud800"`, `"\u202e"`, `"\u0000"`, `"\b"`, `{"a":1}x`, `{a:1}`, strings.Repeat("[", 99),
		`{"a\nb":1}`, `{"` + strings.Repeat("k", 65) + `":1}`} {
		if got, err := Canonicalize([]byte(in), 1<<10); err == nil {
			t.Errorf("%q was taken as %q", in, got)
		}
	}
	if _, err := Canonicalize([]byte(`"aaaa"`), 3); err == nil {
		t.Error("an over-long document was taken")
	}
}

func TestIndentIsUndone(t *testing.T) {
	for _, s := range []string{`{}`, `[]`, `{"a":[],"b":{"c":[{"d":1},{"e":"x,{}[]:\"\\"}]}}`, `"x"`, `7`} {
		for depth := range 5 {
			out := Indent([]byte(s), depth)
			back, err := Canonicalize(out, 1<<10)
			if err != nil || string(back) != s {
				t.Errorf("depth %d of %s: %q came back as %q, %v", depth, s, out, back, err)
			}
		}
	}
}

// FuzzCanonical holds the decoder against two other implementations: what it
// takes must be valid JSON to encoding/json and its own RFC 8785 form to jcs.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{`{"a":[1,true,"x"],"b":{"c":"\"\\"}}`, `"中"`, `9007199254740991`, `{"a":1,"a":2}`, "\"\\n\"", `[[[]]]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if IsCanonical(data) == nil {
			if !json.Valid(data) {
				t.Fatalf("%q is not JSON", data)
			}
			// jcs takes only objects and arrays at the top.
			if data[0] == '{' || data[0] == '[' {
				want, err := jcs.Transform(data)
				if err != nil || !bytes.Equal(want, data) {
					t.Fatalf("%q is not its RFC 8785 form %q (%v)", data, want, err)
				}
			}
		}
		// The two doors agree on what is canonical, though they share no reader of
		// objects or strings; only a byte order mark is for the liberal one alone.
		out, err := Canonicalize(data, 1<<16)
		if same := err == nil && bytes.Equal(out, data); same != (IsCanonical(data) == nil) && len(data) <= 1<<16 {
			t.Fatalf("%q: IsCanonical says %v, Canonicalize %q, %v", data, IsCanonical(data), out, err)
		}
		if err != nil {
			return
		}
		if err := IsCanonical(out); err != nil {
			t.Fatalf("Canonicalize(%q) = %q: %v", data, out, err)
		}
		if back, err := Canonicalize(Indent(out, 3), 1<<20); err != nil || !bytes.Equal(back, out) {
			t.Fatalf("Indent of %q came back as %q, %v", out, back, err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	data := `{"digest":` + digestJSON("a") + `,"list":[1,2,3],"n":7,"name":"x","when":"2026-11-21T08:00:00.123Z"}`
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := decodeTestDoc(data); err != nil {
			b.Fatal(err)
		}
	}
}
