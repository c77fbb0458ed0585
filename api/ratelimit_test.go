package api

import (
	"net/netip"
	"testing"
	"time"
)

func TestBuckets(t *testing.T) {
	now := time.Unix(1, 0)
	b := newBuckets[string](10, 0, 2, func() time.Time { return now })
	b.take("a", 19)
	if d := b.debt("a"); d != 0 {
		t.Fatalf("one token is left, and it waits %v", d)
	}
	b.take("a", 15)
	if d := b.debt("a"); d != 1500*time.Millisecond {
		t.Fatalf("14 tokens of debt at ten a second: %v", d)
	}
	b.take("a", 1000)
	b.take("a", 1000)
	if d := b.debt("a"); d > 2*burstTime+time.Second {
		t.Fatalf("the debt is not bounded: %v", d)
	}
	now = now.Add(time.Minute)
	if d := b.debt("a"); d != 0 {
		t.Fatalf("after a minute: %v", d)
	}
	if b.debt("nobody"); b.len() != 1 {
		t.Fatal("a look made a bucket")
	}
	b.take("a", 100)
	b.take("b", 1)
	b.take("c", 1) // a was used before b
	if b.len() != 2 || b.debt("a") != 0 {
		t.Fatal("the bucket unused longest did not make room")
	}
	var none *buckets[string]
	if none.take("a", 1); none.debt("a") != 0 || newBuckets[string](-1, 1, 1, time.Now) != nil {
		t.Fatal("no limit holds back")
	}
}

func TestAddressOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1", "[::ffff:192.0.2.1]:80": "192.0.2.1",
		"[2001:db8:0:1:2:3:4:5]:80": "2001:db8:0:1::", "[fe80::1%eth0]:80": "fe80::",
		"": "invalid IP", "pipe": "invalid IP", "@:1": "invalid IP",
	} {
		if got := addressOf(remote).String(); got != want {
			t.Errorf("%q: %s, want %s", remote, got, want)
		}
	}
}

func TestRoomForBodies(t *testing.T) {
	r := newRoom(400)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	if !r.take(a, 100) || r.take(a, 1) {
		t.Fatal("one address has a quarter")
	}
	for i := range byte(3) {
		if !r.take(netip.AddrFrom4([4]byte{10, 0, 0, i}), 100) {
			t.Fatal("others have the rest")
		}
	}
	if r.take(b, 1) {
		t.Fatal("it is full")
	}
	r.give(a, 100)
	if !r.take(b, 100) || len(r.from) != 4 {
		t.Fatal("what was given back is there again")
	}
}
