package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"slices"
	"strings"
)

// What the page shows of openapi.json. It is read with the order of the file.
type (
	description struct {
		Info       struct{ Title, Version, Summary, Description string }
		Tags       []struct{ Name, Description string }
		Paths      ordered[ordered[operation]]
		Components struct {
			Parameters map[string]parameter
			Responses  map[string]response
			Headers    map[string]header
			Schemas    ordered[schema]
			Examples   map[string]example
		}
		Problems []struct {
			Code, Title, Mend, ZH string
			Status                int
		} `json:"x-problems"`
		Limits []struct {
			Name, Description string
			Value             int64
		} `json:"x-limits"`
	}
	operation struct {
		Method, Path         string `json:"-"`
		OperationID          string
		Tags                 []string
		Summary, Description string
		Parameters           []parameter
		RequestBody          *response // a description and contents, as an answer has them
		Responses            ordered[response]
		ExactlyOneOf         []string `json:"x-exactly-one-of"`
		Security             []map[string][]string
	}
	parameter struct {
		Ref                   string `json:"$ref"`
		Name, In, Description string
		Required              bool
		Schema                schema
		Example               json.RawMessage
	}
	header struct {
		Ref         string `json:"$ref"`
		Required    bool
		Description string
		Schema      schema
	}
	response struct {
		Ref         string `json:"$ref"`
		Description string
		Headers     ordered[header]
		Content     ordered[content]
	}
	content struct {
		Schema   schema
		Example  json.RawMessage
		Examples ordered[example]
	}
	example struct {
		Ref     string `json:"$ref"`
		Summary string
		Value   json.RawMessage
	}
	schema struct {
		Ref                                      string `json:"$ref"`
		Type, Description, Pattern, Format       string
		Enum                                     []any
		Const, Default                           any
		Minimum, Maximum                         json.Number
		MinLength, MaxLength, MinItems, MaxItems json.Number
		Items                                    *schema
		OneOf, AllOf                             []schema
		Properties                               ordered[schema]
		Required                                 []string
	}
)

// ordered is a JSON object whose members keep their order.
type ordered[T any] []named[T]

type named[T any] struct {
	Name  string
	Value T
}

func (o *ordered[T]) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("it is no object")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		m := named[T]{Name: fmt.Sprint(key)}
		if err := d.Decode(&m.Value); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		*o = append(*o, m)
	}
	return nil
}

// renderDocs makes the page of a description.
func renderDocs(openAPI []byte) ([]byte, error) {
	var d description
	dec := json.NewDecoder(bytes.NewReader(openAPI))
	dec.UseNumber()
	if err := dec.Decode(&d); err != nil {
		return nil, err
	}
	t, err := template.New("docs.html").Funcs(template.FuncMap{
		"paragraphs": func(s string) []string { return strings.Split(s, "\n\n") },
		"ticks":      func(s string) []string { return strings.Split(s, "`") },
		"odd":        func(i int) bool { return i%2 == 1 },
		"upper":      strings.ToUpper,
		"last":       last,
		"rows":       rows,
		"type":       typeOf,
		"bounds":     bounds,
		"pretty":     pretty,
		"curl":       curl,
	}).ParseFS(documentFiles, "docs.html")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, &d); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Operations lists the operations of a tag, with every reference resolved.
func (d *description) Operations(tag string) []operation {
	var out []operation
	for _, p := range d.Paths {
		for _, m := range p.Value {
			if op := m.Value; slices.Contains(op.Tags, tag) {
				op.Method, op.Path = m.Name, p.Name
				d.resolve(&op)
				out = append(out, op)
			}
		}
	}
	return out
}

func (d *description) resolve(op *operation) {
	for i, p := range op.Parameters {
		if p.Ref != "" {
			op.Parameters[i] = d.Components.Parameters[last(p.Ref)]
		}
	}
	if op.RequestBody != nil {
		d.resolveContent(op.RequestBody.Content)
	}
	for i := range op.Responses {
		r := &op.Responses[i].Value
		if r.Ref != "" {
			*r = d.Components.Responses[last(r.Ref)]
		}
		for j, h := range r.Headers {
			if h.Value.Ref != "" {
				r.Headers[j].Value = d.Components.Headers[last(h.Value.Ref)]
			}
		}
		d.resolveContent(r.Content)
	}
}

