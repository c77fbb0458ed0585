package chain

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
)

// childEnv makes the test binary run one member instead of tests: the path of a
// child's file. killEnv is the place where it kills itself, and how often that
// place is passed before: "guarded:2".
const (
	childEnv = "QIFENG_TEST_CHILD"
	killEnv  = "QIFENG_TEST_KILL"
)

// child is what a member in a process of its own needs beside its home.
type child struct {
	Genesis string
	Home    string
	Self    string
	Listen  string
}

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if err := runChild(path, os.Getenv(killEnv)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if path := os.Getenv(lifeEnv); path != "" {
		if err := liveLife(path, os.Getenv(faultEnv)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runChild runs a member until it is killed or its standard input is closed, as
// when the test has ended.
func runChild(path, kill string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var c child
	if err := json.Unmarshal(raw, &c); err != nil {
		return err
	}
	var keys [3]*gm.PrivateKey
	for i := range keys {
		if keys[i], err = gm.LoadPrivateKey(filepath.Join(c.Home, fmt.Sprintf("seal-%d.pem", i))); err != nil {
			return err
		}
	}
	if at, n, ok := strings.Cut(kill, ":"); ok {
		times, err := strconv.Atoi(n)
		if err != nil {
			return err
		}
		var passed atomic.Int32
		point = func(name string) error {
			if name == at && passed.Add(1) == int32(times) {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // nothing more happens in this process
			}
			return nil
		}
	}
	ch, err := Start(context.Background(), Config{Dir: filepath.Join(c.Home, "data"), Genesis: []byte(c.Genesis), Self: c.Self,
		Keys:      checkpoint.SealKeys{Log: keys[0], Ed25519: keys[1], SM2: keys[2]},
		GuardPath: filepath.Join(c.Home, "guard.json"), ConsensusKeyPath: filepath.Join(c.Home, "consensus.json"),
		NodeKeyPath: filepath.Join(c.Home, "node.json"), Listen: c.Listen, Heartbeat: time.Second, Reseal: 300 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	one := make([]byte, 1)
	_, _ = os.Stdin.Read(one)
	return ch.Stop()
}

// prepareChild writes what the victim's process needs.
func (d *drill) prepareChild() string {
	d.tb.Helper()
	p := d.parties[victim]
	for i, k := range []gm.Signer{p.seals.Log, p.seals.Ed25519, p.seals.SM2} {
		if err := gm.SavePrivateKey(filepath.Join(p.home, fmt.Sprintf("seal-%d.pem", i)), k.(*gm.PrivateKey), ""); err != nil {
			d.tb.Fatal(err)
		}
	}
	path := filepath.Join(p.home, "child.json")
	raw := must[[]byte](d.tb)(json.Marshal(child{Genesis: string(d.raw), Home: p.home, Self: victim, Listen: p.card.Peer}))
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		d.tb.Fatal(err)
	}
	return path
}

// TestDrillKill kills a member at every place between guard, signature and send,
// in a process of its own, with kill -9. Whatever left it, its guard on disk
// knew of it before, and it goes on with an extension.
func TestDrillKill(t *testing.T) {
	t.Parallel()
	exe := must[string](t)(os.Executable())
	d := &drill{running: startNetworkOf(t, newFixture(t), func(c *Config) { c.Heartbeat = time.Second }, "arbitration-a", "court-a", "notary-a")}
	path := d.prepareChild()
	start := func(kill string) (cmd *exec.Cmd, out *bytes.Buffer, stop func()) {
		cmd, out = exec.Command(exe, "-test.run=^$"), &bytes.Buffer{}
		cmd.Env = append(os.Environ(), childEnv+"="+path, killEnv+"="+kill)
		cmd.Stdout, cmd.Stderr = out, out
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, out, func() { _ = stdin.Close() }
	}
	for i, place := range []string{pointAllowed, pointGuardWritten, pointGuardRenamed, pointGuarded, pointSigned, pointKept, pointStored, pointSent} {
		kill := fmt.Sprintf("%s:%d", place, 1+i%3)
		cmd, out, stop := start(kill)
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		d.next()
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			stop()
			<-ended
			t.Fatalf("not killed at %s:\n%s", kill, out)
		}
		if s := cmd.ProcessState.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGKILL {
			t.Fatalf("at %s it ended with %v:\n%s", kill, cmd.ProcessState, out)
		}
		d.forget(victim)
		d.guardKnows(kill)
		d.goesOn()
		d.truthful()
	}
	cmd, out, stop := start("")
	size := d.next() + 1
	wait(t, "it seals the newest size after seven kills", 45*time.Second, func() bool {
		_, ok, err := d.nodes["court-a"].book.first(size, victim)
		return err == nil && ok
	})
	stop()
	if err := cmd.Wait(); err != nil {
		t.Errorf("ending it: %v\n%s", err, out)
	}
	d.guardKnows("its end")
	d.truthful()
	if strings.Contains(out.String(), "ALARM") {
		t.Errorf("alarms:\n%s", out)
	}
}

// guardKnows holds the victim's guard on disk against every newest seal of it
// that has reached anyone.
func (d *drill) guardKnows(when string) {
	d.tb.Helper()
	g := openGuard(d.guardPath(victim), d.c.origin)
	if g.missing || g.broken != nil {
		d.tb.Fatalf("the guard after %s: missing %v, %v", when, g.missing, g.broken)
	}
	for id, ch := range d.nodes {
		w, ok := ch.book.newestSeals()[victim]
		if ok && (w.size > g.have.size || w.size == g.have.size && (w.root != g.have.root || w.seal.Time > g.have.time)) {
			d.tb.Errorf("after %s %s holds a seal of size %d at %d, the guard knows size %d at %d", when, id, w.size, w.seal.Time, g.have.size, g.have.time)
		}
	}
}
