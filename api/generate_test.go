package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// generator makes values out of the description's schemas.
type generator struct {
	*spec
	rnd  *rand.Rand
	real map[string]func() any // by name of a schema: values that no pattern can make up
}

func newGenerator(t *testing.T, s *spec, seed uint64) *generator {
	t.Helper()
	return &generator{s, rand.New(rand.NewPCG(seed, 0)), map[string]func() any{}}
}

// value makes one that the schema allows.
func (g *generator) value(v any) any {
	sch := object(v)
	if name := refName(sch); name != "" {
		if make := g.real[name]; make != nil {
			return make()
		}
		return g.value(g.deref(sch))
	}
	if c, ok := sch["const"]; ok {
		return c
	}
	if l := list(sch, "enum"); l != nil {
		return l[g.rnd.IntN(len(l))]
	}
	if l := list(sch, "oneOf"); l != nil {
		return g.value(l[g.rnd.IntN(len(l))])
	}
	switch {
	case sch["properties"] != nil:
		return g.object(sch)
	case text(sch, "format") == "date-time":
		day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		return day.Add(time.Duration(g.rnd.Int64N(int64(10*365*24*time.Hour/time.Millisecond))) * time.Millisecond).Format("2006-01-02T15:04:05.000Z07:00")
	case text(sch, "pattern") != "":
		return g.matching(text(sch, "pattern"))
	}
	switch text(sch, "type") {
	case "integer":
		return g.integer(sch)
	case "array":
		return g.array(sch)
	case "boolean":
		return g.rnd.IntN(2) == 0
	}
	return g.matching(`^[a-zA-Z0-9 ]{1,20}$`)
}

// object makes one with every required field and each other with a chance of a half.
func (g *generator) object(sch map[string]any) map[string]any {
	properties, required, together := map[string]any{}, map[string]bool{}, map[string]any{}
	for _, part := range append(list(sch, "allOf"), sch) {
		part := g.deref(part)
		maps.Copy(properties, object(part, "properties"))
		maps.Copy(together, object(part, "dependentRequired"))
		for _, r := range list(part, "required") {
			required[r.(string)] = true
		}
	}
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if required[name] || g.rnd.IntN(2) == 0 {
			out[name] = g.value(properties[name])
		}
	}
	for name, needs := range together {
		for _, need := range needs.([]any) {
			if _, ok := out[name]; ok && out[need.(string)] == nil {
				out[need.(string)] = g.value(properties[need.(string)])
			}
		}
	}
	return out
}

// integer makes the least, the greatest or one between.
func (g *generator) integer(sch map[string]any) json.Number {
	bound := func(key string, other int64) int64 {
		if n, ok := sch[key].(json.Number); ok {
			other, _ = n.Int64()
		}
		return other
	}
	low, high := bound("minimum", 0), bound("maximum", 1<<31)
	switch g.rnd.IntN(3) {
	case 0:
		return json.Number(fmt.Sprint(low))
	case 1:
		return json.Number(fmt.Sprint(high))
	}
	return json.Number(fmt.Sprint(low + g.rnd.Int64N(high-low+1)))
}

func (g *generator) array(sch map[string]any) []any {
	bound := func(key string, other int) int {
		if n, ok := sch[key].(json.Number); ok {
			v, _ := n.Int64()
			return int(v)
		}
		return other
	}
	low, high := bound("minItems", 0), min(bound("maxItems", 3), 16)
	out := make([]any, 0, high)
	for range low + g.rnd.IntN(high-low+1) {
		out = append(out, g.value(sch["items"]))
	}
	return out
}

// matching makes a string that a regular expression matches.
func (g *generator) matching(pattern string) string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		panic(err) // the schema has compiled
	}
	var b strings.Builder
	g.expand(&b, re)
	return b.String()
}

func (g *generator) expand(b *strings.Builder, re *syntax.Regexp) {
	repeat := func(low, high int) {
		for range low + g.rnd.IntN(high-low+1) {
			g.expand(b, re.Sub[0])
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		i := 2 * g.rnd.IntN(len(re.Rune)/2)
		b.WriteRune(re.Rune[i] + rune(g.rnd.IntN(int(re.Rune[i+1]-re.Rune[i]+1))))
	case syntax.OpAnyCharNotNL:
		b.WriteByte(byte('a' + g.rnd.IntN(26)))
	case syntax.OpConcat, syntax.OpCapture:
		for _, sub := range re.Sub {
			g.expand(b, sub)
		}
	case syntax.OpAlternate:
		g.expand(b, re.Sub[g.rnd.IntN(len(re.Sub))])
	case syntax.OpQuest:
		repeat(0, 1)
	case syntax.OpStar:
		repeat(0, 6)
	case syntax.OpPlus:
		repeat(1, 6)
	case syntax.OpRepeat:
		high := re.Max
		if high < 0 {
			high = re.Min + 6
		}
		repeat(re.Min, high)
	}
}

// broken is a document with one thing changed.
type broken struct {
	what string
	doc  any
}

// breaks makes every change of doc that it knows: a field gone, unknown, of
// another type, or beside its bounds. Not all of them are wrong; ask the schema.
func breaks(doc any) []broken {
	var out []broken
	root := map[string]any{"doc": copied(doc)}
	var visit func(at string, v any, set func(any))
	visit = func(at string, v any, set func(any)) {
		for _, other := range others(v) {
			set(other)
			out = append(out, broken{fmt.Sprintf("%s = %.60s", at, encode(other)), copied(root["doc"])})
		}
		set(v)
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				old := v[name]
				delete(v, name)
				out = append(out, broken{at + " without " + name, copied(root["doc"])})
				v[strings.ToUpper(name)] = old
				out = append(out, broken{at + " with " + strings.ToUpper(name), copied(root["doc"])})
				delete(v, strings.ToUpper(name))
				v[name] = old
				visit(at+"."+name, old, func(n any) { v[name] = n })
			}
			v["unknown"] = "x"
			out = append(out, broken{at + " with unknown", copied(root["doc"])})
			delete(v, "unknown")
		case []any:
			for i, old := range v {
				visit(fmt.Sprintf("%s[%d]", at, i), old, func(n any) { v[i] = n })
			}
		}
	}
	visit("", root["doc"], func(n any) { root["doc"] = n })
	return out
}

// others are values to put in the place of v.
func others(v any) []any {
	out := []any{nil, true, json.Number("-1"), json.Number("9007199254740992"), "x", "", []any{}, map[string]any{}}
	switch v := v.(type) {
	case string:
		out = append(out, v+"0", strings.ToUpper(v), " "+v, v+"\n", "none", strings.Repeat(v, 2))
		if v != "" {
			out = append(out, v[:len(v)-1], v[1:])
		}
	case json.Number:
		out = append(out, string(v), json.Number("0"), json.Number("1"+strings.TrimPrefix(string(v), "-")+"00000000"))
	case []any:
		if len(v) > 0 {
			out = append(out, slices.Repeat(v[:1], 17))
		}
	}
	return out
}

// copied is a deep copy; numbers stay as they are written.
func copied(v any) any {
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(encode(v)))
	if err != nil {
		panic(err) // it was JSON
	}
	return out
}

// encode writes canonical JSON of what tests make: keys sorted, ASCII.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // only JSON values come here
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
