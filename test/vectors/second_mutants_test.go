package vectors

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestAnchorMutations compares the two verifiers on anchors that nobody wrote:
// vectors without receipts of Fabric with a random change somewhere in the proof
// file, a note, a token, the anchor roots or the companion.
func TestAnchorMutations(t *testing.T) {
	t.Parallel()
	run, dir := python(t), t.TempDir()
	var all, valid, cases []anchorCase
	readJSON(t, "anchors.json", &all)
	for _, c := range all {
		if c.Exit == 0 && ofFabric[c.Name] == "" && c.Roots != nil {
			valid = append(valid, c)
		}
	}
	r := rand.New(rand.NewPCG(*seed, 6))
	var inputs []anchorInput
	for i := range *mutations {
		from := valid[r.IntN(len(valid))]
		in := from.input(t)
		c := anchorCase{Name: fmt.Sprintf("seed %d number %d", *seed, i), Change: from.Name + ": " + mutateAnchors(r, &in)}
		c.Proof, c.Policy = anchorFile(t, dir, fmt.Sprint(i, ".proof"), in.proof), anchorFile(t, dir, "policy", in.policy)
		rootsFile := anchorFile(t, dir, fmt.Sprint(i, ".roots"), in.roots)
		if c.Roots = &rootsFile; in.beside != nil {
			beside := anchorFile(t, dir, fmt.Sprint(i, ".beside"), in.beside)
			c.Beside = &beside
		}
		cases, inputs = append(cases, c), append(inputs, in)
	}
	anchorFile(t, dir, "anchors.json", must(json.Marshal(cases)))
	cmd := exec.CommandContext(t.Context(), run, verifier2, "--vectors", dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the second verifier: %v", err)
	}
	var a answers
	if err := json.Unmarshal(out, &a); err != nil || len(a.Anchors) != len(cases) {
		t.Fatalf("%d answers, %v", len(a.Anchors), err)
	}
	exits := map[int]int{}
	for i, c := range cases {
		report, err := inputs[i].judge()
		exit, first, _ := outcomes(report, err)
		exits[exit]++
		got := a.Anchors[i]
		alike := got.Exit == exit
		if alike && exit != 2 {
			alike = reflect.DeepEqual(withoutDetail(t, report.JSON()), withoutDetail(t, got.Report))
		}
		if !alike {
			var said []string
			if report != nil {
				for _, a := range report.Anchors {
					said = append(said, a.ID()+" "+string(a.Outcome)+": "+a.Detail.EN)
				}
			}
			t.Errorf("%s (%s): the first verifier says %d %s %v %q, the second %d\n%s\n%s", c.Name, c.Change, exit, first, err, said, got.Exit,
				got.Report, keepAnchors(t, inputs[i]))
		}
	}
	t.Logf("exit codes: %v", exits)
}

func anchorFile(t *testing.T, dir, name string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// keepAnchors is keep for a case of anchors.
func keepAnchors(t *testing.T, in anchorInput) string {
	dir, err := os.MkdirTemp("", "verifiers-differ-")
	if err != nil {
		t.Fatal(err)
	}
	anchorFile(t, dir, "proof", in.proof)
	anchorFile(t, dir, "policy", in.policy)
	anchorFile(t, dir, "roots", in.roots)
	if in.beside != nil {
		anchorFile(t, dir, "beside", in.beside)
	}
	return "the files are kept in " + dir
}

// mutateAnchors changes one thing, and says what.
func mutateAnchors(r *rand.Rand, in *anchorInput) (what string) {
	file := &in.proof
	if in.beside != nil && r.IntN(2) == 0 {
		file = &in.beside
	}
	switch k := r.IntN(20); {
	case k < 1:
		in.roots = spoil(r, in.roots)
		return "roots"
	case k < 3:
		what, in.roots = spoilValue(r, in.roots)
		return "roots: " + what
	case k < 4:
		*file = spoil(r, *file)
		return "bytes"
	}
	var root map[string]any
	d := json.NewDecoder(strings.NewReader(string(*file)))
	d.UseNumber()
	if d.Decode(&root) != nil {
		return "nothing"
	}
	list, _ := root["anchors"].([]any)
	if len(list) == 0 {
		return "nothing"
	}
	anchor := list[r.IntN(len(list))].(map[string]any)
	if receipt, ok := anchor["receipt"].(string); ok && r.IntN(4) > 0 {
		anchor["receipt"] = base64.StdEncoding.EncodeToString(spoilDER(r, must(base64.StdEncoding.DecodeString(receipt))))
		what = "token"
	} else if r.IntN(3) == 0 {
		lines := strings.Split(anchor["checkpoint"].(string), "\n")
		i := r.IntN(len(lines))
		lines[i] = strings.ToValidUTF8(string(spoil(r, []byte(lines[i]+" "))), "x")
		anchor["checkpoint"] = strings.Join(lines, "\n")
		what = fmt.Sprint("line ", i)
	} else {
		what = change1(r, anchor)
	}
	*file = encode(root)
	return what
}

// spoilDER changes a byte, or the length of the whole.
func spoilDER(r *rand.Rand, b []byte) []byte {
	b = slices.Clone(b)
	switch at := r.IntN(len(b)); r.IntN(4) {
	case 0:
		b[at] ^= 1 << r.IntN(8)
	case 1:
		b[at]++
	case 2:
		b[at] = []byte{0, 1, 0x30, 0x31, 0x80, 0xa0, 0xff}[r.IntN(7)]
	default:
		at = r.IntN(min(200, len(b))) // where the form is
		b[at] ^= 1 << r.IntN(8)
	}
	return b
}
