package fsck_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qifeng/fsck"
)

func TestUntouchedHome(t *testing.T) {
	dir := copyHome(t, vendor)
	before := snapshot(t, dir)
	r := check(t, dir, vendor)
	if r.Result != fsck.Good || r.ExitCode() != 0 {
		t.Fatalf("%+v\n%s", r.Counts, r.Text(false))
	}
	if c := r.Counts; c.Records != 6+manyRecords || c.Batches != 5 || c.Statements != 5 || c.Receipts != 5 || c.Entries < 7 || c.Seals < 9 || c.Sealed == 0 || c.Heights < c.Height || c.Index != (6+manyRecords)*3 {
		t.Errorf("%+v", c)
	}
	if r := check(t, copyHome(t, "court-a"), "court-a"); r.Result != fsck.Good {
		t.Errorf("the court's home:\n%s", r.Text(false))
	}
	after := snapshot(t, dir)
	if len(before) != len(after) {
		t.Errorf("%d files before, %d after", len(before), len(after))
	}
	for name, content := range before {
		if after[name] != content {
			t.Errorf("%s was changed", name)
		}
	}
	for _, zh := range []bool{true, false} {
		if text := r.Text(zh); !strings.Contains(text, fmt.Sprint(r.Counts.Index)) || !strings.Contains(text, r.Chain) {
			t.Errorf("the report says\n%s", text)
		}
	}
}

func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRunningNode starts the node of a home and finds it refused.
func TestRunningNode(t *testing.T) {
	dir := copyHome(t, vendor)
	stop, err := background(`"node started"`, "start", "--home", dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	r := check(t, dir, vendor)
	if r.Result != fsck.Unchecked || r.ExitCode() != 3 || !strings.Contains(r.Reason, "stop the node first") {
		t.Errorf("%+v", r)
	}
	if err := os.Remove(filepath.Join(dir, "lock")); err != nil { // the other locks are enough
		t.Fatal(err)
	}
	if r := check(t, dir, vendor); r.Result != fsck.Unchecked {
		t.Errorf("without its lock file: %+v", r)
	}
	stop()
	if r := check(t, dir, vendor); r.Result != fsck.Good {
		t.Errorf("after the stop:\n%s", r.Text(false))
	}
}

// TestCommand runs the command as its users do.
func TestCommand(t *testing.T) {
	dir := copyHome(t, vendor)
	cmd, err := qifeng("fsck", "--home", dir, "--json")
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.Output()
	var got map[string]any
	if err != nil || json.Unmarshal(out, &got) != nil || got["result"] != "good" || got["member"] != "vendor-a" {
		t.Errorf("%v\n%s", err, out)
	}
	policy := filepath.Join(dir, "policy.txt")
	if err := os.Remove(policy); err != nil {
		t.Fatal(err)
	}
	if cmd, err = qifeng("fsck", "--home", dir, "--json"); err != nil {
		t.Fatal(err)
	}
	out, _ = cmd.Output()
	var bad struct {
		Result  string
		Problem struct{ Code, File string }
	}
	if cmd.ProcessState.ExitCode() != 1 || json.Unmarshal(out, &bad) != nil || bad.Result != "wrong" || bad.Problem.Code != "missing" || bad.Problem.File != "policy.txt" {
		t.Errorf("exit code %d\n%s", cmd.ProcessState.ExitCode(), out)
	}
	if cmd, err = qifeng("fsck", "--home", filepath.Join(dir, "nowhere")); err != nil {
		t.Fatal(err)
	}
	if _ = cmd.Run(); cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("no home: exit code %d", cmd.ProcessState.ExitCode())
	}
	if r := fsck.Check(t.Context(), layout(filepath.Join(dir, "nowhere"), vendor), fsck.Options{}); r.ExitCode() != 3 {
		t.Errorf("no folder: exit code %d", r.ExitCode())
	}
}
