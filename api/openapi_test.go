package api_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"qifeng/api"
	"qifeng/api/apitest"
	"qifeng/api/httpsig"
	"qifeng/api/wire"
	"qifeng/evidence"
	"qifeng/evidence/canon"
	"qifeng/proof"
)

// TestRoutesAreDescribed: every route is in the description and the other way.
func TestRoutesAreDescribed(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	var want []string
	for _, o := range description(t).operations() {
		want = append(want, o.String())
	}
	got := n.Server.Routes()
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("routes\n%s\ndescribed\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestDescriptionIsServed: as it is made, with an ETag that saves sending it again.
func TestDescriptionIsServed(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	openAPI, page, err := api.Documents()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]byte{"/openapi.json": openAPI, "/docs": page} {
		resp, body := call(t, n, "GET", path, nil)
		etag := resp.Header.Get("ETag")
		if resp.StatusCode != 200 || string(body) != string(want) || resp.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %d, %v", path, resp.StatusCode, resp.Header)
		}
		for value, status := range map[string]int{
			etag: 304, "W/" + etag: 304, `"other", ` + etag: 304, "*": 304,
			`"other"`: 200, "": 200, strings.Trim(etag, `"`): 200,
		} {
			resp, body := call(t, n, "GET", path, nil, "If-None-Match", value)
			if resp.StatusCode != status || (len(body) == 0) != (status == 304) || resp.Header.Get("ETag") != etag {
				t.Errorf("%s, If-None-Match %s: %d with %d bytes, want %d", path, value, resp.StatusCode, len(body), status)
			}
		}
	}
}

// problemRow is a row of the table of problems.
type problemRow struct {
	Code, Title, Mend string
	Status            int
}

// TestProblemCodesAreDescribed reads the table out of the source, so that no
// code can be sent that the description does not list, with the same words.
func TestProblemCodesAreDescribed(t *testing.T) {
	source := sourceProblems(t)
	for _, c := range httpsig.Codes() {
		e := httpsig.Error{Code: c}
		source[string(c)] = problemRow{Code: string(c), Title: e.Title(), Mend: e.Mend(), Status: e.Status()}
	}
	var doc struct {
		Problems []struct {
			problemRow
			ZH string
		} `json:"x-problems"`
	}
	openAPI, _, err := api.Documents()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	described := map[string]problemRow{}
	for _, p := range doc.Problems {
		described[p.Code] = p.problemRow
		if p.ZH == "" {
			t.Errorf("%s has no Chinese words", p.Code)
		}
	}
	if !maps.Equal(source, described) || len(described) != len(doc.Problems) {
		t.Errorf("source\n%v\ndescribed\n%v", source, described)
	}
	if got, want := enum(t, "Problem", "properties", "code"), slices.Sorted(maps.Keys(source)); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("enum %v, source %v", got, want)
	}
}

// sourceProblems finds every kind{…} of the package.
func sourceProblems(t *testing.T) map[string]problemRow {
	t.Helper()
	out := map[string]problemRow{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if id, isID := lit0(lit, ok); !isID || id != "kind" {
				return true
			}
			if len(lit.Elts) != 4 {
				t.Fatalf("%s: a kind of %d fields", name, len(lit.Elts))
			}
			var text [3]string
			for i := range text {
				basic, ok := lit.Elts[i+1].(*ast.BasicLit)
				if !ok {
					t.Fatalf("%s: a kind whose words are not written out", name)
				}
				text[i], _ = strconv.Unquote(basic.Value)
			}
			out[text[0]] = problemRow{Code: text[0], Title: text[1], Mend: text[2], Status: statusNamed(t, lit.Elts[0])}
			return true
		})
	}
	if len(out) < 20 {
		t.Fatalf("only %d kinds found: the test tests nothing", len(out))
	}
	return out
}

func lit0(lit *ast.CompositeLit, ok bool) (string, bool) {
	if !ok {
		return "", false
	}
	id, ok := lit.Type.(*ast.Ident)
	if !ok {
		return "", false
	}
	return id.Name, true
}

