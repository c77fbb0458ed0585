// Package verifier2 runs the second verifier, verify.py, which was written from
// docs/spec alone and shares no line with the first. It is for tests.
package verifier2

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
)

// Agrees judges what `qifeng verify --json` with the same arguments has just
// judged, and compares exit codes and whole reports but for the free text of
// steps and anchors. Where Python or openssl is missing it does nothing on a
// developer's machine and fails in CI.
func Agrees(t testing.TB, code int, report []byte, args ...string) {
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
	_, here, _, _ := runtime.Caller(0)
	cmd := exec.CommandContext(t.Context(), "python3", append([]string{filepath.Join(filepath.Dir(here), "verify.py"), "--json"}, args...)...)
	var errw bytes.Buffer
	cmd.Stderr = &errw
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("the second verifier ends with exit code %d, the first with %d: %q\n%s%s", got, code, args, out, errw.Bytes())
	}
	if a, b := WithoutDetail(t, report), WithoutDetail(t, out); !reflect.DeepEqual(a, b) {
		t.Fatalf("the verifiers' reports differ: %q\nfirst:  %v\nsecond: %v", args, a, b)
	}
}

// WithoutDetail is a report in JSON without the free text of its steps and anchors,
// which is each verifier's own.
func WithoutDetail(t testing.TB, report []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(report, &m); err != nil {
		t.Fatalf("%v in %s", err, report)
	}
	for _, field := range []string{"steps", "anchors"} {
		list, _ := m[field].([]any)
		for _, x := range list {
			delete(x.(map[string]any), "detail")
		}
	}
	return m
}
