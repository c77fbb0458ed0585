package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// batch is one without a footer: the open one, or one that waits for it. Its
// file is its journal, and becomes its body when the footer is in.
type batch struct {
	disk disk
	path string
	seq  uint64

	// mu guards what follows. One goroutine changes it: the writer until the
	// batch is full, then the outbox. Look-ups read it.
	mu       sync.RWMutex
	f        file  // nil once the batch is sealed or closed
	size     int64 // good and durable bytes
	registry uint64
	records  uint64
	first    int64 // received_at of the first and last record, Unix milliseconds
	last     int64
	trees    [3]*merkle.Tree
	owners   map[owner]usage
}

func newTrees() (t [3]*merkle.Tree) {
	for i := range t {
		t[i] = new(merkle.Tree)
	}
	return t
}

func journalName(seq uint64) string { return fmt.Sprintf("%016d.journal", seq) }

// createBatch makes the journal of an empty batch. Commit order:
//
//  1. preface and opening frame under a temporary name, fsync;
//  2. rename, fsync of the folder.
//
// A crash leaves a leftover that the next start removes, or the journal. A
// journal therefore always begins with a good opening, and only after 2 does
// any group go in.
func createBatch(d disk, dir string, o opening) (*batch, error) {
	path := filepath.Join(dir, journalName(o.seq))
	f, err := d.create(path + tmpSuffix)
	if err != nil {
		return nil, fmt.Errorf("creating a journal: %w", err)
	}
	head := append(filePreface[:len(filePreface):len(filePreface)], sealFrame(o.encode(), o.seq, int64(len(filePreface)))...)
	_, err = f.WriteAt(head, 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = moveFile(d, path+tmpSuffix, path)
	}
	if err != nil {
		return nil, fmt.Errorf("creating a journal: %w", errors.Join(err, f.Close(), ignoreMissing(d.remove(path+tmpSuffix))))
	}
	return &batch{disk: d, path: path, seq: o.seq, f: f, size: int64(len(head)), trees: newTrees()}, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// append writes one frame and makes it durable. An error that is ErrFull left
// the file as it was. After any other the end of the file is unknown, and the
// archive must stop: a second fsync after a failed one may report success for
// bytes that the system has thrown away.
func (b *batch) append(frame []byte) error {
	if _, err := b.f.WriteAt(frame, b.size); err != nil {
		if isFull(err) {
			if cut := b.f.Truncate(b.size); cut == nil {
				return fmt.Errorf("%w: writing %s: %w", ErrFull, b.path, err)
			}
		}
		return fmt.Errorf("writing %s: %w", b.path, err)
	}
	if err := b.f.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", b.path, err)
	}
	return nil
}

// grow takes note of a group that append has made durable.
func (b *batch) grow(g *group, leaves []merkle.Digest, frame int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for o, u := range g.owners() {
		if b.owners == nil {
			b.owners = make(map[owner]usage)
		}
		b.owners[o] = b.owners[o].plus(u)
	}
	if b.records == 0 {
		b.registry, b.first = g.registry, g.received
	}
	b.last = g.received
	var streams [3][]merkle.Digest
	for i, r := range g.records {
		streams[r.stream] = append(streams[r.stream], leaves[i])
	}
	for i, t := range b.trees {
		t.Append(streams[i]...)
	}
	b.records += uint64(len(g.records))
	b.size += frame
}

// base is the number of records per stream.
func (b *batch) base() (n [3]uint32) {
	for i, t := range b.trees {
		n[i] = uint32(t.Size())
	}
	return n
}

func (b *batch) status() BatchStatus {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := BatchStatus{Seq: b.seq, Records: b.records, Bytes: uint64(b.size), RegistrySize: b.registry}
	if b.records > 0 {
		s.Since = time.UnixMilli(b.first).UTC()
	}
	return s
}

func (b *batch) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.f == nil {
		return nil
	}
	f := b.f
	b.f = nil
	return f.Close()
}

// header signs the batch's header. It draws a fresh signature each time, so the
// result may leave the process only after it is durable in the footer.
func (b *batch) header(node, chain string, k gm.Signer) ([]byte, error) {
	h := evidence.Batch{
		Node: node, Seq: b.seq, RegistrySize: b.registry,
		FirstReceivedAt: time.UnixMilli(b.first), LastReceivedAt: time.UnixMilli(b.last),
		Streams: make(map[evidence.Stream]evidence.StreamRoot),
	}
	for i, t := range b.trees {
		if t.Size() > 0 {
			root, err := merkle.RootAt(t.Size(), t)
			if err != nil {
				return nil, fmt.Errorf("computing the root of %s: %w", evidence.Streams[i], err)
			}
			h.Streams[evidence.Streams[i]] = evidence.StreamRoot{Count: t.Size(), Root: root}
		}
	}
	raw, err := h.Sign(chain, k)
	if err != nil {
		return nil, fmt.Errorf("signing the header of batch %d: %w", b.seq, err)
	}
	return raw, nil
}
