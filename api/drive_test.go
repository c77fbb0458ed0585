package api_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"qifeng/api"
	"qifeng/api/apitest"
	"qifeng/api/client"
	"qifeng/api/httpsig"
	"qifeng/api/wire"
	"qifeng/archive"
	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// world is a node with something in it, and the generator of what to ask it.
type world struct {
	*apitest.TestNode
	gen *generator
	id  string // of the record in it
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := newUnsealed(t, seed)
	w.Ledger.SetAway()
	w.Ledger.Auto()
	waitFor(t, "the seal", func() bool {
		records, err := w.Client.Record(t.Context(), evidence.ID(w.id))
		return err == nil && records[0].State == wire.Sealed
	})
	return w
}

// newUnsealed is a node with a record in it, whose ledger stands still and whose
// neutral members are away.
func newUnsealed(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{TestNode: apitest.NewNode(t, apitest.Options{}), gen: newGenerator(t, description(t), seed)}
	w.Ledger.SetAway("court-a", "notary-a")
	sub := contract(w.TestNode, "x")
	sub.Dossier = client.NewDossier()
	req := request(t, w.TestNode, sub)
	submit(t, w.TestNode, req, 0)
	w.id = string(req.Submissions[0].ID())
	w.gen.real = map[string]func() any{
		"RecordId":   func() any { return w.id },
		"MemberId":   func() any { return apitest.Node },
		"KeyName":    func() any { return apitest.KeyName },
		"PublicKey":  func() any { return publicKey(t, gm.Ed25519).String() },
		"TileLevel":  func() any { return "0" },
		"TilePath":   func() any { return "000.p/1" },
		"LedgerSize": func() any { return 1 },
	}
	return w
}

// asked is one request to an operation.
type asked struct {
	path  string
	query url.Values
	head  []string
}

func (a asked) target() string {
	if len(a.query) == 0 {
		return a.path
	}
	return a.path + "?" + a.query.Encode()
}

// ask makes a request to o with a value for every parameter that is required.
// Of parameters of which exactly one may be given it takes the first.
func (w *world) ask(o *op) asked {
	a := asked{path: o.path, query: url.Values{}}
	one := list(o.def, "x-exactly-one-of")
	for _, p := range list(o.def, "parameters") {
		p := o.deref(p)
		if p["required"] == true || len(one) > 0 && one[0] == p["name"] {
			w.set(&a, p, fmt.Sprint(w.gen.value(p["schema"])))
		}
	}
	return a
}

// set puts a value in its place.
func (w *world) set(a *asked, p map[string]any, value string) {
	name := text(p, "name")
	switch text(p, "in") {
	case "path":
		escaped := url.PathEscape(value)
		if p["x-slashes"] == true {
			escaped = strings.ReplaceAll(escaped, "%2F", "/")
		}
		a.path = strings.Replace(a.path, "{"+name+"}", escaped, 1)
	case "query":
		a.query.Set(name, value)
	case "header":
		a.head = append(a.head, name, value)
	}
}

// with is ask with another value for one parameter.
func (w *world) with(o *op, p map[string]any, value string) asked {
	one := list(o.def, "x-exactly-one-of")
	if text(p, "in") == "path" {
		a := asked{path: o.path, query: url.Values{}}
		w.set(&a, p, value)
		for _, other := range list(o.def, "parameters") {
			if other := w.gen.deref(other); text(other, "in") == "path" {
				w.set(&a, other, fmt.Sprint(w.gen.value(other["schema"])))
			}
		}
		return a
	}
	a := w.ask(o)
	if slices.Contains(one, p["name"]) {
		for _, name := range one {
			a.query.Del(name.(string))
		}
	}
	w.set(&a, p, value)
	return a
}

