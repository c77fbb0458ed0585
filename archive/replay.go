package archive

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// replayed is what reading a batch file from its beginning gives.
type replayed struct {
	batch  *batch
	header []byte // of the footer, nil where there is none
	newest locator
	torn   int64 // bytes of a torn tail, which are not in batch.size
}

// replay reads a batch file and checks everything in it: frames, receipts,
// statements' roots, records, roots of the header. It gives each group to visit.
// It is the one way in which the archive comes to know a file, after a crash as
// after an orderly stop. A torn tail is no error where one may be; a file that
// holds what was never written is an ErrTampered.
func (a *Archive) replay(path string, f file, want opening, visit func(at locator, entries []entry) error) (*replayed, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	size := st.Size()
	p := &replayer{a: a, path: path, f: f, size: size, want: want, visit: visit,
		r: &replayed{batch: &batch{disk: a.disk, path: path, seq: want.seq, f: f, trees: newTrees()}}}
	if size > maxBatchFile {
		return nil, p.corrupt("the file is larger than any batch")
	}
	preface := make([]byte, len(filePreface))
	if size < int64(len(preface)) {
		return nil, p.corrupt("the file is too short for a batch")
	}
	if _, err := f.ReadAt(preface, 0); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if !bytes.Equal(preface, filePreface) {
		return nil, p.corrupt("this is no batch file of version %d", filePreface[len(filePreface)-1])
	}
	p.r.batch.size = int64(len(preface))
	for p.r.batch.size < size {
		done, err := p.frame()
		if err != nil {
			return nil, err
		}
		if done {
			break
		}
	}
	if !p.opened {
		return nil, p.corrupt("the file has no opening")
	}
	return p.r, nil
}

type replayer struct {
	a      *Archive
	path   string
	f      file
	size   int64
	want   opening
	visit  func(locator, []entry) error
	opened bool
	r      *replayed
}

func (p *replayer) corrupt(format string, args ...any) error {
	return corruptFile(p.path, "at byte %d: %s", p.r.batch.size, fmt.Sprintf(format, args...))
}

// frame reads the next frame; done says that nothing may follow it.
func (p *replayer) frame() (done bool, err error) {
	b := p.r.batch
	if p.r.header != nil {
		return true, p.corrupt("something follows the footer")
	}
	payload, err := readFrame(p.f, p.size, b.seq, b.size, maxFooterPayload)
	var bad *badFrame
	if errors.As(err, &bad) {
		ok, why, err := torn(p.f, p.size, b.seq, b.size, bad)
		if err != nil {
			return true, fmt.Errorf("reading %s: %w", p.path, err)
		}
		if ok && !p.opened {
			ok, why = false, "and a journal gets its name only after its opening is durable"
		}
		if !ok {
			return true, p.corrupt("%s, %s", bad.problem, why)
		}
		p.r.torn = p.size - b.size
		return true, nil
	}
	if err != nil {
		return true, fmt.Errorf("reading %s: %w", p.path, err)
	}
	length := frameSize(len(payload))
	switch {
	case !p.opened:
		err = p.opening(payload)
	case len(payload) > 0 && payload[0] == kindFooter:
		err = p.footer(payload)
	default:
		return false, p.group(payload, length)
	}
	b.size += length
	return false, err
}

func (p *replayer) opening(payload []byte) error {
	o, err := decodeOpening(payload)
	if err != nil {
		return p.corrupt("opening: %v", err)
	}
	if o != p.want {
		return p.corrupt("it is batch %d of node %s of chain %s where batch %d of node %s of chain %s is expected",
			o.seq, o.node, o.chain, p.want.seq, p.want.node, p.want.chain)
	}
	p.opened = true
	return nil
}

func (p *replayer) group(payload []byte, length int64) error {
	b := p.r.batch
	g, err := decodeGroup(payload)
	if err != nil {
		return p.corrupt("group: %v", err)
	}
	at := locator{seq: b.seq, offset: uint32(b.size)}
	leaves, entries, err := p.check(g)
	if err != nil {
		return p.corrupt("group: %v", err)
	}
	if err := p.visit(at, entries); err != nil {
		return err
	}
	p.r.newest = at
	b.grow(g, leaves, length)
	return nil
}

