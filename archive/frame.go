package archive

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// A frame is what one write and one fsync make durable:
//
//	magic    4  ff 51 46 f7
//	length   4  of the payload, big-endian like every number here
//	check    4  CRC-32C of magic, length, the batch's seq (8) and the frame's offset (8)
//	payload
//	sum      4  CRC-32C of check and payload
//	end      1  a5
//
// The magic holds bytes that never stand in JSON, so no submitter can make a
// record that looks like a frame; check binds the frame to its place, so that
// no frame can be moved, doubled or taken from another file.
//
// Since every frame is fsynced before the next one is written, a crash can only
// damage the last one, and only by what a disk does with bytes that were never
// synced: they are missing from the end, or sectors of them are zeros. A bad
// frame of that shape with nothing good after it is torn: nobody was told of
// it, and it is cut off. Every other bad frame is corrupt: it may have been
// acknowledged, and the archive refuses to start. That is why the frame ends
// in a byte that is not zero.
const (
	frameHead = 12
	frameTail = 5
	frameEnd  = 0xa5
	sector    = 512
)

var (
	frameMagic = []byte{0xff, 'Q', 'F', 0xf7}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// frameSize is the length of the frame with a payload of n bytes.
func frameSize(n int) int64 { return frameHead + int64(n) + frameTail }

func frameCheck(head []byte, seq uint64, offset int64) uint32 {
	var place [16]byte
	binary.BigEndian.PutUint64(place[:], seq)
	binary.BigEndian.PutUint64(place[8:], uint64(offset))
	return crc32.Update(crc32.Update(0, castagnoli, head[:8]), castagnoli, place[:])
}

// sealFrame completes the frame in buf: its first frameHead bytes are free, the
// payload follows.
func sealFrame(buf []byte, seq uint64, offset int64) []byte {
	copy(buf, frameMagic)
	binary.BigEndian.PutUint32(buf[4:], uint32(len(buf)-frameHead))
	binary.BigEndian.PutUint32(buf[8:], frameCheck(buf, seq, offset))
	sum := crc32.Update(0, castagnoli, buf[8:])
	buf = binary.BigEndian.AppendUint32(buf, sum)
	return append(buf, frameEnd)
}

// badFrame says why there is no good frame at an offset.
type badFrame struct {
	problem string
	// extent is the length that a whole head claims, 0 where the head is bad.
	extent int64
}

func (e *badFrame) Error() string { return e.problem }

// readHead checks the head of the frame at offset and returns the length of its
// payload. The error is a *badFrame or one of reading.
func readHead(r io.ReaderAt, size int64, seq uint64, offset int64, max int) (int, error) {
	var head [frameHead]byte
	if size-offset < frameHead {
		return 0, &badFrame{problem: "the frame's head is cut off"}
	}
	if _, err := r.ReadAt(head[:], offset); err != nil {
		return 0, fmt.Errorf("reading a frame: %w", err)
	}
	n := int64(binary.BigEndian.Uint32(head[4:]))
	switch {
	case !bytes.Equal(head[:4], frameMagic):
		return 0, &badFrame{problem: "there is no frame"}
	case binary.BigEndian.Uint32(head[8:]) != frameCheck(head[:], seq, offset):
		return 0, &badFrame{problem: "the frame's head does not match its checksum"}
	case n > int64(max):
		return 0, &badFrame{problem: fmt.Sprintf("the frame has %d bytes, more than any that is written", n)}
	case size-offset < frameSize(int(n)):
		return 0, &badFrame{problem: "the frame is cut off", extent: frameSize(int(n))}
	}
	return int(n), nil
}

// readFrame returns the payload of the frame at offset of a file of a size.
func readFrame(r io.ReaderAt, size int64, seq uint64, offset int64, max int) ([]byte, error) {
	n, err := readHead(r, size, seq, offset, max)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, frameSize(n)-8)
	if _, err := r.ReadAt(buf, offset+8); err != nil {
		return nil, fmt.Errorf("reading a frame: %w", err)
	}
	body := buf[:4+n]
	if buf[len(buf)-1] != frameEnd || binary.BigEndian.Uint32(buf[len(body):]) != crc32.Update(0, castagnoli, body) {
		return nil, &badFrame{problem: "the frame does not match its checksum", extent: frameSize(n)}
	}
	return body[4:], nil
}

// torn decides whether the bad frame at offset is what a crash leaves behind.
// Where it is not, it says why.
func torn(r io.ReaderAt, size int64, seq uint64, offset int64, bad *badFrame) (ok bool, why string, err error) {
	next, err := findFrame(r, size, seq, offset+1)
	if err != nil {
		return false, "", err
	}
	if next >= 0 {
		return false, fmt.Sprintf("and a good frame follows at %d", next), nil
	}
	end := size
	if bad.extent > 0 {
		end = offset + bad.extent
	}
	if size-offset < frameHead || end > size {
		return true, "", nil // bytes are missing
	}
	lost, err := zeroSector(r, offset, end)
	if err != nil || lost {
		return lost, "", err
	}
	return false, "and it is whole, so that no crash can have left it", nil
}

// findFrame returns the offset of the first good frame at or after from, or -1.
func findFrame(r io.ReaderAt, size int64, seq uint64, from int64) (int64, error) {
	buf := make([]byte, min(1<<20, max(size-from, 0)))
	for from < size {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), size-from)], from)
		if err != nil && err != io.EOF {
			return -1, fmt.Errorf("looking for frames: %w", err)
		}
		if n < len(frameMagic) {
			return -1, nil
		}
		for at := 0; ; at++ {
			i := bytes.Index(buf[at:n], frameMagic)
			if i < 0 {
				break
			}
			at += i
			_, err := readFrame(r, size, seq, from+int64(at), maxFooterPayload)
			if err == nil {
				return from + int64(at), nil
			}
			if _, bad := err.(*badFrame); !bad {
				return -1, err
			}
		}
		from += int64(n - len(frameMagic) + 1)
	}
	return -1, nil
}

// zeroSector says whether a sector of the file, as far as it lies within
// [from, to), holds nothing but zeros.
func zeroSector(r io.ReaderAt, from, to int64) (bool, error) {
	var buf [sector]byte
	for from < to {
		n := min(sector-from%sector, to-from)
		if _, err := r.ReadAt(buf[:n], from); err != nil {
			return false, fmt.Errorf("looking for lost sectors: %w", err)
		}
		if len(bytes.TrimLeft(buf[:n], "\x00")) == 0 {
			return true, nil
		}
		from += n
	}
	return false, nil
}
