package api_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"qifeng/api/apitest"
	"qifeng/evidence"
	"qifeng/internal/gm"
)

// TestPostRecordsRefusals: every refusal names its code and field, and leaves
// nothing behind.
func TestPostRecordsRefusals(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	good := func() string { return string(request(t, n, contract(n, "a"), contract(n, "b")).Raw) }
	replace := func(old, new string) func() string {
		return func() string {
			s := strings.Replace(good(), old, new, 1)
			if !strings.Contains(s, new) {
				t.Fatalf("%q is not in the request", old)
			}
			return s
		}
	}
	inSecond := func(old, new string) func() string {
		return func() string {
			s := good()
			at := strings.LastIndex(s, old)
			return s[:at] + new + s[at+len(old):]
		}
	}
	signed := func(change func(n apitest.TestNode) *evidence.Request) func() string {
		return func() string { return string(change(*n).Raw) }
	}
	otherKey, err := gm.GenerateKey(gm.SM2)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		body   func() string
		head   []string
		status int
		code   string
		field  string
		index  int // -1 for none
	}{
		{"empty body", func() string { return "" }, nil, 400, "invalid", "", -1},
		{"no JSON", func() string { return "hello" }, nil, 400, "invalid", "", -1},
		{"half a body", func() string { s := good(); return s[:len(s)/2] }, nil, 400, "invalid", "*", -2},
		{"trailing data", func() string { return good() + "{}" }, nil, 400, "invalid", "*", -1},
		{"white space", func() string { return " " + good() }, nil, 400, "invalid", "*", -1},
		{"byte order mark", func() string { return "\ufeff" + good() }, nil, 400, "invalid", "*", -1},
		{"null", func() string { return "null" }, nil, 400, "invalid", "*", -1},
		{"deep JSON", func() string { return strings.Repeat("[", 100_000) }, nil, 400, "invalid", "*", -1},
		{"unknown field", replace(`"submitter":`, `"submitted":`), nil, 400, "invalid", "*", -2},
		{"unknown field in a submission", inSecond(`"nonce":`, `"nonze":`), nil, 400, "invalid", "*", 1},
		{"duplicate field", inSecond(`"v":1`, `"v":1,"v":1`), nil, 400, "invalid", "*", 1},
		{"wrong-case field", inSecond(`"nonce":`, `"Nonce":`), nil, 400, "invalid", "*", 1},
		{"null field", inSecond(`"size":1`, `"size":null`), nil, 400, "invalid", "submissions[1].size", 1},
		{"negative size", inSecond(`"size":1`, `"size":-1`), nil, 400, "invalid", "submissions[1].size", 1},
		{"fraction", inSecond(`"size":1`, `"size":1.0`), nil, 400, "invalid", "*", 1},
		{"short digest", inSecond(`"sm3":"`, `"sm3":"00`), nil, 400, "invalid", "submissions[1].digest.sm3", 1},
		{"upper-case hex", func() string {
			s := good()
			at := strings.LastIndex(s, `"nonce":"`) + len(`"nonce":"`)
			return s[:at] + "ABCDEF" + s[at+6:]
		}, nil, 400, "invalid", "submissions[1].nonce", 1},
		{"unknown kind", inSecond(`contract.final`, `contract.finale`), nil, 400, "invalid", "submissions[1].kind", 1},
		{"field of another kind", inSecond(`contract.final`, `dossier.close`), nil, 400, "invalid", "*", 1},
		{"another version", inSecond(`"v":1`, `"v":2`), nil, 400, "invalid", "submissions[1].v", 1},
		{"control character", inSecond(apitest.KeyName, `orders\u0000`), nil, 400, "invalid", "submissions[1].key", 1},
		{"submitter differs", inSecond(apitest.Node, "vendor-b"), nil, 400, "invalid", "submissions[1].submitter", 1},
		{"key differs", inSecond(`"key":"orders"`, `"key":"other"`), nil, 400, "invalid", "submissions[1].key", 1},
		{"changed content", inSecond(`"size":1`, `"size":2`), nil, 400, "invalid", "statement.body.root", -1},
		{"wrong count", replace(`"count":2`, `"count":3`), nil, 400, "invalid", "statement.body.count", -1},
		{"no submissions", func() string {
			s := good()
			return s[:strings.Index(s, `"submissions":[`)] + `"submissions":[]}`
		}, nil, 400, "invalid", "submissions", -1},
		{"1001 submissions", func() string { return tooMany(t, n) }, nil, 400, "invalid", "submissions", -1},
		{"a submission twice", func() string { return twice(t, n) }, nil, 400, "invalid", "submissions[1]", 1},
		{"a statement of another type", replace(`"type":"statement"`, `"type":"receipt"`), nil, 400, "invalid", "*", -1},
		{"wrong signature", replace(`"sig":"`, `"sig":"00`), nil, 400, "invalid", "*", -1},
		{"signature of another key", signed(func(n apitest.TestNode) *evidence.Request {
			n.Submit.Signer = otherKey
			return request(t, &n, contract(&n, "x"))
		}), nil, 403, "bad-signature", "statement.sig", -1},
		{"signature for another chain", signed(func(n apitest.TestNode) *evidence.Request {
			n.Submit.ChainID = "other-00000000"
			return request(t, &n, contract(&n, "x"))
		}), nil, 403, "bad-signature", "statement.sig", -1},
		{"unknown key", signed(func(n apitest.TestNode) *evidence.Request {
			n.Submit.KeyName = "unknown"
			return request(t, &n, contract(&n, "x"))
		}), nil, 403, "unknown-key", "statement.body.key", -1},
		{"key of another member", signed(func(n apitest.TestNode) *evidence.Request {
			n.Submit.Member = "court-a"
			return request(t, &n, contract(&n, "x"))
		}), nil, 403, "unknown-key", "statement.body.key", -1},
		{"stale date", signed(func(n apitest.TestNode) *evidence.Request {
			n.Submit.Now = func() time.Time { return time.Now().Add(-time.Hour) }
			return request(t, &n, contract(&n, "x"))
		}), nil, 400, "stale-statement", "statement.body.signed_at", -1},
		{"date ahead", signed(func(n apitest.TestNode) *evidence.Request {
			n.Submit.Now = func() time.Time { return time.Now().Add(time.Hour) }
			return request(t, &n, contract(&n, "x"))
		}), nil, 400, "stale-statement", "statement.body.signed_at", -1},
		{"body over the limit", func() string { return strings.Repeat("x", evidence.MaxRequestBytes+1) }, nil, 413, "body-too-large", "", -1},
		{"no content type", good, []string{"Content-Type", ""}, 415, "unsupported-media-type", "", -1},
		{"a form", good, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "unsupported-media-type", "", -1},
		{"another charset", good, []string{"Content-Type", "application/json; charset=gbk"}, 415, "unsupported-media-type", "", -1},
		{"gzip", good, []string{"Content-Encoding", "gzip"}, 415, "unsupported-media-type", "", -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := stored(n)
			resp, out := call(t, n, http.MethodPost, "/v1/records", []byte(tc.body()), tc.head...)
			p := problemOf(t, resp, out)
			if p.Status != tc.status || p.Code != tc.code {
				t.Fatalf("%s, want %d %s", out, tc.status, tc.code)
			}
			if tc.field != "*" && p.Field != tc.field {
				t.Errorf("field %q, want %q: %s", p.Field, tc.field, out)
			}
			if tc.status == 400 && p.Detail == "" {
				t.Errorf("no detail: %s", out)
			}
			if (tc.status == 400 || tc.status == 403 || tc.status == 415) && p.Mend == "" {
				t.Errorf("no mend: %s", out)
			}
			switch {
			case tc.index == -2: // depends on where it breaks
			case tc.index == -1 && p.Index != nil, tc.index >= 0 && (p.Index == nil || *p.Index != tc.index):
				t.Errorf("index %v, want %d: %s", p.Index, tc.index, out)
			}
			if got := stored(n); got != before {
				t.Errorf("the archive holds %d, before %d", got, before)
			}
		})
	}
	if _, err := n.Client.Submit(t.Context(), []byte(good()), 0); err != nil {
		t.Errorf("the node does not work any more: %v", err)
	}
}

