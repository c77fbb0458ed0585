package gm

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

func generate(t testing.TB, alg Alg) *PrivateKey {
	t.Helper()
	k, err := GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// same says that two private keys are equal, secret and public half.
func same(a, b *PrivateKey) bool {
	return a.Public() == b.Public() && bytes.Equal(a.raw(), b.raw())
}

func TestPEMRoundTrip(t *testing.T) {
	for _, alg := range []Alg{SM2, Ed25519} {
		k := generate(t, alg)
		text, err := k.MarshalPEM()
		if err != nil {
			t.Fatal(err)
		}
		for name, in := range map[string]string{
			"as written":       string(text),
			"comment before":   "# qifeng key court-a submit\n" + string(text),
			"much text before": strings.Repeat("text\n", 100) + string(text),
			"CRLF":             strings.ReplaceAll(string(text), "\n", "\r\n"),
			"blank lines":      "\n\n" + string(text) + "\n \n",
		} {
			back, err := ParsePrivateKey([]byte(in))
			if err != nil || !same(back, k) {
				t.Errorf("%v, %s: %v", alg, name, err)
			}
		}
	}
}

// TestPKCS8MatchesLibrary compares our DER with emmansun's smx509 in both directions.
func TestPKCS8MatchesLibrary(t *testing.T) {
	k := generate(t, SM2)
	der, err := k.marshalPKCS8()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := smx509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := theirs.(*sm2.PrivateKey)
	if !ok || !bytes.Equal(bytes32(key.D), k.raw()) {
		t.Errorf("smx509 reads %T", theirs)
	}
	again, err := smx509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	back, err := parsePKCS8(again)
	if err != nil || !same(back, k) {
		t.Errorf("smx509's encoding: %v", err)
	}
	spki, err := smx509.ParsePKIXPublicKey(k.Public().MarshalSPKI())
	if err != nil || !key.PublicKey.Equal(spki) {
		t.Errorf("smx509 reads our SPKI as %v, %v", spki, err)
	}
}

func TestParsePrivateKeyRefuses(t *testing.T) {
	k, e := generate(t, SM2), generate(t, Ed25519)
	encode := func(typ string, der []byte, headers map[string]string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der, Headers: headers}))
	}
	der := func(k *PrivateKey) []byte {
		b, err := k.marshalPKCS8()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// info makes a PKCS#8 with parts of the caller's choice.
	info := func(version int, id, curve asn1.ObjectIdentifier, key any) []byte {
		var p pkcs8
		var err error
		p.Version, p.Algorithm.ID, p.Algorithm.Curve = version, id, curve
		if p.Key, err = asn1.Marshal(key); err != nil {
			t.Fatal(err)
		}
		b, err := asn1.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	oidP256 := asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	bits := func(b []byte) asn1.BitString { return asn1.BitString{Bytes: b, BitLength: 8 * len(b)} }
	good := encode(pemType, der(k), nil)
	tests := []struct{ name, in string }{
		{"empty", ""},
		{"no block", "hello"},
		{"SEC1 block", encode("EC PRIVATE KEY", der(k), nil)},
		{"public key", encode("PUBLIC KEY", k.Public().MarshalSPKI(), nil)},
		{"encrypted block", encode("ENCRYPTED PRIVATE KEY", der(k), nil)},
		{"headers", encode(pemType, der(k), map[string]string{"Proc-Type": "4,ENCRYPTED"})},
		{"two blocks", good + good},
		{"text after", good + "more"},
		{"too long", strings.Repeat("#\n", maxPEM) + good},
		{"cut", good[:len(good)/2]},
		{"DER tail", encode(pemType, append(der(k), 0), nil)},
		{"DER cut", encode(pemType, der(k)[:40], nil)},
		{"version 1", encode(pemType, info(1, oidEd25519, nil, e.raw()), nil)},
		{"other curve", encode(pemType, info(0, oidEC, oidP256, ecKey{Version: 1, Key: k.raw()}), nil)},
		{"no curve", encode(pemType, info(0, oidEC, nil, ecKey{Version: 1, Key: k.raw()}), nil)},
		{"other curve inside", encode(pemType, info(0, oidEC, oidSM2, ecKey{Version: 1, Key: k.raw(), Curve: oidP256}), nil)},
		{"other EC version", encode(pemType, info(0, oidEC, oidSM2, ecKey{Version: 2, Key: k.raw()}), nil)},
		{"foreign public key", encode(pemType, info(0, oidEC, oidSM2, ecKey{Version: 1, Key: k.raw(), Public: bits(generate(t, SM2).Public().Bytes())}), nil)},
		{"short public key", encode(pemType, info(0, oidEC, oidSM2, ecKey{Version: 1, Key: k.raw(), Public: bits([]byte{4})}), nil)},
		{"scalar 0", encode(pemType, info(0, oidEC, oidSM2, ecKey{Version: 1, Key: make([]byte, 32)}), nil)},
		{"scalar n-1", encode(pemType, info(0, oidEC, oidSM2, ecKey{Version: 1, Key: bytes32(new(big.Int).Sub(sm2Curve.n, big.NewInt(1)))}), nil)},
		{"scalar of 31 bytes", encode(pemType, info(0, oidEC, oidSM2, ecKey{Version: 1, Key: k.raw()[1:]}), nil)},
		{"seed of 31 bytes", encode(pemType, info(0, oidEd25519, nil, e.raw()[1:]), nil)},
		{"ed25519 with a curve", encode(pemType, info(0, oidEd25519, oidSM2, e.raw()), nil)},
		{"x25519", encode(pemType, info(0, asn1.ObjectIdentifier{1, 3, 101, 110}, nil, e.raw()), nil)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParsePrivateKey([]byte(tt.in))
			if err == nil {
				t.Fatalf("ParsePrivateKey = %v", got)
			}
			for name, s := range spellings(k.raw()) {
				if strings.Contains(err.Error(), s) {
					t.Errorf("the error prints the secret as %s", name)
				}
			}
		})
	}
	// And the same builder with the right parts is read.
	if _, err := ParsePrivateKey([]byte(encode(pemType, info(0, oidEC, oidSM2, ecKey{Version: 1, Key: k.raw(), Curve: oidSM2}), nil))); err != nil {
		t.Error(err)
	}
}

