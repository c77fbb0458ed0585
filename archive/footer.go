package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// The footer is the last frame of a closed batch:
//
//	kind    1  3
//	counts 3×4 records per stream
//	header  4  bytes of the signed header
//	the header
//	per stream and level, from the leaves up, the complete nodes, 64 bytes each
//	start   8  offset of this frame in the file
//
// A proof reads the nodes that it needs and hashes next to nothing. start
// stands at a fixed distance from the end of the file.
type footer struct {
	counts [3]uint64
	header []byte
	nodes  int64 // offset of the nodes in the file
	start  int64 // offset of the frame in the file
	end    int64 // size of the file
}

const footerFixed = 1 + 3*4 + 4

// encodeFooter makes the payload; start is the offset where its frame will be.
func encodeFooter(header []byte, trees *[3]*merkle.Tree, start int64) ([]byte, error) {
	size := footerFixed + len(header) + 8
	for _, t := range trees {
		size += int(countNodes(t.Size())) * pairSize
	}
	b := append(make([]byte, frameHead, frameHead+size+frameTail), kindFooter)
	for _, t := range trees {
		b = appendLen(b, int(t.Size()))
	}
	b = append(appendLen(b, len(header)), header...)
	for _, t := range trees {
		for level := uint8(0); t.Size()>>level > 0; level++ {
			for i := range t.Size() >> level {
				d, err := t.Node(level, i)
				if err != nil {
					return nil, err
				}
				b = appendPair(b, d)
			}
		}
	}
	return binary.BigEndian.AppendUint64(b, uint64(start)), nil
}

// countNodes is the number of complete nodes of a tree.
func countNodes(size uint64) (n uint64) {
	for ; size > 0; size >>= 1 {
		n += size
	}
	return n
}

// footerStart reads where the footer of a file of a size begins, if it has one.
func footerStart(r io.ReaderAt, size int64) (int64, error) {
	var b [8]byte
	at := size - frameTail - int64(len(b))
	if at < 0 {
		return 0, errors.New("the file is too short for a batch")
	}
	if _, err := r.ReadAt(b[:], at); err != nil {
		return 0, fmt.Errorf("reading the footer's place: %w", err)
	}
	start := binary.BigEndian.Uint64(b[:])
	if start >= uint64(size) {
		return 0, errors.New("the footer's place is not in the file")
	}
	return int64(start), nil
}

// readFooter reads the footer without its nodes, which are checked where they
// are used: against the leaf and the header's root.
func readFooter(r io.ReaderAt, size int64, seq uint64) (*footer, error) {
	start, err := footerStart(r, size)
	if err != nil {
		return nil, err
	}
	n, err := readHead(r, size, seq, start, maxFooterPayload)
	if err != nil {
		return nil, fmt.Errorf("footer: %w", err)
	}
	p := make([]byte, min(n, footerHead))
	if _, err := r.ReadAt(p, start+frameHead); err != nil {
		return nil, fmt.Errorf("reading the footer: %w", err)
	}
	f, err := decodeFooter(p, n)
	if errors.Is(err, io.ErrUnexpectedEOF) && len(p) < n { // a header longer than ours are
		p = make([]byte, min(n, footerFixed+evidence.MaxTxBytes))
		if _, err := r.ReadAt(p, start+frameHead); err != nil {
			return nil, fmt.Errorf("reading the footer: %w", err)
		}
		f, err = decodeFooter(p, n)
	}
	if err != nil {
		return nil, fmt.Errorf("footer: %w", err)
	}
	f.start = start
	f.nodes += start + frameHead
	return f, nil
}

// decodeFooter reads the beginning p of a footer's payload of n bytes.
func decodeFooter(p []byte, n int) (*footer, error) {
	rd := reader{p: p}
	f := &footer{}
	rd.kind(kindFooter)
	nodes := uint64(0)
	for i := range f.counts {
		f.counts[i] = uint64(rd.u32())
		nodes += countNodes(f.counts[i])
	}
	length := uint64(rd.u32())
	f.header = rd.take(length)
	if rd.err != nil {
		return nil, rd.err
	}
	if want := footerFixed + length + nodes*pairSize + 8; uint64(n) != want {
		return nil, fmt.Errorf("it has %d bytes where its counts say %d", n, want)
	}
	f.nodes = int64(footerFixed + length)
	return f, nil
}

// streamNodes reads the nodes of one stream from a closed batch.
type streamNodes struct {
	r    io.ReaderAt
	size uint64
	at   int64 // offset of level 0
}

// stream returns the nodes of a stream of the batch in r.
func (f *footer) stream(r io.ReaderAt, stream uint8) streamNodes {
	at := f.nodes
	for _, n := range f.counts[:stream] {
		at += int64(countNodes(n)) * pairSize
	}
	return streamNodes{r, f.counts[stream], at}
}

// Node implements merkle.NodeReader.
func (s streamNodes) Node(level uint8, index uint64) (merkle.Digest, error) {
	if level >= 64 || index >= s.size>>level {
		return merkle.Digest{}, fmt.Errorf("no complete node in a stream of %d records", s.size)
	}
	var b [pairSize]byte
	if _, err := s.r.ReadAt(b[:], s.place(level, index)); err != nil {
		return merkle.Digest{}, fmt.Errorf("reading a node: %w", err)
	}
	return toPair(b[:]), nil
}

// place is the offset of a node.
func (s streamNodes) place(level uint8, index uint64) int64 {
	at := s.at
	for l := range level {
		at += int64(s.size>>l) * pairSize
	}
	return at + int64(index)*pairSize
}

// ahead is a stream whose nodes are only asked for ahead.
type ahead struct{ streamNodes }

// Node implements merkle.NodeReader.
func (s ahead) Node(level uint8, index uint64) (merkle.Digest, error) {
	willNeed(s.r, s.place(level, index), pairSize)
	return merkle.Digest{}, nil
}

// leaves reads n leaves from index on in one go.
func (s streamNodes) leaves(index, n uint64) ([]merkle.Digest, error) {
	if index > s.size || n > s.size-index {
		return nil, fmt.Errorf("no leaves %d to %d in a stream of %d records", index, index+n, s.size)
	}
	b := make([]byte, n*pairSize)
	if _, err := s.r.ReadAt(b, s.at+int64(index)*pairSize); err != nil {
		return nil, fmt.Errorf("reading leaves: %w", err)
	}
	out := make([]merkle.Digest, n)
	for i := range out {
		out[i] = toPair(b[i*pairSize:])
	}
	return out, nil
}