// tooMany makes a request of one submission more than there may be.
func tooMany(t *testing.T, n *apitest.TestNode) string {
	t.Helper()
	raw := string(request(t, n, contract(n, "x")).Raw)
	at := strings.Index(raw, `"submissions":[`) + len(`"submissions":[`)
	one := raw[at : len(raw)-2]
	var b strings.Builder
	b.WriteString(strings.Replace(raw[:at], `"count":1`, `"count":1000`, 1))
	for i := range evidence.MaxSubmissions + 1 {
		if i > 0 {
			b.WriteByte(',')
		}
		nonce := strings.Index(one, `"nonce":"`) + len(`"nonce":"`)
		fmt.Fprintf(&b, "%s%04x%s", one[:nonce], i, one[nonce+4:])
	}
	b.WriteString("]}")
	return b.String()
}

// twice makes a request that holds one submission twice.
func twice(t *testing.T, n *apitest.TestNode) string {
	t.Helper()
	raw := string(request(t, n, contract(n, "x")).Raw)
	at := strings.Index(raw, `"submissions":[`) + len(`"submissions":[`)
	one := raw[at : len(raw)-2]
	return strings.Replace(raw[:at], `"count":1`, `"count":2`, 1) + one + "," + one + "]}"
}

func TestBodyWithoutLength(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	body := struct{ *bytes.Reader }{bytes.NewReader(bytes.Repeat([]byte("x"), evidence.MaxRequestBytes+1))}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.HTTP.URL+"/v1/records", body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = -1 // chunked: the limit must hold while reading
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want 413", resp.StatusCode)
	}
}

