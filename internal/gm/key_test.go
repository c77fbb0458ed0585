package gm

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"
)

func TestPublicKeyText(t *testing.T) {
	seen := make(map[PublicKey]bool)
	for _, alg := range []Alg{SM2, Ed25519} {
		k, err := GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		pub := k.Public()
		back, err := ParsePublicKey(pub.String())
		if err != nil || back != pub || back.Alg() != alg {
			t.Errorf("ParsePublicKey(%s) = %v, %v", pub, back, err)
		}
		again, err := NewPublicKey(alg, pub.Bytes())
		if err != nil || again != pub {
			t.Errorf("NewPublicKey = %v, %v, want %v", again, err, pub)
		}
		seen[pub], seen[back] = true, true
		raw := pub.Bytes()
		raw[5] ^= 1
		if bytes.Equal(raw, pub.Bytes()) {
			t.Error("Bytes gives out the key's own memory")
		}
	}
	if len(seen) != 2 {
		t.Errorf("two keys make %d map keys", len(seen))
	}
}

func TestParsePublicKeyRefuses(t *testing.T) {
	k, err := GenerateKey(SM2)
	if err != nil {
		t.Fatal(err)
	}
	e, err := GenerateKey(Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	good, edGood := k.Public().String(), e.Public().String()
	off := k.Public().Bytes()
	off[64] ^= 1
	hybrid := k.Public().Bytes()
	hybrid[0] = 6 | hybrid[64]&1
	compressed := append([]byte{2 | off[64]&1 ^ 1}, off[1:33]...)
	tests := []struct{ name, in string }{
		{"empty", ""},
		{"no colon", strings.Replace(good, ":", "", 1)},
		{"no key", "sm2:"},
		{"no key, ed25519", "ed25519:"},
		{"upper-case hex", "sm2:" + strings.ToUpper(good[4:])},
		{"one upper-case digit", "sm2:04" + "A" + good[7:]},
		{"upper-case algorithm", "SM2:" + good[4:]},
		{"unknown algorithm", "p256:" + good[4:]},
		{"other algorithm's name", "ed25519:" + good[4:]},
		{"ed25519 as sm2", "sm2:" + edGood[8:]},
		{"leading space", " " + good},
		{"trailing newline", good + "\n"},
		{"space after colon", "sm2: " + good[4:]},
		{"odd digits", good[:len(good)-1]},
		{"one byte short", good[:len(good)-2]},
		{"one byte long", good + "00"},
		{"ed25519 one byte long", edGood + "00"},
		{"not hex", good[:len(good)-1] + "g"},
		{"very long", "sm2:" + strings.Repeat("04", 1<<20)},
		{"off the curve", "sm2:" + hex.EncodeToString(off)},
		{"zero point", "sm2:04" + strings.Repeat("00", 64)},
		{"infinity", "sm2:00"},
		{"compressed", "sm2:" + hex.EncodeToString(compressed)},
		{"hybrid", "sm2:" + hex.EncodeToString(hybrid)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := ParsePublicKey(tt.in); err == nil || !got.IsZero() {
				t.Errorf("ParsePublicKey = %v, %v", got, err)
			}
		})
	}
	if _, err := NewPublicKey(0, k.Public().Bytes()); err == nil {
		t.Error("NewPublicKey of no algorithm")
	}
}

// TestCoordinatesAreReduced takes points with a tiny x and writes x+p instead: the same point in a
// second spelling, which must not be a key.
func TestCoordinatesAreReduced(t *testing.T) {
	c := sm2Curve
	found := 0
	for x := big.NewInt(1); found < 5; x = new(big.Int).Add(x, big.NewInt(1)) {
		rhs := new(big.Int).Exp(x, big.NewInt(3), c.p)
		rhs.Add(rhs, new(big.Int).Mul(c.a, x)).Add(rhs, c.b).Mod(rhs, c.p)
		y := new(big.Int).ModSqrt(rhs, c.p)
		if y == nil {
			continue
		}
		found++
		if _, err := NewPublicKey(SM2, append([]byte{4}, append(bytes32(x), bytes32(y)...)...)); err != nil {
			t.Errorf("x = %v: %v", x, err)
		}
		if k, err := NewPublicKey(SM2, append([]byte{4}, append(bytes32(new(big.Int).Add(x, c.p)), bytes32(y)...)...)); err == nil {
			t.Errorf("x = %v + p is the key %v", x, k)
		}
	}
}

