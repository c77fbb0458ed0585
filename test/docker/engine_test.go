package docker

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	root = "../.."

	// commandFor bounds one command of engine or Compose. Making and starting
	// the containers takes a few seconds on two cores.
	commandFor = 3 * time.Minute
	// readyFor bounds the wait for a member's health.
	readyFor = 2 * time.Minute
)

// result is what a finished command left behind.
type result struct {
	code     int
	out, err string
}

func (r result) String() string { return r.out + r.err }

// run runs a command to its end.
func run(ctx context.Context, env []string, argv ...string) (result, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = root
	cmd.Env = append(append(os.Environ(), "LC_ALL=en_US.UTF-8"), env...)
	cmd.WaitDelay = time.Second
	var out, errw bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errw
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	if err != nil {
		return result{code: -1, out: out.String(), err: errw.String()}, fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errw.String()}, nil
}

// composes are the versions of Compose that are installed, newest first. No
// engine or no Compose skips the test.
func composes(t *testing.T) [][]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := run(ctx, nil, "docker", "info", "--format", "{{.OSType}}")
	if err != nil {
		t.Skipf("no Docker engine: %v", err)
	}
	if r.code != 0 {
		t.Skipf("no Docker engine answers: %s", strings.TrimSpace(r.String()))
	}
	if kind := strings.TrimSpace(r.out); kind != "linux" {
		t.Skipf("the Docker engine runs %q containers, the image is linux", kind)
	}
	var out [][]string
	for _, argv := range [][]string{{"docker", "compose"}, {"docker-compose"}} {
		if r, err := run(ctx, nil, append(argv, "version")...); err == nil && r.code == 0 {
			out = append(out, argv)
		}
	}
	if len(out) == 0 {
		t.Skip("neither Compose v2 nor docker-compose is installed")
	}
	return out
}

// buildPrograms builds what the image holds, as the README says, and a program
// for this machine.
func buildPrograms(t *testing.T) (bin string) {
	t.Helper()
	bin = filepath.Join(t.TempDir(), "qifeng")
	for _, argv := range [][]string{{"scripts/docker-build.sh"}, {"go", "build", "-trimpath", "-o", bin, "."}} {
		// The same settings as in the script, so that nothing is compiled twice.
		r, err := run(t.Context(), []string{"CGO_ENABLED=0"}, argv...)
		if err != nil || r.code != 0 {
			t.Fatalf("%v: %v\n%s", argv, err, r)
		}
	}
	return bin
}

// network is one project of Compose, with its own name, image and ports.
type network struct {
	bin     string
	dir     string // of the test's files
	argv    []string
	project string
	image   string
	ports   map[string]int
	env     []string
}

// newNetwork names a network; up starts it. Whatever happens, containers,
// volumes, network and image are deleted in the end.
func newNetwork(t *testing.T, bin string, argv []string) *network {
	t.Helper()
	id := make([]byte, 4)
	if _, err := rand.Read(id); err != nil {
		t.Fatal(err)
	}
	n := &network{bin: bin, dir: t.TempDir(), argv: argv, project: "qifengtest" + hex.EncodeToString(id), ports: map[string]int{}}
	n.image = n.project + ":test"
	n.env = append(n.env, "QIFENG_IMAGE="+n.image)
	for i, port := range freePorts(t, len(members)) {
		n.ports[members[i]] = port
		role, _, _ := strings.Cut(members[i], "-")
		n.env = append(n.env, fmt.Sprintf("QIFENG_PORT_%s=%d", strings.ToUpper(role), port))
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), commandFor) // the test's own is done
		defer cancel()
		if t.Failed() {
			r, err := run(ctx, n.env, n.command("logs", "--tail", "40")...)
			t.Logf("the containers' logs: %v\n%s", err, r)
		}
		for _, argv := range [][]string{n.command("down", "-v", "--remove-orphans"), {"docker", "rmi", "--force", n.image}} {
			if r, err := run(ctx, n.env, argv...); err != nil || r.code != 0 {
				t.Errorf("cleaning up with %v: %v\n%s", argv, err, r)
			}
		}
	})
	return n
}

