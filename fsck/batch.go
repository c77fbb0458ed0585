package fsck

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// judge is what a batch file is held against.
type judge struct {
	chain, node string
	intake      gm.PublicKey
	submitKey   func(member, name string, registry uint64) (gm.PublicKey, error)
	rootAt      func(size uint64) (merkle.Digest, error) // of the ledger
	size        uint64                                   // of the ledger
	index       *index                                   // nil if there is none, or it has this batch from another file
	alone       bool                                     // there is no ledger: its keys and roots are not asked for
}

// batchFile is one file while it is read.
type batchFile struct {
	*judge
	name string // as in a report
	f    frames

	registry    uint64
	first, last int64 // received_at of the first and last record, Unix milliseconds
	trees       [3]merkle.Tree
	deadline    time.Time // the earliest of its receipts
	header      []byte    // nil without a footer
	torn        int64     // bytes of a torn tail
	why         string    // it is torn

	records, statements, receipts uint64
	newest                        int64 // offset of the last group, 0 if there is none

	sealed struct { // the last ledger root that was asked for
		size uint64
		root merkle.Digest
	}
}

func (b *batchFile) wrong(code Code, format string, args ...any) *Problem {
	return wrong(code, b.name, format, args...).at("offset", uint64(b.f.at))
}

// readBatch reads a whole file. Every error is a Problem or one of reading.
func (j *judge) readBatch(name string, r io.ReaderAt, size int64, seq uint64) (*batchFile, error) {
	b := &batchFile{judge: j, name: name, f: frames{r: r, seq: seq, size: size}}
	if size > maxBatchFile {
		return nil, b.wrong(CodeBatchFile, "it has %d bytes", size)
	}
	got := make([]byte, len(preface))
	if size < int64(len(got)) {
		return nil, b.wrong(CodeBatchFile, "it has %d bytes, too few for a batch", size)
	}
	if _, err := r.ReadAt(got, 0); err != nil {
		return nil, reading(name, err)
	}
	if string(got) != preface {
		return nil, b.wrong(CodeBatchFile, "it does not begin as a batch file of version 2")
	}
	b.f.at = int64(len(preface))
	for n := 0; b.f.at < size && b.torn == 0; n++ {
		if err := b.next(n == 0); err != nil {
			return nil, reading(name, err)
		}
	}
	if b.f.at == int64(len(preface)) {
		return nil, b.wrong(CodeBatchFile, "it has no opening")
	}
	return b, nil
}

// next reads the next frame.
func (b *batchFile) next(first bool) error {
	if b.header != nil {
		return b.wrong(CodeBatchFile, "something follows the footer")
	}
	p, end, err := b.f.read(b.f.at)
	var bad *badFrame
	if errors.As(err, &bad) {
		torn, why, err := b.f.torn(bad)
		if err != nil {
			return err
		}
		if !torn || first { // a journal gets its name after its opening is durable
			return b.wrong(CodeBatchFile, "%s%s", bad.why, why)
		}
		b.torn, b.why = b.f.size-b.f.at, bad.why
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case first:
		err = b.opening(p)
	case len(p) > 0 && p[0] == kindFooter:
		err = b.footer(p)
	default:
		err = b.group(p)
	}
	b.f.at = end
	return err
}

func (b *batchFile) opening(p []byte) error {
	seq, node, chain, err := readOpening(p)
	if err != nil {
		return b.wrong(CodeBatchFile, "%v", err)
	}
	if seq != b.f.seq || node != b.node || chain != b.chain {
		return b.wrong(CodeBatchName, "it is batch %d of node %s of chain %s, where batch %d of %s of %s belongs", seq, node, chain, b.f.seq, b.node, b.chain)
	}
	return nil
}

// group recomputes everything that a group states.
func (b *batchFile) group(p []byte) error {
	g, err := readGroup(p)
	if err != nil {
		return b.wrong(CodeBatchFile, "%v", err)
	}
	if len(g.records) == 0 {
		return b.wrong(CodeBatchFile, "a group without records")
	}
	for i := range g.before {
		if g.before[i] != b.trees[i].Size() {
			return b.wrong(CodeRecord, "a group says that %d records of %s are before it, there are %d", g.before[i], evidence.Streams[i], b.trees[i].Size())
		}
	}
	if b.records > 0 && (g.registry != b.registry || g.received < b.last) {
		return b.wrong(CodeRecord, "a group with registry size %d, received at %d, follows one with %d at %d", g.registry, g.received, b.registry, b.last)
	}
	statements, err := b.checkStatements(g)
	if err != nil {
		return err
	}
	leaves, err := b.checkRecords(g, statements)
	if err != nil {
		return err
	}
	if err := b.checkHead(g, leaves); err != nil {
		return err
	}
	if b.records == 0 {
		b.registry, b.first = g.registry, g.received
	}
	b.last = g.received
	b.records += uint64(len(g.records))
	b.statements += uint64(len(g.statements))
	b.receipts++
	b.newest = b.f.at
	return nil
}