// TestParametersAreAsDescribed asks every operation with values that the
// description allows, and the server must understand them; and with values that
// it does not allow, and the server must refuse each by name.
func TestParametersAreAsDescribed(t *testing.T) {
	w := newWorld(t, 1)
	asked, refused := 0, 0
	for _, o := range w.gen.operations() {
		if o.method != http.MethodGet {
			continue // their bodies are driven below
		}
		for _, p := range list(o.def, "parameters") {
			p := o.deref(p)
			name, schema := text(p, "name"), w.gen.paramSchema(o, text(p, "name"))
			for _, value := range w.values(p) {
				valid := w.gen.check(schema, scalar(w.gen.deref(p["schema"]), value)) == nil
				if text(p, "in") == "path" && (value == "" || strings.Contains(value, "/") && p["x-slashes"] != true || strings.HasPrefix(value, "../")) {
					continue // another path, not another value; one with dots cannot be signed
				}
				a := w.with(o, p, value)
				resp, body := call(t, w.TestNode, o.method, a.target(), nil, a.head...)
				asked++
				wrong := resp.StatusCode == http.StatusBadRequest
				switch {
				case p["x-ignored-if-invalid"] == true || p["x-opaque"] == true && valid:
				case valid && wrong:
					t.Errorf("%s refuses %s=%q, which the description allows: %s", o, name, value, body)
				case !valid && !wrong:
					t.Errorf("%s takes %s=%q, which the description does not allow: %d %s", o, name, value, resp.StatusCode, body)
				case !valid:
					refused++
					if got := problemOf(t, resp, body); got.Code != "bad-parameter" || got.Field != name {
						t.Errorf("%s, %s=%q: %s", o, name, value, body)
					}
				}
			}
		}
	}
	if asked < 200 || refused < 60 {
		t.Errorf("only %d values, %d refused: the test tests nothing", asked, refused)
	}
}

// values are some to put into a parameter, right and wrong.
func (w *world) values(p map[string]any) []string {
	if p["x-ignored-if-invalid"] == true { // what they mean is not in their schema
		return []string{fmt.Sprint(p["example"]), "", "?", "wait=", "wait=abc", "wait=1, respond-async", "wait=0", "return=minimal", "return=representation"}
	}
	var out []string
	for range 8 {
		v := fmt.Sprint(w.gen.value(p["schema"]))
		out = append(out, v)
		for _, o := range others(v) {
			if s, ok := o.(string); ok {
				out = append(out, s)
			}
		}
	}
	for _, e := range list(w.gen.deref(p["schema"]), "enum") {
		out = append(out, fmt.Sprint(e))
	}
	out = append(out, "0", "-1", "+5", "1.0", "01", "1e2", "99999999999999999999", "null", "\x00", "中文", "../x", "%2e", "a b", "'--")
	slices.Sort(out)
	return slices.Compact(out)
}

// TestQueriesAreStrict: of operations that take a query, one that is unknown,
// doubled or, where exactly one is wanted, missing or one too many is refused.
func TestQueriesAreStrict(t *testing.T) {
	w := newWorld(t, 2)
	strict := 0
	for _, o := range w.gen.operations() {
		var names []string
		for _, p := range list(o.def, "parameters") {
			if p := o.deref(p); text(p, "in") == "query" {
				names = append(names, text(p, "name"))
			}
		}
		if len(names) == 0 {
			continue
		}
		strict++
		a := w.ask(o)
		bad := []url.Values{{"unknown": {"x"}}}
		for _, p := range list(o.def, "parameters") {
			if p := o.deref(p); text(p, "in") == "query" && p["x-opaque"] != true {
				v := fmt.Sprint(w.gen.value(p["schema"]))
				bad = append(bad, url.Values{text(p, "name"): {v, v}})
			}
		}
		if one := list(o.def, "x-exactly-one-of"); one != nil {
			both := w.ask(o)
			for _, p := range list(o.def, "parameters") {
				if p := o.deref(p); slices.Contains(one, p["name"]) {
					w.set(&both, p, fmt.Sprint(w.gen.value(p["schema"])))
				}
			}
			bad = append(bad, both.query)
			a.query = url.Values{}
			bad = append(bad, url.Values{})
		}
		for _, q := range bad {
			all := maps.Clone(a.query)
			maps.Copy(all, q)
			resp, body := call(t, w.TestNode, o.method, a.path+"?"+all.Encode(), nil)
			if p := problemOf(t, resp, body); p.Status != 400 || p.Code != "bad-parameter" {
				t.Errorf("%s?%s: %s", o, all.Encode(), body)
			}
		}
	}
	if strict < 4 {
		t.Errorf("only %d operations take a query", strict)
	}
}

