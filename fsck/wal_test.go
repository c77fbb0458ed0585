package fsck_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"qifeng/fsck"
)

const walFile = cometDir + "cs.wal/wal"

// walMessages are the messages of a whole log, with their heads.
func walMessages(t *testing.T, b []byte) (out [][]byte) {
	t.Helper()
	for len(b) > 0 {
		n := 8 + int(binary.BigEndian.Uint32(b[4:]))
		out = append(out, b[:n:n])
		b = b[n:]
	}
	if len(out) < 10 {
		t.Fatalf("the log has %d messages", len(out))
	}
	return out
}

// longer makes a message state another length.
func longer(m []byte, by int) []byte {
	m = bytes.Clone(m)
	binary.BigEndian.PutUint32(m[4:], uint32(len(m)-8+by))
	return m
}

// flipped changes a byte of a message, the last where n is negative.
func flipped(m []byte, n int) []byte {
	m = bytes.Clone(m)
	m[(n+len(m))%len(m)] ^= 1
	return m
}

// large is a message as long as those that hold a part of a block.
func large() []byte {
	msg := append([]byte{0x0a, 0}, bytes.Repeat([]byte{0x5a, 1, 'x'}, 23000)...) // a field that nobody reads
	b := binary.BigEndian.AppendUint32(nil, crc32.Checksum(msg, crc32.MakeTable(crc32.Castagnoli)))
	return append(binary.BigEndian.AppendUint32(b, uint32(len(msg))), msg...)
}

// TestWriteAheadLog is CometBFT's log of a node whose disk was full, which is cut
// somewhere and goes on, and one that was changed, which is not the same.
func TestWriteAheadLog(t *testing.T) {
	type list = [][]byte
	set := func(m list, i int, b []byte) list { m[i] = b; return m }
	for _, c := range []struct {
		name string
		do   func(m list) list
		cuts int  // that are told
		good bool // beside them
	}{
		{"a message cut and gone on", func(m list) list { return set(m, 4, m[4][:len(m[4])/2]) }, 1, true},
		{"cut by a byte", func(m list) list { return set(m, 4, m[4][:len(m[4])-1]) }, 1, true},
		{"cut behind its head", func(m list) list { return set(m, 4, m[4][:8]) }, 1, true},
		{"cut within its length", func(m list) list { return set(m, 4, m[4][:6]) }, 1, true},
		{"cut within its checksum", func(m list) list { return set(m, 4, m[4][:1]) }, 1, true},
		{"cut before a long message", func(m list) list { m[5] = large(); return set(m, 4, m[4][:9]) }, 1, true},
		{"the first message cut", func(m list) list { return set(m, 0, m[0][:9]) }, 1, true},
		{"cut three times", func(m list) list {
			return set(set(set(m, 2, m[2][:20]), 3, m[3][:3]), 7, m[7][:30])
		}, 2, true}, // the two that stand together are one
		{"cut, and at the end too", func(m list) list {
			return set(set(m, 2, m[2][:20]), len(m)-1, m[len(m)-1][:20])
		}, 1, true},
		{"a length made larger", func(m list) list { return set(m, 4, longer(m[4], 1)) }, 0, false},
		{"a length made larger than the file", func(m list) list { return set(m, 4, longer(m[4], 1<<20)) }, 0, false},
		{"a length made larger than any message", func(m list) list { return set(m, 4, longer(m[4], 1<<30)) }, 0, false},
		{"a length made smaller", func(m list) list { return set(m, 4, longer(m[4], -1)) }, 0, false},
		{"no length", func(m list) list { return set(m, 4, longer(m[4], 8-len(m[4]))) }, 0, false},
		{"the last length made larger", func(m list) list { return set(m, len(m)-1, longer(m[len(m)-1], 5)) }, 0, false},
		{"a message changed", func(m list) list { return set(m, 4, flipped(m[4], -1)) }, 0, false},
		{"a checksum changed", func(m list) list { return set(m, 4, flipped(m[4], 0)) }, 0, false},
		{"a message changed behind one that is cut", func(m list) list {
			return set(set(m, 4, m[4][:12]), 6, flipped(m[6], -1))
		}, 1, false},
		{"a length changed behind one that is cut", func(m list) list {
			return set(set(m, 4, m[4][:12]), 6, longer(m[6], 3))
		}, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDamaged(t, vendor)
			d.edit(walFile, func(b []byte) []byte { return bytes.Join(c.do(walMessages(t, b)), nil) })
			r := check(t, d.dir, vendor)
			if good := r.Result == fsck.Good; good != c.good || !good && r.Problem.Code != fsck.CodeWAL {
				t.Errorf("%s", r.Text(false))
			}
			told := slices.DeleteFunc(slices.Clone(r.Notes), func(n *fsck.Note) bool {
				return n.Code != fsck.NoteWALGoneOn || !strings.HasPrefix(n.File, walFile) || len(n.Places) != 1
			})
			if len(told) != c.cuts {
				t.Errorf("%d cuts are told, want %d:\n%s", len(told), c.cuts, r.Text(true))
			}
		})
	}
}