func TestSaveAndLoad(t *testing.T) {
	for _, alg := range []Alg{SM2, Ed25519} {
		for _, preamble := range []string{"", "# qifeng key court-a submit"} {
			k := generate(t, alg)
			path := filepath.Join(t.TempDir(), "key.pem")
			if err := SavePrivateKey(path, k, preamble); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != 0o600 {
				t.Errorf("mode %v", info.Mode())
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if line, _, _ := strings.Cut(string(text), "\n"); preamble != "" && line != preamble {
				t.Errorf("first line %q", line)
			}
			back, err := LoadPrivateKey(path)
			if err != nil || !same(back, k) {
				t.Errorf("LoadPrivateKey: %v", err)
			}
			if err := SavePrivateKey(path, generate(t, alg), ""); !errors.Is(err, fs.ErrExist) {
				t.Errorf("overwriting: %v", err)
			}
			if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, text) {
				t.Errorf("the refused overwrite changed the file: %v", err)
			}
		}
	}
}

func TestLoadRefusesOpenPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := SavePrivateKey(path, generate(t, SM2), ""); err != nil {
		t.Fatal(err)
	}
	for mode := fs.FileMode(0); mode <= 0o777; mode++ {
		if mode&0o400 == 0 {
			continue // unreadable to its owner: refused by the system, unless that is root
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadPrivateKey(path)
		if open := mode&0o077 != 0; (err != nil) != open {
			t.Errorf("mode %04o: %v", mode, err)
		} else if open && !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %04o: the error does not name the chmod: %v", mode, err)
		}
	}
}

func TestLoadRefusesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadPrivateKey(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
	if _, err := LoadPrivateKey(dir); err == nil {
		t.Error("a folder is read")
	}
	for name, text := range map[string]string{"empty": "", "short": "-----BEGIN PRIVATE", "large": strings.Repeat("x", 1<<20)} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadPrivateKey(path); err == nil {
			t.Errorf("%s file is read", name)
		}
	}
}

func TestSaveRefuses(t *testing.T) {
	dir := t.TempDir()
	k := generate(t, SM2)
	for name, preamble := range map[string]string{
		"no hash":     "qifeng key",
		"no space":    "#x",
		"two lines":   "# a\n# b",
		"newline":     "# a\n",
		"return":      "# a\r",
		"a PEM block": "# -----BEGIN PRIVATE KEY-----",
		"long":        "# " + strings.Repeat("x", 300),
	} {
		path := filepath.Join(dir, "key.pem")
		if err := SavePrivateKey(path, k, preamble); err == nil {
			t.Errorf("%s: preamble is accepted", name)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a refused save leaves a file: %v", name, err)
		}
	}
	if err := SavePrivateKey(filepath.Join(dir, "absent", "key.pem"), k, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent folder: %v", err)
	}
	if err := SavePrivateKey(filepath.Join(dir, "zero.pem"), new(PrivateKey), ""); err == nil {
		t.Error("the zero key is saved")
	}
}