// TestGeneratedSubmissionsAreTaken: whatever the description allows as a
// submission, the server takes, once it is signed.
func TestGeneratedSubmissionsAreTaken(t *testing.T) {
	w := newWorld(t, 3)
	for _, form := range list(at(t, "Submission"), "oneOf") {
		var subs []*evidence.Submission
		for range 40 {
			raw := encode(w.gen.value(form))
			if err := w.gen.checkJSON(pointer("components", "schemas", "Submission"), raw); err != nil {
				t.Fatalf("the generator made what the description does not allow: %v", err)
			}
			sub, err := evidence.ParseSubmission(raw)
			if err != nil {
				t.Fatalf("the description allows what the program refuses: %v\n%s", err, raw)
			}
			subs = append(subs, sub)
		}
		req := request(t, w.TestNode, subs...)
		if resp, body := call(t, w.TestNode, "POST", "/v1/records", req.Raw); resp.StatusCode != http.StatusCreated {
			t.Errorf("%s: %d %s", refName(form), resp.StatusCode, body)
		}
	}
}

// TestNamesAreAsDescribed: what the description says of names is what the
// program checks, both ways.
func TestNamesAreAsDescribed(t *testing.T) {
	gen := newGenerator(t, description(t), 7)
	for name, check := range map[string]func(string) error{
		"MemberId": checkpoint.CheckMemberID,
		"KeyName":  evidence.CheckKeyName,
		"ChainId":  checkpoint.CheckChainID,
		"RecordId": func(s string) error { _, err := evidence.ParseID(s); return err },
		"Dossier":  func(s string) error { _, err := evidence.ParseDossier(s); return err },
	} {
		right, wrong := 0, 0
		for range 200 {
			made := gen.value(at(t, name)).(string)
			for _, v := range append(others(made), made) {
				s, ok := v.(string)
				if !ok {
					continue
				}
				described := gen.check(pointer("components", "schemas", name), s) == nil
				if described != (check(s) == nil) {
					t.Fatalf("%s %q: described %t, the program says %v", name, s, described, check(s))
				}
				if described {
					right++
				} else {
					wrong++
				}
			}
		}
		if right < 100 || wrong < 100 {
			t.Errorf("%s: %d right and %d wrong: the test tests nothing", name, right, wrong)
		}
	}
}

