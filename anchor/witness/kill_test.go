package witness

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// TestMain is also the process that TestKill kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("QIFENG_TEST_WITNESS"); dir != "" {
		if err := serveIn(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serveIn is a witness of the logs in a folder. The folder's file "policy" is a stranger's.
func serveIn(dir string) error {
	go func() { // ends with the test, however that ends
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	at, times := os.Getenv("QIFENG_TEST_KILL"), 0
	point = func(name string) error {
		if name == at {
			if times++; times == 2 { // the second cosignature of the process
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // nothing more happens in this process
			}
		}
		return nil
	}
	key, err := gm.LoadPrivateKey(filepath.Join(dir, "witness.pem"))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(dir, "logs"))
	if err != nil {
		return err
	}
	logs, err := ParseLogs(text)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "policy"))
	if err != nil {
		return err
	}
	policy, err := checkpoint.ParsePolicy(raw)
	if err != nil {
		return err
	}
	s, err := NewServer(ServerConfig{Name: "w", Key: key, Logs: logs, Policy: policy, State: filepath.Join(dir, "state")})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("ready", ln.Addr())
	return http.Serve(ln, s)
}

// child is one life of the witness.
type child struct {
	cmd *exec.Cmd
	url string
}

func startChild(t *testing.T, dir, kill string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "QIFENG_TEST_WITNESS="+dir, "QIFENG_TEST_KILL="+kill)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil { // open as long as this process lives
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if err != nil || !ok {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("the witness says %q, %v", line, err)
	}
	return &child{cmd, "http://" + addr}
}

func (c *child) end() {
	_ = c.cmd.Process.Kill() // killed already is as good
	_ = c.cmd.Wait()
}

// TestKill: kill -9 at every step of a cosignature, and then a log that tries to have
// another root of the same size cosigned. A step before the rename leaves the old
// state, and whichever ledger comes first is cosigned, alone; one after it has decided.
func TestKill(t *testing.T) {
	l := newLog(t, "log.example/a", 1, 20)
	other := l.fork(t, 4)
	for _, at := range points {
		t.Run(at, func(t *testing.T) {
			dir := t.TempDir()
			key := newKey(t, gm.Ed25519)
			if err := gm.SavePrivateKey(filepath.Join(dir, "witness.pem"), key, ""); err != nil {
				t.Fatal(err)
			}
			policy, err := newConsortium(t, 0).policy.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			for name, data := range map[string][]byte{"logs": []byte(l.vkeys[0]), "policy": policy} {
				if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := InitState(filepath.Join(dir, "state")); err != nil {
				t.Fatal(err)
			}
			life := startChild(t, dir, at)
			if a := post(t, life.url, l.request(t, 0, 3)); a.status != 200 {
				t.Fatalf("the first: %d %s", a.status, a.said())
			}
			if resp, err := http.Post(life.url, "", strings.NewReader(l.request(t, 3, 7))); err == nil {
				_ = resp.Body.Close()
				t.Fatalf("it answers %d and was to be killed", resp.StatusCode)
			}
			life.end()

			life = startChild(t, dir, "")
			defer life.end()
			recorded := at != pointChecked && at != pointWritten
			a := post(t, life.url, other.request(t, 3, 7))
			if want := map[bool]int{true: 409, false: 200}[recorded]; a.status != want {
				t.Fatalf("another ledger afterwards: %d %s, want %d", a.status, a.said(), want)
			}
			winner, loser := l, other
			if !recorded {
				winner, loser = other, l
			}
			for _, step := range [][2]int64{{7, 7}, {7, 9}} {
				if a := post(t, life.url, winner.request(t, step[0], step[1])); a.status != 200 {
					t.Errorf("from %d to %d: %d %s", step[0], step[1], a.status, a.said())
				}
				if a := post(t, life.url, loser.request(t, step[0], step[1])); a.status == 200 {
					t.Errorf("the other ledger is cosigned from %d to %d", step[0], step[1])
				}
			}
		})
	}
}
