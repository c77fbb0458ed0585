// Package witness starts a real C2SP witness for tests: litewitness of
// filippo.io/torchwood, the program itself, with its SQLite database and its key
// behind an ssh-agent. It knows nothing of us; that is what it is for.
//
// It needs the sqlite3 command, which registers logs (the project's own tool for
// that, witnessctl, does not build: docs/adr/0006-test-only-dependencies.md). Where
// that is missing a test is skipped on a developer's machine and fails in CI.
package witness

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// program is the witness, at the version of go.mod.
const program = "filippo.io/torchwood/cmd/litewitness"

// readyFor is how long it may take to answer, on a loaded machine.
const readyFor = 30 * time.Second

// emptyRoot is the root of a tree without leaves, which a new log has.
const emptyRoot = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

// Lite is one litewitness, of its own key and database. It listens on a port that
// stays the same when it is started again.
type Lite struct {
	URL string             // submission prefix
	Key checkpoint.Witness // what verifies its cosignatures

	bin, dir, addr, fingerprint string

	mu   sync.Mutex // guards cmd: tests stop it from goroutines
	cmd  *exec.Cmd  // nil while it is stopped
	log  lockedBuffer
	done chan struct{} // closed when cmd has ended
}

// Start runs a witness of this name that knows the logs of these verifier keys
// (type 0x01), and ends it with the test.
func Start(t testing.TB, name string, logs ...string) *Lite {
	t.Helper()
	needs(t)
	dir, err := os.MkdirTemp("", "lw") // short: the path of a socket has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l := &Lite{bin: build(t), dir: dir, addr: freeAddr(t)}
	l.URL = "http://" + l.addr
	l.serveKey(t, name)
	l.Run(t)
	t.Cleanup(l.Stop)
	for _, vkey := range logs {
		l.AddLog(t, vkey)
	}
	return l
}

func needs(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("sqlite3"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("CI needs sqlite3 for litewitness: %v", err)
		}
		t.Skipf("SKIPPED: no real C2SP witness without sqlite3: %v", err)
	}
}

var builds struct {
	sync.Mutex
	bin string
}

// build builds the program once a process. Go's own cache makes that one link.
func build(t testing.TB) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	if builds.bin != "" {
		return builds.bin
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "qifeng-test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	tmp, err := os.MkdirTemp(dir, "build")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	out, err := exec.Command("go", "build", "-o", filepath.Join(tmp, "litewitness"), program).CombinedOutput()
	if err != nil {
		t.Fatalf("building litewitness: %v\n%s", err, out)
	}
	bin := filepath.Join(dir, "litewitness")
	if err := os.Rename(filepath.Join(tmp, "litewitness"), bin); err != nil { // others may run the old one
		t.Fatal(err)
	}
	builds.bin = bin
	return bin
}

func freeAddr(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// serveKey makes the witness's key and an ssh-agent in this process that holds it.
func (l *Lite) serveKey(t testing.TB, name string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := gm.NewPublicKey(gm.Ed25519, pub)
	if err != nil {
		t.Fatal(err)
	}
	l.Key = checkpoint.Witness{Name: name, Key: public}
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	sshKey, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	l.fingerprint = ssh.FingerprintSHA256(sshKey)
	ln, err := net.Listen("unix", filepath.Join(l.dir, "agent"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return // closed with the test
			}
			go func() { _ = agent.ServeAgent(keys, conn) }() // ends with the connection
		}
	}()
}

// Run starts the program again where it was stopped, and waits until it answers.
func (l *Lite) Run(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cmd != nil {
		t.Fatal("litewitness runs already")
	}
	cmd := exec.Command(l.bin, "-name", l.Key.Name, "-db", l.db(), "-ssh-agent", filepath.Join(l.dir, "agent"),
		"-listen", l.addr, "-key", l.fingerprint)
	cmd.Stdout, cmd.Stderr = &l.log, &l.log
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }() // how it ended is in its log
	l.cmd, l.done = cmd, done
	deadline := time.NewTimer(readyFor)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := http.Get(l.URL + "/")
		if err == nil {
			_ = resp.Body.Close()
			return
		}
		select {
		case <-done:
			t.Fatalf("litewitness ended:\n%s", l.log.String())
		case <-deadline.C:
			t.Fatalf("litewitness does not answer after %s: %v\n%s", readyFor, err, l.log.String())
		case <-tick.C:
		}
	}
}

// Stop kills it (kill -9) and waits until it is gone. It may be called twice.
func (l *Lite) Stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cmd == nil {
		return
	}
	_ = l.cmd.Process.Kill() // gone already is as good
	<-l.done
	l.cmd = nil
}

// Log is what it has printed.
func (l *Lite) Log() string { return l.log.String() }

func (l *Lite) db() string { return filepath.Join(l.dir, "witness.db") }

// AddLog registers the verifier key (type 0x01) of a log, whose name is its
// origin. A log may have several.
func (l *Lite) AddLog(t testing.TB, vkey string) {
	t.Helper()
	origin, _, err := checkpoint.ParseLogKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	l.SQL(t, fmt.Sprintf(`INSERT OR IGNORE INTO log (origin, tree_size, tree_hash) VALUES (%s, 0, '%s');
		INSERT INTO key (origin, key) VALUES (%s, %s);`, quote(origin), emptyRoot, quote(origin), quote(vkey)))
}

// State is what the witness holds of a log.
func (l *Lite) State(t testing.TB, origin string) (size uint64, root [32]byte) {
	t.Helper()
	out := l.SQL(t, "SELECT tree_size || ' ' || tree_hash FROM log WHERE origin = "+quote(origin))
	var text string
	if _, err := fmt.Sscanf(out, "%d %s", &size, &text); err != nil {
		t.Fatalf("the witness's state of %s: %v: %q", origin, err, out)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != len(root) {
		t.Fatalf("the witness's root of %s: %v: %q", origin, err, text)
	}
	return size, [32]byte(raw)
}

// SetState puts another state into the witness's database, as if it had cosigned
// another ledger, or had been put back from a backup.
func (l *Lite) SetState(t testing.TB, origin string, size uint64, root [32]byte) {
	t.Helper()
	out := l.SQL(t, fmt.Sprintf("UPDATE log SET tree_size = %d, tree_hash = '%s' WHERE origin = %s; SELECT changes()",
		size, base64.StdEncoding.EncodeToString(root[:]), quote(origin)))
	if strings.TrimSpace(out) != "1" {
		t.Fatalf("the witness has no log %s: %q", origin, out)
	}
}

// SQL runs statements on the witness's database.
func (l *Lite) SQL(t testing.TB, statements string) string {
	t.Helper()
	out, err := exec.Command("sqlite3", "-cmd", ".timeout 10000", l.db(), statements).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("sqlite3: %v: %s", err, exit.Stderr)
		}
		t.Fatalf("sqlite3: %v", err)
	}
	return string(out)
}

// quote writes a text as a literal of SQL.
func quote(s string) string {
	return "CAST(X'" + hex.EncodeToString([]byte(s)) + "' AS TEXT)"
}

// lockedBuffer is a log that a process writes and a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
