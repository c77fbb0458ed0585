package httpsig

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
)

func TestRoundTrip(t *testing.T) {
	d := newDoor(t, origin, "https://court.example", "http://[::1]:8100")
	for _, tc := range []struct{ name, method, url, body string }{
		{"plain", "GET", origin + "/v1/records/00ff", ""},
		{"no path", "GET", origin, ""},
		{"no method", "", origin + "/", ""},
		{"head", "HEAD", origin + "/v1/checkpoint", ""},
		{"query", "GET", origin + "/v1/records?digest=sm3:00ff&limit=20", ""},
		{"empty query", "GET", origin + "/v1/records?", ""},
		{"escapes", "GET", origin + "/a%2Fb/%E8%AF%81?q=%e8%AF%81+x&y=%20", ""},
		{"default port left out", "GET", "https://court.example/v1/status", ""},
		{"default port given", "GET", "https://court.example:443/v1/status", ""},
		{"capitals in the host", "GET", "https://Court.Example/v1/status", ""},
		{"IPv6", "GET", "http://[::1]:8100/v1/status", ""},
		{"delete", "DELETE", origin + "/v1/x", ""},
		{"body", "POST", origin + "/v1/find", `{"digests":[]}`},
	} {
		for _, keyID := range []string{desk, system} {
			t.Run(tc.name+"/"+keyID, func(t *testing.T) {
				r := request(t, tc.method, tc.url, tc.body)
				if err := Sign(r, keyID, d.signers[keyID], d.clock); err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Prefer", "wait=30") // not covered
				in := sent(t, r)
				id, err := d.Verify(in)
				if err != nil {
					t.Fatal(err)
				}
				if got := KeyID(id.Member, id.Key); got != keyID || id.Purpose != evidence.Read {
					t.Errorf("identity %+v, want %s", id, keyID)
				}
				body, err := io.ReadAll(in.Body)
				if err != nil || string(body) != tc.body || in.Body.Close() != nil {
					t.Errorf("body %q, %v, want %q", body, err, tc.body)
				}
			})
		}
	}
}

// TestFlippedBits flips every bit of both headers: each must fail, since there
// is one spelling.
func TestFlippedBits(t *testing.T) {
	d := newDoor(t)
	for _, keyID := range []string{desk, system} {
		good := d.signed(t, keyID, "/v1/records?dossier=00")
		for _, name := range []string{inputField, signatureField} {
			value := good.Header.Get(name)
			for i := range value {
				for bit := range 8 {
					b := []byte(value)
					b[i] ^= 1 << bit
					r := good.Clone(t.Context())
					r.Header.Set(name, string(b))
					if id, err := d.Verify(r); err == nil {
						t.Fatalf("%s with bit %d of byte %d flipped (%q) is %+v", name, bit, i, b, id)
					}
				}
			}
		}
		if _, err := d.Verify(good); err != nil {
			t.Errorf("the request itself: %v", err)
		}
	}
}

