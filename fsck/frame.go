package fsck

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A batch file is the preface and frames:
//
//	magic    4  ff 51 46 f7
//	length   4  of the payload, big-endian like every number here
//	check    4  CRC-32C of magic, length, the batch's seq (8) and the frame's offset (8)
//	payload
//	sum      4  CRC-32C of check and payload
//	end      1  a5
//
// Each frame was synced before the next was written, so a crash damages the last
// one only, and by what it does with bytes that were not synced.
const (
	frameHead = 12
	frameTail = 5
	magic     = "\xff\x51\x46\xf7"
	preface   = "QFBATCH\x02"
)

// frames reads a batch file frame by frame.
type frames struct {
	r    io.ReaderAt
	seq  uint64
	size int64
	at   int64 // offset of the next frame
}

// badFrame is why there is no good frame at an offset. claims is the end that a
// good head states, 0 where the head is not good.
type badFrame struct {
	why    string
	claims int64
}

func (e *badFrame) Error() string { return e.why }

func (f *frames) checksum(at int64, head []byte) uint32 {
	place := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, f.seq), uint64(at))
	return crc32.Update(crc32.Checksum(head[:8], castagnoli), castagnoli, place)
}

// read returns the payload of the frame at an offset, and the offset behind it. A
// frame that is not good is a *badFrame.
func (f *frames) read(at int64) (payload []byte, end int64, err error) {
	if f.size-at < frameHead {
		return nil, 0, &badFrame{why: "a frame's head is cut off"}
	}
	head := make([]byte, frameHead)
	if _, err := f.r.ReadAt(head, at); err != nil {
		return nil, 0, err
	}
	if string(head[:4]) != magic {
		return nil, 0, &badFrame{why: "no frame begins here"}
	}
	if binary.BigEndian.Uint32(head[8:]) != f.checksum(at, head) {
		return nil, 0, &badFrame{why: "a frame's head does not match its checksum: it was changed, or moved here from another place or file"}
	}
	n := int64(binary.BigEndian.Uint32(head[4:]))
	end = at + frameHead + n + frameTail
	if n > maxFooter {
		return nil, 0, &badFrame{why: fmt.Sprintf("a frame of %d bytes", n), claims: end}
	}
	if end > f.size {
		return nil, 0, &badFrame{why: "a frame is cut off", claims: end}
	}
	b := make([]byte, n+frameTail)
	if _, err := f.r.ReadAt(b, at+frameHead); err != nil {
		return nil, 0, err
	}
	sum := crc32.Update(crc32.Checksum(head[8:], castagnoli), castagnoli, b[:n])
	if b[n+4] != 0xa5 || binary.BigEndian.Uint32(b[n:]) != sum {
		return nil, 0, &badFrame{why: "a frame does not match its checksum", claims: end}
	}
	return b[:n:n], end, nil
}

// torn says whether a bad frame is what a crash leaves at the end of a journal:
// nothing good follows, and bytes are missing from the end or a sector was lost.
func (f *frames) torn(bad *badFrame) (bool, string, error) {
	next, err := f.find(f.at + 1)
	if err != nil {
		return false, "", err
	}
	if next >= 0 {
		return false, fmt.Sprintf("; a good frame follows at %d", next), nil
	}
	if f.size-f.at < frameHead || bad.claims > f.size {
		return true, "", nil
	}
	end := f.size
	if bad.claims > 0 {
		end = bad.claims
	}
	lost, err := lostSector(f.r, f.at, end)
	return lost, "; it is whole, so no crash left it", err
}

// find returns the offset of the first good frame from an offset on, -1 if there
// is none.
func (f *frames) find(from int64) (int64, error) {
	buf := make([]byte, 1<<20)
	for from < f.size {
		n, err := f.r.ReadAt(buf[:min(int64(len(buf)), f.size-from)], from)
		if err != nil && !errors.Is(err, io.EOF) {
			return -1, err
		}
		for at := 0; ; at++ {
			i := bytes.Index(buf[at:n], []byte(magic))
			if i < 0 {
				break
			}
			at += i
			_, _, err := f.read(from + int64(at))
			var bad *badFrame
			if err == nil || !errors.As(err, &bad) {
				return from + int64(at), err
			}
		}
		if n < len(magic) {
			break
		}
		from += int64(n - len(magic) + 1)
	}
	return -1, nil
}

// fields reads numbers and byte strings; short says that there were too few.
type fields struct {
	b     []byte
	short bool
}

func (f *fields) take(n uint64) []byte {
	if f.short || n > uint64(len(f.b)) {
		f.short = true
		return nil
	}
	b := f.b[:n:n]
	f.b = f.b[n:]
	return b
}

func (f *fields) num(n int) (v uint64) {
	for _, x := range f.take(uint64(n)) {
		v = v<<8 | uint64(x)
	}
	return v
}

// over says what is wrong with the length of what was read.
func (f *fields) over() error {
	switch {
	case f.short:
		return errors.New("it ends too early")
	case len(f.b) > 0:
		return fmt.Errorf("%d bytes follow its end", len(f.b))
	}
	return nil
}