// statusNamed is the value of an expression http.StatusX.
func statusNamed(t *testing.T, e ast.Expr) int {
	t.Helper()
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		t.Fatal("a kind whose status has no name of net/http")
	}
	for code := 400; code < 600; code++ {
		name := strings.NewReplacer(" ", "", "-", "").Replace(http.StatusText(code))
		if name != "" && "Status"+name == sel.Sel.Name || sel.Sel.Name == "StatusRequestURITooLong" && code == 414 {
			return code
		}
	}
	t.Fatalf("unknown status %s", sel.Sel.Name)
	return 0
}

// at returns what stands in a schema of the description.
func at(t *testing.T, path ...string) map[string]any {
	t.Helper()
	m := object(description(t).doc, append([]string{"components", "schemas"}, path...)...)
	if m == nil {
		t.Fatalf("the description has no %v", path)
	}
	return m
}

func enum(t *testing.T, path ...string) []string {
	t.Helper()
	var out []string
	for _, e := range list(at(t, path...), "enum") {
		out = append(out, fmt.Sprint(e))
	}
	if c, ok := at(t, path...)["const"]; ok {
		out = append(out, fmt.Sprint(c))
	}
	return out
}

// TestBoundsAreTheSource: every number in the description is a constant of the
// program, so that none can drift.
func TestBoundsAreTheSource(t *testing.T) {
	s := description(t)
	stated := map[string]int64{}
	for _, l := range list(s.doc, "x-limits") {
		n, err := object(l)["value"].(json.Number).Int64()
		if err != nil {
			t.Fatal(err)
		}
		stated[text(object(l), "name")] = n
	}
	if !maps.Equal(stated, api.Limits) {
		t.Errorf("x-limits %v, source %v", stated, api.Limits)
	}
	number := func(m map[string]any, key string) int64 {
		n, ok := m[key].(json.Number)
		if !ok {
			t.Errorf("no %s in %v", key, m)
			return -1
		}
		v, _ := n.Int64()
		return v
	}
	param := func(path, name string) map[string]any {
		for _, p := range list(object(s.doc, "paths", path, "get"), "parameters") {
			if text(object(p), "name") == name {
				return object(p, "schema")
			}
		}
		t.Fatalf("%s has no parameter %s", path, name)
		return nil
	}
	for _, tc := range []struct {
		name string
		in   map[string]any
		key  string
		want int64
	}{
		{"body of records", object(s.doc, "paths", "/v1/records", "post", "requestBody"), "x-max-bytes", evidence.MaxRequestBytes},
		{"body of keys", object(s.doc, "paths", "/v1/keys", "post", "requestBody"), "x-max-bytes", api.Limits["key_body_bytes"]},
		{"wait", object(s.doc, "components", "parameters", "Prefer"), "x-max-seconds", api.Limits["wait_seconds"]},
		{"page", param("/v1/records", "limit"), "maximum", api.Limits["page_max"]},
		{"default page", param("/v1/records", "limit"), "default", api.Limits["page_default"]},
		{"cursor", param("/v1/records", "cursor"), "maxLength", api.Limits["cursor_characters"]},
		{"next", at(t, "Records", "properties", "next"), "maxLength", api.Limits["cursor_characters"]},
		{"size of the ledger", param("/v1/seals", "size"), "maximum", canon.MaxInt},
		{"submissions", at(t, "Request", "properties", "submissions"), "maxItems", evidence.MaxSubmissions},
		{"count", at(t, "Statement", "properties", "body", "properties", "count"), "maximum", evidence.MaxSubmissions},
		{"records of a compact answer", at(t, "Compact", "properties", "count"), "maximum", evidence.MaxSubmissions},
		{"head of a compact answer", at(t, "Compact", "properties", "receipt", "properties", "head"), "maxLength", evidence.MaxSignedBytes},
		{"first of a compact answer", at(t, "Compact", "properties", "receipt", "properties", "first"), "maximum", evidence.MaxBatchRecords - 1},
		{"records of an answer", at(t, "Submitted", "properties", "records"), "maxItems", evidence.MaxSubmissions},
		{"refs", at(t, "SubmissionBase", "properties", "refs"), "maxItems", evidence.MaxRefs},
		{"step", at(t, "SubmissionBase", "properties", "step"), "maximum", evidence.MaxSteps},
		{"closed count", at(t, "CloseSubmission", "properties", "count"), "maximum", evidence.MaxSteps},
		{"content", at(t, "ContractSubmission", "properties", "size"), "maximum", evidence.MaxContentBytes},
		{"path", at(t, "Path"), "maxItems", evidence.MaxPath},
		{"record", at(t, "ProofFile", "properties", "record"), "maxLength", evidence.MaxRecordBytes},
		{"statement", at(t, "ProofFile", "properties", "statement", "properties", "signed"), "maxLength", evidence.MaxSignedBytes},
		{"receipt", at(t, "ProofFile", "properties", "receipt", "properties", "head"), "maxLength", evidence.MaxSignedBytes},
		{"index in a receipt", at(t, "ProofFile", "properties", "receipt", "properties", "index"), "maximum", evidence.MaxBatchRecords - 1},
		{"index in a stream", at(t, "SealedProof", "properties", "batch", "properties", "stream_index"), "maximum", evidence.MaxBatchRecords - 1},
		{"anchors of a proof", at(t, "ProofFile", "properties", "anchors"), "maxItems", proof.MaxAnchors},
		{"anchors of a companion file", at(t, "AnchorFile", "properties", "anchors"), "maxItems", proof.MaxFileAnchors},
		{"members", at(t, "Members", "properties", "members"), "maxItems", evidence.MaxMembers},
		{"cards", at(t, "Genesis", "properties", "cards"), "maxItems", evidence.MaxMembers},
		{"seals", at(t, "Seals", "properties", "seals"), "maxItems", evidence.MaxMembers},
		{"name of a member", at(t, "Card", "properties", "body", "properties", "name"), "maxLength", evidence.MaxNameBytes},
		{"address", at(t, "Card", "properties", "body", "properties", "api"), "maxLength", evidence.MaxAddressBytes},
	} {
		if got := number(tc.in, tc.key); got != tc.want {
			t.Errorf("%s: %s is %d, in the source %d", tc.name, tc.key, got, tc.want)
		}
	}
}