// TestReadRefusals goes through the parameters of every door that takes some.
func TestReadRefusals(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Auto()
	hex64 := strings.Repeat("ab", 32)
	for _, tc := range []struct {
		name, path  string
		status      int
		code, field string
	}{
		{"absent id", "/v1/records/" + hex64, 404, "not-found", "id"},
		{"absent proof", "/v1/records/" + hex64 + "/proof", 404, "not-found", "id"},
		{"upper-case id", "/v1/records/" + strings.ToUpper(hex64), 400, "bad-parameter", "id"},
		{"short id", "/v1/records/abcd", 400, "bad-parameter", "id"},
		{"long id", "/v1/records/" + hex64 + "00/proof", 400, "bad-parameter", "id"},
		{"dots for an id, unsigned", "/v1/records/..", 401, "signature-missing", "Signature-Input"},
		{"escaped path out, unsigned", "/v1/records/..%2f..%2fetc%2fpasswd", 404, "not-found", ""},
		{"escaped zero byte", "/v1/records/%00", 400, "bad-parameter", "id"},
		{"bad until", "/v1/records/" + hex64 + "?until=proved", 400, "bad-parameter", "until"},
		{"no look-up", "/v1/records", 400, "bad-parameter", "digest"},
		{"two look-ups", "/v1/records?digest=sm3:" + hex64 + "&dossier=" + hex64[:32], 400, "bad-parameter", "digest"},
		{"digest twice", "/v1/records?digest=sm3:" + hex64 + "&digest=sm3:" + hex64, 400, "bad-parameter", "digest"},
		{"unknown algorithm", "/v1/records?digest=md5:" + hex64[:32], 400, "bad-parameter", "digest"},
		{"no algorithm", "/v1/records?digest=" + hex64, 400, "bad-parameter", "digest"},
		{"upper-case digest", "/v1/records?digest=sm3:" + strings.ToUpper(hex64), 400, "bad-parameter", "digest"},
		{"short digest", "/v1/records?digest=sm3:" + hex64[:62], 400, "bad-parameter", "digest"},
		{"digest that is no hex", "/v1/records?digest=sha256:" + strings.Repeat("zz", 32), 400, "bad-parameter", "digest"},
		{"empty dossier", "/v1/records?dossier=", 400, "bad-parameter", "dossier"},
		{"upper-case dossier", "/v1/records?dossier=" + strings.ToUpper(hex64[:32]), 400, "bad-parameter", "dossier"},
		{"unknown parameter", "/v1/records?digets=x", 400, "bad-parameter", "digets"},
		{"limit 0", "/v1/records?dossier=" + hex64[:32] + "&limit=0", 400, "bad-parameter", "limit"},
		{"limit 101", "/v1/records?dossier=" + hex64[:32] + "&limit=101", 400, "bad-parameter", "limit"},
		{"limit +5", "/v1/records?dossier=" + hex64[:32] + "&limit=%2B5", 400, "bad-parameter", "limit"},
		{"cursor of strange letters", "/v1/records?dossier=" + hex64[:32] + "&cursor=%2e%2e%2f", 400, "bad-parameter", "cursor"},
		{"cursor that nobody gave", "/v1/records?dossier=" + hex64[:32] + "&cursor=abc", 400, "bad-parameter", "cursor"},
		{"cursor too long", "/v1/records?dossier=" + hex64[:32] + "&cursor=" + strings.Repeat("a", 300), 400, "bad-parameter", "cursor"},
		{"query that is none", "/v1/records?%zz", 400, "bad-parameter", ""},
		{"query too long", "/v1/records?dossier=" + strings.Repeat("a", 3000), 414, "query-too-long", ""},
		{"size 0", "/v1/seals?size=0", 400, "bad-parameter", "size"},
		{"size -1", "/v1/seals?size=-1", 400, "bad-parameter", "size"},
		{"size too big", "/v1/seals?size=99999999999999999999", 400, "bad-parameter", "size"},
		{"size that is not there", "/v1/seals?size=4711", 404, "not-found", "size"},
		{"member that is none", "/v1/keys?member=Court%20A", 400, "bad-parameter", "member"},
		{"no path", "/", 404, "not-found", ""},
		{"unknown path", "/v1/secrets", 404, "not-found", ""},
		{"trailing slash", "/v1/status/", 404, "not-found", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var head []string
			if strings.HasSuffix(tc.name, "unsigned") { // no client of ours would sign it
				head = unsigned
			}
			resp, body := call(t, n, http.MethodGet, tc.path, nil, head...)
			p := problemOf(t, resp, body)
			if p.Status != tc.status || p.Code != tc.code || p.Field != tc.field {
				t.Errorf("got %s, want %d %s %q", body, tc.status, tc.code, tc.field)
			}
			if p.Status == 400 && (p.Mend == "" || p.Detail == "") {
				t.Errorf("no detail or mend: %s", body)
			}
		})
	}
}

func TestMethods(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	for _, tc := range []struct{ method, path, allow string }{
		{http.MethodPut, "/v1/records", "GET, POST"},
		{http.MethodDelete, "/v1/records/" + strings.Repeat("ab", 32), "GET"},
		{http.MethodPost, "/v1/status", "GET"},
		{http.MethodOptions, "/v1/keys", "GET, POST"},
		{"BREW", "/healthz", "GET"},
	} {
		resp, body := call(t, n, tc.method, tc.path, nil)
		p := problemOf(t, resp, body)
		if p.Status != http.StatusMethodNotAllowed || p.Code != "method-not-allowed" {
			t.Errorf("%s %s: %s", tc.method, tc.path, body)
		}
		for _, m := range strings.Split(tc.allow, ", ") {
			if !strings.Contains(resp.Header.Get("Allow"), m) {
				t.Errorf("%s %s: Allow %q lacks %s", tc.method, tc.path, resp.Header.Get("Allow"), m)
			}
		}
	}
}