// TestChangedRequest: no covered part of a request can be changed.
func TestChangedRequest(t *testing.T) {
	d := newDoor(t, origin, "http://other.example:8100")
	for name, change := range map[string]func(r *http.Request){
		"method":             func(r *http.Request) { r.Method = http.MethodHead },
		"host":               func(r *http.Request) { r.Host = "other.example:8100" },
		"path":               func(r *http.Request) { r.URL.Path += "1" },
		"slash":              func(r *http.Request) { r.URL.Path += "/" },
		"escaped slash":      func(r *http.Request) { r.URL.RawPath = "/v1%2Frecords" },
		"query":              func(r *http.Request) { r.URL.RawQuery = "dossier=01" },
		"query added to":     func(r *http.Request) { r.URL.RawQuery += "&limit=1" },
		"no query":           func(r *http.Request) { r.URL.RawQuery = "" },
		"query's case":       func(r *http.Request) { r.URL.RawQuery = "Dossier=00" },
		"query into path":    func(r *http.Request) { r.URL.Path += "?dossier=00"; r.URL.RawQuery = "" },
		"line feed in query": func(r *http.Request) { r.URL.RawQuery += "\n\"@query\": ?" },
	} {
		t.Run(name, func(t *testing.T) {
			r := d.signed(t, desk, "/v1/records?dossier=00")
			change(r)
			if _, err := d.Verify(r); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestWindow(t *testing.T) {
	d := newDoor(t)
	for _, tc := range []struct {
		name string
		ago  time.Duration
		ok   bool
	}{
		{"now", 0, true},
		{"a window old", Window, true},
		{"a second more", Window + time.Second, false},
		{"a window ahead", -Window, true},
		{"a second more ahead", -Window - time.Second, false},
		{"a year old", 365 * 24 * time.Hour, false},
		{"a century ahead", -100 * 365 * 24 * time.Hour, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d.clock = start.Add(time.Hour)
			r := request(t, "GET", origin+"/", "")
			if err := Sign(r, desk, d.signers[desk], d.clock.Add(-tc.ago)); err != nil {
				t.Fatal(err)
			}
			_, err := d.Verify(sent(t, r))
			if tc.ok && err != nil {
				t.Error(err)
			}
			if !tc.ok {
				refused(t, err, Stale)
			}
		})
	}
}

// TestRefusals changes one thing in a good request.
func TestRefusals(t *testing.T) {
	d := newDoor(t)
	rewrite := func(field, old, new string) func(*http.Request) {
		return func(r *http.Request) {
			before := r.Header.Get(field)
			after := strings.Replace(before, old, new, 1)
			if after == before {
				t.Fatalf("%q is not in %s", old, before)
			}
			r.Header.Set(field, after)
		}
	}
	input := func(old, new string) func(*http.Request) { return rewrite(inputField, old, new) }
	signature := func(old, new string) func(*http.Request) { return rewrite(signatureField, old, new) }
	for _, tc := range []struct {
		name   string
		change func(r *http.Request)
		want   Code
	}{
		{"nothing", func(r *http.Request) { r.Header.Del(inputField); r.Header.Del(signatureField) }, Missing},
		{"no input", func(r *http.Request) { r.Header.Del(inputField) }, Malformed},
		{"no signature", func(r *http.Request) { r.Header.Del(signatureField) }, Malformed},
		{"input twice", func(r *http.Request) { r.Header.Add(inputField, r.Header.Get(inputField)) }, Malformed},
		{"signature twice", func(r *http.Request) { r.Header.Add(signatureField, "x") }, Malformed},
		{"empty input", func(r *http.Request) { r.Header.Set(inputField, "") }, Profile},
		{"empty signature", func(r *http.Request) { r.Header.Set(signatureField, "") }, Profile},
		{"long input", func(r *http.Request) { r.Header.Set(inputField, strings.Repeat("a", maxInput+1)) }, Malformed},
		{"long signature", func(r *http.Request) { r.Header.Set(signatureField, strings.Repeat("a", maxSignature+1)) }, Malformed},
		{"a display string", func(r *http.Request) { r.Header.Set(inputField, `qifeng=%"abc"`) }, Profile},
		{"a date at the end", func(r *http.Request) { r.Header.Set(inputField, `qifeng=@`) }, Malformed},
		{"a sign at the end", func(r *http.Request) { r.Header.Set(inputField, `qifeng=-`) }, Malformed},
		{"not ASCII", input("desk-1", "désk-1"), Malformed},
		{"a control byte", input("desk-1", "desk\t1"), Malformed},
		{"white space before", input("qifeng", " qifeng"), Malformed},
		{"two spaces", input(`" "`, `"  "`), Malformed},
		{"space before a parameter", input(";created", "; created"), Malformed},
		{"another label", input("qifeng=", "sig1="), Profile},
		{"the label twice", func(r *http.Request) { r.Header.Set(inputField, "qifeng=1, "+r.Header.Get(inputField)) }, Malformed},
		{"a second label", input("qifeng=", "a=1, qifeng="), Profile},
		{"a capital in the label", input("qifeng=", "Qifeng="), Malformed},
		{"no list", func(r *http.Request) { r.Header.Set(inputField, `qifeng="@method"`) }, Profile},
		{"only the label", func(r *http.Request) { r.Header.Set(inputField, `qifeng`) }, Profile},
		{"no components", input(`"@method" "@authority" "@path" "@query"`, ``), Profile},
		{"a component less", input(` "@query"`, ``), Profile},
		{"a component more", input(`"@query"`, `"@query" "prefer"`), Profile},
		{"a component twice", input(`"@query"`, `"@query" "@query"`), Profile},
		{"another order", input(`"@method" "@authority"`, `"@authority" "@method"`), Profile},
		{"a component's parameter", input(`"@path"`, `"@path";req`), Profile},
		{"a token as component", input(`"@path"`, `path`), Profile},
		{"digest without a body", input(`"@query"`, `"@query" "content-digest"`), BadBody},
		{"no created", func(r *http.Request) {
			_, rest, _ := strings.Cut(r.Header.Get(inputField), ";nonce")
			r.Header.Set(inputField, `qifeng=("@method" "@authority" "@path" "@query");nonce`+rest)
		}, Profile},
		{"alg", input(";tag", `;alg="ed25519";tag`), Profile},
		{"expires", input(";tag", `;expires=1895248000;tag`), Profile},
		{"an unknown parameter", input(`read/v1"`, `read/v1";x`), Profile},
		{"a parameter twice", input(`;tag`, `;created=1795248000;tag`), Malformed},
		{"parameters in another order", input(`;tag="qifeng-read/v1"`, ``), Profile},
		{"created as a string", input(`created=1795248000`, `created="1795248000"`), Profile},
		{"created as a date", input(`created=`, `created=@`), Profile},
		{"created as a fraction", input(`created=1795248000`, `created=1795248000.0`), Profile},
		{"created negative", input(`created=`, `created=-`), Profile},
		{"created with a zero before", input(`created=`, `created=0`), Malformed},
		{"created too long", input(`created=`, `created=111111`), Malformed},
		{"created changed", input(`created=1795248000`, `created=1795248001`), Wrong},
		{"nonce short", input(`nonce="`, `nonce="0`), Profile},
		{"nonce in capitals", func(r *http.Request) {
			in := r.Header.Get(inputField)
			i := strings.Index(in, `nonce="`) + 7
			r.Header.Set(inputField, in[:i]+strings.Repeat("A", 32)+in[i+32:])
		}, Profile},
		{"nonce as bytes", input(`nonce="`, `nonce=:AAAA:;a="`), Profile},
		{"nonce changed", func(r *http.Request) {
			in := r.Header.Get(inputField)
			i := strings.Index(in, `nonce="`) + 7
			r.Header.Set(inputField, in[:i]+strings.Repeat("0", 32)+in[i+32:])
		}, Wrong},
		{"keyid without a name", input("court-a/desk-1", "court-a"), Profile},
		{"keyid of another alphabet", input("court-a", "Court-a"), Profile},
		{"keyid with two slashes", input("court-a/", "court-a//"), Profile},
		{"unknown member", input("court-a", "court-b"), UnknownKey},
		{"unknown key", input("desk-1", "desk-2"), UnknownKey},
		{"another's key", input("court-a/desk-1", system), Wrong},
		{"another tag", input("read/v1", "read/v2"), Profile},
		{"signature not as bytes", func(r *http.Request) { r.Header.Set(signatureField, `qifeng="x"`) }, Profile},
		{"signature as a list", signature("=:", "=(:"), Malformed},
		{"signature in a list", func(r *http.Request) { r.Header.Set(signatureField, `qifeng=()`) }, Profile},
		{"signature short", func(r *http.Request) { r.Header.Set(signatureField, `qifeng=:AAAA:`) }, Profile},
		{"signature all zero", func(r *http.Request) {
			r.Header.Set(signatureField, "qifeng=:"+strings.Repeat("A", 86)+"==:")
		}, Wrong},
		{"signature of another label", signature("qifeng", "qifenh"), Profile},
		{"another host", func(r *http.Request) { r.Host = "127.0.0.1:8101" }, Authority},
		{"no host", func(r *http.Request) { r.Host = "" }, Authority},
		{"long host", func(r *http.Request) { r.Host = strings.Repeat("a", maxHost+1) }, Authority},
		{"method in small letters", func(r *http.Request) { r.Method = "get" }, Unsignable},
		{"long method", func(r *http.Request) { r.Method = strings.Repeat("A", maxMethod+1) }, Unsignable},
		{"asterisk", func(r *http.Request) { r.URL.Path = "*" }, Unsignable},
		{"opaque", func(r *http.Request) { r.URL.Opaque = "//x" }, Unsignable},
		{"no URL", func(r *http.Request) { r.URL = nil }, Unsignable},
		{"query not ASCII", func(r *http.Request) { r.URL.RawQuery = "q=证" }, Unsignable},
		{"fragment in the query", func(r *http.Request) { r.URL.RawQuery = "q#x" }, Unsignable},
		{"long query", func(r *http.Request) { r.URL.RawQuery = strings.Repeat("a", maxTarget) }, Unsignable},
		{"body of a GET", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), 1 }, BadBody},
		{"body uncovered", func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader("x")), -1
		}, BadBody},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := d.signed(t, desk, "/v1/records/00")
			tc.change(r)
			_, err := d.Verify(r)
			refused(t, err, tc.want)
		})
	}
}

