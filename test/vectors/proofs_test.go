package vectors

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

var update = flag.Bool("update", false, "make all vectors anew; the expected outcomes stay those of the tables")

func TestMain(m *testing.M) {
	flag.Parse()
	if *update {
		writeAll()
	}
	os.Exit(m.Run())
}

// proofCase is one element of proofs.json.
type proofCase struct {
	Name        string            `json:"name"`
	Change      string            `json:"change"`
	Content     *string           `json:"content"`
	Proof       string            `json:"proof"`
	Policy      string            `json:"policy"`
	Exit        int               `json:"exit"`
	FirstFailed string            `json:"first_failed,omitempty"`
	Steps       map[string]string `json:"steps,omitempty"`
}

var errUnreadable = errors.New("unreadable input")

// judge does what the program does with files; an error is exit code 2.
func judge(content, proofFile, policy []byte) (*proof.Report, error) {
	p, err := checkpoint.ParsePolicy(policy)
	if err != nil {
		return nil, errors.Join(errUnreadable, err)
	}
	f, err := proof.Parse(proofFile)
	if err != nil {
		return nil, errors.Join(errUnreadable, err)
	}
	var c *proof.Content
	if content != nil {
		c = &proof.Content{Digest: merkle.Sum(content), SecondSM3: gm.SM3Second(content), Size: uint64(len(content))}
		if claims, err := evidence.ParseClaims(content); err == nil {
			c.Claims = claims
		}
	}
	return proof.Verify(f, p, c, proof.Options{Second: true, PolicyDigest: merkle.Sum(policy)}), nil
}

// outcomes are the exit code and, where there is a report, its steps.
func outcomes(r *proof.Report, err error) (exit int, first string, steps map[string]string) {
	if err != nil {
		return 2, "", nil
	}
	steps = map[string]string{}
	for _, s := range r.Steps {
		steps[string(s.Name)] = string(s.Outcome)
		if s.Outcome == proof.StepFailed && first == "" {
			first = string(s.Name)
		}
	}
	return r.ExitCode(), first, steps
}

func (c *proofCase) files(t *testing.T) (content, proofFile, policy []byte) {
	t.Helper()
	if c.Content != nil {
		if content = read(t, *c.Content); content == nil {
			content = []byte{}
		}
	}
	return content, read(t, c.Proof), read(t, c.Policy)
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(read(t, name)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestProofs(t *testing.T) {
	var cases []proofCase
	readJSON(t, "proofs.json", &cases)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			r, err := judge(c.files(t))
			exit, first, steps := outcomes(r, err)
			if exit != c.Exit || first != c.FirstFailed {
				t.Errorf("exit code %d, first failing step %q; want %d, %q (%v)", exit, first, c.Exit, c.FirstFailed, err)
			}
			for name, want := range c.Steps {
				if steps[name] != want {
					t.Errorf("step %s is %q, want %q", name, steps[name], want)
				}
			}
			if len(steps) != len(c.Steps) {
				t.Errorf("%d steps, want %d", len(steps), len(c.Steps))
			}
		})
	}
}

// TestTable compares the files with what the tables say by hand, so that no
// outcome is right only because the program once said so.
func TestTable(t *testing.T) {
	var cases []proofCase
	readJSON(t, "proofs.json", &cases)
	rows := table(newWorld("vectors"))
	if len(rows) != len(cases) {
		t.Fatalf("%d vectors in proofs.json, %d in the tables: run with -update", len(cases), len(rows))
	}
	alone := map[string]bool{}
	for i, v := range rows {
		c := cases[i]
		if c.Name != v.name || c.Exit != v.exit || c.Change != v.change {
			t.Errorf("%s: exit code %d in proofs.json; the tables have %s with %d", c.Name, c.Exit, v.name, v.exit)
		}
		if got := strings.Join(failed(c.Steps), " "); got != v.fails {
			t.Errorf("%s: steps %q fail in proofs.json, %q in the tables", c.Name, got, v.fails)
		}
		alone[v.fails] = true
		if slices.ContainsFunc(cases[:i], func(o proofCase) bool { return o.Name == c.Name }) {
			t.Errorf("%s stands there twice", c.Name)
		}
	}
	for _, name := range []string{"chain", "content", "submission", "submitter", "receipt", "batch", "stream", "received-at",
		"ledger", "key", "statement", noteFails, "quorum"} {
		if !alone[name] {
			t.Errorf("no vector breaks %s alone", name)
		}
	}
}

// failed lists the failing steps in the order of the report.
func failed(steps map[string]string) (out []string) {
	for _, n := range stepOrder {
		if steps[string(n)] == string(proof.StepFailed) {
			out = append(out, string(n))
		}
	}
	return out
}

var stepOrder = []proof.StepName{proof.StepChain, proof.StepContent, proof.StepSubmission, proof.StepSubmitter, proof.StepReceipt,
	proof.StepBatch, proof.StepStream, proof.StepReceived, proof.StepLedger, proof.StepKey, proof.StepStatement,
	proof.StepCheckpoint, proof.StepQuorum, proof.StepPin, proof.StepTimes, proof.StepSecondOpinion, proof.StepAnchors}
