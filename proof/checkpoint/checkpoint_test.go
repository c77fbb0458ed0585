package checkpoint

import (
	"errors"
	"strings"
	"testing"

	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// goldenBody is written out here, so that no change of the code changes it.
const goldenBody = "qifeng/demo-8b4ca1b2\n" +
	"42\n" +
	"uPhQ8uGfTqR8Psh0uKNxs8LQDGWqnvCbbX/LSA7SmqA=\n" +
	"sm3 bm90IHRoZSBTTTMgb2YgYW55dGhpbmcgYXQgYWxsISE=\n"

func goldenCheckpoint() Checkpoint {
	c := Checkpoint{Origin: "qifeng/demo-8b4ca1b2", Size: 42}
	copy(c.Root.SM3[:], "not the SM3 of anything at all!!")
	c.Root.SHA256 = [32]byte{0xb8, 0xf8, 0x50, 0xf2, 0xe1, 0x9f, 0x4e, 0xa4, 0x7c, 0x3e, 0xc8, 0x74, 0xb8, 0xa3, 0x71, 0xb3,
		0xc2, 0xd0, 0x0c, 0x65, 0xaa, 0x9e, 0xf0, 0x9b, 0x6d, 0x7f, 0xcb, 0x48, 0x0e, 0xd2, 0x9a, 0xa0}
	return c
}

func TestBodyGolden(t *testing.T) {
	if got := string(goldenCheckpoint().Body()); got != goldenBody {
		t.Errorf("Body:\n%swant:\n%s", got, goldenBody)
	}
	c, err := ParseBody([]byte(goldenBody))
	if err != nil || c != goldenCheckpoint() {
		t.Errorf("ParseBody = %+v, %v", c, err)
	}
}

func TestParseBody(t *testing.T) {
	replace := func(old, new string) string {
		s := strings.Replace(goldenBody, old, new, 1)
		if s == goldenBody {
			t.Fatalf("%q is not in the body", old)
		}
		return s
	}
	for _, tt := range []struct {
		name, body string
		ok         bool
	}{
		{"as it is", goldenBody, true},
		{"empty ledger", replace("\n42\n", "\n0\n"), true},
		{"largest size", replace("\n42\n", "\n9007199254740991\n"), true},
		{"longest chain id", replace("demo-", strings.Repeat("d", 41)+"-"), true},
		{"empty", "", false},
		{"three lines", strings.Join(strings.SplitAfter(goldenBody, "\n")[:3], ""), false},
		{"five lines", goldenBody + "more\n", false},
		{"last line not ended", strings.TrimSuffix(goldenBody, "\n"), false},
		{"blank line at the end", goldenBody + "\n", false},
		{"CRLF", strings.ReplaceAll(goldenBody, "\n", "\r\n"), false},
		{"other origin prefix", replace("qifeng/", "Qifeng/"), false},
		{"no origin prefix", replace("qifeng/", ""), false},
		{"chain id without hash", replace("-8b4ca1b2", ""), false},
		{"chain id in upper case", replace("8b4ca1b2", "8B4CA1B2"), false},
		{"chain id too long", replace("demo-", strings.Repeat("d", 42)+"-"), false},
		{"space after origin", replace("b2\n", "b2 \n"), false},
		{"size above 2^53-1", replace("\n42\n", "\n9007199254740992\n"), false},
		{"size above 2^64", replace("\n42\n", "\n18446744073709551658\n"), false},
		{"leading zero", replace("\n42\n", "\n042\n"), false},
		{"plus", replace("\n42\n", "\n+42\n"), false},
		{"negative", replace("\n42\n", "\n-42\n"), false},
		{"hex size", replace("\n42\n", "\n0x2a\n"), false},
		{"underscore", replace("\n42\n", "\n4_2\n"), false},
		{"no size", replace("\n42\n", "\n\n"), false},
		{"unused base64 bits", replace("mqA=", "mqB="), false},
		{"base64 without padding", replace("mqA=", "mqA"), false},
		{"base64url", replace("bX/L", "bX_L"), false},
		{"CR inside base64", replace("bX/L", "bX\r/L"), false},
		{"short root", replace("uPhQ", ""), false},
		{"long root", replace("uPhQ", "uPhQuPhQ"), false},
		{"roots swapped", replace("sm3 ", ""), false},
		{"sm3 in upper case", replace("sm3 ", "SM3 "), false},
		{"sm3 with two spaces", replace("sm3 ", "sm3  "), false},
		{"other extension", replace("sm3 ", "sm4 "), false},
		{"huge", goldenBody + strings.Repeat("x", 1<<20), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := ParseBody([]byte(tt.body))
			if (err == nil) != tt.ok {
				t.Fatalf("err = %v, want ok = %v", err, tt.ok)
			}
			if err == nil && string(c.Body()) != tt.body {
				t.Errorf("written again it is:\n%s", c.Body())
			}
			if err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("%v is not ErrMalformed", err)
			}
		})
	}
}

