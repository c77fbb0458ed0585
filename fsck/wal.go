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
		if n == "wal" || strings.HasPrefix(n, "wal.") {
			found = true
			if err := b.c.walFile(filepath.Join(dir, n)); err != nil {
				return err
			}
		}
	}
	if !found {
		return wrong(CodeMissing, b.c.rel(filepath.Join(dir, "wal")), "there is no write-ahead log")
	}
	return nil
}

func (c *checker) walFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	bad, why, err := badMessage(f, st.Size())
	if err != nil || bad < 0 {
		return reading(path, err)
	}
	return c.tornOr(path, f, st.Size(), bad, why, CodeWAL)
}

func badMessage(r io.ReaderAt, size int64) (at int64, why, err error) {
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
		if _, err := r.ReadAt(b, off+8); err != nil {
			return 0, nil, err
		}
		good := crc32.Checksum(b, castagnoli) == binary.BigEndian.Uint32(head[:])
		switch {
		case off+8+n > size && !good:
			return off, errCut, nil
		case !good || off+8+n > size:
			return off, errors.New("a message does not match its checksum or length"), nil
		}
		off = end
	}
	return -1, nil, nil
}
