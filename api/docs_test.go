package api_test

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"regexp"
	"strings"
	"testing"

	"qifeng/api"
	"qifeng/api/apitest"
)

// TestPageShowsTheDescription: every operation, parameter, answer, schema,
// field, code, limit and example is on the page, and every link in it leads
// somewhere.
func TestPageShowsTheDescription(t *testing.T) {
	s := description(t)
	_, raw, err := api.Documents()
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	words := html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, ""))
	shows := func(what, part string) {
		t.Helper()
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %s: %s", what, part)
		}
	}
	for _, o := range s.operations() {
		id := text(o.def, "operationId")
		shows("an operation", `<section class="op" id="`+id+`">`)
		_, section, _ := strings.Cut(page, `<section class="op" id="`+id+`">`)
		section, _, _ = strings.Cut(section, "</section>")
		if !strings.Contains(section, text(o.def, "summary")) {
			t.Errorf("%s has no summary", o)
		}
		for _, p := range list(o.def, "parameters") {
			if !strings.Contains(section, "<code>"+text(o.deref(p), "name")+"</code>") {
				t.Errorf("%s lacks parameter %s", o, text(o.deref(p), "name"))
			}
		}
		for _, status := range o.statuses() {
			if !strings.Contains(section, "<td><code>"+status+"</code></td>") {
				t.Errorf("%s lacks status %s", o, status)
			}
		}
	}
	for name := range object(s.doc, "components", "schemas") {
		shows("a schema", `id="schema-`+name+`"`)
		for field := range object(s.doc, "components", "schemas", name, "properties") {
			shows("a field of "+name, "<code>"+field+"</code>")
		}
	}
	for _, p := range list(s.doc, "x-problems") {
		shows("a code", `id="problem-`+text(object(p), "code")+`"`)
		shows("its Chinese words", text(object(p), "zh"))
	}
	for _, l := range list(s.doc, "x-limits") {
		shows("a limit", "<code>"+text(object(l), "name")+"</code>")
	}
	for name, e := range object(s.doc, "components", "examples") {
		if v, ok := object(e)["value"].(string); ok && !strings.Contains(words, v) {
			t.Errorf("the page lacks the example %s", name)
		}
	}
	if !strings.Contains(words, `"type": "qifeng-proof"`) {
		t.Error("the page lacks the proof")
	}
	for _, m := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1) {
		shows("what a link leads to", `id="`+m[1]+`"`)
	}
}

// TestPageIsAlone: no script, nothing from elsewhere, and a policy that would
// stop both.
func TestPageIsAlone(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	resp, body := call(t, n, "GET", "/docs", nil)
	page := string(body)
	_, rest, _ := strings.Cut(page, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	if got := resp.Header.Get("Content-Security-Policy"); got != want {
		t.Errorf("policy %s, want %s", got, want)
	}
	for _, tag := range regexp.MustCompile(`<[a-z][^>]*>`).FindAllString(page, -1) {
		if regexp.MustCompile(`^<(script|img|link|iframe|object|embed|form|base|svg|video|audio)|\s(src|style|on[a-z]+)=`).MatchString(tag) {
			t.Errorf("the page holds %s", tag)
		}
		if m := regexp.MustCompile(`href="([^"]*)"`).FindStringSubmatch(tag); m != nil && !strings.HasPrefix(m[1], "#") && m[1] != "/openapi.json" {
			t.Errorf("the page leads to %s", m[1])
		}
	}
	if strings.Contains(style, "url(") || strings.Contains(style, "@import") {
		t.Error("the style sheet loads something")
	}
	if strings.Count(page, "<style") != 1 || strings.Count(page, "<h1>") != 1 {
		t.Error("not one style sheet and one heading")
	}
}
