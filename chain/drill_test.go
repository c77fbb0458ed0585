package chain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"qifeng/proof/merkle"
)

// drill is a network of four in which vendor-a's home is ill-treated. Whatever
// is done to it, the others go on, and no seal of it contradicts another.
type drill struct {
	*running
	log *logged
	seq uint64
}

const victim = "vendor-a"

// logged keeps what a node logs.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), text)
}

func newDrill(t *testing.T) *drill {
	t.Helper()
	d := &drill{log: &logged{}}
	d.running = startNetworkOf(t, newFixture(t), func(c *Config) {
		c.Heartbeat = time.Second
		if c.Self == victim {
			c.Logger = slog.New(slog.NewTextHandler(d.log, nil))
		}
	})
	t.Cleanup(func() { // before the nodes are stopped
		if !t.Failed() {
			return
		}
		t.Logf("log of %s:\n%s", victim, d.log.b.String())
		for id, ch := range d.nodes {
			t.Logf("status of %s: %+v, heights of its peers %v", id, ch.Status(), ch.heights())
		}
	})
	return d
}

// next puts one more batch of court-a on the chain and returns its index.
func (d *drill) next() uint64 {
	d.tb.Helper()
	d.seq++
	d.submit("court-a", d.batch("court-a", d.seq, nil))
	var index uint64
	wait(d.tb, "a batch on the chain", 30*time.Second, func() bool {
		i, ok, err := d.nodes["court-a"].Batch("court-a", d.seq)
		if err != nil {
			d.tb.Fatal(err)
		}
		index = i
		return ok
	})
	return index
}

// goesOn checks that the others make blocks and seal without the victim.
func (d *drill) goesOn() {
	d.tb.Helper()
	index := d.next()
	wait(d.tb, "the others seal", 30*time.Second, func() bool {
		_, _, ok, err := d.nodes["court-a"].Covering(index)
		return err == nil && ok
	})
}

// sealsAgain waits until the others hold the victim's seal on a size that is
// new.
func (d *drill) sealsAgain() {
	d.tb.Helper()
	size := d.next() + 1
	wait(d.tb, "vendor-a seals the newest size", 45*time.Second, func() bool {
		_, ok, err := d.nodes["court-a"].book.first(size, victim)
		return err == nil && ok
	})
	s := d.nodes[victim].Status()
	if !s.Guard.OK || s.Guard.Code != "" {
		d.tb.Errorf("it seals, and its status says %+v", s.Guard)
	}
	d.truthful()
}

// refuses waits until status and log name the code.
func (d *drill) refuses(code Code) {
	d.tb.Helper()
	wait(d.tb, fmt.Sprintf("vendor-a refuses with %s", code), 30*time.Second, func() bool {
		g := d.nodes[victim].Status().Guard
		return !g.OK && g.Code == code && g.Alarm && g.Text != ""
	})
	wait(d.tb, "the log names "+string(code), time.Second, func() bool { return d.log.has("code=" + string(code)) })
}

// truthful checks every seal of the victim at every other node against the one
// ledger: an extension of all before, and no lie among the alarms.
func (d *drill) truthful() {
	d.tb.Helper()
	for id, ch := range d.nodes {
		if id == victim {
			continue
		}
		for size := uint64(1); size <= ch.Size(); size++ {
			s, ok, err := ch.book.first(size, victim)
			if err != nil {
				d.tb.Fatal(err)
			}
			if !ok {
				continue
			}
			m, _ := ch.c.sealer(victim, size)
			root := must[merkle.Digest](d.tb)(ch.store.rootAt(size))
			if err := m.VerifySeal(ch.c.checkpoint(size, root), s); err != nil {
				d.tb.Errorf("the seal of size %d at %s: %v", size, id, err)
			}
		}
		for _, a := range ch.Status().Alarms {
			d.tb.Errorf("an alarm at %s: %s %s", id, a.Code, a.Text)
		}
	}
	d.noFailure()
}

