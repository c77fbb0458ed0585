package archive

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// ByID returns all records of an id, in order of intake; none is no error.
func (a *Archive) ByID(id evidence.ID) ([]Stored, error) {
	key, err := idKey(id)
	if err != nil {
		return nil, err
	}
	maybe, _, err := a.index.byIDs([][32]byte{key}, locator{})
	if err != nil {
		return nil, err
	}
	at := make([]locator, len(maybe))
	for i := range maybe {
		at[i] = maybe[i].at
	}
	out, err := a.loadAll(at)
	return slices.DeleteFunc(out, func(s Stored) bool { return s.ID != id }), err
}

// ByDigest returns a page of the records of a content: those whose digest, or
// whose claims, have hash under alg, "sm3" or "sha256". cursor is "" or what a
// page before gave as next; next is "" on the last page. Records that come in
// meanwhile stand behind all others. limit is bounded by MaxPage.
func (a *Archive) ByDigest(alg string, hash [32]byte, cursor string, limit int) (page []Stored, next string, err error) {
	switch alg {
	case "sm3":
		return a.page(listKey{bySM3, hash[:]}, cursor, limit)
	case "sha256":
		return a.page(listKey{bySHA256, hash[:]}, cursor, limit)
	}
	return nil, "", fmt.Errorf("%w: %q", ErrDigestAlg, alg)
}

// ByDossier returns a page of the records of a dossier; see ByDigest.
func (a *Archive) ByDossier(dossier string, cursor string, limit int) (page []Stored, next string, err error) {
	if _, err := evidence.ParseDossier(dossier); err != nil {
		return nil, "", err
	}
	name, err := hex.DecodeString(dossier)
	if err != nil {
		return nil, "", fmt.Errorf("reading the dossier's name: %w", err)
	}
	return a.page(listKey{byDossier, name}, cursor, limit)
}

func (a *Archive) page(list listKey, cursor string, limit int) ([]Stored, string, error) {
	after, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = min(max(limit, 1), MaxPage)
	var page []Stored
	for {
		at, err := a.index.page(list, after, limit-len(page)+1) // one more, to know whether there is one
		if err != nil {
			return nil, "", err
		}
		more := len(at) > limit-len(page)
		if more {
			at = at[:limit-len(page)]
		}
		stored, err := a.loadAll(at)
		if err != nil {
			return nil, "", err
		}
		for i := range stored { // the index knows fingerprints only
			is, err := stored[i].isUnder(list)
			if err != nil {
				return nil, "", err
			}
			if is {
				page = append(page, stored[i])
			}
		}
		if !more {
			return page, "", nil
		}
		after = at[len(at)-1]
		if len(page) == limit {
			return page, after.cursor(), nil
		}
	}
}

// isUnder says whether a record is in a list.
func (s *Stored) isUnder(list listKey) (bool, error) {
	r, err := evidence.ParseRecord(s.Record)
	if err != nil { // its leaf was compared
		return false, fmt.Errorf("reading record %s: %w", s.ID, err)
	}
	e := entryOf(r.Submission, r.Pair())
	return e.isUnder(list), nil
}

func idKey(id evidence.ID) (key [32]byte, err error) {
	if _, err := evidence.ParseID(string(id)); err != nil {
		return key, err
	}
	_, err = hex.Decode(key[:], []byte(id))
	return key, err
}

