package fsck

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"

	cmtcons "github.com/cometbft/cometbft/proto/tendermint/consensus"
)

// wal reads CometBFT's write-ahead log: CRC-32C (4, big-endian), length (4),
// message, again and again. CometBFT repairs an end that a crash has left.
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
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	bad, why, err := badMessage(f, st.Size(), b.ours)
	if err != nil || bad < 0 {
		return reading(path, err)
	}
	if errors.Is(why, errCut) {
		if why, err = messageAfter(f, st.Size(), bad); err != nil {
			return reading(path, err)
		}
	}
	return c.tornOr(path, f, st.Size(), bad, why, CodeWAL)
}

// messageAfter looks for a good message behind one that claims more bytes than
// there are: then its length was changed.
func messageAfter(r io.ReaderAt, size, bad int64) (why, err error) {
	b := make([]byte, min(size-bad, maxMessage))
	if _, err := r.ReadAt(b, bad); err != nil {
		return nil, err
	}
	for at := 1; at+8 < len(b); at++ {
		n := int(binary.BigEndian.Uint32(b[at+4:]))
		if n > 0 && n < 1<<16 && at+8+n <= len(b) && crc32.Checksum(b[at+8:at+8+n], castagnoli) == binary.BigEndian.Uint32(b[at:]) {
			return fmt.Errorf("a message reaches beyond a good one at offset %d", bad+int64(at)), nil
		}
	}
	return errCut, nil
}

func badMessage(r io.ReaderAt, size int64, take func([]byte) error) (at int64, why, err error) {
	var head [8]byte
	var buf []byte
	for off := int64(0); off < size; {
		if size-off < int64(len(head)) {
			return off, errCut, nil
		}
		if _, err := r.ReadAt(head[:], off); err != nil {
			return 0, nil, err
		}
		n := int64(binary.BigEndian.Uint32(head[4:]))
		if n > maxMessage {
			return off, fmt.Errorf("a message of %d bytes", n), nil
		}
		end := min(off+8+n, size)
		if int64(cap(buf)) < n {
			buf = make([]byte, n)
		}
		b := buf[:end-off-8]
		if _, err := r.ReadAt(b, off+8); err != nil && len(b) > 0 { // nothing may be read at the end
			return 0, nil, err
		}
		good := crc32.Checksum(b, castagnoli) == binary.BigEndian.Uint32(head[:])
		switch {
		case off+8+n > size && !good:
			return off, errCut, nil
		case !good || off+8+n > size:
			return off, errors.New("a message does not match its checksum or length"), nil
		}
		if why := take(b); why != nil {
			return off, why, nil
		}
		off = end
	}
	return -1, nil, nil
}
