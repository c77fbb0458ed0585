package chain

import (
	"testing"
	"time"

	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

func TestSealsThatAreNotCollected(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, "court-a")
	n.block()
	n.block(f.batch("court-a", 1, nil), f.batch("vendor-a", 1, nil))
	court := n.nodes["court-a"].ch
	_, at, _, err := court.store.finalized(3)
	if err != nil {
		t.Fatal(err)
	}
	now := n.clock.Unix()
	seal := func(member string, size uint64, time int64, change func(*wireSeal)) wireSeal {
		w := wireSeal{size: size, root: someRoot(size)}
		if size <= court.Size() {
			w.root = must[merkle.Digest](t)(merkle.RootAt(size, court.store))
		}
		w.seal = must[checkpoint.Seal](t)(checkpoint.Sign(f.c.checkpoint(size, w.root), member, time, f.parties["vendor-a"].seals))
		if change != nil {
			change(&w)
		}
		return w
	}
	cases := []struct {
		name string
		w    wireSeal
		live bool
		want outcome
		bad  bool // the sender's fault
	}{
		{"a live one", seal("vendor-a", 3, now, nil), true, stored, false},
		{"the same again", seal("vendor-a", 3, now, nil), true, known, false},
		{"a newer one", seal("vendor-a", 3, now+1, nil), true, stored, false},
		{"an older one of an answer", seal("vendor-a", 3, at.Unix(), nil), false, stored, false},
		{"in between: neither first nor newest", seal("vendor-a", 3, now, nil), true, known, false},
		{"live and too old", seal("vendor-a", 3, now-61, nil), true, ignored, false},
		{"live and too new", seal("vendor-a", 3, now+61, nil), true, ignored, false},
		{"answered and too new", seal("vendor-a", 3, now+61, nil), false, ignored, false},
		{"dated before its block", seal("vendor-a", 3, at.Unix()-6, nil), false, ignored, false},
		{"of a size that no block ended with", seal("vendor-a", 2, now, nil), true, ignored, false},
		{"of a size to come", seal("vendor-a", 9, now, nil), true, holding, false},
		{"of a size to come, from no member", seal("stranger", 9, now, nil), true, ignored, true},
		{"from no member", seal("stranger", 3, now, nil), true, ignored, true},
		{"in another member's name", seal("notary-a", 3, now, nil), true, ignored, true},
		{"a spoiled SM2 signature", seal("vendor-a", 3, now+2, func(w *wireSeal) { w.seal.SM2[5] ^= 1 }), true, ignored, true},
		{"a spoiled Ed25519 signature", seal("vendor-a", 3, now+2, func(w *wireSeal) { w.seal.Ed25519[5] ^= 1 }), true, ignored, true},
		{"a spoiled log signature", seal("vendor-a", 3, now+2, func(w *wireSeal) { w.seal.Log[5] ^= 1 }), true, ignored, true},
		{"another time than was signed", seal("vendor-a", 3, now+2, func(w *wireSeal) { w.seal.Time++ }), true, ignored, true},
		{"an unsigned other root", seal("vendor-a", 3, now+2, func(w *wireSeal) { w.root = someRoot(3) }), true, ignored, true},
		{"a signed other root", func() wireSeal {
			w := wireSeal{size: 3, root: someRoot(3)}
			w.seal = must[checkpoint.Seal](t)(checkpoint.Sign(f.c.checkpoint(3, w.root), "vendor-a", now-1000, f.parties["vendor-a"].seals))
			return w
		}(), true, conflict, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := court.book.put(c.w, c.live, court.Size())
			if got != c.want || (err != nil) != c.bad {
				t.Errorf("outcome %d, error %v; want %d, %v", got, err, c.want, c.bad)
			}
		})
	}
	for i := range uint64(10) {
		if _, err := court.book.put(seal("vendor-a", 20+i, now, nil), true, court.Size()); err != nil {
			t.Fatal(err)
		}
	}
	if held := court.book.held["vendor-a"]; len(held) != maxHeldPerMember || held[len(held)-1].size != 29 {
		t.Errorf("%d seals held", len(held))
	}
	for i := range maxConflicts + 3 {
		w := wireSeal{size: 3, root: someRoot(uint64(100 + i))}
		w.seal = must[checkpoint.Seal](t)(checkpoint.Sign(f.c.checkpoint(3, w.root), "vendor-a", now, f.parties["vendor-a"].seals))
		if _, err := court.book.put(w, true, court.Size()); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := court.book.conflicts(3, "vendor-a"); n != maxConflicts || err != nil {
		t.Errorf("%d conflicts kept, %v", n, err)
	}
}

// TestSealsSurviveRestart: what the book knew it knows again.
func TestSealsSurviveRestart(t *testing.T) {
	f := newFixture(t)
	n := newSealNet(f, f.ids...)
	n.block()
	n.block(f.batch("court-a", 1, nil))
	n.step(time.Second)
	n.step(defaultReseal)
	old := n.nodes["court-a"].ch
	note, size, _, err := old.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	if err := old.store.close(); err != nil {
		t.Fatal(err)
	}
	again := n.open("court-a").ch
	got, gotSize, ok, err := again.Checkpoint()
	if err != nil || !ok || gotSize != size || string(got) != string(note) {
		t.Errorf("checkpoint of %d: %v %v\n%s\nwant\n%s", gotSize, ok, err, got, note)
	}
}
