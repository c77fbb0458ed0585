package drills

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"qifeng/api/client"
	"qifeng/evidence"
)

// load submits contracts one after the other until its context ends, and keeps
// the ids of what was acknowledged.
func (n *network) load(ctx context.Context) (wait func() []evidence.ID) {
	var ids []evidence.ID
	var done sync.WaitGroup
	done.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			id, err := n.submit(ctx, fmt.Sprintf("contract %d", i))
			if err == nil {
				ids = append(ids, id)
			} else if ctx.Err() == nil {
				n.t.Errorf("submitting: %v", err)
				return
			}
			select { // the load, not a wait for a result
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	return func() []evidence.ID { done.Wait(); return ids }
}

// guard is the victim's file as it stands on disk.
func (n *network) guard() (size uint64, at time.Time) {
	n.t.Helper()
	raw, err := os.ReadFile(filepath.Join(n.Home(victim), "keys", "guard.json"))
	if err != nil {
		n.t.Fatal(err)
	}
	var g struct {
		Size uint64
		Time int64
	}
	if err := json.Unmarshal(raw, &g); err != nil {
		n.t.Fatal(err)
	}
	return g.Size, time.Unix(g.Time, 0)
}

// TestKilledBetweenGuardAndSend kills a member at each place in the making of a
// seal, three times each, while records are submitted and sealed.
func TestKilledBetweenGuardAndSend(t *testing.T) {
	asked(t)
	n := newNetwork(t, plain)
	ctx, cancel := context.WithCancel(t.Context())
	ids := n.load(ctx)
	n.seals(victim)
	n.stop(victim)
	kills := 0
	for _, place := range []string{"allowed", "guard-written", "guard-renamed", "guarded", "signed", "stored", "sent"} {
		for _, times := range []int{1, 2, 7} {
			p := n.start(victim, faulty, fmt.Sprintf("QIFENG_FAULT_KILL=%s:%d", place, times))
			select {
			case <-p.Done:
			case <-time.After(90 * time.Second):
				t.Fatalf("not killed at %s", place)
			}
			if s, ok := p.Cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL {
				t.Fatalf("at %s it ended with %v", place, p.Cmd.ProcessState)
			}
			kills++
			size, at := n.guard()
			for _, m := range members {
				if m == victim {
					continue
				}
				st, err := n.status(m)
				if err != nil {
					t.Fatal(err)
				}
				seal := of(st, victim)
				sealed, _ := time.Parse(time.RFC3339, seal.SealTime)
				if seal.SealSize > size || seal.SealSize == size && sealed.After(at) {
					t.Errorf("killed at %s: %s holds a seal of %d at %s, the guard knows %d at %s", place, m, seal.SealSize, sealed, size, at)
				}
			}
		}
	}
	n.start(victim, plain)
	n.seals(victim)
	cancel()
	all := ids()
	for _, id := range all {
		n.holds(t.Context(), id)
	}
	n.noAlarms()
	t.Logf("%d kills at 7 places, %d records, all proved", kills, len(all))
}

// TestHomePutBack puts a whole home back from an older copy: by hand, then with
// the mark of restore.
func TestHomePutBack(t *testing.T) {
	asked(t)
	n := newNetwork(t, plain)
	n.proved("before the copy")
	n.seals(victim)
	n.stop(victim)
	old := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(old, os.DirFS(n.Home(victim))); err != nil {
		t.Fatal(err)
	}
	n.start(victim, plain)
	n.seals(victim)
	for i := range 5 {
		n.proved(fmt.Sprintf("after the copy %d", i))
	}
	n.seals(victim)
	n.stop(victim)
	n.putBack(old)

	t.Log("by hand")
	n.start(victim, plain)
	n.refuses(victim, "old-copy")
	began := time.Now()
	before, err := n.status(victim)
	if err != nil {
		t.Fatal(err)
	}
	n.proved("the others go on")
	n.eventually(30*time.Second, "it follows the others", func() error {
		st, err := n.status(victim)
		if err == nil && st.Ledger.Size <= before.Ledger.Size {
			err = fmt.Errorf("size %d", st.Ledger.Size)
		}
		return err
	})
	n.refuses(victim, "old-copy")
	n.unheard(began)

	t.Log("marked")
	n.stop(victim)
	mark := filepath.Join(n.Home(victim), "data", "restored")
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.stop(vendor) // two others make no block
	n.start(victim, plain)
	n.refuses(victim, "restored")
	if _, err := os.Stat(mark); err != nil {
		t.Fatalf("released while the others made no block: %v", err)
	}
	n.unheard(began)
	n.start(vendor, plain)
	n.seals(victim)
	if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the mark stands: %v", err)
	}
	n.logs(victim, "released")
	n.proved("all four again")
	n.noAlarms(victim)
}

