package archive

import (
	"errors"
	"testing"

	"qifeng/evidence"
)

// TestBacklogIsShared: with the chain halted one key cannot take all the room,
// also after a restart, and has it again when its records are on the chain.
func TestBacklogIsShared(t *testing.T) {
	for _, tc := range []struct {
		name        string
		key, member int
		most        int
	}{
		{"of a key", 50, 100, 10},
		{"of a member", 100, 70, 14},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, func(c *Config) {
				c.Limits.BacklogRecords, c.Limits.BatchRecords = 20, 30
				c.Limits.KeyShare, c.Limits.MemberShare = tc.key, tc.member
			})
			w.chain.hold = true
			w.open()
			refused := func() {
				t.Helper()
				_, err := w.a.Submit(t.Context(), w.request(submission(evidence.ContractFinal)))
				var busy *BusyError
				if !errors.As(err, &busy) || !busy.Own {
					t.Fatalf("beyond the share: %v", err)
				}
			}
			var held []Stored
			for range tc.most {
				held = append(held, w.submit(submission(evidence.ContractFinal))...)
			}
			refused()
			// What is stored is answered for whatever the share.
			if got, err := w.a.ByID(held[0].ID); err != nil || len(got) != 1 {
				t.Fatal(err)
			}
			w.chain.set(func(c *fakeChain) { c.hold = false })
			w.settled()
			if len(w.a.shares.keys) != 0 || len(w.a.shares.members) != 0 {
				t.Fatalf("with nothing waiting: %v", w.a.shares.keys)
			}
			held = append(held, w.submit(submission(evidence.ContractFinal))...)
			w.settled()
			for _, s := range held {
				w.checkPromise(s)
			}
		})
	}
}

// TestSharesAreMadeAgain: a restart counts the journal as the run before did.
func TestSharesAreMadeAgain(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.BacklogRecords = 20 })
	w.chain.hold = true
	w.open()
	for range 10 {
		w.submit(submission(evidence.ContractFinal))
	}
	var open owner
	for o := range w.a.open.owners {
		open = o
	}
	before := w.a.open.owners[open]
	w.reopen()
	if got := w.a.open.owners[open]; got != before || before.records == 0 || before.bytes == 0 {
		t.Fatalf("%+v, before %+v", got, before)
	}
	if key, member := w.a.shares.of(open); key != before || member != before {
		t.Fatalf("the shares are %+v and %+v, the journal has %+v", key, member, before)
	}
}
