package vectors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"qifeng/proof"
	"qifeng/proof/fabric"
	"qifeng/proof/merkle"
	second "qifeng/test/verifier2"
)

// verifier2 is the path of the second verifier.
var verifier2 = filepath.Join("..", "verifier2", "verify.py")

// python says how to run the second verifier. Where it cannot run the test is
// skipped on a developer's machine and fails in CI.
func python(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"python3", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("CI needs %s: %v", program, err)
			}
			t.Skipf("the second verifier needs %s: %v", program, err)
		}
	}
	return "python3"
}

// answers is what verify.py --vectors prints; lists are in the files' order.
type answers struct {
	CanonicalJSON []bool `json:"canonical-json"`
	Roots         []bool `json:"merkle-roots"`
	Inclusion     []bool `json:"merkle-inclusion"`
	Consistency   []bool `json:"merkle-consistency"`
	Policy        []bool `json:"policy"`
	Note          []struct {
		Open       bool     `json:"open"`
		Counted    []string `json:"counted"`
		SealedTime int64    `json:"sealed_time"`
	} `json:"note"`
	Proofs  []answer `json:"proofs"`
	Anchors []answer `json:"anchors"`
	SM3     string   `json:"sm3"`
}

// answer is what the second verifier ends with; the report is null where the exit code is 2.
type answer struct {
	Exit   int             `json:"exit"`
	Report json.RawMessage `json:"report"`
}

func TestSecondVerifier(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), python(t), verifier2, "--vectors", ".")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var a answers
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatal(err)
	}
	// GB/T 32905-2016, second example, by the plain Python that stands in where hashlib has no SM3.
	if a.SM3 != "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732" {
		t.Errorf("SM3 in plain Python is %s", a.SM3)
	}
	t.Run("tables", func(t *testing.T) { compareTables(t, &a) })
	t.Run("proofs", func(t *testing.T) { compareProofs(t, &a) })
	t.Run("anchors", func(t *testing.T) { compareAnchors(t, &a) })
}

func compareTables(t *testing.T, a *answers) {
	var documents []documentCase
	readJSON(t, "canonical-json.json", &documents)
	equal(t, "canonical JSON", documents, a.CanonicalJSON, func(c documentCase) (string, bool) { return c.Reading + " " + c.Name, c.Valid })
	var trees merkleFile
	readJSON(t, "merkle.json", &trees)
	equal(t, "root", trees.Roots, a.Roots, func(p pairJSON) (string, bool) { return p.SM3, true })
	equal(t, "inclusion", trees.Inclusion, a.Inclusion, func(c inclusionCase) (string, bool) { return c.Name, c.Valid })
	equal(t, "consistency", trees.Consistency, a.Consistency, func(c consistencyCase) (string, bool) { return c.Name, c.Valid })
	var policies policyFile
	readJSON(t, "policy.json", &policies)
	equal(t, "policy", policies.Cases, a.Policy, func(c policyCase) (string, bool) { return c.Name, c.Valid })
	var notes []noteCase
	readJSON(t, "note.json", &notes)
	if len(notes) != len(a.Note) {
		t.Fatalf("%d answers to %d notes", len(a.Note), len(notes))
	}
	for i, c := range notes {
		if got := a.Note[i]; got.Open != c.Open || !slices.Equal(got.Counted, c.Counted) || got.SealedTime != c.SealedTime {
			t.Errorf("note %s: the second verifier says %+v, want %v %v %d", c.Name, got, c.Open, c.Counted, c.SealedTime)
		}
	}
}

func equal[C any](t *testing.T, what string, cases []C, got []bool, want func(C) (string, bool)) {
	t.Helper()
	if len(cases) != len(got) {
		t.Fatalf("%d answers to %d cases of %s", len(got), len(cases), what)
	}
	for i, c := range cases {
		if name, valid := want(c); got[i] != valid {
			t.Errorf("%s %s: the second verifier says %v, want %v", what, name, got[i], valid)
		}
	}
}

// compareProofs compares exit codes and whole reports with those of the Go
// verifier; only the free text of each step may differ.
func compareProofs(t *testing.T, a *answers) {
	var cases []proofCase
	readJSON(t, "proofs.json", &cases)
	if len(cases) != len(a.Proofs) {
		t.Fatalf("%d answers to %d proofs", len(a.Proofs), len(cases))
	}
	for i, c := range cases {
		r, err := judge(c.files(t))
		exit, _, _ := outcomes(r, err)
		var want []byte
		if r != nil {
			want = r.JSON()
		}
		same(t, c.Name, a.Proofs[i], exit, want)
	}
}