// unheard checks that the others hold no seal of the victim since a time.
func (n *network) unheard(since time.Time) {
	n.t.Helper()
	for _, m := range members {
		st, err := n.status(m)
		if err != nil {
			continue // one that is stopped
		}
		if at, err := time.Parse(time.RFC3339, of(st, victim).SealTime); err == nil && at.After(since) && m != victim {
			n.t.Errorf("%s holds a seal of %s of %s", m, victim, at)
		}
	}
}

// putBack replaces the victim's home by a copy, but for its log.
func (n *network) putBack(from string) {
	n.t.Helper()
	log, err := os.ReadFile(filepath.Join(n.Home(victim), "log"))
	if err == nil {
		err = os.RemoveAll(n.Home(victim))
	}
	if err == nil {
		err = os.CopyFS(n.Home(victim), os.DirFS(from))
	}
	if err == nil {
		err = filepath.WalkDir(filepath.Join(n.Home(victim), "keys"), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				err = os.Chmod(path, 0o600)
			}
			return err
		})
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(n.Home(victim), "log"), log, 0o600)
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// TestGuardGoneOrForeign takes the guard away, then puts another chain's there.
func TestGuardGoneOrForeign(t *testing.T) {
	asked(t)
	n := newNetwork(t, plain)
	n.proved("before")
	path := filepath.Join(n.Home(victim), "keys", "guard.json")
	n.stop(victim)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	n.stop(vendor) // two others are no quorum of seals
	n.start(victim, plain)
	n.refuses(victim, "guard-missing")
	n.start(vendor, plain)
	n.seals(victim)
	n.logs(victim, "guard-remade")

	n.stop(victim)
	foreign := strings.Replace(string(text), `"origin":"qifeng/`, `"origin":"qifeng/x`, 1)
	if err := os.WriteFile(path, []byte(foreign), 0o600); err != nil || foreign == string(text) {
		t.Fatal(err)
	}
	n.start(victim, plain)
	n.refuses(victim, "guard-origin")
	n.proved("the others go on")
	n.refuses(victim, "guard-origin")
	n.noAlarms(victim)
}

// TestSlowMemberAndLongAbsence: a member that takes 50 ms more for each seal is
// in nine of ten checkpoints a second after their quorum; one that missed
// hundreds of heights catches up.
func TestSlowMemberAndLongAbsence(t *testing.T) {
	asked(t)
	n := newNetwork(t, plain)
	n.stop(victim)
	n.start(victim, faulty, "QIFENG_FAULT_WAIT=guarded:50ms")
	n.seals(victim)
	const contracts = 30
	in := 0
	for i := range contracts {
		n.proved(fmt.Sprintf("contract %d", i)) // sealed: the quorum is met
		st, err := n.status(steady)
		if err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(time.Second)
		for size := st.Ledger.SealedSize; time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) { // between two looks
			if st, err := n.status(steady); err == nil && of(st, victim).SealSize >= size {
				in++
				break
			}
		}
	}
	t.Logf("signing 50 ms slower: in %d of %d checkpoints within 1 s of their quorum", in, contracts)
	if in < contracts*9/10 {
		t.Error("that is less than nine of ten")
	}

	n.stop(victim)
	before, err := n.status(steady)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ids := n.load(ctx)
	const heights = 300
	var now *client.Status
	n.eventually(15*time.Minute, "heights without it", func() error {
		if now, err = n.status(steady); err == nil && now.Ledger.Height < before.Ledger.Height+heights {
			err = fmt.Errorf("height %d", now.Ledger.Height)
		}
		return err
	})
	began := time.Now()
	n.start(victim, plain)
	n.eventually(2*time.Minute, "it seals the newest", func() error {
		st, err := n.status(steady)
		if err == nil && of(st, victim).SealSize < now.Ledger.Size {
			err = fmt.Errorf("its newest seal is of %d", of(st, victim).SealSize)
		}
		return err
	})
	t.Logf("%d heights and %d ledger entries away, sealed the newest %s after its start",
		now.Ledger.Height-before.Ledger.Height, now.Ledger.Size-before.Ledger.Size, time.Since(began).Round(time.Millisecond))
	n.seals(victim)
	cancel()
	for _, id := range ids() {
		n.holds(t.Context(), id)
	}
	n.noAlarms()
}
