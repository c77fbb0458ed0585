package node

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// testVkey is a C2SP verifier key of type 0x04.
var testVkey = func() string {
	key, err := gm.GenerateKey(gm.Ed25519)
	if err != nil {
		panic(err)
	}
	return checkpoint.Witness{Name: "witness.example", Key: key.Public()}.String()
}()

// TestAnchorFieldsAreDocumented: in both languages, each with its default, and
// each in the users' page.
func TestAnchorFieldsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/anchors.md")
	if err != nil {
		t.Fatal(err)
	}
	fallen := AnchorConfig{}
	defaults := map[string]string{"every": fallen.every().String(), "timeout": fallen.timeout().String(), "hash": fallen.hash(),
		"driver": fallen.driver(), "chaincode": fallen.chaincode(), "ca": "", "user": "", "password_file": "", "tls_name": ""}
	typ := reflect.TypeFor[AnchorConfig]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		comment := f.Tag.Get("comment")
		want := "No default."
		if def, ok := defaults[name]; ok {
			want = fmt.Sprintf("Default %q.", def)
		}
		if !strings.HasSuffix(comment, want) || !strings.Contains(comment, " · ") {
			t.Errorf("%s: not in both languages or without %q: %s", name, want, comment)
		}
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/anchors.md does not name %s", name)
		}
	}
}

// TestAnchorExamplesAreTrue: what the generated file shows, without the signs
// before it, is a configuration but for the key that it makes up.
func TestAnchorExamplesAreTrue(t *testing.T) {
	c := valid()
	text, err := c.Render()
	if err != nil {
		t.Fatal(err)
	}
	_, tail, ok := strings.Cut(string(text), anchorsTail)
	if !ok {
		t.Fatal("no examples")
	}
	tail = regexp.MustCompile(`(?m)^#( |$)`).ReplaceAllString(tail, "")
	tail = strings.Replace(tail, "witness.example+HEX+BASE64", testVkey, 1)
	got, err := ParseConfig([]byte("[member]\nid = 'court-a'\n" + tail))
	if err != nil {
		t.Fatalf("%v in\n%s", err, tail)
	}
	if len(got.Anchor) != len(anchorExamples) {
		t.Errorf("read %d anchors of %d", len(got.Anchor), len(anchorExamples))
	}
	again, err := got.Render()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseConfig(again)
	if err != nil || !reflect.DeepEqual(back, got) {
		t.Errorf("%v: read back %+v, want %+v", err, back, got)
	}
}

func TestAnchorsAreChecked(t *testing.T) {
	const tsa = "[anchor.tsa]\nkind = 'rfc3161'\nurl = 'https://tsa.example/ts'\nroots = 'r.pem'\n"
	const fab = "[anchor.fab]\nkind = 'fabric'\nendpoint = 'peer:7051'\ntls_ca = 'c'\nmsp = 'M'\ncert = 'x'\nkey = 'k'\nchannel = 'ch'\n"
	var many strings.Builder
	for i := range maxAnchors + 1 {
		many.WriteString(strings.Replace(tsa, "anchor.tsa", fmt.Sprintf("anchor.t%d", i), 1))
	}
	for _, tc := range []struct{ name, text, want string }{
		{"a time-stamp authority", tsa, ""},
		{"with everything", tsa + "every = '10s'\ntimeout = '2s'\nca = 'ca.pem'\nuser = 'u'\npassword_file = 'p'\nhash = 'sm3'\n", ""},
		{"a witness", "[anchor.wit]\nkind = 'witness'\nurl = 'http://127.0.0.1:1/'\nkey = '" + testVkey + "'\n", ""},
		{"a channel", fab, ""},
		{"a channel by the other driver", "[anchor.fab]\nkind = 'fabric'\ndriver = 'sdk'\nsdk_program = 'p'\nsdk_config = 'c'\ncert = 'x'\nkey = 'k'\nchannel = 'ch'\n", ""},
		{"a witness of others", "[witness]\nkey = 'keys/witness.pem'\nlogs = 'logs.txt'\n", ""},

		{"no kind", "[anchor.tsa]\nurl = 'x'\n", "[anchor.tsa] kind"},
		{"a name in capitals", strings.Replace(tsa, "anchor.tsa", "anchor.TSA", 1), "[anchor.TSA]"},
		{"an unknown field", tsa + "colour = 'red'\n", "unknown field anchor.tsa.colour"},
		{"a field of another kind", tsa + "channel = 'c'\n", "[anchor.tsa] channel: is no field of kind rfc3161"},
		{"no URL", "[anchor.tsa]\nkind = 'rfc3161'\nroots = 'r.pem'\n", "[anchor.tsa] url: must be set"},
		{"no roots", "[anchor.tsa]\nkind = 'rfc3161'\nurl = 'http://t/'\n", "[anchor.tsa] roots: must be set"},
		{"another scheme", strings.Replace(tsa, "https", "ftp", 1), "[anchor.tsa] url"},
		{"a password in the URL", strings.Replace(tsa, "tsa.example", "u:p@tsa.example", 1), "user and password_file"},
		{"a user without a password", tsa + "user = 'u'\n", "user, password_file"},
		{"a password in clear", strings.Replace(tsa, "https", "http", 1) + "user = 'u'\npassword_file = 'p'\n", "https only"},
		{"an unknown digest", tsa + "hash = 'md5'\n", "[anchor.tsa] hash"},
		{"too often", tsa + "every = '10ms'\n", "[anchor.tsa] every"},
		{"too long", tsa + "timeout = '1h'\n", "[anchor.tsa] timeout"},
		{"no duration", tsa + "every = 'often'\n", "line 7"},
		{"a key that is none", "[anchor.wit]\nkind = 'witness'\nurl = 'http://w/'\nkey = 'w+1+AA=='\n", "[anchor.wit] key"},
		{"no endpoint", strings.Replace(fab, "endpoint = 'peer:7051'\n", "", 1), "[anchor.fab] endpoint: must be set"},
		{"an endpoint without a port", strings.Replace(fab, "peer:7051", "peer", 1), "[anchor.fab] endpoint"},
		{"an unknown driver", fab + "driver = 'java'\n", "[anchor.fab] driver"},
		{"a program without a use", fab + "sdk_program = 'p'\n", "[anchor.fab] sdk_program"},
		{"no program", "[anchor.fab]\nkind = 'fabric'\ndriver = 'sdk'\nsdk_config = 'c'\ncert = 'x'\nkey = 'k'\nchannel = 'ch'\n", "[anchor.fab] sdk_program: must be set"},
		{"no file of roots", "[anchors]\nroots = ''\n" + tsa, "[anchors] roots"},
		{"too many", many.String(), "at most 8"},
		{"a witness key without logs", "[witness]\nkey = 'k'\n", "[witness] key, logs"},
		{"a witness key that seals", "[witness]\nkey = './keys/seal-ed25519.pem'\nlogs = 'l'\n", "[witness] key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ParseConfig([]byte("[member]\nid = 'vendor-a'\n" + tc.text))
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}
