package archive

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// TestRangeIsTheReceiptOfEachRecord lets several requests share a receipt. The
// range of each must lead, from records that the caller makes, to the head's
// root, and give every record the path that Stored gives it.
func TestRangeIsTheReceiptOfEachRecord(t *testing.T) {
	w, d, release := blockedBehindOne(t)
	type answer struct {
		req   *evidence.Request
		taken *Taken
		err   error
	}
	answers := make(chan answer, 8)
	send := func(n int) {
		req := w.request(submissions(n)...)
		go func() {
			taken, err := w.a.Submit(context.Background(), req)
			answers <- answer{req, taken, err}
		}()
	}
	send(1)
	<-d.started // the first group is in its fsync
	send(1)
	w.ahead(2)
	for n := range 5 {
		send(n + 1)
	}
	until(t, "five requests wait", func() bool { return len(w.a.work) == 5 })
	release()
	firsts := map[uint64]bool{}
	for range 7 {
		a := <-answers
		if a.err != nil {
			t.Fatal(a.err)
		}
		r := checkRange(t, a.req, a.taken)
		firsts[r.First] = true
	}
	if len(firsts) != 5 { // three at 0, each the first of its group
		t.Errorf("the ranges begin at %v", firsts)
	}
}

// checkRange holds the range of a request against its records.
func checkRange(t *testing.T, req *evidence.Request, taken *Taken) Range {
	t.Helper()
	r, ok := taken.Range()
	all, fresh := taken.Count()
	if !ok || all != len(req.Submissions) || fresh != all || r.Count != uint64(all) || r.Node != testNode {
		t.Fatalf("range %+v, %t, of %d submissions, %d new", r, ok, all, fresh)
	}
	head, err := evidence.ParseReceiptHead(r.Head)
	if err != nil || head.Seq != r.Seq {
		t.Fatalf("head of batch %d in the range of %d: %v", head.Seq, r.Seq, err)
	}
	signed := req.Statement.Signed.Raw
	leaves := make([]merkle.Digest, all)
	for i := range leaves {
		in := evidence.Intake{Index: uint64(i), Node: r.Node, ReceivedAt: head.ReceivedAt, Statement: merkle.Sum(signed)}
		leaves[i] = merkle.LeafHash(evidence.AppendRecord(nil, in, req.Submissions[i].Bytes))
	}
	paths, err := merkle.RangePaths(leaves, r.First, head.Count, r.Path, head.Root)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := taken.Stored()
	if err != nil || len(stored) != all {
		t.Fatalf("%d records: %v", len(stored), err)
	}
	for i, s := range stored {
		if !s.New || s.ID != req.Submissions[i].ID() || s.Seq != r.Seq || !bytes.Equal(s.ReceiptHead, r.Head) ||
			s.ReceiptIndex != r.First+uint64(i) || !slices.Equal(s.ReceiptPath, paths[i]) {
			t.Errorf("record %d differs from its place in the range", i)
		}
	}
	return r
}

// TestNoRangeForWhatWasStored sends what is stored, wholly and in part, and the
// same submissions in two requests of one group: there is no range, and each
// record has its stored receipt.
func TestNoRangeForWhatWasStored(t *testing.T) {
	w := newWorld(t)
	w.open()
	subs := submissions(3)
	first := w.submit(subs...)
	take := func(subs ...*evidence.Submission) *Taken {
		t.Helper()
		taken, err := w.a.Submit(t.Context(), w.request(subs...))
		if err != nil {
			t.Fatal(err)
		}
		return taken
	}
	for _, tt := range []struct {
		name       string
		taken      *Taken
		all, fresh int
	}{
		{"all stored", take(subs...), 3, 0},
		{"one new at the end", take(append(slices.Clone(subs), submission(evidence.ContractFinal))...), 4, 1},
		{"one new at the beginning", take(append(submissions(1), subs...)...), 4, 1},
		{"told by a stand-in", TakenOf(first...), 3, 3},
	} {
		if _, ok := tt.taken.Range(); ok {
			t.Errorf("%s: there is a range", tt.name)
		}
		if all, fresh := tt.taken.Count(); all != tt.all || fresh != tt.fresh {
			t.Errorf("%s: %d records, %d new", tt.name, all, fresh)
		}
		got, err := tt.taken.Stored()
		if err != nil || len(got) != tt.all {
			t.Errorf("%s: %d records, %v", tt.name, len(got), err)
		}
	}
}

// TestNoRangeForTheSecondOfTwo has two requests with the same submission in one
// group: the second stored nothing of it.
func TestNoRangeForTheSecondOfTwo(t *testing.T) {
	w, d, release := blockedBehindOne(t)
	answers := make(chan *Taken, 4)
	send := func(subs ...*evidence.Submission) {
		req := w.request(subs...)
		go func() {
			taken, err := w.a.Submit(context.Background(), req)
			if err != nil {
				t.Error(err)
			}
			answers <- taken
		}()
	}
	send(submission(evidence.ContractFinal))
	<-d.started
	send(submission(evidence.ContractFinal))
	w.ahead(2)
	twice := submission(evidence.ContractFinal)
	w.clock.add(time.Millisecond) // two statements
	send(twice)
	send(submission(evidence.ContractFinal), twice)
	until(t, "two requests wait", func() bool { return len(w.a.work) == 2 })
	release()
	ranges, fresh := 0, 0
	for range 4 {
		taken := <-answers
		if taken == nil {
			t.FailNow()
		}
		if _, ok := taken.Range(); ok {
			ranges++
		}
		_, n := taken.Count()
		fresh += n
	}
	// Which of the two came first is left open; both are never whole.
	if ranges != 3 || fresh != 4 {
		t.Errorf("%d ranges and %d new records of four requests", ranges, fresh)
	}
}