// TestClosedListsAreTheSource: every list of words is the program's.
func TestClosedListsAreTheSource(t *testing.T) {
	var kinds []string
	for _, k := range evidence.Kinds {
		kinds = append(kinds, string(k))
	}
	for _, tc := range []struct {
		path []string
		want []string
	}{
		{[]string{"Kind"}, kinds},
		{[]string{"Result"}, evidence.Results},
		{[]string{"Source", "properties", "environment"}, evidence.SourceEnvironments},
		{[]string{"Source", "properties", "mechanism"}, evidence.SourceMechanisms},
		{[]string{"Source", "properties", "system"}, evidence.SourceSystems},
		{[]string{"PersonSubmission", "properties", "method"}, evidence.PersonMethods},
		{[]string{"CompanySubmission", "properties", "method"}, evidence.CompanyMethods},
		{[]string{"IntentSubmission", "properties", "method"}, evidence.IntentMethods},
		{[]string{"CertificateSubmission", "properties", "algorithm"}, evidence.Algorithms},
		{[]string{"Purpose"}, []string{string(evidence.Submit), string(evidence.Read)}},
		{[]string{"KeyRegistration", "properties", "action"}, []string{string(evidence.Register)}},
		{[]string{"KeyRevocation", "properties", "action"}, []string{string(evidence.Revoke)}},
		{[]string{"State"}, []string{string(wire.Accepted), string(wire.Committed), string(wire.Sealed), string(wire.Anchored)}},
		{[]string{"AnchorKind"}, []string{string(proof.AnchorFabric), string(proof.AnchorRFC3161), string(proof.AnchorWitness)}},
	} {
		if got := enum(t, tc.path...); !slices.Equal(got, tc.want) {
			t.Errorf("%v: %v, in the source %v", tc.path, got, tc.want)
		}
	}
	var described []string // each kind belongs to one form of a submission
	for _, form := range list(at(t, "Submission"), "oneOf") {
		described = append(described, enum(t, refName(form), "properties", "kind")...)
	}
	if !slices.Equal(described, kinds) {
		t.Errorf("the forms of a submission have the kinds %v, in the source %v", described, kinds)
	}
}