// ofFabric are the vectors of which the second verifier knows less: it verifies
// no receipts of Fabric, and docs/spec/anchors.md section 4 has it say so. What
// the first verifier says of the receipt stands here by hand.
var ofFabric = map[string]proof.Outcome{
	"valid-raft": proof.StepProved, "valid-bft": proof.StepProved, "valid-all": proof.StepProved,
	"fabric-code": proof.StepFailed, "fabric-index": proof.StepFailed, "fabric-block": proof.StepFailed,
	"fabric-envelope": proof.StepFailed, "fabric-read-endorsements": proof.StepFailed, "fabric-read-answer": proof.StepFailed,
	"fabric-other-channel": proof.StepFailed, "fabric-other-state": proof.StepFailed,
}

// compareAnchors compares exit codes and whole reports with those of the first
// verifier; of the vectors in ofFabric, with what it would say if it too did not
// know how to judge that one receipt.
func compareAnchors(t *testing.T, a *answers) {
	var cases []anchorCase
	readJSON(t, "anchors.json", &cases)
	if len(cases) != len(a.Anchors) {
		t.Fatalf("%d answers to %d vectors of anchors", len(a.Anchors), len(cases))
	}
	named := 0
	for i, c := range cases {
		in := c.input(t)
		r, err := in.judge()
		var want []byte
		exit, _, _ := outcomes(r, err)
		if r != nil {
			want = r.JSON()
		}
		if outcome := ofFabric[c.Name]; outcome != "" {
			named++
			exit, want = unjudged(t, &c, in, r, outcome)
			if !bytes.Contains(a.Anchors[i].Report, []byte("does not verify receipts of Fabric")) {
				t.Errorf("%s: the second verifier does not say why: %s", c.Name, a.Anchors[i].Report)
			}
		}
		same(t, c.Name, a.Anchors[i], exit, want)
	}
	if named != len(ofFabric) {
		t.Errorf("%d of the %d vectors with a receipt of Fabric are there", named, len(ofFabric))
	}
}

// same compares an answer with an exit code and a report, but for free text.
func same(t *testing.T, name string, got answer, exit int, want []byte) bool {
	t.Helper()
	if got.Exit != exit {
		t.Errorf("%s: the second verifier ends with exit code %d, want %d\n%s", name, got.Exit, exit, got.Report)
		return false
	}
	if exit == 2 {
		if string(got.Report) != "null" {
			t.Errorf("%s: a report with exit code 2: %s", name, got.Report)
			return false
		}
		return true
	}
	if want, got := withoutDetail(t, want), withoutDetail(t, got.Report); !reflect.DeepEqual(got, want) {
		t.Errorf("%s: the reports differ:\nfirst:  %v\nsecond: %v", name, want, got)
		return false
	}
	return true
}

// unjudged is what a verifier ends with that does not verify the one receipt of
// Fabric: what the first verifier says with roots that do not know the channel,
// but for the size of the anchor's note, which was opened, and the roots' digest.
func unjudged(t *testing.T, c *anchorCase, in anchorInput, r *proof.Report, outcome proof.Outcome) (int, []byte) {
	t.Helper()
	at := slices.IndexFunc(r.Anchors, func(a proof.AnchorReport) bool { return a.Kind == proof.AnchorFabric })
	if at < 0 || r.Anchors[at].Outcome != outcome || r.Anchors[at].Size == 0 {
		t.Fatalf("%s: no anchor in Fabric, or not %s: %+v", c.Name, outcome, r.Anchors)
	}
	roots := must(proof.ParseAnchorRoots(in.roots))
	roots.Fabric = slices.DeleteFunc(roots.Fabric, func(f fabric.Channel) bool { return f.Name == r.Anchors[at].Name })
	in.roots = must(roots.Marshal())
	less, err := in.judge()
	if err != nil {
		t.Fatal(err)
	}
	less.Anchors[at].Size, less.Roots = r.Anchors[at].Size, r.Roots
	return less.ExitCode(), less.JSON()
}

func withoutDetail(t *testing.T, report []byte) map[string]any {
	t.Helper()
	m := second.WithoutDetail(t, report)
	if steps, _ := m["steps"].([]any); len(steps) != len(stepOrder) {
		t.Fatalf("a report with %d steps", len(steps))
	}
	return m
}

