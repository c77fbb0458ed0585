package runs

import (
	"math"
	"math/bits"
)

// Place is where a record is. The owner gives it its meaning; here it matters
// only that places rise. No record is at the zero place.
type Place struct {
	Seq              uint64
	Offset, Position uint32
}

// After says that p is behind q.
func (p Place) After(q Place) bool {
	if p.Seq != q.Seq {
		return p.Seq > q.Seq
	}
	if p.Offset != q.Offset {
		return p.Offset > q.Offset
	}
	return p.Position > q.Position
}

// table holds the newest entries. One goroutine adds to it under the lock of
// the store; once it is full it does not change any more.
type table struct {
	first, last Place
	latest      int64   // of the records' times
	places      []Place // of the records
	ids, lists  multimap
}

func newTable(records int) *table {
	return &table{latest: math.MinInt64, places: make([]Place, 0, records), ids: newMultimap(records), lists: newMultimap(listsPerRecord * records)}
}

// fits says that g can be added without the table growing beyond its bounds.
func (t *table) fits(g *Group) bool {
	return len(t.places)+len(g.IDs) <= cap(t.places) && t.lists.len()+len(g.Lists) <= t.lists.room() &&
		(len(t.places) == 0 || g.Seq-t.first.Seq < maxSpan)
}

func (t *table) add(g *Group) {
	base := uint32(len(t.places))
	if base == 0 {
		t.first = Place{g.Seq, g.Offset, 0}
	}
	for i, id := range g.IDs {
		t.places = append(t.places, Place{g.Seq, g.Offset, uint32(i)})
		t.ids.add(id, base+uint32(i))
	}
	for _, l := range g.Lists {
		t.lists.add(l.Print, base+l.Position)
	}
	t.last = t.places[len(t.places)-1]
	t.latest = max(t.latest, g.Latest)
}

// find adds to out up to limit places of a fingerprint behind after.
func (t *table) find(m *multimap, p Print, after Place, limit int, out []Place) []Place {
	newest, ok := m.newest(p)
	if !ok {
		return out
	}
	for e := m.entries[newest].next; limit > 0; e = m.entries[e].next {
		if at := t.places[m.entries[e].record]; at.After(after) {
			out = append(out, at)
			limit--
		}
		if e == newest {
			break
		}
	}
	return out
}

// multimap maps fingerprints to records. A slot holds the newest entry of a
// fingerprint, and the entries of one fingerprint form a ring, in which the
// newest is followed by the oldest. So many records under one fingerprint cost
// one slot, and each is added in constant time.
//
// Slots are chosen by the first bits and searched upwards without wrapping
// round, so the fingerprints stand in them almost in order.
type multimap struct {
	shift   uint8
	slots   []uint32 // 0 is free, else entry+1
	entries []tableEntry
}

type tableEntry struct {
	print  Print
	record uint32
	next   uint32
}

func newMultimap(room int) multimap {
	n := bits.Len(uint(max(2*room-1, 1))) // at most half full
	return multimap{shift: uint8(64 - n), slots: make([]uint32, 1<<n), entries: make([]tableEntry, 0, room)}
}

func (m *multimap) len() int  { return len(m.entries) }
func (m *multimap) room() int { return cap(m.entries) }

func (m *multimap) add(p Print, record uint32) {
	e := uint32(len(m.entries))
	i := int(p >> m.shift)
	for ; i < len(m.slots) && m.slots[i] != 0; i++ {
		if newest := &m.entries[m.slots[i]-1]; newest.print == p {
			oldest := newest.next
			newest.next = e
			m.entries = append(m.entries, tableEntry{p, record, oldest})
			m.slots[i] = e + 1
			return
		}
	}
	m.entries = append(m.entries, tableEntry{p, record, e})
	if i == len(m.slots) {
		m.slots = append(m.slots, 0)
	}
	m.slots[i] = e + 1
}

func (m *multimap) newest(p Print) (uint32, bool) {
	for i := int(p >> m.shift); i < len(m.slots) && m.slots[i] != 0; i++ {
		if e := m.slots[i] - 1; m.entries[e].print == p {
			return e, true
		}
	}
	return 0, false
}

// head is the newest entry of a fingerprint.
type head struct {
	tableEntry
	entry uint32
}

// heads gives the newest entry of each fingerprint, in the order of these, some
// hundreds at a time: first all are fetched, which waits for memory once and not
// for each.
func (m *multimap) heads(f func([]head) error) error {
	const some = 512
	buf := make([]head, 0, 2*some)
	give := func() error {
		for i := range buf {
			for ; i > 0 && buf[i-1].print > buf[i].print; i-- { // a few steps, if any
				buf[i-1], buf[i] = buf[i], buf[i-1]
			}
		}
		err := f(buf)
		buf = buf[:0]
		return err
	}
	for _, s := range m.slots {
		if s != 0 {
			buf = append(buf, head{m.entries[s-1], s - 1})
		} else if len(buf) >= some { // what follows a free slot belongs behind it
			if err := give(); err != nil {
				return err
			}
		}
	}
	return give()
}

// each gives all entries by fingerprint, those of one in the order of places.
func (t *table) each(m *multimap, f func(Print, Place) error) error {
	return m.heads(func(heads []head) error {
		for i := range heads {
			newest := &heads[i]
			for e := newest.next; e != newest.entry; e = m.entries[e].next { // from the oldest
				if err := f(newest.print, t.places[m.entries[e].record]); err != nil {
					return err
				}
			}
			if err := f(newest.print, t.places[newest.record]); err != nil {
				return err
			}
		}
		return nil
	})
}