// TestParseBodyFlips flips every bit: what is still read is another checkpoint.
func TestParseBodyFlips(t *testing.T) {
	for i := range len(goldenBody) {
		for bit := range 8 {
			b := []byte(goldenBody)
			b[i] ^= 1 << bit
			c, err := ParseBody(b)
			if err != nil {
				continue
			}
			if c == goldenCheckpoint() || string(c.Body()) != string(b) {
				t.Errorf("byte %d bit %d: read as %+v", i, bit, c)
			}
		}
	}
}

func TestCheckChainID(t *testing.T) {
	for id, ok := range map[string]bool{
		"demo-8b4ca1b2":                        true,
		"d-00000000":                           true,
		"a1-b2--8b4ca1b2":                      true,
		strings.Repeat("a", 41) + "-8b4ca1b2":  true,
		strings.Repeat("a", 42) + "-8b4ca1b2":  false,
		"":                                     false,
		"-8b4ca1b2":                            false,
		"demo":                                 false,
		"demo-8b4ca1b":                         false,
		"demo-8b4ca1b22":                       false,
		"demo-8b4ca1bg":                        false,
		"demo-8B4CA1B2":                        false,
		"demo_8b4ca1b2":                        false,
		"1demo-8b4ca1b2":                       false,
		"-demo-8b4ca1b2":                       false,
		"Demo-8b4ca1b2":                        false,
		"de/mo-8b4ca1b2":                       false,
		"de mo-8b4ca1b2":                       false,
		"dé-8b4ca1b2":                          false,
		"demo-8b4ca1b2\n":                      false,
		ChainID("demo", merkle.Sum(nil)):       true,
		ChainID("demo", merkle.Sum(nil)) + " ": false,
	} {
		if err := CheckChainID(id); (err == nil) != ok {
			t.Errorf("CheckChainID(%q) = %v", id, err)
		}
	}
}

func TestCheckMemberID(t *testing.T) {
	for id, ok := range map[string]bool{
		"court-a":               true,
		"c1":                    true,
		"a--b":                  true,
		strings.Repeat("a", 32): true,
		strings.Repeat("a", 33): false,
		"":                      false,
		"a":                     false,
		"1a":                    false,
		"-a":                    false,
		"a-":                    false,
		"Court":                 false,
		"court a":               false,
		"court+a":               false,
		"court/a":               false,
		"court.a":               false,
		"法院":                    false,
		"none":                  false,
	} {
		if err := CheckMemberID(id); (err == nil) != ok {
			t.Errorf("CheckMemberID(%q) = %v", id, err)
		}
	}
}

func TestRoles(t *testing.T) {
	neutral := map[Role]bool{Court: true, Notary: true, Arbitration: true, Vendor: false}
	for r, want := range neutral {
		if got, err := ParseRole(string(r)); err != nil || got != r || r.Neutral() != want {
			t.Errorf("role %s: %v, %v, neutral %v", r, got, err, r.Neutral())
		}
	}
	for _, s := range []string{"", "Court", "court ", "judge"} {
		if _, err := ParseRole(s); !errors.Is(err, ErrMalformed) {
			t.Errorf("ParseRole(%q) = %v", s, err)
		}
		if Role(s).Neutral() {
			t.Errorf("%q is neutral", s)
		}
	}
}

// TestKeyID: the example of c2sp.org/signed-note, then all three types pinned.
func TestKeyID(t *testing.T) {
	const example = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
	k, err := gm.ParsePublicKey("ed25519:e932791ae6e7a840a46164c904786426d5e7821dd8b29a00d61cae72afdd4da4")
	if err != nil {
		t.Fatal(err)
	}
	if got := vkey("example.com/foo", typeLog, k); got != example {
		t.Errorf("vkey = %s, want %s", got, example)
	}
	m, _ := fixedMember(t, "court-a", Court)
	for _, tt := range []struct {
		name string
		got  uint32
		want uint32
	}{
		{"log", keyID("qifeng/demo-8b4ca1b2", typeLog, m.Log), 0x01dfc5a8},
		{"cosignature", keyID(m.ID, typeCosignature, m.SealEd25519), 0xb41bcd93},
		{"sm2", keyID(m.ID, typeSM2, m.SealSM2), 0x70b221c0},
	} {
		if tt.got != tt.want {
			t.Errorf("key id of the %s key = %08x, want %08x", tt.name, tt.got, tt.want)
		}
	}
}