// TestBrokenBodiesAreRefused: whatever the description does not allow as a body,
// the server refuses as invalid, and keeps nothing of it.
func TestBrokenBodiesAreRefused(t *testing.T) {
	w := newUnsealed(t, 4)
	before := stored(w.TestNode)
	for _, tc := range []struct {
		path string
		made func() any
	}{
		{"/v1/records", func() any { // a new form of a submission each time
			form := list(at(t, "Submission"), "oneOf")
			sub, err := evidence.ParseSubmission(encode(w.gen.value(form[w.gen.rnd.IntN(len(form))])))
			if err != nil {
				t.Fatal(err)
			}
			return decoded(t, request(t, w.TestNode, sub).Raw)
		}},
		{"/v1/keys", func() any {
			if w.gen.rnd.IntN(2) == 0 {
				return decoded(t, w.Revocation(t, "notary-a", "desk"))
			}
			return decoded(t, w.KeyEntry(t, "notary-a", "desk", publicKey(t, gm.SM2), evidence.Read))
		}},
	} {
		o, _ := w.gen.find(http.MethodPost, tc.path)
		schema := pointer(append(o.at, "requestBody", "content", "application/json", "schema")...)
		limit, _ := object(o.def, "requestBody")["x-max-bytes"].(json.Number).Int64()
		refused := 0
		for range 12 {
			for _, b := range breaks(tc.made()) {
				raw := encode(b.doc)
				if w.gen.rnd.IntN(4) != 0 || int64(len(raw)) > limit || w.gen.check(schema, b.doc) == nil {
					continue
				}
				refused++
				resp, body := call(t, w.TestNode, "POST", tc.path, raw)
				if p := problemOf(t, resp, body); p.Status != 400 || p.Code != "invalid" {
					t.Errorf("%s: %s: %s", o, b.what, body)
				}
			}
		}
		if refused < 200 {
			t.Errorf("%s: only %d broken bodies: the test tests nothing", o, refused)
		}
	}
	if got := stored(w.TestNode); got != before || w.Ledger.Pending() > 1 {
		t.Errorf("%d records, before %d, and %d transactions", got, before, w.Ledger.Pending())
	}
}

