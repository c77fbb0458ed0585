package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"qifeng/api"
)

// spec is the description as the server serves it, read for tests: an answer
// with a field that the description does not name is wrong here, though clients
// must bear it.
type spec struct {
	doc map[string]any

	mu       sync.Mutex // guards the compiler
	compiler *jsonschema.Compiler
}

var theSpec = sync.OnceValues(func() (*spec, error) {
	text, _, err := api.Documents()
	if err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	s := &spec{doc: doc.(map[string]any), compiler: jsonschema.NewCompiler()}
	s.close()
	s.compiler.DefaultDraft(jsonschema.Draft2020)
	s.compiler.AssertFormat()
	return s, s.compiler.AddResource("spec.json", doc)
})

func description(t testing.TB) *spec {
	t.Helper()
	s, err := theSpec()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// close forbids unknown fields in every object that does not speak of them, but
// for those that others include.
func (s *spec) close() {
	bases := map[string]bool{}
	walk(s.doc, func(m map[string]any) {
		for _, part := range list(m, "allOf") {
			bases[refName(part)] = true
		}
	})
	for name, v := range object(s.doc, "components", "schemas") {
		if bases[name] {
			continue
		}
		walk(v, func(m map[string]any) {
			_, a := m["additionalProperties"]
			_, u := m["unevaluatedProperties"]
			if m["type"] == "object" && m["properties"] != nil && !a && !u {
				m["additionalProperties"] = false
			}
		})
	}
}

func walk(v any, visit func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		visit(v)
		for _, e := range v {
			walk(e, visit)
		}
	case []any:
		for _, e := range v {
			walk(e, visit)
		}
	}
}

// object goes down a path of objects; nil where there is none.
func object(v any, path ...string) map[string]any {
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	m, _ := v.(map[string]any)
	return m
}

func list(m map[string]any, key string) []any {
	l, _ := m[key].([]any)
	return l
}

func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

func refName(v any) string {
	ref := text(object(v), "$ref")
	return ref[strings.LastIndexByte(ref, '/')+1:]
}

// deref follows a reference within the document.
func (s *spec) deref(v any) map[string]any {
	m := object(v)
	if ref := text(m, "$ref"); ref != "" {
		return object(s.doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return m
}

// check validates an instance against the schema at a JSON pointer.
func (s *spec) check(pointer string, instance any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sch, err := s.compiler.Compile("spec.json#" + pointer)
	if err != nil {
		return fmt.Errorf("the description at %s: %w", pointer, err)
	}
	return sch.Validate(instance)
}

// checkJSON is check of JSON text.
func (s *spec) checkJSON(pointer string, b []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return err
	}
	return s.check(pointer, v)
}

func pointer(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(p))
	}
	return b.String()
}

// op is one operation of the description.
type op struct {
	*spec
	method, path string
	at           []string // where it stands in the document
	def          map[string]any
}

func (o *op) String() string { return o.method + " " + o.path }

// operations are all of them, sorted.
func (s *spec) operations() []*op {
	var out []*op
	paths := object(s.doc, "paths")
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for method, def := range object(paths, path) {
			out = append(out, &op{s, strings.ToUpper(method), path, []string{"paths", path, method}, object(def)})
		}
	}
	slices.SortFunc(out, func(a, b *op) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// find returns the operation of a request, and whether its path is known at all.
func (s *spec) find(method, path string) (found *op, known bool) {
	for _, o := range s.operations() {
		if !matches(o.path, path) {
			continue
		}
		known = true
		if o.method == method {
			return o, true
		}
	}
	return nil, known
}

func matches(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if last := len(want) - 1; want[last] == "{path}" && len(got) > last { // the one that has slashes
		got = append(got[:last:last], strings.Join(got[last:], "/"))
	}
	if len(want) != len(got) {
		return false
	}
	for i, w := range want {
		if strings.HasPrefix(w, "{") && got[i] != "" {
			continue
		}
		if w != got[i] {
			return false
		}
	}
	return true
}

// statuses are those that the description lists.
func (o *op) statuses() []string { return slices.Sorted(maps.Keys(object(o.def, "responses"))) }

// conforms holds one exchange against the description: the answer's status is
// listed, its type, headers and body are as described, and a body that was
// taken is one that the description allows.
func conforms(t testing.TB, req *http.Request, sent []byte, resp *http.Response, body []byte) {
	t.Helper()
	s := description(t)
	status := strconv.Itoa(resp.StatusCode)
	o, known := s.find(req.Method, req.URL.Path)
	if o == nil {
		want := map[bool]string{true: "405", false: "404"}[known]
		if status != want && status != "414" {
			t.Errorf("%s %s, which is not described: status %s, want %s", req.Method, req.URL.Path, status, want)
		}
		if err := s.checkJSON(pointer("components", "schemas", "Problem"), body); err != nil {
			t.Errorf("%s %s: %v in %s", req.Method, req.URL.Path, err, body)
		}
		return
	}
	if err := o.checkAnswer(status, resp.Header, body); err != nil {
		t.Errorf("%s: status %s: %v\n%s", o, status, err, body)
	}
	if sent != nil && resp.StatusCode < 300 {
		at := pointer(append(o.at, "requestBody", "content", "application/json", "schema")...)
		if err := s.checkJSON(at, sent); err != nil {
			t.Errorf("%s took a body that is not as described: %v", o, err)
		}
	}
}

func (o *op) checkAnswer(status string, h http.Header, body []byte) error {
	at := append(o.at, "responses", status)
	def := object(o.doc, at...)
	if def == nil {
		return fmt.Errorf("not listed; listed are %v", o.statuses())
	}
	if ref := text(def, "$ref"); ref != "" {
		at = strings.Split(strings.TrimPrefix(ref, "#/"), "/")
		def = object(o.doc, at...)
	}
	if err := o.checkHeaders(def, at, h); err != nil {
		return err
	}
	contents := object(def, "content")
	if contents == nil {
		if len(body) != 0 || h.Get("Content-Type") != "" {
			return fmt.Errorf("a body of type %q where none is described", h.Get("Content-Type"))
		}
		return nil
	}
	kind := h.Get("Content-Type")
	if contents[kind] == nil {
		return fmt.Errorf("content type %q, described are %v", kind, slices.Sorted(maps.Keys(contents)))
	}
	schema := pointer(append(at, "content", kind, "schema")...)
	if strings.HasSuffix(kind, "json") {
		return o.checkJSON(schema, body)
	}
	return o.check(schema, string(body))
}

func (o *op) checkHeaders(def map[string]any, at []string, h http.Header) error {
	described := object(def, "headers")
	for name, v := range described {
		header := o.deref(v)
		value := h.Get(name)
		if value == "" {
			if header["required"] == true {
				return fmt.Errorf("no header %s", name)
			}
			continue
		}
		p := pointer(append(at, "headers", name, "schema")...)
		if ref := text(object(v), "$ref"); ref != "" {
			p = strings.TrimPrefix(ref, "#") + "/schema"
		}
		if err := o.check(p, scalar(header["schema"], value)); err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
	}
	for _, name := range []string{"Retry-After", "ETag", "Content-Security-Policy"} {
		if h.Get(name) != "" && described[name] == nil {
			return fmt.Errorf("header %s is not described", name)
		}
	}
	return nil
}

// scalar reads the text of a parameter or header: a number where the schema
// wants one and it is written as JSON writes it, else a string.
func scalar(schema any, s string) any {
	if text(object(schema), "type") != "integer" {
		return s
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && strconv.FormatInt(n, 10) == s {
		return json.Number(s)
	}
	return s
}
