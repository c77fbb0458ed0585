package chain

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
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

	"qifeng/evidence"
	"qifeng/fsck"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// lifeEnv makes the test binary live one life of a consortium of one member: the
// path of its file. faultEnv is what hurts it, "kill:committed:2" or
// "fail:committed:2": at the place, when it is passed for the second time.
// CometBFT reads its own places from FAIL_TEST_INDEX.
const (
	lifeEnv  = "QIFENG_TEST_LIFE"
	faultEnv = "QIFENG_TEST_FAULT"
)

// entriesOfLife is how many entries a life adds to the ledger.
const entriesOfLife = 3

// liveLife adds entries, each once the one before is sealed, and says what it
// has seen: "entry INDEX SM3" and "sealed SIZE SM3", which are then promises.
func liveLife(path, fault string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var c child
	if err := json.Unmarshal(raw, &c); err != nil {
		return err
	}
	if kind, rest, ok := strings.Cut(fault, ":"); ok {
		at, n, _ := strings.Cut(rest, ":")
		times, err := strconv.Atoi(n)
		if err != nil {
			return err
		}
		var passed atomic.Int32
		point = func(name string) error {
			if name != at || passed.Add(1) != int32(times) {
				return nil
			}
			if kind == "kill" {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // nothing more happens in this process
			}
			fmt.Println("fault")
			return errors.New("fault at " + name)
		}
	}
	var keys [4]*gm.PrivateKey
	for i, name := range []string{"log.pem", "seal-ed25519.pem", "seal-sm2.pem", "admin.pem"} {
		if keys[i], err = gm.LoadPrivateKey(filepath.Join(c.Home, name)); err != nil {
			return err
		}
	}
	ch, err := Start(context.Background(), Config{Dir: filepath.Join(c.Home, "data", "chain"), Genesis: []byte(c.Genesis), Self: c.Self,
		Keys:      checkpoint.SealKeys{Log: keys[0], Ed25519: keys[1], SM2: keys[2]},
		GuardPath: filepath.Join(c.Home, "guard.json"), ConsensusKeyPath: filepath.Join(c.Home, "consensus.json"),
		NodeKeyPath: filepath.Join(c.Home, "node.json"), Listen: c.Listen, Reseal: 200 * time.Millisecond, TimeoutCommit: time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	err = addEntries(ch, keys[3])
	return errors.Join(err, ch.Stop())
}

func addEntries(ch *Chain, admin gm.Signer) error {
	for range entriesOfLife {
		index := ch.Size()
		e := evidence.KeyEntry{Action: evidence.Register, Key: fmt.Sprintf("k%d-%d", index, time.Now().UnixMilli()), Member: ch.cfg.Self,
			PublicKey: admin.Public(), Purpose: evidence.Submit, SignedAt: baseTime}
		k, err := gm.GenerateKey(gm.SM2)
		if err != nil {
			return err
		}
		e.PublicKey = k.Public()
		tx, err := e.Sign(ch.ChainID(), admin)
		if err != nil {
			return err
		}
		for sent := false; ; {
			changed := ch.Changed()
			if !sent {
				if err := ch.Submit(context.Background(), tx); err == nil || errors.Is(err, ErrDuplicate) {
					sent = true
				}
			}
			if note, size, ok, err := ch.Covering(index); err != nil {
				return err
			} else if ok {
				raw, err := ch.Entry(index)
				if err != nil {
					return err
				}
				s, err := checkpoint.Open(note, ch.Policy(), checkpoint.Options{})
				if err != nil || !s.Verdict.Met || s.Size != size {
					return fmt.Errorf("the note of size %d: %w", size, err)
				}
				fmt.Printf("entry %d %x\nsealed %d %x\n", index, merkle.Sum(raw).SM3, size, s.Root.SM3)
				break
			}
			select {
			case err := <-ch.Failed():
				return fmt.Errorf("it failed: %w", err)
			case <-changed:
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

// lives is the home of a consortium of one, and what it has promised so far.
type lives struct {
	*fixture
	home, path string
	entries    map[uint64]string
	sealed     map[uint64]string
}

func newLives(t *testing.T) *lives {
	l := &lives{fixture: newFixtureOf(t, checkpoint.Quorum{Members: 1, NeutralRoles: 1}, "court-a"), entries: map[uint64]string{}, sealed: map[uint64]string{}}
	p := l.parties["court-a"]
	l.home, l.path = p.home, filepath.Join(p.home, "child.json")
	for name, k := range map[string]gm.Signer{"log.pem": p.seals.Log, "seal-ed25519.pem": p.seals.Ed25519, "seal-sm2.pem": p.seals.SM2, "admin.pem": p.admin, "intake.pem": p.intake} {
		if err := gm.SavePrivateKey(filepath.Join(l.home, name), k.(*gm.PrivateKey), ""); err != nil {
			t.Fatal(err)
		}
	}
	policy := must[*checkpoint.Policy](t)(proof.GenesisPolicy(l.c.genesis))
	for name, b := range map[string][]byte{"genesis.json": l.raw, "card.json": p.card.Signed.Raw, "policy.txt": must[[]byte](t)(policy.Marshal()),
		"child.json": must[[]byte](t)(json.Marshal(child{Genesis: string(l.raw), Home: l.home, Self: "court-a", Listen: p.card.Peer}))} {
		if err := os.WriteFile(filepath.Join(l.home, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// live runs one life and keeps what it says. killed says how it ended.
func (l *lives) live(env ...string) (state *os.ProcessState, out string, faults int) {
	l.tb.Helper()
	ctx, cancel := context.WithTimeout(l.tb.Context(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, must[string](l.tb)(os.Executable()), "-test.run=^$")
	cmd.Env = append(append(os.Environ(), lifeEnv+"="+l.path), env...)
	var log strings.Builder
	cmd.Stderr = &log
	b, _ := cmd.Output() // how it ended is judged by the caller
	lines := bufio.NewScanner(strings.NewReader(string(b)))
	for lines.Scan() {
		var n uint64
		var sum string
		switch {
		case lines.Text() == "fault":
			faults++
		case scan(lines.Text(), "entry %d %s", &n, &sum):
			l.entries[n] = sum
		case scan(lines.Text(), "sealed %d %s", &n, &sum):
			l.sealed[n] = sum
		}
	}
	if ctx.Err() != nil {
		l.tb.Fatalf("%v: it hangs:\n%s\n%s", env, b, &log)
	}
	return cmd.ProcessState, string(b) + log.String(), faults
}

func scan(line, format string, n *uint64, sum *string) bool {
	k, err := fmt.Sscanf(line, format, n, sum)
	return k == 2 && err == nil
}

// good runs fsck over the home, and holds the ledger against every promise.
func (l *lives) good(what string) {
	l.tb.Helper()
	in := func(s string) string { return filepath.Join(l.home, s) }
	r := fsck.Check(l.tb.Context(), fsck.Home{Dir: l.home, Self: "court-a", Lock: in("lock"), Genesis: in("genesis.json"), Policy: in("policy.txt"),
		Card: in("card.json"), Data: in("data"), Keys: fsck.Keys{Intake: in("intake.pem"), SealSM2: in("seal-sm2.pem"), SealEd25519: in("seal-ed25519.pem"),
			Log: in("log.pem"), Admin: in("admin.pem"), Consensus: in("consensus.json"), Node: in("node.json"), Guard: in("guard.json")}}, fsck.Options{Workers: 1})
	if r.Result != fsck.Good {
		l.tb.Fatalf("%s: fsck:\n%s", what, r.Text(false))
	}
	s, _, err := openStore(in("data/chain/ledger"), l.c)
	if err != nil {
		l.tb.Fatalf("%s: %v", what, err)
	}
	defer s.close()
	for i, sum := range l.entries {
		if raw, err := s.entry(i); err != nil || fmt.Sprintf("%x", merkle.Sum(raw).SM3) != sum {
			l.tb.Errorf("%s: entry %d is not what was promised: %v", what, i, err)
		}
	}
	for size, sum := range l.sealed {
		root, err := s.rootAt(size)
		if err != nil || fmt.Sprintf("%x", root.SM3) != sum {
			l.tb.Errorf("%s: size %d was sealed with another root: %v", what, size, err)
		}
	}
}

// TestKilledAndFailedEverywhere goes through all places of the program and of
// CometBFT's commit: at each the process is killed, and at each of the program's
// own the step fails. After each, fsck over the whole home and every promise;
// the next life begins where it left.
func TestKilledAndFailedEverywhere(t *testing.T) {
	t.Parallel()
	l := newLives(t)
	if st, out, _ := l.live(); !st.Success() || len(l.entries) != entriesOfLife {
		t.Fatalf("without a fault: %v\n%s", st, out)
	}
	l.good("without a fault")
	for i, place := range points {
		if place == pointCreated || place == pointBegun {
			continue // once in a home: see below
		}
		times := 1 + i%2
		st, out, _ := l.live(fmt.Sprintf("%s=kill:%s:%d", faultEnv, place, times))
		if s := st.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGKILL {
			t.Fatalf("not killed at %s:\n%s", place, out)
		}
		l.good("killed at " + place)
		had := len(l.entries)
		st, out, faults := l.live(fmt.Sprintf("%s=fail:%s:%d", faultEnv, place, times))
		if faults != 1 {
			t.Fatalf("%s did not fail: %v\n%s", place, st, out)
		}
		// A height that cannot be committed ends the process; without a seal it goes on.
		if ends := place == pointExecuted || place == pointCommitted; st.Success() == ends || !ends && len(l.entries) != had+entriesOfLife {
			t.Fatalf("failed at %s: %v\n%s", place, st, out)
		}
		l.good("failed at " + place)
	}
	comet := 0
	for ; ; comet++ { // CometBFT's own, until there is none more in the first height of a life
		st, out, _ := l.live(fmt.Sprintf("FAIL_TEST_INDEX=%d", comet))
		if !strings.Contains(out, "fail-test") {
			t.Fatalf("CometBFT's place %d: %v\n%s", comet, st, out)
		}
		l.good(fmt.Sprintf("CometBFT ended at its place %d", comet))
		if comet == cometPoints {
			break
		}
	}
	if st, out, _ := l.live(); !st.Success() {
		t.Fatalf("at the end: %v\n%s", st, out)
	}
	l.good("at the end")
	t.Logf("%d entries and %d sealed sizes were promised, all kept", len(l.entries), len(l.sealed))
}

// cometPoints is one more than the places that CometBFT passes in a height.
const cometPoints = 10

// TestKilledWhileTheLedgerBegins: the places that a home passes once.
func TestKilledWhileTheLedgerBegins(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"kill:" + pointCreated, "fail:" + pointCreated, "kill:" + pointBegun, "fail:" + pointBegun} {
		l := newLives(t)
		if st, out, _ := l.live(faultEnv + "=" + fault + ":1"); st.Success() {
			t.Fatalf("%s:\n%s", fault, out)
		}
		if st, out, _ := l.live(); !st.Success() || len(l.entries) != entriesOfLife {
			t.Fatalf("after %s: %v\n%s", fault, st, out)
		}
		l.good("after " + fault)
	}
}