func TestKeyRefusals(t *testing.T) {
	d := newDoor(t)
	_, err := d.Verify(d.signed(t, "vendor-a/api-1", "/"))
	refused(t, err, BadPurpose)

	r := d.signed(t, desk, "/")
	delete(d.keys, desk) // as a revocation does
	_, err = d.Verify(r)
	refused(t, err, UnknownKey)

	e := d.keys[system]
	e.key = gm.PublicKey{}
	d.keys[desk] = e
	_, err = d.Verify(r)
	refused(t, err, UnknownKey)
}

func TestBodyRefusals(t *testing.T) {
	d := newDoor(t)
	for _, tc := range []struct {
		name   string
		change func(r *http.Request)
		want   Code
	}{
		{"another body", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("[2]")) }, BadBody},
		{"a longer body", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("[1] ")) }, BadBody},
		{"no body", func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 }, BadBody},
		{"a body that breaks off", func(r *http.Request) { r.Body = io.NopCloser(io.MultiReader(strings.NewReader("["), broken{})) }, BadBody},
		{"a giant body", func(r *http.Request) { r.Body = io.NopCloser(io.LimitReader(zeros{}, maxBody+1)) }, BadBody},
		{"no digest", func(r *http.Request) { r.Header.Del(digestField) }, BadBody},
		{"two digests", func(r *http.Request) { r.Header.Add(digestField, "x") }, Malformed},
		{"a long digest", func(r *http.Request) { r.Header.Set(digestField, strings.Repeat("a", maxDigest+1)) }, Malformed},
		{"another digest", func(r *http.Request) { r.Header.Set(digestField, digestOf([32]byte{})) }, Wrong},
		{"as GET", func(r *http.Request) { r.Method = "GET" }, BadBody},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := request(t, "POST", origin+"/v1/find", "[1]")
			if err := Sign(r, desk, d.signers[desk], d.clock); err != nil {
				t.Fatal(err)
			}
			in := sent(t, r)
			tc.change(in)
			_, err := d.Verify(in)
			refused(t, err, tc.want)
		})
	}
}