// freePorts finds ports below those that systems hand out for outgoing
// connections, so that a container that starts again finds its own free.
func freePorts(t *testing.T, count int) []int {
	t.Helper()
	var out []int
	for range 200 {
		port := 10000 + mrand.IntN(20000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		defer l.Close() // taken until all are found, so that no two are equal
		if out = append(out, port); len(out) == count {
			return out
		}
	}
	t.Fatal("no free ports found between 10000 and 30000")
	return nil
}

func (n *network) command(args ...string) []string {
	return append(append(append([]string{}, n.argv...), "-p", n.project), args...)
}

// compose runs Compose and expects exit code 0.
func (n *network) compose(t *testing.T, args ...string) string {
	t.Helper()
	return n.must(t, 0, n.command(args...)...)
}

func (n *network) docker(t *testing.T, args ...string) string {
	t.Helper()
	return n.must(t, 0, append([]string{"docker"}, args...)...)
}

// qifeng runs the command line on this machine, outside all containers.
func (n *network) qifeng(t *testing.T, code int, args ...string) string {
	t.Helper()
	return n.must(t, code, append([]string{n.bin}, args...)...)
}

// must runs a command that has to end with the given exit code.
func (n *network) must(t *testing.T, code int, argv ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandFor)
	defer cancel()
	r, err := run(ctx, n.env, argv...)
	if err != nil || r.code != code {
		t.Fatalf("%s: exit code %d, want %d; %v\n%s", strings.Join(argv, " "), r.code, code, err, r)
	}
	return r.out
}

// url is where a member's API is published.
func (n *network) url(member string) string {
	return "http://127.0.0.1:" + strconv.Itoa(n.ports[member])
}

// path names a file of the test.
func (n *network) path(name string) string { return filepath.Join(n.dir, name) }

// container is what the engine says of a container.
type container struct {
	ID    string `json:"Id"`
	State struct {
		Status   string
		ExitCode int
		Health   struct{ Status string }
	}
	Config     struct{ User string }
	HostConfig struct {
		ReadonlyRootfs, Privileged   bool
		CapAdd, CapDrop, SecurityOpt []string
	}
	Mounts          []struct{ Type, Destination string }
	NetworkSettings struct {
		Ports map[string][]struct{ HostIP, HostPort string }
	}
}

// container finds the container of a service.
func (n *network) container(t *testing.T, service string) container {
	t.Helper()
	id := strings.TrimSpace(n.compose(t, "ps", "-a", "-q", service))
	if id == "" || strings.Contains(id, "\n") {
		t.Fatalf("%s has containers %q, want one", service, id)
	}
	var out []container
	if err := json.Unmarshal([]byte(n.docker(t, "inspect", id)), &out); err != nil || len(out) != 1 {
		t.Fatalf("%d containers in what the engine says of %s: %v", len(out), service, err)
	}
	return out[0]
}

// eventually polls until ok returns nil.
func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(readyFor)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, readyFor, err)
		}
		time.Sleep(250 * time.Millisecond) // between two looks, never for a result
	}
}

// healthy waits until the engine calls the services healthy.
func (n *network) healthy(t *testing.T, services ...string) {
	t.Helper()
	for _, s := range services {
		eventually(t, s+" healthy", func() error {
			if c := n.container(t, s); c.State.Status != "running" || c.State.Health.Status != "healthy" {
				return fmt.Errorf("it is %+v", c.State)
			}
			return nil
		})
	}
}

// finished waits until a service that runs once has ended well.
func (n *network) finished(t *testing.T, service string) {
	t.Helper()
	eventually(t, service+" done", func() error {
		if c := n.container(t, service); c.State.Status != "exited" || c.State.ExitCode != 0 {
			return fmt.Errorf("it is %+v", c.State)
		}
		return nil
	})
}
