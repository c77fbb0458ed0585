package node

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// checkQuery reads a PromQL expression as far as the files of this repository
// need it: every name is a function, a keyword or a metric that was seen, every
// label is one that a metric of the expression has, and brackets are balanced.
func checkQuery(expr string, seen families) error {
	if strings.TrimSpace(expr) == "" {
		return fmt.Errorf("it is empty")
	}
	tokens, err := lexQuery(expr)
	if err != nil {
		return err
	}
	q := query{tokens: tokens, seen: seen}
	if err := q.read(); err != nil {
		return err
	}
	if len(q.metrics) == 0 {
		return fmt.Errorf("it asks for no metric")
	}
	for _, l := range q.labels {
		known := slices.Contains([]string{"instance", "job", "le"}, l)
		for _, m := range q.metrics {
			known = known || slices.Contains(labels(m), l)
		}
		if !known {
			return fmt.Errorf("no metric in it has the label %q", l)
		}
	}
	return nil
}

var queryToken = regexp.MustCompile(`^(?:\s+|"(?:[^"\\]|\\.)*"|\$[a-z_]+|[a-zA-Z_:][a-zA-Z0-9_:]*|[0-9]+(?:\.[0-9]+)?(?:e[0-9]+)?|=~|!~|!=|==|>=|<=|[-+*/^<>=,(){}\[\]:])`)

func lexQuery(s string) ([]string, error) {
	var out []string
	for s != "" {
		tok := queryToken.FindString(s)
		if tok == "" {
			return nil, fmt.Errorf("nothing known begins at %q", s)
		}
		if s = s[len(tok):]; strings.TrimSpace(tok) != "" {
			out = append(out, tok)
		}
	}
	return out, nil
}

type query struct {
	tokens  []string
	seen    families
	metrics []*dto.MetricFamily
	labels  []string
}

var (
	queryFunctions = []string{"rate", "increase", "histogram_quantile", "sum", "max", "min", "count", "avg", "max_over_time", "min_over_time", "changes", "resets", "absent", "time", "clamp_min", "vector", "label_replace", "topk"}
	queryLists     = []string{"by", "without", "on", "ignoring"}
	queryWords     = []string{"and", "or", "unless", "bool", "group_left", "group_right"}
	queryRange     = regexp.MustCompile(`^(\$__rate_interval|[0-9]+(\.[0-9]+)?)$`)
	queryUnit      = regexp.MustCompile(`^[smhd]$`)
)

// read walks the tokens with a stack of brackets.
func (q *query) read() error {
	var open []string
	list := -1 // depth of a list of labels, as after "by"
	for i, tok := range q.tokens {
		next := ""
		if i+1 < len(q.tokens) {
			next = q.tokens[i+1]
		}
		top := ""
		if len(open) > 0 {
			top = open[len(open)-1]
		}
		switch {
		case strings.Contains("({[", tok):
			open = append(open, tok)
			if i > 0 && tok == "(" && slices.Contains(queryLists, q.tokens[i-1]) {
				list = len(open)
			}
		case strings.Contains(")}]", tok):
			if top == "" || strings.Index("({[", top) != strings.Index(")}]", tok) {
				return fmt.Errorf("%q closes what is not open", tok)
			}
			if len(open) == list {
				list = -1
			}
			open = open[:len(open)-1]
		case top == "[":
			if !queryRange.MatchString(tok) && !queryUnit.MatchString(tok) {
				return fmt.Errorf("%q is no range", tok)
			}
		case isName(tok):
			if err := q.name(tok, next, top == "{" || list >= 0); err != nil {
				return err
			}
		}
	}
	if len(open) > 0 {
		return fmt.Errorf("%q is not closed", open[len(open)-1])
	}
	return nil
}

func isName(tok string) bool { return regexp.MustCompile(`^[a-zA-Z_]`).MatchString(tok) }

func (q *query) name(tok, next string, label bool) error {
	switch {
	case label:
		q.labels = append(q.labels, tok)
	case next == "(" && (slices.Contains(queryFunctions, tok) || slices.Contains(queryLists, tok)):
	case slices.Contains(queryLists, tok) || slices.Contains(queryWords, tok):
	case slices.Contains(queryFunctions, tok) && slices.Contains(queryLists, next): // sum by (…) (…)
	case tok == "up": // Prometheus's own
		q.metrics = append(q.metrics, &dto.MetricFamily{})
	default:
		base := tok
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			if cut := strings.TrimSuffix(tok, suffix); q.seen[tok] == nil && q.seen[cut] != nil && q.seen[cut].GetType() == dto.MetricType_HISTOGRAM {
				base = cut
			}
		}
		if q.seen[base] == nil {
			return fmt.Errorf("no node shows a metric %s", tok)
		}
		if q.seen[base].GetType() == dto.MetricType_HISTOGRAM && base == tok {
			return fmt.Errorf("%s is a histogram: _bucket, _sum or _count is missing", tok)
		}
		q.metrics = append(q.metrics, q.seen[base])
	}
	return nil
}

// TestCheckQuery: the check finds what it is for.
func TestCheckQuery(t *testing.T) {
	seen := families{}
	if err := seen.add("# TYPE a gauge\na{x=\"1\"} 1\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n"); err != nil {
		t.Fatal(err)
	}
	for _, good := range []string{"a", "a == 1", `a{x="1",job="q"} > 0.5`, "sum by (x) (rate(a[5m]))", "histogram_quantile(0.9, sum by (le) (rate(h_bucket[$__rate_interval])))",
		"a / on (x) group_left a", "max(a) - 3 and on () h_count > 2e9"} {
		if err := checkQuery(good, seen); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "b", "sum(1)", "a{y=\"1\"}", "sum by (y) (a)", "sum(a", "a)", "sum(a]", "a[5q]", "h", "frob(a)", "a ; a", "a_bucket"} {
		if err := checkQuery(bad, seen); err == nil {
			t.Errorf("%s: taken", bad)
		}
	}
}
