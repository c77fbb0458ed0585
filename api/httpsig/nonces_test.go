package httpsig

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestReplay(t *testing.T) {
	d := newDoor(t)
	r := d.signed(t, desk, "/v1/records/00")
	if _, err := d.Verify(r); err != nil {
		t.Fatal(err)
	}
	for ago := time.Duration(0); ago <= Window; ago += time.Second {
		d.clock = start.Add(ago)
		_, err := d.Verify(r)
		refused(t, err, Replayed)
	}
	d.clock = start.Add(Window + time.Second)
	_, err := d.Verify(r)
	refused(t, err, Stale)
}

// TestReplayAhead: a request from a clock that is ahead is remembered for as
// long as it could be shown.
func TestReplayAhead(t *testing.T) {
	d := newDoor(t)
	r := request(t, http.MethodGet, origin+"/", "")
	if err := Sign(r, desk, d.signers[desk], start.Add(Window)); err != nil {
		t.Fatal(err)
	}
	in := sent(t, r)
	if _, err := d.Verify(in); err != nil {
		t.Fatal(err)
	}
	for ago := time.Duration(0); ago <= 2*Window; ago += time.Second {
		d.clock = start.Add(ago)
		_, err := d.Verify(in)
		refused(t, err, Replayed)
	}
}

func TestReplayAtOnce(t *testing.T) {
	d := newDoor(t)
	r := d.signed(t, desk, "/v1/records/00")
	var passed atomic.Int32
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if _, err := d.Verify(r.Clone(t.Context())); err == nil {
				passed.Add(1)
			}
		})
	}
	wg.Wait()
	if passed.Load() != 1 {
		t.Errorf("one request passed %d times", passed.Load())
	}
}

// TestRestart: what was signed before the process began is refused, since the
// process before may have seen it.
func TestRestart(t *testing.T) {
	d := newDoor(t)
	d.clock = start.Add(-time.Second)
	old := d.signed(t, desk, "/")
	d.clock = start.Add(5 * time.Second)
	_, err := d.Verify(old)
	refused(t, err, Stale)
	if _, err := d.Verify(d.signed(t, desk, "/")); err != nil {
		t.Error(err)
	}
}

// TestClockGoesBack: what was forgotten stays refused when the clock is put back
// into its window.
func TestClockGoesBack(t *testing.T) {
	d := newDoor(t)
	r := d.signed(t, desk, "/")
	if _, err := d.Verify(r); err != nil {
		t.Fatal(err)
	}
	d.clock = start.Add(time.Hour)
	if _, err := d.Verify(d.signed(t, desk, "/")); err != nil {
		t.Fatal(err)
	}
	d.clock = start
	_, err := d.Verify(r)
	refused(t, err, Stale)
	_, err = d.Verify(d.signed(t, desk, "/"))
	refused(t, err, Stale)
}

func nonce(i int) (id [nonceSize]byte) {
	binary.BigEndian.PutUint64(id[:], uint64(i))
	return id
}

// TestFull: a member that reads too fast shuts the door for itself alone, and
// only until its oldest nonces are forgotten.
func TestFull(t *testing.T) {
	const begin = 1000
	n := newNonces(begin)
	for i := range maxNonces {
		if err := n.spend("court-a", nonce(i), begin+int64(i%2), begin); err != nil {
			t.Fatal(err)
		}
	}
	e := refused(t, n.spend("court-a", nonce(maxNonces), begin, begin), Full)
	if e.RetryAfter != Window+time.Second {
		t.Errorf("retry after %s", e.RetryAfter)
	}
	refused(t, n.spend("court-a", nonce(0), begin, begin), Replayed)
	if err := n.spend("notary-a", nonce(0), begin, begin); err != nil {
		t.Errorf("another member: %v", err)
	}
	refused(t, n.spend("court-a", nonce(-1), begin+60, begin+windowSeconds), Full)
	if err := n.spend("court-a", nonce(-1), begin+61, begin+windowSeconds+1); err != nil {
		t.Errorf("after Retry-After: %v", err)
	}
	if got := n.members["court-a"].total; got != maxNonces/2+1 {
		t.Errorf("%d nonces are kept, want the half and one", got)
	}
	if err := n.spend("notary-a", nonce(1), begin+500, begin+500); err != nil {
		t.Error(err)
	}
	if len(n.members) != 1 {
		t.Errorf("%d members are kept after all but one were silent", len(n.members))
	}
}

func TestTooManyMembers(t *testing.T) {
	n := newNonces(0)
	for i := range maxMembers {
		if err := n.spend(fmt.Sprintf("member-%d", i), nonce(0), 1, 1); err != nil {
			t.Fatal(err)
		}
	}
	e := refused(t, n.spend("one-more", nonce(0), 1, 1), Full)
	if e.RetryAfter != Window || len(n.members) != maxMembers {
		t.Errorf("retry after %s with %d members", e.RetryAfter, len(n.members))
	}
}