// checked is a statement that holds.
type checked struct {
	*evidence.Statement
	digest merkle.Digest
	used   map[uint64]bool // positions that have a record here
}

func (b *batchFile) checkStatements(g *group) ([]checked, error) {
	out := make([]checked, len(g.statements))
	for i, s := range g.statements {
		st, err := evidence.ParseStatement(s.signed)
		if err != nil {
			return nil, b.wrong(CodeStatement, "statement %d of the group: %v", i, err)
		}
		root, blocks := rootOf(s.pairs)
		if st.Count != uint64(len(s.pairs)) || st.Root != root {
			return nil, b.wrong(CodeStatement, "statement %d of the group is not over the submissions beside it", i)
		}
		if !slices.Equal(s.blocks, blocks) {
			return nil, b.wrong(CodeBatchFile, "the hashes beside statement %d of the group are not those of its submissions", i)
		}
		var key gm.PublicKey
		if !b.alone {
			key, err = b.submitKey(st.Submitter, st.Key, g.registry)
		}
		if err == nil && !b.alone {
			err = st.Signed.Verify(b.chain, key)
		}
		if err != nil {
			return nil, b.wrong(CodeStatement, "statement %d of the group: %v", i, err)
		}
		out[i] = checked{st, merkle.Sum(s.signed), map[uint64]bool{}}
	}
	return out, nil
}

func (b *batchFile) checkRecords(g *group, statements []checked) ([]merkle.Digest, error) {
	data, subs := make([][]byte, len(g.records)), make([][]byte, len(g.records))
	said := make([]*evidence.Submission, len(g.records))
	var streams [3][]int
	for i, r := range g.records {
		rec, err := evidence.ParseRecord(r.data)
		if err != nil {
			return nil, b.wrong(CodeRecord, "record %d of the group: %v", i, err)
		}
		st := &statements[r.statement]
		in := rec.Intake
		if in.Node != b.node || in.Index != r.position || in.Statement != st.digest || in.ReceivedAt.UnixMilli() != g.received ||
			rec.Submission.Submitter != st.Submitter || rec.Submission.Key != st.Key ||
			rec.Submission.Kind.Stream() != evidence.Streams[r.stream] || st.used[r.position] {
			return nil, b.wrong(CodeRecord, "record %d of the group is not what its statement and the table say", i)
		}
		st.used[r.position] = true
		data[i], subs[i], said[i] = r.data, rec.SubmissionBytes, rec.Submission
		streams[r.stream] = append(streams[r.stream], i)
	}
	for i, st := range statements {
		if len(st.used) == 0 {
			return nil, b.wrong(CodeRecord, "statement %d of the group has no record in it", i)
		}
	}
	pairs := merkle.LeafHashes(subs)
	for i, pair := range pairs {
		if r := g.records[i]; pair != g.statements[r.statement].pairs[r.position] {
			return nil, b.wrong(CodeRecord, "record %d of the group is not the submission that was signed", i)
		}
	}
	if b.index != nil {
		b.index.add(place{seq: b.f.seq, offset: uint32(b.f.at)}, said, pairs)
	}
	leaves := merkle.LeafHashes(data)
	for s, list := range streams {
		own := make([]merkle.Digest, len(list))
		for i, at := range list {
			own[i] = leaves[at]
		}
		b.trees[s].Append(own...)
	}
	return leaves, nil
}

