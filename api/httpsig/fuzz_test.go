package httpsig

import (
	"net/http"
	"testing"

	"github.com/dunglas/httpsfv"
)

// seeds are values that the parser must get over.
var seeds = []string{
	"", "qifeng", "qifeng=", "qifeng=()", "qifeng=@", "qifeng=-", `qifeng=%"a"`, `qifeng=%"`, "qifeng=?", "qifeng=::", "qifeng=:=:",
	`qifeng="\`, "qifeng=(", "qifeng=(a", "qifeng=1;", "qifeng=1;a=", "qifeng=1.", "qifeng=@-", "a=1,", ",", "*", "qifeng=*a", "=",
	`qifeng=("@method" "@authority" "@path" "@query");created=1795248000;nonce="000102030405060708090a0b0c0d0e0f";keyid="court-a/desk-1";tag="qifeng-read/v1"`,
	`qifeng=("@method" "@authority" "@path" "@query" "content-digest");created=0;nonce="ffffffffffffffffffffffffffffffff";keyid="aa/0";tag="qifeng-read/v1"`,
	"qifeng=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==:",
}

// FuzzInput: what is read is what would be written.
func FuzzInput(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		p, raw, body, err := parseInput(value)
		if err != nil {
			return
		}
		again, err := httpsfv.Marshal(p.list(components(body)))
		if err != nil || again != raw || label+"="+raw != value {
			t.Errorf("%q is read as %+v, which is written %q, %v", value, p, again, err)
		}
	})
}

// FuzzVerify: no headers and no request make it panic, and what is accepted is
// what the signer's own code makes of the same request.
func FuzzVerify(f *testing.F) {
	d := newDoor(f)
	for _, keyID := range []string{desk, system} {
		r := d.signed(f, keyID, "/v1/records?limit=1")
		f.Add(r.Header.Get(inputField), r.Header.Get(signatureField), "GET", host, "/v1/records", "limit=1")
		f.Add(r.Header.Get(inputField), r.Header.Get(signatureField), "GET", "127.0.0.1:8100", "/v1//records", "limit=%31")
	}
	for _, s := range seeds {
		f.Add(s, seeds[len(seeds)-1], "GET", host, "/", "")
		f.Add(seeds[len(seeds)-3], s, "POST", host, "/%2e", "")
	}
	f.Fuzz(func(t *testing.T, input, signature, method, host, path, query string) {
		r := request(t, http.MethodGet, origin, "")
		r.Method, r.Host, r.URL.Path, r.URL.RawQuery = method, host, path, query
		r.Header = http.Header{inputField: {input}, signatureField: {signature}}
		d.nonces = newNonces(start.Unix())
		id, err := d.Verify(r)
		if err != nil {
			refused(t, err, err.(*Error).Code)
			return
		}
		p, _, _, err := parseInput(input)
		if err != nil || KeyID(p.member, p.key) != KeyID(id.Member, id.Key) {
			t.Fatalf("%+v of %q, %v", id, input, err)
		}
		base, own, err := ownBase(r, p, "")
		if err != nil || label+"="+own != input {
			t.Fatalf("%q is written %q, %v", input, own, err)
		}
		sig, err := parseSignature(signature)
		if err != nil || d.keys[KeyID(id.Member, id.Key)].key.Verify(base, sig) != nil {
			t.Errorf("accepted, and not signed by its own base\n%s", base)
		}
	})
}

// FuzzAuthority: the normal form is its own normal form.
func FuzzAuthority(f *testing.F) {
	for _, s := range []string{"court.example:80", "[::1]:8100", "A:443", "a:", "[]", "::", "a:0", "a]:1"} {
		f.Add("http", s)
		f.Add("https", s)
	}
	f.Fuzz(func(t *testing.T, scheme, host string) {
		a, err := normalAuthority(scheme, host)
		if err != nil {
			return
		}
		if b, err := normalAuthority(scheme, a); err != nil || b != a {
			t.Errorf("%q: %q, again %q, %v", host, a, b, err)
		}
	})
}
