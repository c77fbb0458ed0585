package fsck_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"qifeng/fsck"
)

// goodBatch is a closed batch of the vendor, and what checks bytes in its place.
func goodBatch(t *testing.T, seq int) (check func(name string, data []byte) error, name string, good []byte) {
	t.Helper()
	d := newDamaged(t, vendor)
	check, done, err := fsck.BatchChecker(t.Context(), layout(d.dir, vendor))
	d.ok(err)
	t.Cleanup(done)
	path := d.path(fmt.Sprintf("%s*%d-*.batch", batchesDir, seq))
	name = filepath.Base(path)
	good, err = os.ReadFile(path)
	d.ok(err, check(name, good))
	return check, name, good
}

// TestEveryByte changes every byte of a batch file, first as a disk does and then
// as somebody who puts the checksums right again, and cuts it at every length.
// Nothing of it is outside of what is stated.
func TestEveryByte(t *testing.T) {
	check, name, good := goodBatch(t, 1)
	starts := fsck.FrameStarts(good)
	if len(starts) != 3 {
		t.Fatalf("%d frames", len(starts))
	}
	workers := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for at := w; at < len(good); at += workers {
				if err := check(name, good[:at]); !fsck.IsProblem(err, name) {
					t.Errorf("cut to %d bytes: %v", at, err)
				}
				bad := bytes.Clone(good)
				bad[at] ^= 1 << (at % 8)
				if err := check(name, bad); !fsck.IsProblem(err, name) {
					t.Errorf("byte %d changed: %v", at, err)
				}
				if !fsck.Reseal(name, bad, starts, at) {
					continue
				}
				if err := check(name, bad); !fsck.IsProblem(err, name) {
					t.Errorf("byte %d changed with its checksums: %v", at, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestHashesBesideLeaves changes what a group keeps of its trees besides their
// leaves, and puts the checksums right: no path is made of it that is not true.
func TestHashesBesideLeaves(t *testing.T) {
	check, name, good := goodBatch(t, 3)
	starts := fsck.FrameStarts(good)
	// The receipt's stand before the statement, the statement's before the records.
	record := bytes.Index(good, []byte(`{"intake":`))
	statement := bytes.LastIndex(good[:max(record, 0)], []byte(`{"body":{"count"`))
	if statement < 0 {
		t.Fatal("the group is not as it is written")
	}
	for _, end := range []int{statement, record} {
		for _, at := range []int{end - 1, end - 64, end - 65, end - 128} {
			bad := bytes.Clone(good)
			bad[at] ^= 1
			if !fsck.Reseal(name, bad, starts, at) {
				t.Fatalf("byte %d is in no frame", at)
			}
			if err := check(name, bad); !fsck.IsProblem(err, name) || !strings.Contains(err.Error(), "the hashes beside") {
				t.Errorf("byte %d changed with its checksums: %v", at, err)
			}
		}
	}
}

// TestReordered exchanges the two records of a batch, and puts the checksums right.
func TestReordered(t *testing.T) {
	check, name, good := goodBatch(t, 1)
	starts := fsck.FrameStarts(good)
	group := good[starts[1]:starts[2]]
	one := bytes.Index(group, []byte(`{"intake":`))
	two := one + 1 + bytes.Index(group[one+1:], []byte(`{"intake":`))
	if one < 0 || two <= one || len(group)-5-two != two-one {
		t.Fatal("the group does not hold two records of one length")
	}
	bad := bytes.Clone(good)
	copy(bad[starts[1]+one:], group[two:len(group)-5])
	copy(bad[starts[1]+two:], group[one:two])
	fsck.Reseal(name, bad, starts, starts[1]+one)
	if err := check(name, bad); !fsck.IsProblem(err, name) {
		t.Errorf("two records exchanged: %v", err)
	}
	// The whole group twice.
	bad = append(bytes.Clone(good[:starts[2]]), good[starts[1]:]...)
	if err := check(name, bad); !fsck.IsProblem(err, name) {
		t.Errorf("a group twice: %v", err)
	}
	// Without the group.
	bad = append(bytes.Clone(good[:starts[1]]), good[starts[2]:]...)
	if err := check(name, bad); !fsck.IsProblem(err, name) {
		t.Errorf("no group: %v", err)
	}
}

// TestBrokenPromise is a batch that is not on the ledger when its receipts' deadline
// has passed.
func TestBrokenPromise(t *testing.T) {
	d := newDamaged(t, vendor)
	path := d.path("data/archive/outbox/*")
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{time.Hour, false}, {25 * time.Hour, true}} {
		p, err := fsck.Broken(t.Context(), layout(d.dir, vendor), path, time.Now().Add(c.after).Unix())
		d.ok(err)
		if (p != nil) != c.want || p != nil && p.Code != fsck.CodeBroken {
			t.Errorf("sealed in %v: %v", c.after, p)
		}
	}
}
