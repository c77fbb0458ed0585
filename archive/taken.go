package archive

import (
	"qifeng/proof/merkle"
)

// Taken is what became of a request that is stored, durably and whole. Answers
// of two forms are made of it, each only when it is asked for: [Taken.Range] costs
// a few hashes a request, [Taken.Stored] two paths a record.
//
// It keeps the group that the request is in, with all records of that: let go of
// it before waiting.
type Taken struct {
	archive *Archive
	result  result
	stored  []Stored // where result has no group: what was stored before
}

// TakenOf is the Taken of records that are stored, in the order of the request.
func TakenOf(stored ...Stored) *Taken { return &Taken{stored: stored} }

// Range is the receipt of a whole request that came in new: its records, in its
// order, are the leaves from First on under the signed head, and each has the
// head's received_at.
type Range struct {
	Node  string
	Seq   uint64 // of the batch
	Head  []byte // signed receipt head
	First uint64
	Count uint64          // submissions of the request
	Path  []merkle.Digest // range path (docs/spec/merkle.md) to the head's root
}

// Count is how many submissions the request had, and how many of them it stored.
func (t *Taken) Count() (all, fresh int) {
	if t.result.group == nil {
		for i := range t.stored {
			if t.stored[i].New {
				fresh++
			}
		}
		return len(t.stored), fresh
	}
	for i := range t.result.slots {
		if t.result.slots[i].mine {
			fresh++
		}
	}
	return len(t.result.slots), fresh
}

// Range is the receipt of the request as a whole. There is none where any of its
// submissions was stored before, or by another request.
func (t *Taken) Range() (Range, bool) {
	g, slots := t.result.group, t.result.slots
	if g == nil || len(slots) == 0 {
		return Range{}, false
	}
	first := slots[0].position
	for i := range slots {
		if !slots[i].mine || slots[i].position != first+uint32(i) {
			return Range{}, false
		}
	}
	lo, n := uint64(first), uint64(len(slots))
	path, err := merkle.RangeAt(lo, lo+n, g.receipt.Size(), g.receipt)
	if err != nil {
		panic(err) // the tree is in memory and has all records of the group
	}
	return Range{Node: t.archive.cfg.Node, Seq: g.seq, Head: g.head, First: lo, Count: n, Path: path}, true
}

// Stored are the records of the request's submissions, one each, in its order.
func (t *Taken) Stored() ([]Stored, error) {
	if t.result.group == nil {
		return t.stored, nil
	}
	out := make([]Stored, len(t.result.slots))
	trees := make(map[uint32]*merkle.Tree)
	for i, s := range t.result.slots {
		var err error
		if s.fresh {
			out[i], err = t.result.group.stored(t.archive.cfg.Node, s.position, trees)
			out[i].New = s.mine
		} else {
			var one []Stored
			if one, err = t.archive.loadAll([]locator{s.at}); err == nil {
				out[i] = one[0]
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
