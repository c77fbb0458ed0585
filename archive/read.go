package archive

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
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
	maybe, _, err := a.index.byIDs([][32]byte{key}, math.MinInt64, locator{})
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
		b, err := g.read(g.pairsOf(r.statement, uint64(r.position), 1))
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
	receipt *blockTree
	parsed  map[uint32]*statementView
}

type statementView struct {
	signed []byte
	pairs  *blockTree
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

// openGroup reads what all records of a group share and checks it: what is read
// of the leaves later must lead to the root of the receipt head.
func openGroup(v *view, wanted []locator) (*groupView, error) {
	g, err := openTables(v, wanted[0].offset)
	if err != nil {
		return nil, err
	}
	g.readAhead(wanted)
	if g.head, err = g.read(g.layout.head); err != nil {
		return nil, err
	}
	h, err := evidence.ParseReceiptHead(g.head)
	if err != nil {
		return nil, g.corrupt("%v", err)
	}
	blocks, err := g.read(g.layout.blocks)
	if err != nil {
		return nil, err
	}
	size := uint64(len(g.layout.records))
	if g.receipt, err = openBlocks(size, h.Root, toPairs(blocks), g.leaves); err != nil || h.Count != size || h.Seq != v.seq {
		return nil, g.corrupt("the receipt is not over the records")
	}
	return g, nil
}

// inStreams is where records of the group stand in the streams: the first of
// each stream from record from on, and how many of the next n there are.
func (g *groupView) inStreams(from, n uint64) (first, count [3]uint64) {
	for i, base := range g.layout.base {
		first[i] = uint64(base)
	}
	for _, r := range g.layout.records[:from] {
		first[r.stream]++
	}
	for _, r := range g.layout.records[from : from+n] {
		count[r.stream]++
	}
	return first, count
}

// leaves are those that the batch has for some records of the group.
func (g *groupView) leaves(from, n uint64) ([]merkle.Digest, error) {
	first, count := g.inStreams(from, n)
	var streams [3][]merkle.Digest
	for i := range streams {
		var err error
		if streams[i], err = g.v.leaves(uint8(i), first[i], count[i]); err != nil {
			return nil, g.corrupt("%v", err)
		}
	}
	leaves := make([]merkle.Digest, n)
	for i, r := range g.layout.records[from : from+n] {
		leaves[i], streams[r.stream] = streams[r.stream][0], streams[r.stream][1:]
	}
	return leaves, nil
}

// readAhead asks for all that records of the group will be made of. Where a page
// of records is wanted, the later ones are near the first.
func (g *groupView) readAhead(wanted []locator) {
	if g.v.foot == nil {
		return
	}
	ask := func(s span) { willNeed(g.v.r, g.at+int64(s.from), int64(s.len)) }
	ask(g.layout.head)
	ask(g.layout.blocks)
	for _, l := range wanted[:min(len(wanted), readAheadRecords)] {
		if uint64(l.position) >= uint64(len(g.layout.records)) {
			return // which is found out when it is read
		}
		r := g.layout.records[l.position]
		ask(r.span)
		ask(g.layout.statements[r.statement])
		ask(g.layout.pairBlocks[r.statement])
		from, n := extent(uint64(r.position), g.layout.pairs[r.statement].len/pairSize)
		ask(g.pairsOf(r.statement, from, n))
		first, count := g.inStreams(extent(uint64(l.position), uint64(len(g.layout.records))))
		for i, n := range count {
			willNeed(g.v.r, g.v.foot.stream(g.v.r, uint8(i)).place(0, first[i]), int64(n)*pairSize)
		}
		nodes := ahead{g.v.foot.stream(g.v.r, r.stream)}
		_, _ = merkle.InclusionAt(g.streamIndex(l.position), nodes.size, nodes) // only asked for; it is made when all is there
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
	st, err := evidence.ParseStatement(signed)
	if err != nil {
		return nil, g.corrupt("%v", err)
	}
	blocks, err := g.read(g.layout.pairBlocks[i])
	if err != nil {
		return nil, err
	}
	s, size := &statementView{signed: signed}, g.layout.pairs[i].len/pairSize
	s.pairs, err = openBlocks(size, st.Root, toPairs(blocks), func(from, n uint64) ([]merkle.Digest, error) {
		b, err := g.read(g.pairsOf(i, from, n))
		return toPairs(b), err
	})
	if err != nil || st.Count != size {
		return nil, g.corrupt("the statement is not over the pairs beside it")
	}
	g.parsed[i] = s
	return s, nil
}

// stored reads one record with its paths and checks them.
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
	s := Stored{Node: node, Seq: g.v.seq, Record: data, Statement: st.signed, ReceiptHead: g.head, ReceiptIndex: uint64(position),
		Stream: evidence.Streams[r.stream], StreamIndex: g.streamIndex(position)}
	pair, path, err := st.pairs.leaf(uint64(r.position))
	if err != nil {
		return Stored{}, g.pathError(position, "statement", err)
	}
	s.ID, s.StatementPath = evidence.IDOf(pair), path
	leaf, path, err := g.receipt.leaf(uint64(position))
	if err != nil {
		return Stored{}, g.pathError(position, "receipt", err)
	}
	if s.ReceiptPath = path; merkle.LeafHash(data) != leaf {
		return Stored{}, g.corrupt("record %d is not the one that was stored", position)
	}
	if g.v.foot == nil {
		return s, nil
	}
	s.Header = g.v.foot.header
	nodes := g.v.foot.stream(g.v.r, r.stream)
	if s.StreamPath, err = merkle.InclusionAt(s.StreamIndex, nodes.size, nodes); err != nil {
		return Stored{}, g.corrupt("%v", err)
	}
	return s, nil
}

// pathError is what is wrong with the path of a record under its statement or receipt.
func (g *groupView) pathError(position uint32, under string, err error) error {
	if errors.Is(err, errBlocks) {
		return g.corrupt("record %d under its %s: %v", position, under, err)
	}
	return err
}

// streamIndex is the place of a record in its stream of the batch.
func (g *groupView) streamIndex(position uint32) uint64 {
	first, _ := g.inStreams(uint64(position), 0)
	return first[g.layout.records[position].stream]
}

// pairsOf is where some of a statement's pairs stand.
func (g *groupView) pairsOf(statement uint32, from, n uint64) span {
	return span{g.layout.pairs[statement].from + from*pairSize, n * pairSize}
}