// checkHead checks the receipt: signed by this node, for this batch, over these
// records, with a head of this ledger.
func (b *batchFile) checkHead(g *group, leaves []merkle.Digest) error {
	h, err := evidence.ParseReceiptHead(g.head)
	if err == nil {
		err = h.Signed.Verify(b.chain, b.intake)
	}
	if err != nil {
		return b.wrong(CodeReceipt, "%v", err)
	}
	root, blocks := rootOf(leaves)
	if h.Node != b.node || h.Seq != b.f.seq || h.Count != uint64(len(leaves)) || h.ReceivedAt.UnixMilli() != g.received || h.Root != root {
		return b.wrong(CodeReceipt, "it is not over these records")
	}
	if !slices.Equal(g.blocks, blocks) {
		return b.wrong(CodeBatchFile, "the hashes beside the receipt are not those of its records")
	}
	if b.deadline.IsZero() || h.Deadline.Before(b.deadline) {
		b.deadline = h.Deadline
	}
	switch {
	case b.alone:
	case h.Sealed.Size > b.size:
		return b.wrong(CodeReceipt, "it names a sealed size of %d, the ledger has %d entries", h.Sealed.Size, b.size)
	case h.Sealed.Size == 0 && h.Sealed.Root != merkle.EmptyRoot():
		return b.wrong(CodeReceipt, "it names no sealed size, and a root")
	case h.Sealed.Size > 0 && h.Sealed.Size != b.sealed.size:
		root, err := b.rootAt(h.Sealed.Size)
		if err != nil {
			return err
		}
		b.sealed.size, b.sealed.root = h.Sealed.Size, root
	}
	if h.Sealed.Size > 0 && h.Sealed.Root != b.sealed.root && !b.alone {
		return b.wrong(CodeReceipt, "it names %s as the root of size %d, the ledger has %s", h.Sealed.Root, h.Sealed.Size, b.sealed.root)
	}
	return nil
}

// footer compares the footer with the records before it.
func (b *batchFile) footer(p []byte) error {
	f, err := readFooter(p)
	if err != nil {
		return b.wrong(CodeHeader, "%v", err)
	}
	if b.records == 0 {
		return b.wrong(CodeHeader, "the batch has a footer and no records")
	}
	if f.start != uint64(b.f.at) {
		return b.wrong(CodeHeader, "it says that it stands at %d", f.start)
	}
	rest := f.nodes
	for i := range b.trees {
		t := &b.trees[i]
		if f.counts[i] != t.Size() {
			return b.wrong(CodeHeader, "it counts %d records of %s, there are %d", f.counts[i], evidence.Streams[i], t.Size())
		}
		for level := uint8(0); t.Size()>>level > 0; level++ {
			for at := range t.Size() >> level {
				d, err := t.Node(level, at)
				if err != nil {
					return err
				}
				if !bytes.Equal(rest[:64], plain(d)) {
					return b.wrong(CodeHeader, "node %d of level %d of %s is not that of the records", at, level, evidence.Streams[i])
				}
				rest = rest[64:]
			}
		}
	}
	if err := b.checkHeader(f.header); err != nil {
		return b.wrong(CodeHeader, "%v", err)
	}
	b.header = f.header
	return nil
}

func (b *batchFile) checkHeader(raw []byte) error {
	h, err := evidence.ParseBatch(raw)
	if err == nil {
		err = h.Signed.Verify(b.chain, b.intake)
	}
	if err != nil {
		return err
	}
	if h.Node != b.node || h.Seq != b.f.seq || h.RegistrySize != b.registry ||
		h.FirstReceivedAt.UnixMilli() != b.first || h.LastReceivedAt.UnixMilli() != b.last {
		return errors.New("node, seq, registry size or times of the header are not those of the records")
	}
	for i, s := range evidence.Streams {
		t := &b.trees[i]
		got, ok := h.Streams[s]
		if !ok && t.Size() == 0 {
			continue
		}
		root, err := merkle.RootAt(t.Size(), t)
		if err != nil {
			return err
		}
		if !ok || got.Count != t.Size() || got.Root != root {
			return fmt.Errorf("the header's root of %s is not that of the records", s)
		}
	}
	return nil
}

// newJudge is the judge of this member's own batches.
func (c *checker) newJudge() *judge {
	j := &judge{chain: c.cons.chain, node: c.home.Self, intake: c.cons.cards[c.home.Self].Intake,
		submitKey: newRegister(c.cons).submitKey, rootAt: func(uint64) (merkle.Digest, error) { return merkle.Digest{}, nil }}
	if c.book != nil {
		j.submitKey, j.rootAt, j.size = c.book.reg.submitKey, c.book.rootAt, c.book.size
	}
	return j
}
