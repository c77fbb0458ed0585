package chain

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qifeng/proof/merkle"
)

const guardOrigin = "qifeng/test-12345678"

func someRoot(n uint64) merkle.Digest { return merkle.LeafHash(be8(n)) }

func rootsOf(n uint64) (merkle.Digest, error) {
	if n == 0 {
		return merkle.EmptyRoot(), nil
	}
	return someRoot(n), nil
}

func TestGuardAllow(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	at := func(size uint64) guardRecord { return guardRecord{size: size, root: someRoot(size), time: now.Unix()} }
	forked := at(10)
	forked.root = someRoot(11)
	halfForked := at(10)
	halfForked.root.SM3 = someRoot(11).SM3
	cases := []struct {
		name      string
		guard     guard
		size      uint64
		ledger    uint64
		now       time.Time
		blockTime time.Time
		text      string // "" where the seal is allowed
		alarm     bool
		wait      bool
	}{
		{"a fresh guard", guard{have: guardRecord{root: merkle.EmptyRoot()}}, 1, 1, now, now, "", false, false},
		{"a larger size", guard{have: at(10)}, 12, 12, now, now, "", false, false},
		{"the same size again", guard{have: at(10)}, 10, 10, now, now, "", false, false},
		{"an older finalized size of a longer ledger", guard{have: at(10)}, 11, 15, now, now, "", false, false},
		{"clock just within the tolerance", guard{have: guardRecord{root: merkle.EmptyRoot()}}, 1, 1, now, now.Add(clockBehind), "", false, false},
		{"a ledger that contradicts it", guard{have: forked}, 12, 12, now, now, "contradicts", true, false},
		{"only the SM3 half contradicts it", guard{have: halfForked}, 12, 12, now, now, "contradicts", true, false},
		{"the same size with another root", guard{have: forked}, 10, 10, now, now, "contradicts", true, false},
		{"a ledger shorter than what was sealed", guard{have: at(10)}, 9, 9, now, now, "incomplete", true, false},
		{"a size before the sealed one", guard{have: at(10)}, 9, 12, now, now, "older than the sealed size", false, false},
		{"a time that goes back a little", guard{have: at(10)}, 12, 12, now.Add(-time.Second), now.Add(-time.Minute), "never go back", false, true},
		{"a time that goes back a lot", guard{have: at(10)}, 12, 12, now.Add(-time.Hour), now.Add(-2 * time.Hour), "never go back", true, true},
		{"a clock behind block time", guard{have: guardRecord{root: merkle.EmptyRoot()}}, 1, 1, now, now.Add(clockBehind + time.Millisecond), "behind block time", true, true},
		{"no file", guard{missing: true}, 1, 1, now, now, "is missing", true, false},
		{"an unusable file", guard{broken: os.ErrPermission}, 1, 1, now, now, "cannot be used", true, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			why := c.guard.allow(c.size, c.now, c.blockTime, c.ledger, rootsOf)
			switch {
			case c.text == "" && why != nil:
				t.Errorf("refused: %s", why.text)
			case c.text != "" && why == nil:
				t.Error("allowed")
			case why != nil && (!strings.Contains(why.text, c.text) || why.alarm != c.alarm || why.wait != c.wait):
				t.Errorf("refused with %+v", *why)
			}
		})
	}
	broken := guard{have: at(10)}
	if why := broken.allow(12, now, now, 12, func(uint64) (merkle.Digest, error) { return merkle.Digest{}, os.ErrClosed }); why == nil || !why.alarm {
		t.Errorf("a ledger that cannot be read: %v", why)
	}
}

func TestGuardFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.json")
	if g := openGuard(path, guardOrigin); !g.missing || g.broken != nil {
		t.Errorf("no file: %+v", g)
	}
	if err := InitGuard(path, guardOrigin); err != nil {
		t.Fatal(err)
	}
	if err := InitGuard(path, guardOrigin); err == nil {
		t.Error("a guard was replaced by an empty one")
	}
	if mode := must[os.FileInfo](t)(os.Stat(path)).Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %o", mode)
	}
	g := openGuard(path, guardOrigin)
	if g.missing || g.broken != nil || g.have != (guardRecord{root: merkle.EmptyRoot()}) {
		t.Fatalf("a fresh guard: %+v", g)
	}
	want := guardRecord{size: 7, root: someRoot(7), time: 1_800_000_000}
	if err := g.advance(want); err != nil {
		t.Fatal(err)
	}
	if got := openGuard(path, guardOrigin); got.have != want || got.broken != nil {
		t.Errorf("read back %+v", got)
	}
	good := string(must[[]byte](t)(os.ReadFile(path)))
	for name, text := range map[string]string{
		"empty":           "",
		"cut":             good[:len(good)/2],
		"trailing":        good + "x",
		"unknown field":   strings.Replace(good, `{"origin"`, `{"a":1,"origin"`, 1),
		"another chain":   strings.Replace(good, "test-1", "test-2", 1),
		"another version": strings.Replace(good, `"v":1`, `"v":2`, 1),
		"no time":         strings.Replace(good, `"time":1800000000,`, "", 1),
		"negative size":   strings.Replace(good, `"size":7`, `"size":-7`, 1),
		"too long":        good + strings.Repeat(" ", maxGuardBytes),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		g := openGuard(path, guardOrigin)
		if g.broken == nil || g.missing {
			t.Errorf("%s: %+v", name, g)
		}
		if why := g.allow(9, time.Unix(1_900_000_000, 0), time.Unix(1_900_000_000, 0), 9, rootsOf); why == nil || !why.alarm {
			t.Errorf("%s: sealing goes on", name)
		}
		if err := g.advance(want); err == nil {
			t.Errorf("%s: an unusable guard was overwritten", name)
		}
	}
}

// TestGuardBeforeSeal: where the guard cannot be written, no seal leaves.
func TestGuardBeforeSeal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	n := newSealNet(f, "court-a").nodes["court-a"]
	if err := InitGuard(filepath.Join(dir, "guard.json"), f.c.origin); err != nil {
		t.Fatal(err)
	}
	n.ch.sealer.guard = openGuard(filepath.Join(dir, "guard.json"), f.c.origin)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	f.block(n.ch)
	n.ch.sealer.onTick()
	if len(n.sent) != 0 {
		t.Errorf("%d messages left without a guard on disk", len(n.sent))
	}
	if seals, _, err := n.ch.Seals(1); err != nil || len(seals) != 0 {
		t.Errorf("%d seals were stored without a guard on disk, %v", len(seals), err)
	}
	if _, g := n.ch.sealer.report(); g.OK || !g.Alarm {
		t.Errorf("status %+v", g)
	}
}