// loadAll reads records, those of one group together.
func (a *Archive) loadAll(at []locator) ([]Stored, error) {
	out := make([]Stored, 0, len(at))
	for len(at) > 0 {
		n := 1
		for n < len(at) && at[n].group() == at[0].group() {
			n++
		}
		err := a.withBatch(at[0], func(v *view) error {
			g, err := openGroup(v, at[:n])
			if err != nil {
				return err
			}
			for _, l := range at[:n] {
				s, err := g.stored(a.cfg.Node, l.position)
				if err != nil {
					return err
				}
				out = append(out, s)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading batch %d: %w", at[0].seq, err)
		}
		at = at[n:]
	}
	return out, nil
}

// pairAt reads the pair of the submission of a record.
func (a *Archive) pairAt(at locator) (pair merkle.Digest, err error) {
	err = a.withBatch(at, func(v *view) error {
		g, err := openTables(v, at.offset)
		if err != nil {
			return err
		}
		if uint64(at.position) >= uint64(len(g.layout.records)) {
			return g.corrupt("the index names record %d of %d", at.position, len(g.layout.records))
		}
		r := g.layout.records[at.position]
		b, err := g.read(span{g.layout.pairs[r.statement].from + uint64(r.position)*pairSize, pairSize})
		if err == nil {
			pair = toPair(b)
		}
		return err
	})
	return pair, err
}

// groupView reads records of one group without reading the others.
type groupView struct {
	v       *view
	at      int64 // offset of its payload
	layout  *layout
	head    []byte
	receipt *merkle.Tree
	parsed  map[uint32]*statementView
}

type statementView struct {
	signed []byte
	tree   *merkle.Tree
}

func (g *groupView) corrupt(format string, args ...any) error {
	return &TamperedError{What: fmt.Sprintf("batch %d, group at byte %d: %s", g.v.seq, g.at-frameHead, fmt.Sprintf(format, args...)),
		Mend: "run a full check of the archive and put the batch's file back from a copy"}
}

func (g *groupView) read(s span) ([]byte, error) {
	b := make([]byte, s.len)
	if _, err := g.v.r.ReadAt(b, g.at+int64(s.from)); err != nil {
		return nil, fmt.Errorf("reading a group: %w", err)
	}
	return b, nil
}

// openTables reads the tables of the group whose frame is at offset.
func openTables(v *view, offset uint32) (*groupView, error) {
	g := &groupView{v: v, at: int64(offset) + frameHead, parsed: make(map[uint32]*statementView)}
	n, err := readHead(v.r, v.size, v.seq, int64(offset), maxGroupPayload)
	var bad *badFrame
	if errors.As(err, &bad) {
		return nil, g.corrupt("%v", err)
	}
	if err != nil {
		return nil, err
	}
	// The tables and the head of an ordinary group are within the first 4 KiB.
	p, err := g.read(span{0, uint64(min(n, 4<<10))})
	if err != nil {
		return nil, err
	}
	r := &reader{p: p}
	f, err := decodeFixed(r)
	if err == nil && f.tables() > len(r.p) && groupFixed+f.tables() <= n {
		if r.p, err = g.read(span{groupFixed, uint64(f.tables())}); err != nil {
			return nil, err
		}
	}
	if err == nil {
		g.layout, err = decodeLayout(f, r)
	}
	if err != nil {
		return nil, g.corrupt("%v", err)
	}
	if g.layout.size != uint64(n) {
		return nil, g.corrupt("its tables and its length differ")
	}
	return g, nil
}

// openGroup reads what all records of a group share and checks it: the receipt
// head must be over the leaves that the batch has for them.
func openGroup(v *view, wanted []locator) (*groupView, error) {
	g, err := openTables(v, wanted[0].offset)
	if err != nil {
		return nil, err
	}
	g.readAhead(wanted)
	if g.head, err = g.read(g.layout.head); err != nil {
		return nil, err
	}
	counts := g.counts(len(g.layout.records))
	var streams [3][]merkle.Digest
	for i := range streams {
		if streams[i], err = v.leaves(uint8(i), uint64(g.layout.base[i]), counts[i]); err != nil {
			return nil, g.corrupt("%v", err)
		}
	}
	leaves := make([]merkle.Digest, len(g.layout.records))
	for i, r := range g.layout.records {
		leaves[i] = streams[r.stream][0]
		streams[r.stream] = streams[r.stream][1:]
	}
	g.receipt = merkle.NewTree(leaves)
	h, err := evidence.ParseReceiptHead(g.head)
	if err != nil {
		return nil, g.corrupt("%v", err)
	}
	root, err := merkle.RootAt(g.receipt.Size(), g.receipt)
	if err != nil {
		return nil, err
	}
	if h.Root != root || h.Seq != v.seq {
		return nil, g.corrupt("the receipt is not over the records")
	}
	return g, nil
}

// counts is how many of the first n records are in each stream.
func (g *groupView) counts(n int) (counts [3]uint64) {
	for _, r := range g.layout.records[:n] {
		counts[r.stream]++
	}
	return counts
}

// readAhead asks for all that records of the group will be made of. Where a page
// of records is wanted, the later ones are near the first.
func (g *groupView) readAhead(wanted []locator) {
	if g.v.foot == nil {
		return
	}
	ask := func(s span) { willNeed(g.v.r, g.at+int64(s.from), int64(s.len)) }
	ask(g.layout.head)
	for i, n := range g.counts(len(g.layout.records)) {
		leaves := g.v.foot.stream(g.v.r, uint8(i))
		willNeed(g.v.r, leaves.place(0, uint64(g.layout.base[i])), int64(n)*pairSize)
	}
	for _, l := range wanted[:min(len(wanted), readAheadRecords)] {
		if uint64(l.position) >= uint64(len(g.layout.records)) {
			return // which is found out when it is read
		}
		r := g.layout.records[l.position]
		ask(r.span)
		ask(g.layout.statements[r.statement])
		ask(g.layout.pairs[r.statement])
		nodes := ahead{g.v.foot.stream(g.v.r, r.stream)}
		index := uint64(g.layout.base[r.stream]) + g.counts(int(l.position))[r.stream]
		_, _ = merkle.InclusionAt(index, nodes.size, nodes) // only asked for; it is made when all is there
	}
}

// statement reads a statement of the group and the tree under it.
func (g *groupView) statement(i uint32) (*statementView, error) {
	if s, ok := g.parsed[i]; ok {
		return s, nil
	}
	signed, err := g.read(g.layout.statements[i])
	if err != nil {
		return nil, err
	}
	b, err := g.read(g.layout.pairs[i])
	if err != nil {
		return nil, err
	}
	pairs := make([]merkle.Digest, 0, len(b)/pairSize)
	for ; len(b) > 0; b = b[pairSize:] {
		pairs = append(pairs, toPair(b))
	}
	s := &statementView{signed: signed, tree: merkle.NewTree(pairs)}
	st, err := evidence.ParseStatement(signed)
	if err != nil {
		return nil, g.corrupt("%v", err)
	}
	root, err := merkle.RootAt(s.tree.Size(), s.tree)
	if err != nil {
		return nil, err
	}
	if st.Root != root {
		return nil, g.corrupt("the statement is not over the pairs beside it")
	}
	g.parsed[i] = s
	return s, nil
}

// stored reads one record with its paths and checks its leaf.
func (g *groupView) stored(node string, position uint32) (Stored, error) {
	if uint64(position) >= uint64(len(g.layout.records)) {
		return Stored{}, g.corrupt("the index names record %d of %d", position, len(g.layout.records))
	}
	r := g.layout.records[position]
	st, err := g.statement(r.statement)
	if err != nil {
		return Stored{}, err
	}
	data, err := g.read(r.span)
	if err != nil {
		return Stored{}, err
	}
	leaf, err := g.receipt.Node(0, uint64(position))
	if err != nil {
		return Stored{}, err
	}
	if merkle.LeafHash(data) != leaf {
		return Stored{}, g.corrupt("record %d is not the one that was stored", position)
	}
	index := uint64(g.layout.base[r.stream]) + g.counts(int(position))[r.stream]
	s, err := makeStored(node, g.v.seq, data, r, index, st, g.head, g.receipt, uint64(position))
	if err != nil || g.v.foot == nil {
		return s, err
	}
	s.Header = g.v.foot.header
	nodes := g.v.foot.stream(g.v.r, r.stream)
	if s.StreamPath, err = merkle.InclusionAt(index, nodes.size, nodes); err != nil {
		return Stored{}, g.corrupt("%v", err)
	}
	return s, nil
}

// makeStored joins what a look-up and a fresh group know about a record.
func makeStored(node string, seq uint64, data []byte, r recordSpan, streamIndex uint64, st *statementView,
	head []byte, receipt *merkle.Tree, position uint64) (Stored, error) {
	pair, err := st.tree.Node(0, uint64(r.position))
	if err != nil {
		return Stored{}, err
	}
	s := Stored{ID: evidence.IDOf(pair), Node: node, Seq: seq, Record: data, Statement: st.signed,
		ReceiptHead: head, ReceiptIndex: position, Stream: evidence.Streams[r.stream], StreamIndex: streamIndex}
	if s.StatementPath, err = merkle.InclusionAt(uint64(r.position), st.tree.Size(), st.tree); err != nil {
		return Stored{}, err
	}
	if s.ReceiptPath, err = merkle.InclusionAt(position, receipt.Size(), receipt); err != nil {
		return Stored{}, err
	}
	return s, nil
}
