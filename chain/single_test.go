package chain

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qifeng/proof/checkpoint"
)

// startSingle starts a consortium of one court: real CometBFT, no peers.
func startSingle(t *testing.T, change func(*Config)) *running {
	t.Helper()
	r := &running{fixture: newFixtureOf(t, checkpoint.Quorum{Members: 1, NeutralRoles: 1}, "court-a"), nodes: map[string]*Chain{}, change: change}
	t.Cleanup(func() {
		if ch := r.nodes["court-a"]; ch != nil {
			_ = ch.Stop() // some tests have broken it
		}
	})
	r.start("court-a")
	return r
}

// TestReplay: whatever the ledger has lost, CometBFT's blocks bring back, to the
// same AppHash; seals and guard go on from there.
func TestReplay(t *testing.T) {
	r := startSingle(t, nil)
	for seq := uint64(1); seq <= 5; seq++ {
		r.submit("court-a", r.batch("court-a", seq, nil))
		r.sealedBy(r.index("court-a", seq), 1, 10*time.Second)
	}
	want := r.nodes["court-a"].app.state()
	data := r.config("court-a").Dir
	early := filepath.Join(t.TempDir(), "ledger")
	for _, loss := range []string{"nothing", "everything", "the last heights"} {
		t.Run(loss, func(t *testing.T) {
			r.tb = t
			r.stop("court-a")
			ledger := filepath.Join(data, "ledger")
			switch loss {
			case "nothing":
				if err := os.CopyFS(early, os.DirFS(ledger)); err != nil {
					t.Fatal(err)
				}
			case "everything":
				if err := os.RemoveAll(ledger); err != nil {
					t.Fatal(err)
				}
			default:
				if err := errors.Join(os.RemoveAll(ledger), os.CopyFS(ledger, os.DirFS(early))); err != nil {
					t.Fatal(err)
				}
			}
			r.start("court-a")
			ch := r.nodes["court-a"]
			if st := ch.app.state(); st.height < want.height || st.appHash != want.appHash || st.size != want.size {
				t.Fatalf("height %d size %d after height %d size %d, AppHash equal: %v", st.height, st.size, want.height, want.size, st.appHash == want.appHash)
			}
			wait(t, "the guard lets it seal again", 10*time.Second, func() bool { s := ch.Status(); return s.Guard.OK && s.Quorum.Met })
			size := ch.Size()
			_, last, err := ch.LastSeq("court-a")
			if err != nil {
				t.Fatal(err)
			}
			seq := uint64(last.Sub(baseTime)/time.Second) + 1
			r.submit("court-a", r.batch("court-a", seq, nil))
			r.sealedBy(r.index("court-a", seq), 1, 10*time.Second)
			if ch.Size() != size+1 {
				t.Errorf("size %d after %d", ch.Size(), size)
			}
			want = ch.app.state()
		})
	}
	r.noFailure()
}

// TestFailed: a height that cannot be written ends consensus, and Failed says
// so while Stop still works.
func TestFailed(t *testing.T) {
	r := startSingle(t, nil)
	ch := r.nodes["court-a"]
	r.submit("court-a", r.batch("court-a", 1, nil))
	r.index("court-a", 1)
	wait(t, "an idle chain", 5*time.Second, func() bool { return time.Since(ch.Status().LastCommit) > 300*time.Millisecond })
	if err := ch.store.close(); err != nil {
		t.Fatal(err)
	}
	if err := ch.Submit(t.Context(), r.batch("court-a", 2, nil)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ch.Failed():
		if err == nil || !strings.Contains(err.Error(), "failed") {
			t.Errorf("failed with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a failed commit was not reported")
	}
	if err := ch.Stop(); err == nil {
		t.Error("the store was closed twice without an error")
	}
	if err := ch.Submit(t.Context(), nil); !errors.Is(err, ErrBusy) {
		t.Errorf("submitting after Stop: %v", err)
	}
}

// TestHeartbeat: an idle chain makes empty blocks at the heartbeat and not
// without end, and its AppHash stays.
func TestHeartbeat(t *testing.T) {
	r := startSingle(t, func(c *Config) { c.Heartbeat = 700 * time.Millisecond })
	ch := r.nodes["court-a"]
	wait(t, "the first block", 10*time.Second, func() bool { return ch.Status().Height >= 1 })
	first := ch.app.state()
	begin := time.Now()
	wait(t, "three more blocks", 10*time.Second, func() bool { return ch.Status().Height >= first.height+3 })
	if took := time.Since(begin); took < 1400*time.Millisecond {
		t.Errorf("three empty blocks took only %s", took)
	}
	if st := ch.app.state(); st.appHash != first.appHash || st.size != 1 {
		t.Error("empty blocks changed the state")
	}
}

// TestForeignData: data of another chain is refused, not mended.
func TestForeignData(t *testing.T) {
	r := startSingle(t, nil)
	wait(t, "the first block", 10*time.Second, func() bool { return r.nodes["court-a"].Status().Height >= 1 })
	r.stop("court-a")
	other := newFixtureOf(t, checkpoint.Quorum{Members: 1, NeutralRoles: 1}, "court-a")
	cfg := other.config("court-a")
	cfg.Dir = r.config("court-a").Dir
	if _, err := Start(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "this node needs") {
		t.Errorf("another chain's ledger: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(cfg.Dir, "ledger")); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(context.Background(), cfg); err == nil {
		t.Error("another chain's blocks were taken")
	}
	// Whoever deletes the data does not delete with them what the consensus key
	// has signed: that file is with the keys.
	raw := must[[]byte](t)(os.ReadFile(lastSignedPath(r.config("court-a").ConsensusKeyPath)))
	if bytes.Contains(raw, []byte(`"height": "0"`)) {
		t.Errorf("the last signature is not remembered: %s", raw)
	}
}

// TestPortInUse: a start that fails leaves nothing locked.
func TestPortInUse(t *testing.T) {
	f := newFixtureOf(t, checkpoint.Quorum{Members: 1, NeutralRoles: 1}, "court-a")
	l := must[net.Listener](t)(net.Listen("tcp", f.parties["court-a"].card.Peer))
	if _, err := Start(t.Context(), f.config("court-a")); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("started on a port in use: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ch, err := Start(t.Context(), f.config("court-a"))
	if err != nil {
		t.Fatalf("starting after a failed start: %v", err)
	}
	if err := ch.Stop(); err != nil {
		t.Error(err)
	}
	if err := ch.Stop(); err != nil {
		t.Error("stopping twice:", err)
	}
}

// TestAppPanic: a panic in the app reaches Failed through a real CometBFT.
func TestAppPanic(t *testing.T) {
	r := startSingle(t, nil)
	ch := r.nodes["court-a"]
	ch.app.mu.Lock()
	ch.app.committing = func(*state, bool) { panic("broken invariant") }
	ch.app.mu.Unlock()
	wait(t, "the transaction is taken", 10*time.Second, func() bool {
		err := ch.Submit(t.Context(), r.batch("court-a", 1, nil))
		return err == nil || errors.Is(err, ErrDuplicate)
	})
	select {
	case err := <-ch.Failed():
		if !strings.Contains(err.Error(), "broken invariant") {
			t.Errorf("failed with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a panic was not reported")
	}
	if err := ch.Stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
}
