package vectors

import (
	"bytes"
	"encoding/json"
	"flag"
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

var (
	mutations = flag.Int("mutations", 60, "how many mutated inputs the two verifiers are compared on")
	seed      = flag.Uint64("seed", 1, "of the mutations")
)

// TestMutations compares the two verifiers on inputs that nobody wrote: valid
// vectors with a random change somewhere in the file, in a document inside it,
// in the note, in the policy or in the content.
func TestMutations(t *testing.T) {
	t.Parallel()
	run, dir := python(t), t.TempDir()
	var all, valid, cases []proofCase
	readJSON(t, "proofs.json", &all)
	for _, c := range all {
		if (c.Exit == 0 || c.Exit == 3) && !strings.Contains(c.Name, "lines") {
			valid = append(valid, c)
		}
	}
	r := rand.New(rand.NewPCG(*seed, 2))
	for i := range *mutations {
		cases = append(cases, mutant(t, r, dir, i, valid[r.IntN(len(valid))]))
	}
	list := must(json.Marshal(cases))
	if err := os.WriteFile(filepath.Join(dir, "proofs.json"), list, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), run, verifier2, "--vectors", dir).Output()
	if err != nil {
		t.Fatalf("the second verifier: %v", err)
	}
	var a answers
	if err := json.Unmarshal(out, &a); err != nil || len(a.Proofs) != len(cases) {
		t.Fatalf("%d answers, %v", len(a.Proofs), err)
	}
	exits := map[int]int{}
	for i, c := range cases {
		for _, name := range []*string{c.Content, &c.Proof, &c.Policy} {
			if name != nil {
				*name = filepath.Join(dir, *name)
			}
		}
		report, err := judge(c.files(t))
		exit, first, _ := outcomes(report, err)
		exits[exit]++
		got := a.Proofs[i]
		same := got.Exit == exit
		if same && exit != 2 {
			same = reflect.DeepEqual(withoutDetail(t, report.JSON()), withoutDetail(t, got.Report))
		}
		if !same {
			t.Errorf("%s (%s): the first verifier says %d %s %v, the second %d\n%s\n%s", c.Name, c.Change, exit, first, err, got.Exit, got.Report, keep(t, &c))
		}
	}
	t.Logf("exit codes: %v", exits)
}

// keep moves the files of a case on which the verifiers differ out of the
// temporary folder, and says where they are.
func keep(t *testing.T, c *proofCase) string {
	dir, err := os.MkdirTemp("", "verifiers-differ-")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []*string{c.Content, &c.Proof, &c.Policy} {
		if name != nil {
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(*name)), read(t, *name), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return "the files are kept in " + dir
}

// mutant writes the files of one changed case and returns it.
func mutant(t *testing.T, r *rand.Rand, dir string, n int, c proofCase) proofCase {
	content, file, policy := c.files(t)
	var what string
	switch k := r.IntN(20); {
	case k < 1 && len(content) > 0:
		what, content = "content", spoil(r, content)
	case k < 3:
		what, policy = "policy", spoil(r, policy)
	case k < 6:
		what, file = "bytes", spoil(r, file)
	default:
		what, file = spoilValue(r, file)
	}
	out := proofCase{Name: fmt.Sprintf("seed %d number %d", *seed, n), Change: c.Name + ": " + what,
		Proof: fmt.Sprintf("%d.proof", n), Policy: fmt.Sprintf("%d.policy", n)}
	files := map[string][]byte{out.Proof: file, out.Policy: policy}
	if content != nil {
		name := fmt.Sprintf("%d.content", n)
		files[name], out.Content = content, &name
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// spoil changes some bytes somewhere.
func spoil(r *rand.Rand, b []byte) []byte {
	at := r.IntN(len(b))
	switch r.IntN(6) {
	case 0:
		b[at] ^= 1 << r.IntN(8)
	case 1:
		b = slices.Delete(b, at, min(at+1+r.IntN(3), len(b)))
	case 2:
		alphabet := []string{"0", "a", " ", "\n", "\"", "\\", "{", "}", "é", "\u200b", "\x00", "\xff", "-", ",", "null", "1e1"}
		b = slices.Insert(b, at, []byte(alphabet[r.IntN(len(alphabet))])...)
	case 3:
		b = b[:at]
	case 4:
		to := r.IntN(len(b))
		b[at], b[to] = b[to], b[at]
	default: // one line, or one member of an object, twice
		line := bytes.SplitAfter(b, []byte(","))[r.IntN(1+bytes.Count(b, []byte(",")))]
		b = slices.Insert(b, at, line...)
	}
	return b
}

// spoilValue changes one value of the file, or of a document inside it; what
// holds it stays well formed.
func spoilValue(r *rand.Rand, file []byte) (string, []byte) {
	var root map[string]any
	d := json.NewDecoder(bytes.NewReader(file))
	d.UseNumber()
	if d.Decode(&root) != nil {
		return "nothing", file
	}
	what := change1(r, root)
	return what, encode(root)
}

// encode writes canonical JSON, as far as encoding/json does.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// change1 changes one value below an object or array, in place.
func change1(r *rand.Rand, v any) string {
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		if len(names) == 0 {
			return "nothing"
		}
		slices.Sort(names)
		name := names[r.IntN(len(names))]
		if r.IntN(25) == 0 {
			delete(v, name)
			return "without " + name
		}
		if r.IntN(25) == 0 {
			other := names[r.IntN(len(names))]
			v[name], v[other] = v[other], v[name]
			return name + " and " + other + " swapped"
		}
		what, next := changed(r, v[name])
		v[name] = next
		return name + " " + what
	case []any:
		if len(v) == 0 {
			return "nothing"
		}
		i := r.IntN(len(v))
		what, next := changed(r, v[i])
		v[i] = next
		return fmt.Sprint(i, " ", what)
	}
	return "nothing"
}

func changed(r *rand.Rand, v any) (string, any) {
	switch v := v.(type) {
	case map[string]any:
		return change1(r, v), v
	case []any:
		if len(v) > 0 && r.IntN(3) == 0 {
			i := r.IntN(len(v))
			if r.IntN(2) == 0 {
				return "one more", slices.Insert(v, i, v[r.IntN(len(v))])
			}
			return "one less", slices.Delete(v, i, i+1)
		}
		return change1(r, v), v
	case json.Number:
		numbers := []json.Number{"0", "1", "2", "3", "7", "1000", "9007199254740991", "9007199254740992"}
		return "number", numbers[r.IntN(len(numbers))]
	case string:
		var inner map[string]any
		d := json.NewDecoder(strings.NewReader(v))
		d.UseNumber()
		if d.Decode(&inner) == nil && r.IntN(8) > 0 {
			return change1(r, inner), string(encode(inner))
		}
		if r.IntN(3) == 0 && v != "" { // a digit for a digit: still of the right form
			b := []byte(v)
			i := r.IntN(len(b))
			if b[i] >= '0' && b[i] <= '8' {
				b[i]++
			}
			return "digit", string(b)
		}
		if v == "" {
			return "filled", "x"
		}
		return "text", strings.ToValidUTF8(string(spoil(r, []byte(v))), "x")
	case nil:
		return "nothing", v
	}
	return "null", nil
}
