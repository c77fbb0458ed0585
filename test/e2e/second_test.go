package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"qifeng/test/testnet"
)

// secondVerifier judges what `qifeng verify --json` has just judged with the
// second verifier, and compares exit codes and whole reports but for the free
// text of each step. Where Python or openssl is missing it does nothing on a
// developer's machine and fails in CI.
func secondVerifier(t *testing.T, first testnet.Result, args ...string) {
	t.Helper()
	for _, name := range []string{"python3", "openssl"} {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("CI needs %s for the second verifier: %v", name, err)
			}
			t.Logf("the second verifier was not asked: %v", err)
			return
		}
	}
	cmd := exec.Command("python3", append([]string{filepath.Join("..", "verifier2", "verify.py"), "--json"}, args...)...)
	var errw bytes.Buffer
	cmd.Stderr = &errw
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if code := cmd.ProcessState.ExitCode(); code != first.Code {
		t.Fatalf("the second verifier ends with exit code %d, the first with %d: %q\n%s%s", code, first.Code, args, out, errw.Bytes())
	}
	if a, b := withoutDetail(t, []byte(first.Out)), withoutDetail(t, out); !reflect.DeepEqual(a, b) {
		t.Fatalf("the verifiers' reports differ: %q\nfirst:  %v\nsecond: %v", args, a, b)
	}
}

func withoutDetail(t *testing.T, report []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(report, &m); err != nil {
		t.Fatalf("%v in %s", err, report)
	}
	steps, _ := m["steps"].([]any)
	for _, s := range steps {
		delete(s.(map[string]any), "detail")
	}
	return m
}