// TestStrangersBodyIsNotRead: without a valid signature the node takes no body.
func TestStrangersBodyIsNotRead(t *testing.T) {
	d := newDoor(t)
	k, err := gm.GenerateKey(gm.SM2)
	if err != nil {
		t.Fatal(err)
	}
	r := request(t, "POST", origin+"/v1/find", "[1]")
	if err := Sign(r, desk, k, d.clock); err != nil {
		t.Fatal(err)
	}
	in := sent(t, r)
	in.Body = io.NopCloser(readPanics{})
	_, err = d.Verify(in)
	refused(t, err, Wrong)
	if len(d.nonces.members) != 0 {
		t.Error("a stranger's nonce is remembered")
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

type readPanics struct{}

func (readPanics) Read([]byte) (int, error) { panic("read") }

func TestSignRefusals(t *testing.T) {
	d := newDoor(t)
	k := d.signers[desk]
	for _, tc := range []struct {
		name, keyID, method, url, body string
		signer                         gm.Signer
	}{
		{"no key", desk, "GET", origin, "", nil},
		{"keyid", "court-a", "GET", origin, "", k},
		{"method", desk, "get", origin, "", k},
		{"dot segments", desk, "GET", origin + "/a/../b", "", k},
		{"query", desk, "GET", origin + "/?q=证", "", k},
		{"host", desk, "GET", "http://法院.example/", "", k},
		{"no host", desk, "GET", "/v1/status", "", k},
		{"opaque", desk, "GET", "urn:x", "", k},
		{"body of a GET", desk, "GET", origin, "x", k},
		{"giant body", desk, "POST", origin, strings.Repeat("x", maxBody+1), k},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := request(t, tc.method, tc.url, tc.body)
			if err := Sign(r, tc.keyID, tc.signer, start); err == nil {
				t.Error("signed")
			}
			if Signed(r.Header) {
				t.Error("headers were set")
			}
		})
	}
}

