package httpsig

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"qifeng/internal/gm"
)

// The test request of RFC 9421 Appendix B.2.
const rfcRequest = `POST /foo?param=Value&Pet=dog HTTP/1.1
Host: example.com
Date: Tue, 20 Apr 2021 02:07:55 GMT
Content-Type: application/json
Content-Digest: sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
Content-Length: 18

{"hello": "world"}`

// Its keys: B.1.2, B.1.4, B.1.5.
const (
	rfcPSSKey = `MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
2wIDAQAB`
	rfcEd25519Key = "ed25519:26b40b8f93fff3d897112f7ebc582b232dbd72517d082fe83cfb30ddce43d1bb"
	rfcHMACKey    = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
)

// TestRFC9421 builds the bases of the Appendix's examples on requests with the
// functions that build our own, and holds the published signatures against them.
// B.2.1 covers nothing, B.2.2 a kind of component that this profile lacks
// (@query-param), B.2.4 signs a response.
func TestRFC9421(t *testing.T) {
	pss, err := x509.ParsePKIXPublicKey(decode64(t, strings.ReplaceAll(rfcPSSKey, "\n", "")))
	if err != nil {
		t.Fatal(err)
	}
	ed, err := gm.ParsePublicKey(rfcEd25519Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, params, sig string
		components        []string
		verify            func(base, sig []byte) bool
	}{
		{"B.2.3", `;created=1618884473;keyid="test-key-rsa-pss"`,
			"bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==",
			[]string{"date", "@method", "@path", "@query", "@authority", "content-type", "content-digest", "content-length"},
			func(base, sig []byte) bool {
				sum := sha512.Sum512(base)
				return rsa.VerifyPSS(pss.(*rsa.PublicKey), crypto.SHA512, sum[:], sig, &rsa.PSSOptions{SaltLength: 64}) == nil
			}},
		{"B.2.5", `;created=1618884473;keyid="test-shared-secret"`, "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
			[]string{"date", "@authority", "content-type"},
			func(base, sig []byte) bool {
				mac := hmac.New(sha256.New, decode64(t, rfcHMACKey))
				mac.Write(base)
				return hmac.Equal(mac.Sum(nil), sig)
			}},
		{"B.2.6", `;created=1618884473;keyid="test-key-ed25519"`, "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
			[]string{"date", "@method", "@path", "@authority", "content-type", "content-length"},
			func(base, sig []byte) bool { return ed.Verify(base, sig) == nil }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			base := rfcBase(t, tc.components, tc.params)
			if !tc.verify(base, decode64(t, tc.sig)) {
				t.Errorf("the published signature does not verify over\n%s", base)
			}
			if tc.verify(append(base, '\n'), decode64(t, tc.sig)) {
				t.Error("it verifies over anything")
			}
		})
	}
}

func rfcBase(t *testing.T, names []string, params string) []byte {
	t.Helper()
	raw := strings.Replace(rfcRequest, "\n\n", "\r\n\r\n", 1)
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader([]byte(raw))))
	if err != nil {
		t.Fatal(err)
	}
	authority, err := normalAuthority("https", r.Host)
	if err != nil {
		t.Fatal(err)
	}
	derived, err := derive(r, authority, r.Header.Get("Content-Digest"))
	if err != nil {
		t.Fatal(err)
	}
	var parts []component
	var ids []string
	for _, name := range names {
		c := component{id: `"` + name + `"`, value: r.Header.Get(name)}
		if name == "content-length" {
			c.value = "18" // net/http takes it out of the headers
		}
		for _, d := range derived {
			if d.id == c.id {
				c = d
			}
		}
		parts, ids = append(parts, c), append(ids, c.id)
	}
	return appendBase(nil, parts, "("+strings.Join(ids, " ")+")"+params)
}

func decode64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDigestOf: the digest of the same body in RFC 9530's other hash.
func TestDigestOf(t *testing.T) {
	const want = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
	if got := digestOf(sha256.Sum256([]byte(`{"hello": "world"}`))); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
