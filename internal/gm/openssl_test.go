package gm

import (
	"bytes"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// openssl is a third-party judge of our encodings and signatures. On a developer's machine without
// it the tests are skipped; in CI its absence is a failure, so that they are never skipped for ever.
type openssl struct {
	t    *testing.T
	path string
	dir  string
}

func newOpenssl(t *testing.T) *openssl {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("openssl is not installed")
		}
		t.Skip("openssl is not installed")
	}
	return &openssl{t: t, path: path, dir: t.TempDir()}
}

func (o *openssl) try(args ...string) ([]byte, error) {
	cmd := exec.CommandContext(o.t.Context(), o.path, args...)
	cmd.Dir = o.dir
	return cmd.CombinedOutput()
}

func (o *openssl) run(args ...string) []byte {
	o.t.Helper()
	out, err := o.try(args...)
	if err != nil {
		o.t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
	return out
}

func (o *openssl) write(name string, data []byte) {
	o.t.Helper()
	if err := os.WriteFile(filepath.Join(o.dir, name), data, 0o600); err != nil {
		o.t.Fatal(err)
	}
}

func (o *openssl) read(name string) []byte {
	o.t.Helper()
	data, err := os.ReadFile(filepath.Join(o.dir, name))
	if err != nil {
		o.t.Fatal(err)
	}
	return data
}

func (o *openssl) writePublic(k PublicKey) {
	o.t.Helper()
	o.write("pub.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.MarshalSPKI()}))
}

func TestOpensslVerifiesOurs(t *testing.T) {
	o := newOpenssl(t)
	msg := bytes.Repeat([]byte("证据 evidence\n"), 50)
	o.write("msg", msg)
	o.write("other", append(bytes.Clone(msg), 'x'))

	k := generate(t, SM2)
	sig, err := k.Sign(msg)
	if err != nil {
		t.Fatal(err)
	}
	der, err := MarshalDER(sig)
	if err != nil {
		t.Fatal(err)
	}
	o.writePublic(k.Public())
	o.write("sig", der)
	sm2 := func(msg string) []string {
		return []string{"pkeyutl", "-verify", "-pubin", "-inkey", "pub.pem", "-rawin", "-in", msg, "-digest", "sm3", "-pkeyopt", "distid:1234567812345678", "-sigfile", "sig"}
	}
	o.run(sm2("msg")...)
	o.run("dgst", "-sm3", "-sigopt", "distid:1234567812345678", "-verify", "pub.pem", "-signature", "sig", "msg")
	if out, err := o.try(sm2("other")...); err == nil {
		t.Errorf("openssl verifies another message: %s", out)
	}

	e := generate(t, Ed25519)
	sig, err = e.Sign(msg)
	if err != nil {
		t.Fatal(err)
	}
	o.writePublic(e.Public())
	o.write("sig", sig)
	ed := func(msg string) []string {
		return []string{"pkeyutl", "-verify", "-pubin", "-inkey", "pub.pem", "-rawin", "-in", msg, "-sigfile", "sig"}
	}
	o.run(ed("msg")...)
	if out, err := o.try(ed("other")...); err == nil {
		t.Errorf("openssl verifies another message: %s", out)
	}
}

// TestOpensslKeys reads what openssl writes and has openssl read what we write.
func TestOpensslKeys(t *testing.T) {
	o := newOpenssl(t)
	msg := []byte("signed by openssl")
	o.write("msg", msg)
	for _, tt := range []struct {
		alg  Alg
		name string
		sign []string
	}{
		{SM2, "SM2", []string{"dgst", "-sm3", "-sigopt", "distid:1234567812345678", "-sign", "key.pem", "-out", "sig", "msg"}},
		{Ed25519, "ED25519", []string{"pkeyutl", "-sign", "-rawin", "-inkey", "key.pem", "-in", "msg", "-out", "sig"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// openssl's key, read by us.
			o.run("genpkey", "-algorithm", tt.name, "-out", "key.pem")
			k, err := ParsePrivateKey(o.read("key.pem"))
			if err != nil {
				t.Fatal(err)
			}
			o.run("pkey", "-in", "key.pem", "-pubout", "-outform", "DER", "-out", "pub.der")
			if got, want := k.Public().MarshalSPKI(), o.read("pub.der"); !bytes.Equal(got, want) {
				t.Errorf("SPKI = %x, openssl's %x", got, want)
			}
			// Its signature, verified by us.
			o.run(tt.sign...)
			sig := o.read("sig")
			if tt.alg == SM2 {
				if sig, err = ParseDER(sig); err != nil {
					t.Fatal(err)
				}
			}
			if err := VerifyBoth(k.Public(), msg, sig); err != nil {
				t.Error(err)
			}
			// Our key, read and written again by openssl: the same bytes.
			ours := generate(t, tt.alg)
			path := filepath.Join(o.dir, tt.name+".pem")
			if err := SavePrivateKey(path, ours, "# qifeng key court-a submit"); err != nil {
				t.Fatal(err)
			}
			o.run("pkcs8", "-topk8", "-nocrypt", "-in", path, "-out", "again.pem")
			text, err := ours.MarshalPEM()
			if err != nil {
				t.Fatal(err)
			}
			if got := o.read("again.pem"); !bytes.Equal(got, text) {
				t.Errorf("openssl pkcs8 writes\n%s\nwe\n%s", got, text)
			}
		})
	}
}

func TestOpensslSM3(t *testing.T) {
	o := newOpenssl(t)
	for _, n := range []int{0, 55, 56, 63, 64, 1000} {
		data := bytes.Repeat([]byte{0xa5}, n)
		o.write("data", data)
		o.run("dgst", "-sm3", "-binary", "-out", "sum", "data")
		if got := SM3(data); !bytes.Equal(got[:], o.read("sum")) {
			t.Errorf("%d bytes: SM3 = %x, openssl %x", n, got, o.read("sum"))
		}
	}
}
