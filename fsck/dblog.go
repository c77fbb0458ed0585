package fsck

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"

	lvjournal "github.com/syndtr/goleveldb/leveldb/journal"
	"github.com/syndtr/goleveldb/leveldb/storage"
)

// A log of goleveldb (its journals and its manifest) is made of blocks of 32 KiB,
// these of chunks that do not cross them: masked CRC-32C of kind and payload (4,
// little-endian), length (2), kind (1), payload. What is left of a block when
// less than a chunk's head fits is zeros.
const (
	logBlock = 32 << 10
	chunkLen = 7
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkLogs reads the current manifest and the journals of a database, and looks
// whether the files that it needs are there.
func (c *checker) checkLogs(s *readStorage) error {
	meta, err := s.GetMeta()
	if err != nil {
		return (&database{c: c, dir: s.dir}).failed(err)
	}
	m := &manifest{tables: map[uint64]uint64{}}
	if err := c.checkLog(filepath.Join(s.dir, meta.String()), m.take); err != nil {
		return err
	}
	logs, err := s.List(storage.TypeJournal)
	if err != nil {
		return err
	}
	j := &joiner{}
	j.w = lvjournal.NewWriter(&j.b)
	for _, fd := range logs {
		var take func([]byte) error
		if live := uint64(fd.Num) >= m.journal; live {
			j.fds = append(j.fds, fd)
			take = j.take
		}
		err := c.checkLog(filepath.Join(s.dir, fd.String()), take)
		var p *Problem
		if s.derived && errors.As(err, &p) {
			c.note(NoteTorn, p.File, "%s", p.Detail).Places = p.Places
		} else if err != nil {
			return err
		}
	}
	if err := c.checkFiles(s, m); err != nil {
		return err
	}
	return j.end(s)
}

// joiner makes one journal of several, as a crash leaves them that comes while the
// older one is written out: goleveldb opens no database with two to be read only,
// because its reader reports the end of the first for one of the second.
type joiner struct {
	fds []storage.FileDesc
	b   bytes.Buffer
	w   *lvjournal.Writer
}

func (j *joiner) take(rec []byte) error {
	if j.b.Len() > maxJoined {
		return nil // end says so
	}
	w, err := j.w.Next()
	if err == nil {
		_, err = w.Write(rec)
	}
	return err
}

func (j *joiner) end(s *readStorage) error {
	if len(j.fds) < 2 {
		return nil
	}
	if err := j.w.Close(); err != nil {
		return err
	}
	if j.b.Len() > maxJoined {
		return fmt.Errorf("the journals in %s have more than %d bytes", s.dir, maxJoined)
	}
	s.joined, s.into = j.fds, j.b.Bytes()
	return nil
}

// checkLog reads a log and gives each record to take, if that is not nil.
func (c *checker) checkLog(path string, take func([]byte) error) error {
	f, size, err := opened(path)
	if err != nil {
		return err
	}
	defer f.Close()
	bad, why, err := badChunk(f, size, take)
	if err != nil || bad < 0 {
		return reading(path, err)
	}
	if errors.Is(why, errCut) {
		if why, err = reallyCut(f, size, bad); err != nil {
			return reading(path, err)
		}
	}
	return c.tornOr(path, f, size, bad, why, CodeStore)
}

// reallyCut looks closer at a chunk that claims more bytes than there are: its
// length may have been changed. Then good chunks follow it, or the bytes that are
// there match its checksum.
func reallyCut(r io.ReaderAt, size, bad int64) (why, err error) {
	b := make([]byte, min(logBlock-bad%logBlock, size-bad))
	if _, err := r.ReadAt(b, bad); err != nil {
		return nil, err
	}
	for i := 1; i+chunkLen <= len(b); i++ {
		if _, _, why := chunk(b[i:], false); why == nil {
			return fmt.Errorf("a chunk of the log reaches beyond a good one at offset %d", bad+int64(i)), nil
		}
	}
	if len(b) >= chunkLen && masked(b[6:]) == binary.LittleEndian.Uint32(b) {
		return errors.New("a chunk of the log is whole, and states another length"), nil
	}
	return errCut, nil
}

// tornOr decides what a bad end of a file that is only appended to is: what a
// crash leaves of bytes that were not synced yet, that is bytes missing from the
// end or sectors of zeros, or damage.
func (c *checker) tornOr(path string, r io.ReaderAt, size, bad int64, why error, code Code) error {
	torn := errors.Is(why, errCut)
	if !torn {
		var err error
		if torn, err = lostSector(r, bad, size); err != nil {
			return reading(path, err)
		}
	}
	if !torn {
		return wrong(code, c.rel(path), "%v", why).at("offset", uint64(bad))
	}
	n := c.note(NoteTorn, c.rel(path), "%v; %d bytes", why, size-bad)
	n.Places = append(n.Places, Place{"offset", uint64(bad)})
	return nil
}

// errCut says that bytes are missing from the end.
var errCut = errors.New("it ends in the middle of what was being written")

// badChunk returns the offset of the first chunk that is not good, -1 if all are.
// Each whole record is given to take.
func badChunk(r io.ReaderAt, size int64, take func([]byte) error) (at int64, why, err error) {
	buf := make([]byte, logBlock)
	var rec []byte
	within := false // of a record of several chunks
	start := int64(0)
	for base := int64(0); base < size; base += logBlock {
		b := buf[:min(logBlock, size-base)]
		if _, err := r.ReadAt(b, base); err != nil {
			return 0, nil, err
		}
		for off := 0; off < len(b); {
			if rest := b[off:]; len(rest) < chunkLen {
				if off+len(rest) < logBlock {
					return base + int64(off), errCut, nil
				}
				for i, x := range rest {
					if x != 0 {
						return base + int64(off+i), errors.New("a block of the log does not end in zeros"), nil
					}
				}
				break
			}
			n, kind, why := chunk(b[off:], base+int64(len(b)) == size && len(b) < logBlock)
			first := kind == 1 || kind == 2
			if why == nil && first == within {
				why = fmt.Errorf("a chunk of kind %d does not follow the one before it", kind)
			}
			if why != nil {
				return base + int64(off), why, nil
			}
			if first {
				start, rec = base+int64(off), rec[:0]
			}
			within = kind == 2 || kind == 3
			if take != nil {
				rec = append(rec, b[off+chunkLen:off+n]...)
				if within && len(rec) <= maxDocument {
					off += n
					continue
				}
				if why := take(rec); why != nil {
					return start, why, nil
				}
			}
			off += n
		}
	}
	if within {
		return start, errCut, nil
	}
	return -1, nil, nil
}

// chunk reads the chunk at the beginning of b; last says that the file ends with b.
func chunk(b []byte, last bool) (n int, kind byte, why error) {
	n, kind = chunkLen+int(binary.LittleEndian.Uint16(b[4:])), b[6]
	switch {
	case kind < 1 || kind > 4:
		return n, kind, fmt.Errorf("a chunk of the log is of kind %d", kind)
	case n > len(b) && last:
		return n, kind, errCut
	case n > len(b):
		return n, kind, errors.New("a chunk of the log reaches beyond its block")
	}
	if masked(b[6:n]) != binary.LittleEndian.Uint32(b) {
		return n, kind, errors.New("a chunk of the log does not match its checksum")
	}
	return n, kind, nil
}

func masked(b []byte) uint32 {
	sum := crc32.Checksum(b, castagnoli)
	return (sum>>15 | sum<<17) + 0xa282ead8
}
