package vectors

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

var updateAnchors = flag.Bool("update-anchors", false, "make anchors.json and its files anew, with openssl; the expected outcomes stay those of the table")

// anchorCase is one element of anchors.json. No content is given.
type anchorCase struct {
	Name        string            `json:"name"`
	Change      string            `json:"change"`
	Proof       string            `json:"proof"`
	Policy      string            `json:"policy"`
	Roots       *string           `json:"roots"`
	Beside      *string           `json:"beside"`
	Exit        int               `json:"exit"`
	FirstFailed string            `json:"first_failed,omitempty"`
	Steps       map[string]string `json:"steps,omitempty"`
	Anchors     json.RawMessage   `json:"anchors,omitempty"` // of the report, without detail
	Bracket     json.RawMessage   `json:"bracket,omitempty"` // of the report
}

// anchorInput are the bytes of a case's files; roots and beside may be nil.
type anchorInput struct{ proof, policy, roots, beside []byte }

func (c *anchorCase) input(t *testing.T) anchorInput {
	in := anchorInput{proof: read(t, c.Proof), policy: read(t, c.Policy)}
	if c.Roots != nil {
		in.roots = read(t, *c.Roots)
	}
	if c.Beside != nil {
		in.beside = read(t, *c.Beside)
	}
	return in
}

// judge does what the program does with files; an error is exit code 2.
func (in anchorInput) judge() (*proof.Report, error) {
	p, err := checkpoint.ParsePolicy(in.policy)
	if err != nil {
		return nil, errors.Join(errUnreadable, err)
	}
	f, err := proof.Parse(in.proof)
	if err != nil {
		return nil, errors.Join(errUnreadable, err)
	}
	opt := proof.Options{Second: true, PolicyDigest: merkle.Sum(in.policy)}
	if in.roots != nil {
		if opt.Roots, err = proof.ParseAnchorRoots(in.roots); err != nil {
			return nil, errors.Join(errUnreadable, err)
		}
		opt.RootsDigest = merkle.Sum(in.roots)
	}
	if in.beside != nil {
		beside, err := proof.ParseAnchorFile(in.beside)
		if err == nil {
			opt.Anchors, err = beside.For(f)
		}
		if err != nil {
			return nil, errors.Join(errUnreadable, err)
		}
	}
	return proof.Verify(f, p, nil, opt), nil
}

// anchorParts are what a report says of anchors, without free text.
func anchorParts(report []byte) (anchors, bracket json.RawMessage) {
	var m struct {
		Anchors []map[string]any `json:"anchors"`
		Bracket json.RawMessage  `json:"bracket"`
	}
	if err := json.Unmarshal(report, &m); err != nil {
		panic(err)
	}
	for _, a := range m.Anchors {
		delete(a, "detail")
	}
	if m.Anchors != nil {
		anchors = must(json.Marshal(m.Anchors))
	}
	return anchors, m.Bracket
}

func TestAnchors(t *testing.T) {
	if *updateAnchors {
		writeAnchors(t)
	}
	var cases []anchorCase
	readJSON(t, "anchors.json", &cases)
	if len(cases) != len(anchorTable(nil)) {
		t.Errorf("%d vectors in anchors.json, %d in the table: run with -update-anchors", len(cases), len(anchorTable(nil)))
	}
	rows := anchorTable(nil)
	for i, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			r, err := c.input(t).judge()
			exit, first, steps := outcomes(r, err)
			if exit != c.Exit || first != c.FirstFailed || !reflect.DeepEqual(steps, c.Steps) {
				t.Errorf("exit code %d, first failing step %q, steps %v; want %d, %q, %v (%v)", exit, first, steps, c.Exit, c.FirstFailed, c.Steps, err)
			}
			if row := rows[i]; row.name != c.Name || row.change != c.Change || row.exit != c.Exit || row.says != say(r) {
				t.Errorf("exit code %d, %q; the table has %s with %d, %q", exit, say(r), row.name, row.exit, row.says)
			}
			if r == nil {
				t.Log(err)
				return
			}
			anchors, bracket := anchorParts(r.JSON())
			if !sameJSON(anchors, c.Anchors) || !sameJSON(bracket, c.Bracket) {
				t.Errorf("the report says %s %s, want %s %s", anchors, bracket, c.Anchors, c.Bracket)
			}
			for _, w := range r.Limits() {
				if !strings.Contains(page(t, "verdict.md"), "| "+w.ZH+" | "+w.EN+" |") {
					t.Errorf("verdict.md does not say %q, %q", w.ZH, w.EN)
				}
			}
		})
	}
}

func sameJSON(a, b json.RawMessage) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// say is a report in short: the outcome of each anchor, what the strongest source
// is, and which orders cannot be.
func say(r *proof.Report) string {
	if r == nil {
		return ""
	}
	var parts []string
	for _, a := range r.Anchors {
		parts = append(parts, a.Name+" "+strings.ReplaceAll(string(a.Outcome), " ", "-"))
	}
	if b := r.Bracket; b != nil {
		parts = append(parts, "by "+b.Source)
		for _, d := range b.Impossible {
			parts = append(parts, d.Anchor+" before "+d.EarlierThan)
		}
	}
	return strings.Join(parts, ", ")
}

// writeAnchors makes the files of all cases.
func writeAnchors(t *testing.T) {
	if err := os.RemoveAll("anchors"); err != nil {
		t.Fatal(err)
	}
	m := newAnchorMaker(t)
	var out []anchorCase
	for _, v := range anchorTable(m) {
		in := v.make()
		c := anchorCase{Name: v.name, Change: v.change, Proof: "anchors/" + v.name + ".qifeng.json"}
		c.Policy = m.keep("policies", ".policy", in.policy)
		if in.roots != nil {
			name := m.keep("roots", ".json", in.roots)
			c.Roots = &name
		}
		if in.beside != nil {
			name := "anchors/" + v.name + ".anchors.json"
			write(name, in.beside)
			c.Beside = &name
		}
		write(c.Proof, in.proof)
		r, err := in.judge()
		c.Exit, c.FirstFailed, c.Steps = outcomes(r, err)
		if c.Exit != v.exit || say(r) != v.says {
			t.Fatalf("%s: exit code %d, %q; the table says %d, %q (%v)", v.name, c.Exit, say(r), v.exit, v.says, err)
		}
		if r != nil {
			c.Anchors, c.Bracket = anchorParts(r.JSON())
		}
		if slices.ContainsFunc(out, func(o anchorCase) bool { return o.Name == c.Name }) {
			t.Fatalf("%s stands there twice", c.Name)
		}
		out = append(out, c)
	}
	writeJSON("anchors.json", out)
}