// TestSecondVerifierCommand runs the second verifier as a person would.
func TestSecondVerifierCommand(t *testing.T) {
	run := python(t)
	const proofs = "files/proofs/"
	anchored := func(name string, more ...string) []string {
		return append([]string{"--proof", "anchors/" + name + ".qifeng.json", "--policy", "anchors/policies/1.policy", "--lang", "en"}, more...)
	}
	const roots = "anchors/roots/2.json"
	for _, c := range []struct {
		name string
		args []string
		exit int
		says string
	}{
		{"proved", []string{"files/content/contract.txt", "--proof", proofs + "valid-contract-final.qifeng.json"}, 0, "上链后未经篡改"},
		{"false", []string{"files/content/content-one-bit.bin", "--proof", proofs + "valid-contract-final.qifeng.json", "--lang", "en"}, 1, "[FAILED] content"},
		{"unreadable", []string{"files/content/contract.txt", "--proof", proofs + "file-truncated.qifeng.json"}, 2, ""},
		{"no such file", []string{"files/content/none", "--proof", proofs + "valid-contract-final.qifeng.json"}, 2, ""},
		{"unknown flag", []string{"--prove", "x"}, 2, ""},
		{"not proved", []string{"files/content/contract.txt", "--proof", proofs + "receipt-only.qifeng.json", "--json"}, 3, `"result":"not proved"`},
		{"anchors", anchored("valid-all", "--anchor-roots", roots), 0, "[proved] rfc3161/tsa-rsa 15 2"},
		{"by when", anchored("valid-all", "--anchor-roots", roots), 0, "Z (rfc3161/tsa-rsa; "},
		{"anchor roots by their digest", anchored("valid-all", "--anchor-roots", roots), 0, fmt.Sprintf("anchor roots: sm3 %x sha256 ", merkle.Sum(read(t, roots)).SM3)},
		{"Fabric", anchored("valid-raft", "--anchor-roots", roots), 0, "[not present] fabric/fab-raft 14: this verifier does not verify receipts of Fabric"},
		{"no anchor roots", anchored("valid-rsa"), 0, "[not present] rfc3161/tsa-rsa 0: no anchor roots were given"},
		{"companion", anchored("valid-beside", "--anchor-roots", roots, "--anchors", "anchors/valid-beside.anchors.json"), 0, "[proved] rfc3161/tsa-rsa"},
		{"false anchor", anchored("stamp-bit", "--anchor-roots", roots), 1, "[FAILED] anchors: rfc3161/tsa-rsa failed: token: "},
		{"clocks", anchored("early-record", "--anchor-roots", roots), 0, "! witness/wit-a < received_at"},
		{"false anchor, no anchor roots", anchored("stamp-bit"), 0, "VERDICT: the record is unchanged"},
		{"a policy for the anchor roots", anchored("valid-rsa", "--anchor-roots", "anchors/policies/1.policy"), 2, "verify.py: not JSON"},
		{"a proof for the anchor roots", anchored("valid-rsa", "--anchor-roots", "anchors/valid-rsa.qifeng.json"), 2, "verify.py: anchor roots: unknown field"},
		{"a folder for the anchor roots", anchored("valid-rsa", "--anchor-roots", "anchors"), 2, "verify.py: "},
		{"no such anchor roots", anchored("valid-rsa", "--anchor-roots", "none.json"), 2, "none.json"},
		{"anchor roots for the companion", anchored("valid-rsa", "--anchors", roots), 2, "verify.py: companion file: unknown field"},
		{"another proof's companion", anchored("unreadable-beside-size", "--anchors", "anchors/unreadable-beside-size.anchors.json"), 2,
			"its paths begin at size 9, the proof's checkpoint has 10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), run, append([]string{verifier2, "--policy", "files/policies/trust.policy"}, c.args...)...)
			cmd.Env = append(os.Environ(), "PYTHONIOENCODING=utf-8")
			out, _ := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != c.exit {
				t.Errorf("exit code %d, want %d\n%s", got, c.exit, out)
			}
			if bytes.Contains(out, []byte("Traceback")) || bytes.Contains(out, []byte("has a fault")) {
				t.Errorf("the second verifier broke down:\n%s", out)
			}
			if !bytes.Contains(out, []byte(c.says)) {
				t.Errorf("the output lacks %q:\n%s", c.says, out)
			}
		})
	}
}