func decoded(t *testing.T, raw []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestEveryDescribedAnswerIsGiven provokes every status of every operation: what
// the description lists can happen, and what happens is listed, by [conforms].
func TestEveryDescribedAnswerIsGiven(t *testing.T) {
	seen := map[string]map[string]bool{}
	ask := func(n *apitest.TestNode, o *op, a asked, body []byte) {
		t.Helper()
		resp, _ := call(t, n, o.method, a.target(), body, a.head...)
		if seen[o.String()] == nil {
			seen[o.String()] = map[string]bool{}
		}
		seen[o.String()][strconv.Itoa(resp.StatusCode)] = true
	}
	w := newWorld(t, 5)
	operations := w.gen.operations()
	w.Anchors.Anchor(t)
	for _, o := range operations {
		w.provoke(t, o, ask)
	}
	alone := apitest.NewNode(t, apitest.Options{NoAnchors: true})
	unsealed := newUnsealed(t, 6)
	panicking := apitest.NewNode(t, apitest.Options{
		Archive: func(api.Archive) api.Archive { return &struct{ api.Archive }{} },
		Chain:   func(api.Chain) api.Chain { return &struct{ api.Chain }{} },
	})
	handler, err := api.Starting(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(handler)
	defer srv.Close()
	starting := &apitest.TestNode{HTTP: srv}
	noRoom := &brokenArchive{err: archive.ErrFull}
	roomless := apitest.NewNode(t, apitest.Options{Archive: func(a api.Archive) api.Archive { noRoom.Archive = a; return noRoom }})
	tired := apitest.NewNode(t, apitest.Options{Bounds: api.Bounds{AddressRequests: 1}})
	full := newWorld(t, 7) // has no memory for another nonce
	full.Server.SetRefusal(&httpsig.Error{Code: httpsig.Full, Field: "keyid", Detail: "x", RetryAfter: time.Second})
	for _, o := range operations {
		body := w.body(t, o)
		call(t, tired, http.MethodGet, "/v1/records/x", nil) // costs more than there is, if there is any
		for _, n := range []*apitest.TestNode{unsealed.TestNode, panicking, starting, tired} {
			ask(n, o, w.ask(o), body)
		}
		if o.path == "/v1/anchor-roots" {
			ask(alone, o, w.ask(o), nil)
		}
		if o.String() == "POST /v1/records" {
			ask(roomless, o, w.ask(o), body)
		}
		if o.method == http.MethodGet {
			a := w.ask(o)
			a.head = append(a.head, unsigned...)
			ask(w.TestNode, o, a, []byte("{}"))
		}
		if o.def["security"] != nil {
			ask(full.TestNode, o, w.ask(o), nil)
			a := w.ask(o)
			a.head = append(a.head, unsigned...)
			ask(w.TestNode, o, a, nil)
			wrongPurpose := *w.TestNode
			ask(w.submitKeyReads(t, &wrongPurpose), o, w.ask(o), nil)
		}
		u := unsealed.ask(o)
		if o.method == http.MethodPost {
			u.head, body = append(u.head, "Prefer", "wait=1"), unsealed.body(t, o)
		}
		ask(unsealed.TestNode, o, u, body)
	}
	for _, o := range operations {
		if got := slices.Sorted(maps.Keys(seen[o.String()])); !slices.Equal(got, o.statuses()) {
			t.Errorf("%s: seen %v, described %v", o, got, o.statuses())
		}
	}
}

// submitKeyReads makes n sign its reads with a key of another purpose.
func (w *world) submitKeyReads(t *testing.T, n *apitest.TestNode) *apitest.TestNode {
	t.Helper()
	n.ReadAs = func(r *http.Request) error {
		return httpsig.Sign(r, httpsig.KeyID(apitest.Node, apitest.KeyName), n.User, n.Clock.Now())
	}
	return n
}

// body is one that the operation takes, nil where it takes none.
func (w *world) body(t *testing.T, o *op) []byte {
	t.Helper()
	switch o.String() {
	case "POST /v1/records":
		return request(t, w.TestNode, contract(w.TestNode, "new")).Raw
	case "POST /v1/keys":
		return w.KeyEntry(t, "court-a", fmt.Sprintf("k%d", w.gen.rnd.Uint32()), publicKey(t, gm.SM2), evidence.Read)
	}
	if o.def["requestBody"] != nil {
		t.Fatalf("%s: no body for it here", o)
	}
	return nil
}

// provoke asks what a healthy node answers in all its ways.
func (w *world) provoke(t *testing.T, o *op, ask func(*apitest.TestNode, *op, asked, []byte)) {
	t.Helper()
	a, body := w.ask(o), w.body(t, o)
	ask(w.TestNode, o, a, body)
	ask(w.TestNode, o, a, body) // again
	if o.method == http.MethodPost {
		short := a
		short.head = append(short.head, "Prefer", "return=minimal")
		ask(w.TestNode, o, short, w.body(t, o))
	}
	long := a
	long.query = url.Values{"x": {strings.Repeat("x", 3000)}}
	ask(w.TestNode, o, long, body)
	for _, p := range list(o.def, "parameters") {
		p := o.deref(p)
		switch {
		case text(p, "name") == "If-None-Match":
			hit := a
			hit.head = []string{"If-None-Match", "*"}
			ask(w.TestNode, o, hit, nil)
		case text(p, "in") != "header":
			ask(w.TestNode, o, w.with(o, p, "?"), body)
			for _, absent := range []string{strings.Repeat("00", 32), "court-z", "4711"} {
				ask(w.TestNode, o, w.with(o, p, absent), body)
			}
		}
	}
	if body == nil {
		return
	}
	typed := a
	typed.head = []string{"Content-Type", "text/plain"}
	ask(w.TestNode, o, typed, body)
	limit, _ := object(o.def, "requestBody")["x-max-bytes"].(json.Number).Int64()
	ask(w.TestNode, o, a, make([]byte, limit+1))
	ask(w.TestNode, o, a, []byte("{}"))
	other := *w.TestNode // who signs for another chain
	consortium := *w.Consortium
	consortium.Chain, other.Consortium, other.Submit.ChainID = "other-00000000", &consortium, "other-00000000"
	foreign := world{TestNode: &other, gen: w.gen}
	ask(w.TestNode, o, a, foreign.body(t, o))
	if o.path == "/v1/keys" {
		ask(w.TestNode, o, a, w.Revocation(t, "court-a", "nobody"))
	}
}