// home copies of the victim: chain data, guard, last signature.
func (d *drill) state() []string {
	cfg := d.config(victim)
	return []string{cfg.Dir, cfg.GuardPath, lastSignedPath(cfg.ConsensusKeyPath)}
}

// keep stops the victim, copies its state into a folder, and starts it again.
func (d *drill) keep() string {
	d.tb.Helper()
	d.stop(victim)
	dir := d.tb.(*testing.T).TempDir()
	for i, path := range d.state() {
		copyAny(d.tb, path, filepath.Join(dir, fmt.Sprint(i)))
	}
	d.start(victim)
	return dir
}

// putBack replaces parts of the stopped victim's state by a copy.
func (d *drill) putBack(dir string, parts ...int) {
	d.tb.Helper()
	for _, i := range parts {
		path := d.state()[i]
		if err := os.RemoveAll(path); err != nil {
			d.tb.Fatal(err)
		}
		copyAny(d.tb, filepath.Join(dir, fmt.Sprint(i)), path)
	}
}

func copyAny(tb testing.TB, from, to string) {
	tb.Helper()
	info, err := os.Stat(from)
	if err != nil {
		tb.Fatal(err)
	}
	if info.IsDir() {
		err = os.CopyFS(to, os.DirFS(from))
	} else if raw, e := os.ReadFile(from); e != nil {
		err = e
	} else {
		err = os.WriteFile(to, raw, 0o600)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// votedBetween counts the victim's votes in the commits of some heights, as
// court-a has them.
func (d *drill) votedBetween(from, to int64) (n int) {
	d.tb.Helper()
	ch := d.nodes["court-a"]
	var address []byte
	for _, v := range ch.c.genesisDoc().Validators {
		if v.Name == victim {
			address = v.Address
		}
	}
	for h := from; h <= to; h++ {
		if len(ch.comet.ownSignature(h, address)) > 0 {
			n++
		}
	}
	return n
}

// TestDrillDatabase: the chain database is rolled back or exchanged.
func TestDrillDatabase(t *testing.T) {
	t.Parallel()
	d := newDrill(t)
	d.sealsAgain()
	old := d.keep()
	d.sealsAgain()
	d.sealsAgain()

	t.Log("rolled back: the others' blocks bring it forward again, and its guard knows what it sealed")
	d.stop(victim)
	guard := string(must[[]byte](t)(os.ReadFile(d.guardPath(victim))))
	d.putBack(old, 0)
	d.goesOn()
	if now := string(must[[]byte](t)(os.ReadFile(d.guardPath(victim)))); now != guard {
		t.Error("the guard changed while nothing ran")
	}
	d.start(victim)
	d.sealsAgain()

	t.Log("exchanged for that of another member")
	d.stop(victim)
	d.stop("notary-a")
	if err := os.RemoveAll(d.config(victim).Dir); err != nil {
		t.Fatal(err)
	}
	copyAny(t, d.config("notary-a").Dir, d.config(victim).Dir)
	d.start("notary-a")
	d.goesOn()
	d.start(victim)
	d.sealsAgain()

	t.Log("only the ledger of another member, older than the blocks")
	d.stop(victim)
	ledger := filepath.Join(d.config(victim).Dir, "ledger")
	if err := os.RemoveAll(ledger); err != nil {
		t.Fatal(err)
	}
	copyAny(t, filepath.Join(old, "0", "ledger"), ledger)
	d.start(victim)
	d.sealsAgain()

	t.Log("exchanged for that of another chain: the start is refused, and says why")
	d.stop(victim)
	other := startSingle(t, nil)
	wait(t, "the other chain's first block", 20*time.Second, func() bool { return other.nodes["court-a"].Status().Height >= 1 })
	other.stop("court-a")
	for _, part := range []string{"ledger", "comet"} {
		t.Run(part, func(t *testing.T) {
			cfg := d.config(victim)
			cfg.Dir = filepath.Join(t.TempDir(), "data")
			copyAny(t, d.config(victim).Dir, cfg.Dir)
			if err := os.RemoveAll(filepath.Join(cfg.Dir, part)); err != nil {
				t.Fatal(err)
			}
			copyAny(t, filepath.Join(other.config("court-a").Dir, part), filepath.Join(cfg.Dir, part))
			ch, err := Start(context.Background(), cfg)
			if err == nil {
				_ = ch.Stop()
				t.Fatal("another chain's data was taken")
			}
			t.Log(err)
		})
	}
	d.goesOn()
	d.start(victim)
	d.sealsAgain()
}

// TestDrillHistory: a member that is a chain by itself, and so can make another
// history: everything but its guard is rolled back. It seals nothing of the new
// history, neither while it is shorter nor when it is longer.
func TestDrillHistory(t *testing.T) {
	t.Parallel()
	r := startSingle(t, nil)
	d := &drill{running: r}
	seal := func() {
		index := d.next()
		r.sealedBy(index, 1, 20*time.Second)
	}
	seal()
	r.stop("court-a")
	cfg := r.config("court-a")
	old := t.TempDir()
	copyAny(t, cfg.Dir, filepath.Join(old, "data"))
	copyAny(t, lastSignedPath(cfg.ConsensusKeyPath), filepath.Join(old, "last"))
	r.start("court-a")
	seal()
	seal()
	r.stop("court-a")
	if err := errors.Join(os.RemoveAll(cfg.Dir), os.Remove(lastSignedPath(cfg.ConsensusKeyPath))); err != nil {
		t.Fatal(err)
	}
	copyAny(t, filepath.Join(old, "data"), cfg.Dir)
	copyAny(t, filepath.Join(old, "last"), lastSignedPath(cfg.ConsensusKeyPath))

	r.start("court-a")
	ch := r.nodes["court-a"]
	refuses := func(code Code) {
		t.Helper()
		wait(t, "refusing with "+string(code), 20*time.Second, func() bool {
			g := ch.Status().Guard
			return !g.OK && g.Code == code && g.Alarm
		})
	}
	refuses(CodeLedgerShort)
	for seq := uint64(102); seq < 106; seq++ { // other batches than before
		r.submit("court-a", r.batch("court-a", seq, nil))
		r.index("court-a", seq)
	}
	refuses(CodeLedgerContradicts)
	height := ch.Status().Height
	r.submit("court-a", r.batch("court-a", 200, nil))
	r.index("court-a", 200)
	for size := uint64(3); size <= ch.Size(); size++ {
		if seals, _, err := ch.Seals(size); err != nil || len(seals) != 0 {
			t.Errorf("%d seals on size %d of the other history, %v", len(seals), size, err)
		}
	}
	if ch.Status().Height <= height {
		t.Error("consensus does not go on")
	}
	r.noFailure()
}

// TestDrillGuard: the guard is gone, or of another chain.
func TestDrillGuard(t *testing.T) {
	t.Parallel()
	d := newDrill(t)
	d.sealsAgain()

	t.Log("missing: nothing is sealed until the others' seals are verified")
	d.stop(victim)
	if err := os.Remove(d.guardPath(victim)); err != nil {
		t.Fatal(err)
	}
	d.stop("notary-a") // two others are no quorum of seals
	d.start(victim)
	d.refuses(CodeGuardMissing)
	before := d.nodes["court-a"].Size()
	size := d.next() + 1 // three make blocks: consensus goes on, with the victim's votes
	wait(t, "two seals on the new size", 20*time.Second, func() bool {
		seals, _, err := d.nodes["court-a"].Seals(size)
		return err == nil && len(seals) == 2
	})
	d.refuses(CodeGuardMissing)
	if _, err := os.Stat(d.guardPath(victim)); !errors.Is(err, fs.ErrNotExist) || size <= before {
		t.Errorf("a guard was made without a quorum of others: %v", err)
	}
	d.start("notary-a")
	d.sealsAgain()
	d.alarmed(CodeGuardRemade)

	t.Log("of another chain: nothing is sealed until a person looks")
	d.stop(victim)
	if err := os.WriteFile(d.guardPath(victim), encodeGuard("qifeng/other-00000000", guardRecord{root: merkle.EmptyRoot()}), 0o600); err != nil {
		t.Fatal(err)
	}
	d.start(victim)
	d.refuses(CodeGuardOrigin)
	size = d.next() + 1
	wait(t, "the others' seals", 20*time.Second, func() bool {
		seals, _, err := d.nodes["court-a"].Seals(size)
		return err == nil && len(seals) == 3
	})
	d.refuses(CodeGuardOrigin)
	d.truthful()
	d.stop(victim)
	if err := os.Remove(d.guardPath(victim)); err != nil { // what docs/operations.md tells the person to do
		t.Fatal(err)
	}
	d.start(victim)
	d.sealsAgain()
}

// alarmed checks that the victim's status has an alarm.
func (d *drill) alarmed(code Code) {
	d.tb.Helper()
	wait(d.tb, "the alarm "+string(code), 5*time.Second, func() bool {
		return slices.ContainsFunc(d.nodes[victim].Status().Alarms, func(a Alarm) bool { return a.Code == code })
	})
}

// TestDrillRestored: a whole home is put back from an older copy, by hand and
// with the mark that restore writes.
func TestDrillRestored(t *testing.T) {
	t.Parallel()
	d := newDrill(t)
	d.sealsAgain()
	old := d.keep()
	d.sealsAgain()
	d.sealsAgain()
	wait(t, "votes after the copy", 20*time.Second, func() bool {
		h := d.nodes["court-a"].Status().Height
		return d.votedBetween(h-2, h-1) > 0
	})

	t.Log("by hand: its own votes on the chain give it away")
	d.stop(victim)
	d.goesOn()
	d.putBack(old, 0, 1, 2)
	d.start(victim)
	d.refuses(CodeOldCopy)
	d.alarmed(CodeOldCopy)
	from := d.nodes["court-a"].Status().Height + 1
	size := d.next() + 1
	d.goesOn()
	to := d.nodes["court-a"].Status().Height - 1
	if n := d.votedBetween(from, to); n != 0 || to < from {
		t.Errorf("it voted %d times at heights %d to %d", n, from, to)
	}
	if _, ok, err := d.nodes["court-a"].book.first(size, victim); ok || err != nil {
		t.Errorf("it sealed size %d, %v", size, err)
	}
	wait(t, "it follows the chain", 20*time.Second, func() bool { return d.nodes[victim].Size() == d.nodes["court-a"].Size() })
	d.truthful()

	t.Log("marked, with two others: it waits, for they make no block")
	d.stop(victim)
	if err := Mark(filepath.Join(d.config(victim).Dir, "restored")); err != nil {
		t.Fatal(err)
	}
	d.stop("notary-a")
	d.start(victim)
	d.refuses(CodeRestored)
	height := d.nodes["court-a"].Status().Height

	t.Log("with three others: released after one block more")
	d.start("notary-a")
	wait(t, "the mark is gone", 45*time.Second, func() bool { return !isMarked(filepath.Join(d.config(victim).Dir, "restored")) })
	d.alarmed(CodeReleased)
	released := d.nodes[victim].app.state().height
	if n := d.votedBetween(from, min(released, d.nodes["court-a"].Status().Height-1)); n != 0 || released <= height {
		t.Errorf("it voted %d times up to its release at height %d, the others were at %d", n, released, height)
	}
	d.sealsAgain()
	wait(t, "it votes again", 30*time.Second, func() bool {
		h := d.nodes["court-a"].Status().Height
		return d.votedBetween(released+1, h-1) > 0
	})
	d.truthful()
}