// check recomputes everything that a group claims.
func (p *replayer) check(g *group) (leaves []merkle.Digest, entries []entry, err error) {
	b := p.r.batch
	if g.base != b.base() {
		return nil, nil, fmt.Errorf("it begins at records %v of the streams, which have %v", g.base, b.base())
	}
	if b.records > 0 && (g.registry != b.registry || g.received < b.last) {
		return nil, nil, errors.New("registry size or received_at do not continue the group before")
	}
	statements, err := checkStatements(g)
	if err != nil {
		return nil, nil, err
	}
	records := make([]*evidence.Record, len(g.records))
	data, subs := make([][]byte, len(g.records)), make([][]byte, len(g.records))
	for i, r := range g.records {
		if records[i], err = evidence.ParseRecord(r.data); err != nil {
			return nil, nil, fmt.Errorf("record %d: %w", i, err)
		}
		data[i], subs[i] = r.data, records[i].SubmissionBytes
	}
	pairs := merkle.LeafHashes(subs)
	for i, r := range g.records {
		rec, pair := records[i], pairs[i]
		in := rec.Intake
		if in.Index != uint64(r.position) || in.Node != p.want.node || in.Statement != statements[r.statement] ||
			in.ReceivedAt.UnixMilli() != g.received || pair != g.statements[r.statement].pairs[r.position] ||
			rec.Submission.Kind.Stream() != evidence.Streams[r.stream] {
			return nil, nil, fmt.Errorf("record %d is not what its table and statement say", i)
		}
		entries = append(entries, entryOf(rec.Submission, pair))
	}
	leaves = merkle.LeafHashes(data)
	return leaves, entries, p.checkHead(g, leaves)
}

// checkStatements returns the digests of the statements after comparing their
// roots with the pairs, and notes whose they are.
func checkStatements(g *group) ([]merkle.Digest, error) {
	var out []merkle.Digest
	for i, s := range g.statements {
		st, err := evidence.ParseStatement(s.signed)
		if err != nil {
			return nil, fmt.Errorf("statement %d: %w", i, err)
		}
		if blocks := merkle.Blocks(s.pairs); st.Count != uint64(len(s.pairs)) || st.Root != merkle.Root(blocks) || !slices.Equal(s.blocks, kept(blocks)) {
			return nil, fmt.Errorf("statement %d is not over the pairs beside it", i)
		}
		g.statements[i].owner = ownerOf(st)
		out = append(out, merkle.Sum(s.signed))
	}
	return out, nil
}

func (p *replayer) checkHead(g *group, leaves []merkle.Digest) error {
	h, err := evidence.ParseReceiptHead(g.head)
	if err != nil {
		return err
	}
	if err := h.Signed.Verify(p.want.chain, p.a.cfg.Intake.Public()); err != nil {
		return err
	}
	blocks := merkle.Blocks(leaves)
	if h.Node != p.want.node || h.Seq != p.want.seq || h.Count != uint64(len(leaves)) ||
		h.ReceivedAt.UnixMilli() != g.received || h.Root != merkle.Root(blocks) || !slices.Equal(g.blocks, kept(blocks)) {
		return errors.New("the receipt head is not over these records")
	}
	return nil
}

// footer compares the footer with what the groups before it make.
func (p *replayer) footer(payload []byte) error {
	b := p.r.batch
	f, err := decodeFooter(payload, len(payload))
	if err != nil {
		return p.corrupt("footer: %v", err)
	}
	if _, err := p.a.checkHeader(f.header, b.seq, b); err != nil {
		return p.corrupt("footer: %v", err)
	}
	again, err := encodeFooter(f.header, &b.trees, b.size)
	if err != nil {
		return p.corrupt("footer: %v", err)
	}
	if !bytes.Equal(again[frameHead:], payload) {
		return p.corrupt("footer: its nodes are not those of the records")
	}
	p.r.header = bytes.Clone(f.header)
	return nil
}

// checkHeader checks that a header is ours, for a seq and, where b is given,
// for the records of b.
func (a *Archive) checkHeader(header []byte, seq uint64, b *batch) (*evidence.Batch, error) {
	h, err := evidence.ParseBatch(header)
	if err != nil {
		return nil, err
	}
	if err := h.Signed.Verify(a.cfg.ChainID, a.cfg.Intake.Public()); err != nil {
		return nil, err
	}
	if h.Node != a.cfg.Node || h.Seq != seq {
		return nil, fmt.Errorf("the header is of batch %d of node %s", h.Seq, h.Node)
	}
	if b == nil {
		return h, nil
	}
	for i, t := range b.trees {
		root, err := merkle.RootAt(t.Size(), t)
		if err != nil {
			return nil, err
		}
		s, ok := h.Streams[evidence.Streams[i]]
		if ok != (t.Size() > 0) || ok && (s.Count != t.Size() || s.Root != root) {
			return nil, fmt.Errorf("the header's root of %s is not that of the records", evidence.Streams[i])
		}
	}
	if h.RegistrySize != b.registry || h.FirstReceivedAt.UnixMilli() != b.first || h.LastReceivedAt.UnixMilli() != b.last {
		return nil, errors.New("the header's times or registry size are not those of the records")
	}
	return h, nil
}