func (d *description) resolveContent(cs ordered[content]) {
	for i := range cs {
		c := &cs[i].Value
		for j, e := range c.Examples {
			if e.Value.Ref != "" {
				c.Examples[j].Value = d.Components.Examples[last(e.Value.Ref)]
			}
		}
		if c.Example != nil {
			c.Examples = append(c.Examples, named[example]{Value: example{Value: c.Example}})
			c.Example = nil
		}
	}
}

// last is the name that a reference ends with.
func last(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// row is one field of an object, inner objects written as paths.
type row struct {
	Name     string
	Required bool
	Schema   schema
}

func rows(s schema) []row { return appendRows(nil, "", s) }

func appendRows(out []row, prefix string, s schema) []row {
	for _, p := range s.Properties {
		name := prefix + p.Name
		out = append(out, row{name, slices.Contains(s.Required, p.Name), p.Value})
		inner := p.Value
		if inner.Items != nil {
			name, inner = name+"[]", *inner.Items
		}
		out = appendRows(out, name+".", inner)
	}
	return out
}

// typed is a type for people: words, and what it refers to.
type typed struct {
	Words string
	Refs  []string
}

func typeOf(s schema) typed {
	switch {
	case s.Ref != "":
		return typed{Refs: []string{last(s.Ref)}}
	case len(s.OneOf) > 0:
		t := typed{Words: "之一 · one of"}
		for _, o := range s.OneOf {
			t.Refs = append(t.Refs, typeOf(o).Refs...)
		}
		return t
	case s.Items != nil:
		inner := typeOf(*s.Items)
		inner.Words = strings.TrimSpace("数组 · array of " + inner.Words)
		return inner
	case s.Const != nil:
		return typed{Words: fmt.Sprint(s.Const)}
	case s.Type == "" && len(s.Enum) > 0:
		return typed{Words: "string"}
	}
	return typed{Words: s.Type}
}

// bounds says what a value must keep to besides its type.
func bounds(s schema) []string {
	var out []string
	add := func(low, high json.Number, what string) {
		switch {
		case low != "" && high != "":
			out = append(out, fmt.Sprintf("%s – %s%s", low, high, what))
		case low != "":
			out = append(out, fmt.Sprintf("≥ %s%s", low, what))
		case high != "":
			out = append(out, fmt.Sprintf("≤ %s%s", high, what))
		}
	}
	add(s.Minimum, s.Maximum, "")
	add(s.MinLength, s.MaxLength, " 字符 · characters")
	add(s.MinItems, s.MaxItems, " 项 · items")
	for _, e := range s.Enum {
		out = append(out, strings.TrimSpace(fmt.Sprint(e)))
	}
	if s.Pattern != "" {
		out = append(out, s.Pattern)
	}
	if s.Default != nil {
		out = append(out, fmt.Sprintf("默认 · default %v", s.Default))
	}
	return out
}

// pretty writes a JSON value over lines, and a text as it is.
func pretty(v json.RawMessage) (string, error) {
	var text string
	if json.Unmarshal(v, &text) == nil {
		return text, nil
	}
	var b bytes.Buffer
	err := json.Indent(&b, v, "", "  ")
	return b.String(), err
}

// curl is a command that calls op with the examples of its parameters.
func curl(op operation) string {
	at, query, head := op.Path, "", ""
	for _, p := range op.Parameters {
		value := string(p.Example)
		if text, err := pretty(p.Example); err == nil {
			value = text
		}
		switch {
		case value == "" || slices.Contains(op.ExactlyOneOf, p.Name) && p.Name != op.ExactlyOneOf[0]:
		case p.In == "path":
			at = strings.ReplaceAll(at, "{"+p.Name+"}", value)
		case p.In == "query":
			query += "&" + p.Name + "=" + value
		case p.Name == "Prefer":
			head += " -H '" + p.Name + ": " + value + "'"
		}
	}
	if query != "" {
		query = "?" + query[1:]
	}
	if len(op.Security) > 0 {
		head += " -H \"Signature-Input: $input\" -H \"Signature: $signature\""
	}
	if op.RequestBody != nil {
		head += " -H 'Content-Type: application/json' --data-binary @request.json"
	}
	return fmt.Sprintf("curl%s 'http://127.0.0.1:8100%s%s'", head, at, query)
}