// TestWireIsDescribed: the shapes of package wire have the fields of their
// schemas, and the required ones are those that are never left out.
func TestWireIsDescribed(t *testing.T) {
	for _, v := range []any{
		wire.Record{}, wire.Submitted{}, wire.Records{}, wire.Member{}, wire.Members{}, wire.Key{}, wire.Keys{}, wire.KeyResult{},
		wire.Seal{}, wire.Seals{}, wire.MemberStatus{}, wire.Status{}, wire.LedgerStatus{}, wire.IntakeStatus{}, wire.Reason{},
		wire.Ready{}, wire.Problem{}, wire.Consistency{}, wire.AnchorStatus{},
	} {
		typ := reflect.TypeOf(v)
		var fields, required []string
		for i := range typ.NumField() {
			name, option, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			fields = append(fields, name)
			if option == "" {
				required = append(required, name)
			}
		}
		sch := at(t, typ.Name())
		var want []string
		for _, r := range list(sch, "required") {
			want = append(want, r.(string))
		}
		slices.Sort(fields)
		slices.Sort(required)
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(object(sch, "properties"))); !slices.Equal(got, fields) {
			t.Errorf("%s: described %v, in package wire %v", typ.Name(), got, fields)
		}
		if !slices.Equal(want, required) {
			t.Errorf("%s: required %v, in package wire %v", typ.Name(), want, required)
		}
	}
}

// TestDescriptionIsSound: every schema compiles, every reference leads somewhere,
// everything is used, names are unique, and every example is what it shows.
func TestDescriptionIsSound(t *testing.T) {
	s := description(t)
	used, ids := map[string]bool{}, map[string]bool{}
	walk(s.doc, func(m map[string]any) {
		if ref := text(m, "$ref"); ref != "" {
			used[ref] = true
			if object(s.doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...) == nil {
				t.Errorf("%s leads nowhere", ref)
			}
		}
	})
	for _, part := range []string{"schemas", "parameters", "headers", "responses", "examples"} {
		for name := range object(s.doc, "components", part) {
			if !used["#/components/"+part+"/"+name] {
				t.Errorf("%s %s is never used", part, name)
			}
		}
	}
	for _, o := range s.operations() {
		id := text(o.def, "operationId")
		if id == "" || ids[id] || text(o.def, "summary") == "" || len(list(o.def, "tags")) != 1 {
			t.Errorf("%s: id %q, or no summary, or not one tag", o, id)
		}
		ids[id] = true
		for _, p := range list(o.def, "parameters") {
			p := s.deref(p)
			if example, ok := p["example"]; ok && s.check(s.paramSchema(o, text(p, "name")), example) != nil {
				t.Errorf("%s: the example of %s is not valid", o, text(p, "name"))
			}
		}
		if o.def["requestBody"] != nil {
			s.checkExamples(t, append(o.at, "requestBody"))
		}
		for status, r := range object(o.def, "responses") {
			where := append(slices.Clone(o.at), "responses", status)
			if ref := text(object(r), "$ref"); ref != "" {
				where = strings.Split(strings.TrimPrefix(ref, "#/"), "/")
			}
			s.checkExamples(t, where)
		}
	}
}

// checkExamples holds the examples of a body against its schema.
func (s *spec) checkExamples(t *testing.T, where []string) {
	t.Helper()
	for kind, c := range object(s.doc, append(where, "content")...) {
		examples := []any{}
		if e, ok := object(c)["example"]; ok {
			examples = append(examples, e)
		}
		for _, e := range object(c, "examples") {
			examples = append(examples, s.deref(e)["value"])
		}
		for _, e := range examples {
			if err := s.check(pointer(append(slices.Clone(where), "content", kind, "schema")...), e); err != nil {
				t.Errorf("an example of %v: %v", where, err)
			}
		}
	}
}

// paramSchema points to the schema of an operation's parameter.
func (s *spec) paramSchema(o *op, name string) string {
	for i, p := range list(o.def, "parameters") {
		if ref := text(object(p), "$ref"); ref != "" && text(s.deref(p), "name") == name {
			return strings.TrimPrefix(ref, "#") + "/schema"
		}
		if text(object(p), "name") == name {
			return pointer(append(slices.Clone(o.at), "parameters", strconv.Itoa(i), "schema")...)
		}
	}
	return ""
}
