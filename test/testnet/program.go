package testnet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Build is one way to build the program, done once for all tests of a package.
type Build struct {
	Name    string                             // of the file
	Package string                             // "" is the program itself
	Args    func(dir string) ([]string, error) // of go build, besides; nil is none

	once sync.Once
	path string
	err  error
}

// Plain is the program as everybody builds it.
var Plain = &Build{Name: "qifeng"}

// builds is where the programs are, while Main runs.
var builds string

// Main is for a package's TestMain: it removes at the end what was built.
func Main(m *testing.M) {
	var err error
	if builds, err = os.MkdirTemp("", "qifeng-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(builds)
	os.Exit(code)
}

// Path is the program's path.
func (b *Build) Path(t testing.TB) string {
	t.Helper()
	b.once.Do(func() { b.path, b.err = b.build() })
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.path
}

func (b *Build) build() (string, error) {
	if builds == "" {
		return "", errors.New("testnet: the package's TestMain does not call Main")
	}
	path := filepath.Join(builds, b.Name)
	args := []string{"build", "-o", path}
	if b.Args != nil {
		more, err := b.Args(builds)
		if err != nil {
			return "", err
		}
		args = append(args, more...)
	}
	pkg := b.Package
	if pkg == "" {
		pkg = "qifeng"
	}
	if out, err := exec.Command("go", append(args, pkg)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", b.Name, err, out)
	}
	return path, nil
}

// Command is a command of the plain program that speaks English.
func Command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(Plain.Path(t), args...)
	cmd.Env = append(os.Environ(), "LC_ALL=en_US.UTF-8")
	return cmd
}

// Result is what a finished command left behind.
type Result struct {
	Code     int
	Out, Err string
}

// Run runs a command to its end.
func Run(t testing.TB, args ...string) Result {
	t.Helper()
	cmd := Command(t, args...)
	var out, errw bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errw
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return Result{cmd.ProcessState.ExitCode(), out.String(), errw.String()}
}

// Must runs a command that has to end with the given exit code.
func Must(t testing.TB, code int, args ...string) Result {
	t.Helper()
	r := Run(t, args...)
	if r.Code != code {
		t.Fatalf("qifeng %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.Code, code, r.Out, r.Err)
	}
	return r
}