// TestSmallOrderEd25519 shows for each refused point that the standard library verifies one fixed
// signature (the identity, and S = 0) of many messages under it, and that it is no key here.
func TestSmallOrderEd25519(t *testing.T) {
	sig := make([]byte, 64)
	sig[0] = 1
	for _, y := range smallOrder {
		forged := 0
		for i := range 200 {
			if ed25519.Verify(y[:], []byte{byte(i)}, sig) {
				forged++
			}
		}
		if forged == 0 {
			t.Errorf("%x is not of small order", y)
		}
		for _, sign := range []byte{0, 0x80} {
			raw := y
			raw[31] |= sign
			if k, err := NewPublicKey(Ed25519, raw[:]); err == nil {
				t.Errorf("small-order point %v is a key", k)
			}
		}
	}
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	for i := range 19 {
		y := bytes32(new(big.Int).Add(p, big.NewInt(int64(i))))
		for l, r := 0, 31; l < r; l, r = l+1, r-1 {
			y[l], y[r] = y[r], y[l]
		}
		for _, sign := range []byte{0, 0x80} {
			y[31] = y[31]&0x7f | sign
			if k, err := NewPublicKey(Ed25519, y); err == nil {
				t.Errorf("p+%d is the key %v", i, k)
			}
		}
	}
	// The largest canonical y that is not of small order, p-2, is not refused.
	y := bytes32(new(big.Int).Sub(p, big.NewInt(2)))
	for l, r := 0, 31; l < r; l, r = l+1, r-1 {
		y[l], y[r] = y[r], y[l]
	}
	if _, err := NewPublicKey(Ed25519, y); err != nil {
		t.Errorf("p-2: %v", err)
	}
}

// TestSecretsAreNeverPrinted prints keys every way one prints things and looks for the secret in
// every spelling.
func TestSecretsAreNeverPrinted(t *testing.T) {
	type hidden struct {
		name string
		key  PrivateKey
		ptr  *PrivateKey
	}
	type open struct{ Key *PrivateKey }
	for _, alg := range []Alg{SM2, Ed25519} {
		k, err := GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		values := []any{k, *k, &k, hidden{"n", *k, k}, &hidden{"n", *k, k}, open{k}, &open{k},
			[]*PrivateKey{k}, []PrivateKey{*k}, map[string]*PrivateKey{"a": k}, map[string]PrivateKey{"a": *k},
			[]any{k}, fmt.Errorf("wrapped: %v", k), Signer(k)}
		for _, v := range values {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%b", "%T", "%10.3v"} {
				fmt.Fprintf(&out, verb+"\n", v)
			}
			fmt.Fprintln(&out, v)
			b, _ := json.Marshal(v)
			out.Write(b)
			for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
				slog.New(h).Info("key", "key", v, slog.Group("g", "key", v))
			}
		}
		secret := k.raw()
		for name, s := range spellings(secret) {
			if strings.Contains(strings.ToLower(out.String()), strings.ToLower(s)) {
				t.Errorf("%v: the secret was printed as %s", alg, name)
			}
		}
		if want := "private key of " + k.Public().String(); fmt.Sprint(k) != want || fmt.Sprintf("%#v", *k) != want {
			t.Errorf("printed as %v, want %s", k, want)
		}
	}
	if got := fmt.Sprintf("%+v", PrivateKey{}); got != "private key (none)" {
		t.Errorf("zero key printed as %s", got)
	}
}

// spellings are ways in which a print of secret would show its first bytes.
func spellings(secret []byte) map[string]string {
	head := secret[:8]
	return map[string]string{
		"hex":           hex.EncodeToString(head),
		"spaced hex":    fmt.Sprintf("% x", head),
		"decimal bytes": strings.Trim(fmt.Sprint(head), "[]"),
		"Go syntax":     strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", head), "[]byte{"), "}"),
		"decimal":       new(big.Int).SetBytes(secret).String(),
		"binary":        fmt.Sprintf("%b", new(big.Int).SetBytes(secret)),
		"base64":        base64.StdEncoding.EncodeToString(secret[:6]),
	}
}

// TestSpellings makes sure that the test above would see a secret.
func TestSpellings(t *testing.T) {
	k, err := GenerateKey(Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	b := k.raw()
	printed := fmt.Sprintf("%x|% x|%v|%#v|%d|%b|%s", b, b, b, b, new(big.Int).SetBytes(b), new(big.Int).SetBytes(b), base64.StdEncoding.EncodeToString(b))
	for name, s := range spellings(b) {
		if !strings.Contains(printed, s) {
			t.Errorf("%s is not found in %s", name, printed)
		}
	}
}
