package timestamp

import (
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
)

func TestParseTime(t *testing.T) {
	day := time.Date(2026, 11, 22, 2, 3, 4, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"20261122020304Z":                  day,
		"20261122020304.5Z":                day.Add(500 * time.Millisecond),
		"20261122020304.123456789Z":        day.Add(123456789),
		"20261122020304.000000001Z":        day.Add(1),
		"20261122020304.0000000001Z":       day, // cut off
		"20261122020304.9999999999999999Z": day.Add(999999999),
		"20240229000000Z":                  time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC),
	} {
		if got, err := parseTime(in); err != nil || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s: %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "Z", "20261122020304", "202611220203Z", "20261122020304.Z", "20261122020304.50Z", "20261122020304.0Z", "20261122020304,5Z",
		"20261122020304+0000", "20261122020304Z0", "20261322020304Z", "20260229000000Z", "20261122240000Z", "20261122026000Z",
		"20261122020360Z", "2026112202030 Z", "+0261122020304Z", "20261122020304.-5Z", "20261122020304.5.5Z", "20261122020304.1111111111111111111111111111Z",
	} {
		if got, err := parseTime(in); err == nil {
			t.Errorf("%s: %v, want an error", in, got)
		}
	}
}

func TestReadAccuracy(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"\x30\x00":                                     0,
		"\x30\x03\x02\x01\x01":                         time.Second,
		"\x30\x04\x80\x02\x01\xf4":                     500 * time.Millisecond,
		"\x30\x03\x81\x01\x07":                         7 * time.Microsecond,
		"\x30\x09\x02\x01\x02\x80\x01\x03\x81\x01\x04": 2003004 * time.Microsecond,
		"\x30\x04\x02\x02\x0e\x10":                     time.Hour,
	} {
		s := cryptobyte.String(in)
		if got, err := readAccuracy(&s); err != nil || got != want {
			t.Errorf("%x: %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "\x31\x00", "\x30\x03\x02\x01\xff", "\x30\x04\x02\x02\x0e\x11", "\x30\x03\x80\x01\x00", "\x30\x04\x80\x02\x03\xe8",
		"\x30\x06\x81\x01\x01\x80\x01\x01", "\x30\x06\x02\x01\x01\x02\x01\x01", "\x30\x0b\x02\x09\x01\x00\x00\x00\x00\x00\x00\x00\x00", "\x30\x04\x02\x02\x00\x01",
	} {
		s := cryptobyte.String(in)
		if got, err := readAccuracy(&s); err == nil {
			t.Errorf("%x: %v, want an error", in, got)
		}
	}
}

func TestParsePSS(t *testing.T) {
	sha256, sha384 := "\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00", "\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00"
	sha1 := "\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00"
	wrap := func(tag byte, parts ...string) string {
		body := ""
		for _, p := range parts {
			body += p
		}
		return string([]byte{tag, byte(len(body))}) + body
	}
	mgf := func(h string) string {
		return wrap(0xa1, wrap(0x30, "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08", h))
	}
	hash := wrap(0xa0, sha256)
	salt := wrap(0xa2, "\x02\x01\x20")
	for _, c := range []struct {
		name, in string
		want     int
	}{
		{"usual", wrap(0x30, hash, mgf(sha256), salt), 32},
		{"default salt", wrap(0x30, hash, mgf(sha256)), 20},
		{"trailer", wrap(0x30, hash, mgf(sha256), salt, wrap(0xa3, "\x02\x01\x01")), 32},
		{"absent", "", 0},
		{"defaults, which are SHA-1", wrap(0x30), 0},
		{"SHA-1", wrap(0x30, wrap(0xa0, sha1), mgf(sha1), salt), 0},
		{"SHA-1 within", wrap(0x30, hash, mgf(sha1), salt), 0},
		{"SHA-1 within, by default", wrap(0x30, hash, salt), 0},
		{"another digest", wrap(0x30, wrap(0xa0, sha384), mgf(sha384), salt), 0},
		{"another digest within", wrap(0x30, hash, mgf(sha384), salt), 0},
		{"salt 0", wrap(0x30, hash, mgf(sha256), wrap(0xa2, "\x02\x01\x00")), 0},
		{"salt -1", wrap(0x30, hash, mgf(sha256), wrap(0xa2, "\x02\x01\xff")), 0},
		{"huge salt", wrap(0x30, hash, mgf(sha256), wrap(0xa2, "\x02\x02\x7f\xff")), 0},
		{"trailer 2", wrap(0x30, hash, mgf(sha256), salt, wrap(0xa3, "\x02\x01\x02")), 0},
		{"tail", wrap(0x30, hash, mgf(sha256), salt, "\x05\x00"), 0},
	} {
		got, err := parsePSS(cryptobyte.String(c.in), hashings[0])
		if got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%s: %d, %v, want %d", c.name, got, err, c.want)
		}
	}
}

// FuzzParts reaches the readers that stand behind a digest or a signature.
func FuzzParts(f *testing.F) {
	f.Add([]byte("20261122020304.5Z"))
	f.Add([]byte("\x30\x09\x02\x01\x02\x80\x01\x03\x81\x01\x04"))
	f.Add([]byte("\x30\x03\x81\x01\xff"))
	f.Add([]byte("\x30\x0b\xa0\x09\xa0\x07\x86\x05http:"))
	for _, name := range []string{"rsa", "ecdsa", "sm2"} {
		token, err := os.ReadFile("testdata/" + name + ".token.der")
		if err != nil {
			f.Fatal(err)
		}
		sd, err := parseSignedData(token)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range [][]byte{sd.content, sd.certificates, sd.lists[0], sd.signer.attributes[oidSigningCertificateV2.String()]} {
			f.Add(part)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if got, err := parseTime(string(in)); err == nil && got.Year() > 9999 {
			t.Fatalf("%v", got)
		}
		s := cryptobyte.String(in)
		if got, err := readAccuracy(&s); err == nil && (got < 0 || got >= MaxAccuracy+time.Second) {
			t.Fatalf("%v", got)
		}
		parseInfo(in)
		parseAttributes(in, tag0)
		parseCertificates(in)
		s = cryptobyte.String(in)
		checkExtensions(&s)
		cert := &smx509.Certificate{Raw: in, SerialNumber: big.NewInt(1), RawIssuer: in}
		for _, v2 := range []bool{false, true} {
			if matchID(in, cert, v2) == nil {
				t.Fatal("a certificate that holds its own digest")
			}
		}
		if salt, err := parsePSS(in, hashings[0]); err == nil && (salt < 1 || salt > maxRSA/8) {
			t.Fatalf("salt %d", salt)
		}
		checkPoint(in, cert)
		if list, err := parseList(in); err == nil {
			checkScope(list, cert)
		}
	})
}