// TestSignAgain: a retry is signed anew over the same body.
func TestSignAgain(t *testing.T) {
	d := newDoor(t)
	r := request(t, "POST", origin+"/v1/find", "[1]")
	for range 3 {
		if err := Sign(r, system, d.signers[system], d.clock); err != nil {
			t.Fatal(err)
		}
		in := sent(t, r)
		if _, err := d.Verify(in); err != nil {
			t.Fatal(err)
		}
		if r.Body, _ = r.GetBody(); r.Body == nil {
			t.Fatal("the body cannot be sent again")
		}
	}
	r.Body = io.NopCloser(strings.NewReader(""))
	if err := Sign(r, system, d.signers[system], d.clock); err != nil || r.Body != http.NoBody {
		t.Errorf("an empty body: %v", err)
	}
}

// TestLongestHeader: the bounds hold whatever the format allows.
func TestLongestHeader(t *testing.T) {
	d := newDoor(t)
	member, name := "a"+strings.Repeat("b", 31), "c"+strings.Repeat("d", 31)
	d.add(t, KeyID(member, name), gm.SM2, evidence.Read)
	r := request(t, "POST", origin+"/v1/find", "[1]")
	if err := Sign(r, KeyID(member, name), d.signers[KeyID(member, name)], d.clock); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]int{inputField: 220, signatureField: maxSignature, digestField: maxDigest} {
		if got := len(r.Header.Get(field)); got != want {
			t.Errorf("%s has %d bytes, limits.go says %d: %s", field, got, want, r.Header.Get(field))
		}
	}
	if _, err := d.Verify(sent(t, r)); err != nil {
		t.Error(err)
	}
}

func TestNewVerifierRefusals(t *testing.T) {
	if _, err := NewVerifier(Config{Origins: []string{origin}}); err == nil {
		t.Error("no keys: accepted")
	}
	if _, err := NewVerifier(Config{Keys: register{}}); err == nil {
		t.Error("no origins: accepted")
	}
	if _, err := NewVerifier(Config{Keys: register{}, Origins: []string{origin}}); err != nil {
		t.Error(err)
	}
}
