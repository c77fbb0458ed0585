package httpsig

import (
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"qifeng/internal/gm"
)

// TestOpenssl: what is signed by SM2 is the base, with the default signer id; a
// third party says so.
func TestOpenssl(t *testing.T) {
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("openssl is not installed")
		}
		t.Skip("openssl is not installed")
	}
	d := newDoor(t)
	r := d.signed(t, desk, "/v1/records?dossier=00112233445566778899aabbccddeeff")
	// The base is written here by hand from the request that was sent.
	base := strings.Join([]string{
		`"@method": GET`,
		`"@authority": 127.0.0.1:8100`,
		`"@path": /v1/records`,
		`"@query": ?dossier=00112233445566778899aabbccddeeff`,
		`"@signature-params": ` + strings.TrimPrefix(r.Header.Get("Signature-Input"), "qifeng="),
	}, "\n")
	sig, err := parseSignature(r.Header.Get("Signature"))
	if err != nil {
		t.Fatal(err)
	}
	der, err := gm.MarshalDER(sig)
	if err != nil {
		t.Fatal(err)
	}
	key := d.keys[desk].key
	if err := gm.VerifyBoth(key, []byte(base), sig); err != nil {
		t.Errorf("the two SM2 libraries: %v", err)
	}
	dir := t.TempDir()
	for name, b := range map[string][]byte{
		"base": []byte(base), "other": []byte(strings.Replace(base, "GET", "PUT", 1)), "sig": der,
		"key": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: key.MarshalSPKI()}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := func(file string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), path, "dgst", "-sm3", "-sigopt", "distid:1234567812345678",
			"-verify", "key", "-signature", "sig", file)
		cmd.Dir = dir
		return cmd.CombinedOutput()
	}
	if out, err := verify("base"); err != nil {
		t.Errorf("openssl refuses the base: %v\n%s", err, out)
	}
	if out, err := verify("other"); err == nil {
		t.Errorf("openssl accepts another base: %s", out)
	}
}
