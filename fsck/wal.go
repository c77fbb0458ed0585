package fsck

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strings"

	cmtcons "github.com/cometbft/cometbft/proto/tendermint/consensus"
)

// wal reads CometBFT's write-ahead log: CRC-32C (4, big-endian), length (4),
// message, again and again. A crash may cut the last message, and so does a disk
// that is full. CometBFT repairs that when it reads its log at the next start; a
// node that has blocks to fetch first does not read it, and writes on behind the cut.
//
// The log is no evidence: it is for the last height alone, and whoever can write
// here can as well remove it. What is said of it is whether a disk has damaged it.
// Who cuts a message and joins what is left hides it from this check, and gains
// that the node asks the others for a height that it had not finished.
func (b *blocks) wal() error {
	dir := b.c.data("chain", "comet", "data", "cs.wal")
	list, _, err := names(dir)
	if err != nil {
		return err
	}
	found := false
	for _, n := range list {
		if n == "wal.CORRUPTED" {
			// What CometBFT puts aside when it cuts its log at the first message that
			// is not whole, as after a full disk, and goes on.
			b.c.note(NoteWALCut, b.c.rel(filepath.Join(dir, n)), "")
			continue
		}
		if n == "wal" || strings.HasPrefix(n, "wal.") {
			found = true
			if err := b.walFile(filepath.Join(dir, n)); err != nil {
				return err
			}
		}
	}
	if !found {
		b.c.note(NoteNoWAL, b.c.rel(filepath.Join(dir, "wal")), "")
	}
	return nil
}

// ours says whether a message may stand in our log: votes are the members', and
// heights are those of our chain.
func (b *blocks) ours(raw []byte) error {
	var m cmtcons.TimedWALMessage
	if err := m.Unmarshal(raw); err != nil {
		return err
	}
	if end := m.Msg.GetEndHeight(); end != nil && (end.Height < 0 || uint64(end.Height) > b.height) {
		return fmt.Errorf("it says that height %d has ended, the blocks go to %d", end.Height, b.height)
	}
	info := m.Msg.GetMsgInfo()
	if info == nil {
		return nil
	}
	msg := info.GetMsg()
	if vote := msg.GetVote(); vote != nil && vote.Vote != nil && !b.vals.HasAddress(vote.Vote.ValidatorAddress) {
		return fmt.Errorf("it holds a vote of %X, who is no member", vote.Vote.ValidatorAddress)
	}
	return nil
}

func (b *blocks) walFile(path string) (err error) {
	c := b.c
	defer caught(&err, CodeWAL, c.rel(path))
	f, size, err := opened(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for off := int64(0); ; {
		bad, why, err := badMessage(f, off, size, b.ours)
		if err != nil || bad < 0 {
			return reading(path, err)
		}
		next, err := nextMessage(f, bad, size)
		if err != nil {
			return reading(path, err)
		}
		cut, other, err := cutMessage(f, bad, next, size)
		if err != nil {
			return reading(path, err)
		}
		if other != nil {
			why = other
		}
		if !cut {
			return c.tornOr(path, f, size, bad, why, CodeWAL)
		}
		n := c.note(NoteWALGoneOn, c.rel(path), "%d bytes of a message", next-bad)
		n.Places = append(n.Places, Place{"offset", uint64(bad)})
		off = next
	}
}

// cutMessage judges a message that is not good by where the next good one begins,
// -1 if there is none. It is cut if that one begins before its end, and the bytes
// that are there are not what its checksum is of: else all of it is there, and its
// length was changed, which why says.
func cutMessage(r io.ReaderAt, bad, next, size int64) (cut bool, why, err error) {
	if next >= 0 && next < bad+walHead {
		return true, nil, nil // not even its head was written
	}
	end := next
	if next < 0 {
		end = size
	}
	if end < bad+walHead {
		return false, nil, nil
	}
	var head [walHead]byte
	if _, err := r.ReadAt(head[:], bad); err != nil {
		return false, nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[4:]))
	if end-bad > walHead+maxMessage || end >= bad+walHead+n {
		return false, nil, nil
	}
	there := make([]byte, end-bad-walHead)
	if _, err := r.ReadAt(there, bad+walHead); err != nil && len(there) > 0 { // nothing may be read at the end
		return false, nil, err
	}
	if crc32.Checksum(there, castagnoli) == binary.BigEndian.Uint32(head[:]) {
		return false, fmt.Errorf("a message is whole with %d bytes, and states %d", len(there), n), nil
	}
	if n > maxMessage {
		return false, nil, nil // nobody has begun to write that
	}
	return next >= 0, nil, nil
}

// nextMessage returns where the first good message behind a bad one begins, -1 if
// none does before that could have ended.
func nextMessage(r io.ReaderAt, bad, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	limit := min(size, bad+walHead+maxMessage)
	for from := bad + 1; from+walLeast <= limit; {
		b := buf[:min(int64(len(buf)), size-from)]
		if _, err := r.ReadAt(b, from); err != nil {
			return -1, err
		}
		for at := range len(b) - walLeast + 1 {
			good, err := messageAt(r, b[at:], from+int64(at), size)
			if good || err != nil {
				return from + int64(at), err
			}
		}
		from += int64(len(b) - walLeast + 1)
	}
	return -1, nil
}

// messageAt says whether a good message begins at an offset, where b is.
func messageAt(r io.ReaderAt, b []byte, at, size int64) (bool, error) {
	n := int64(binary.BigEndian.Uint32(b[4:]))
	if b[walHead] != walFirst || n < walLeast-walHead || n > maxMessage || at+walHead+n > size {
		return false, nil
	}
	msg := make([]byte, n)
	if _, err := r.ReadAt(msg, at+walHead); err != nil {
		return false, err
	}
	return crc32.Checksum(msg, castagnoli) == binary.BigEndian.Uint32(b), nil
}

const (
	walHead  = 8               // checksum and length
	walFirst = 0x0a            // what each message begins with: the tag of its time
	walLeast = walHead + 1 + 1 // the shortest has an empty time
)

// badMessage returns the offset of the first message from an offset on that is not
// good, -1 if all are.
func badMessage(r io.ReaderAt, off, size int64, take func([]byte) error) (at int64, why, err error) {
	var head [walHead]byte
	var buf []byte
	for off < size {
		if size-off < walHead {
			return off, errCut, nil
		}
		if _, err := r.ReadAt(head[:], off); err != nil {
			return 0, nil, err
		}
		n := int64(binary.BigEndian.Uint32(head[4:]))
		if n > maxMessage || n < walLeast-walHead {
			return off, fmt.Errorf("a message of %d bytes", n), nil
		}
		end := min(off+walHead+n, size)
		if int64(cap(buf)) < n {
			buf = make([]byte, n)
		}
		b := buf[:end-off-walHead]
		if _, err := r.ReadAt(b, off+walHead); err != nil && len(b) > 0 { // nothing may be read at the end
			return 0, nil, err
		}
		good := crc32.Checksum(b, castagnoli) == binary.BigEndian.Uint32(head[:])
		switch {
		case off+walHead+n > size && !good:
			return off, errCut, nil
		case !good || off+walHead+n > size:
			return off, errors.New("a message does not match its checksum or length"), nil
		}
		if why := take(b); why != nil {
			return off, why, nil
		}
		off = end
	}
	return -1, nil, nil
}
