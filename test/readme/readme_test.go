// Package readme runs the commands that README.md prints, as a newcomer would,
// in a copy of the repository, and holds the outputs that it prints against
// what really comes out. Numbers, times and "…" may differ; words may not.
package readme

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

const root = "../.."

// block is a shell block of the README with its mark and the output printed
// below it.
type block struct {
	mark   string // "", "build", "background", "stop", "exit 1"
	script string
	output string
}

var (
	marked = regexp.MustCompile("(?m)^<!-- run(?:: ([a-z0-9 ]+))? -->\n```sh\n((?s:.*?))```\n(?:```text\n((?s:.*?))```\n)?")
	digits = regexp.MustCompile(`[0-9]+`)
)

func blocks(t *testing.T, file string) []block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	var out []block
	for _, m := range marked.FindAllStringSubmatch(string(text), -1) {
		out = append(out, block{m[1], m[2], m[3]})
	}
	if want := strings.Count(string(text), "<!-- run"); len(out) != want || want == 0 {
		t.Fatalf("%s has %d marks and %d blocks that fit them", file, want, len(out))
	}
	return out
}

func TestCommands(t *testing.T) {
	for _, file := range []string{"README.md", "README.zh-CN.md"} {
		t.Run(file, func(t *testing.T) { runAll(t, blocks(t, file)) })
	}
}

func runAll(t *testing.T, all []block) {
	dir := t.TempDir()
	copyRepository(t, dir)
	var network *exec.Cmd
	t.Cleanup(func() { stop(t, network) })
	for i, b := range all {
		if b.mark == "stop" {
			stop(t, network)
			network = nil
		}
		if b.mark == "background" {
			network = start(t, dir, b.script)
			continue
		}
		want := 0
		if code, ok := strings.CutPrefix(b.mark, "exit "); ok {
			fmt.Sscan(code, &want)
		}
		out, code := run(t, dir, b.script)
		if code != want {
			t.Fatalf("block %d ended with exit code %d, want %d:\n%s\n%s", i, code, want, b.script, out)
		}
		compare(t, b, out)
	}
}

// TestChineseReadme: README.zh-CN.md prints the very same commands.
func TestChineseReadme(t *testing.T) {
	en, zh := blocks(t, "README.md"), blocks(t, "README.zh-CN.md")
	if len(en) != len(zh) {
		t.Fatalf("%d blocks in README.md, %d in README.zh-CN.md", len(en), len(zh))
	}
	for i := range en {
		if strings.ReplaceAll(en[i].script, " --lang en", "") != strings.ReplaceAll(zh[i].script, " --lang zh", "") || en[i].mark != zh[i].mark {
			t.Errorf("block %d differs:\n%s\n%s", i, en[i].script, zh[i].script)
		}
	}
}

// TestLinks: the documents link to nothing that is not there.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// compare looks for the printed lines in the output, in order.
func compare(t *testing.T, b block, out string) {
	t.Helper()
	rest := out
	for _, line := range strings.Split(strings.TrimSpace(b.output), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line == "…" {
			continue
		}
		pattern := digits.ReplaceAllString(regexp.QuoteMeta(line), `[0-9]+`)
		pattern = strings.ReplaceAll(pattern, "…", ".*")
		pattern = regexp.MustCompile(` +`).ReplaceAllString(pattern, ` +`)
		at := regexp.MustCompile(pattern).FindStringIndex(rest)
		if at == nil {
			t.Errorf("the README prints a line that does not come out:\n%s\nafter:\n%s\noutput:\n%s", line, b.script, out)
			return
		}
		rest = rest[at[1]:]
	}
}

func run(t *testing.T, dir, script string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", script, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// start runs a block that does not end, and waits for what it says when it is
// ready.
func start(t *testing.T, dir, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("bash", "-c", "exec "+strings.TrimSpace(script)+" --lang en")
	cmd.Dir = dir
	out := &lockedBuffer{ready: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-out.ready:
	case <-time.After(2 * time.Minute):
		stop(t, cmd)
		t.Fatalf("%s was not ready in two minutes:\n%s", script, out.text.String())
	}
	return cmd
}

// stop presses Ctrl-C.
func stop(t *testing.T, cmd *exec.Cmd) {
	if cmd == nil {
		return
	}
	t.Helper()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("the network ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		_ = cmd.Process.Kill()
		t.Error("the network did not stop in 30 s")
	}
}

// lockedBuffer collects output (exec writes from one goroutine, as stdout and
// stderr are the same writer) and says when the network is ready.
type lockedBuffer struct {
	text  bytes.Buffer
	ready chan struct{}
	said  bool
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	n, err := b.text.Write(p)
	if !b.said && strings.Contains(b.text.String(), "the network of four members is ready") {
		b.said = true
		close(b.ready)
	}
	return n, err
}

// copyRepository copies what git tracks, as a fresh clone would have it, and
// what is new but not ignored.
func copyRepository(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("bash", "-euo", "pipefail", "-c",
		`git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' f; do [ -e "$f" ] && printf '%s\0' "$f"; done | tar --null -T - -cf - | tar -xf - -C "$0"`, dir)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("copying the repository: %v\n%s", err, out)
	}
}
