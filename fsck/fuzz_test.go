package fsck

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"hash/maphash"
	"slices"
	"strings"
	"testing"

	"github.com/cometbft/cometbft/types"

	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// frame makes a frame of a payload.
func frame(seq uint64, at int, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte(magic), uint32(len(payload)))
	b = binary.BigEndian.AppendUint32(b, (&frames{seq: seq}).checksum(int64(at), b))
	b = append(b, payload...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b[8:], castagnoli))
	return append(b, 0xa5)
}

func openingOf(seq uint64, node, chain string) []byte {
	b := binary.BigEndian.AppendUint64([]byte{kindOpening}, seq)
	b = append(append(b, byte(len(node))), node...)
	return append(append(b, byte(len(chain))), chain...)
}

// FuzzBatchFile reads whatever stands in a batch file. Half of it is put into
// frames with right checksums, so that what is inside of them is reached.
func FuzzBatchFile(f *testing.F) {
	open := frame(2, len(preface), openingOf(2, "vendor-a", "test-0123abcd"))
	file := append([]byte(preface), open...)
	f.Add(file, []byte{}, false)
	f.Add(file[:20], []byte("x"), false)
	f.Add(file, make([]byte, 41), true)
	f.Add(file, append([]byte{kindFooter}, make([]byte, 60)...), true)
	f.Add(file, append([]byte{kindGroup}, bytes.Repeat([]byte{0xff}, 60)...), true)
	j := &judge{node: "vendor-a", chain: "test-0123abcd", rootAt: func(uint64) (merkle.Digest, error) { return merkle.Digest{}, nil },
		submitKey: func(string, string, uint64) (gm.PublicKey, error) { return gm.PublicKey{}, nil }}
	f.Fuzz(func(t *testing.T, head, payload []byte, framed bool) {
		data := append(bytes.Clone(head), payload...)
		if framed {
			data = append(bytes.Clone(head), frame(2, len(head), payload)...)
		}
		b, err := j.readBatch("f", bytes.NewReader(data), int64(len(data)), 2)
		if err != nil {
			if _, ok := err.(*Problem); !ok {
				t.Fatalf("bytes that are there could not be read: %v", err)
			}
			return
		}
		if b.records > 0 || b.header != nil {
			t.Fatal("records without a signature were believed")
		}
	})
}

func FuzzGroup(f *testing.F) {
	f.Add(append([]byte{kindGroup}, make([]byte, 40)...))
	f.Add(append(append([]byte{kindGroup}, make([]byte, 28)...), 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1))
	f.Fuzz(func(t *testing.T, p []byte) {
		g, err := readGroup(p)
		if err != nil {
			return
		}
		n := 41 + len(g.head) + 8*len(g.statements) + 13*len(g.records)
		for _, s := range g.statements {
			n += len(s.signed) + 64*len(s.pairs)
		}
		for _, r := range g.records {
			n += len(r.data)
			if r.position >= uint64(len(g.statements[r.statement].pairs)) {
				t.Fatal("a record names a position that is not there")
			}
		}
		if n != len(p) {
			t.Fatalf("%d bytes were read of %d", n, len(p))
		}
	})
}

func FuzzFooter(f *testing.F) {
	f.Add(append([]byte{kindFooter}, make([]byte, 24)...))
	f.Add(append([]byte{kindFooter, 0, 0, 0, 1}, make([]byte, 20+64)...))
	f.Fuzz(func(t *testing.T, p []byte) {
		if ft, err := readFooter(p); err == nil && 1+12+4+len(ft.header)+len(ft.nodes)+8 != len(p) {
			t.Fatal("a footer of another length")
		}
	})
}

func FuzzDatabaseLog(f *testing.F) {
	rec := []byte("\x01\x1aleveldb.BytewiseComparator\x02\x01\x07\x00\x02\x05\x01a\x01b")
	b := append(make([]byte, 4), byte(len(rec)), 0, 1)
	b = append(b, rec...)
	binary.LittleEndian.PutUint32(b, masked(b[6:]))
	f.Add(b)
	f.Add(append(bytes.Clone(b), b[:9]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, framed := range []bool{false, true} {
			if framed && len(data) < logBlock-chunkLen {
				c := append(binary.LittleEndian.AppendUint16(make([]byte, 4), uint16(len(data))), 1)
				c = append(c, data...)
				binary.LittleEndian.PutUint32(c, masked(c[6:]))
				data = c
			}
			m := &manifest{tables: map[uint64]uint64{}}
			at, why, err := badChunk(bytes.NewReader(data), int64(len(data)), m.take)
			if err != nil || at >= 0 && why == nil || at > int64(len(data)) {
				t.Fatalf("%d, %v, %v", at, why, err)
			}
			if why == errCut {
				if _, err := reallyCut(bytes.NewReader(data), int64(len(data)), at); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func FuzzWriteAheadLog(f *testing.F) {
	one := walMessage("\n\x00hello")
	f.Add(one)
	f.Add(one[:10])
	f.Add(append(bytes.Clone(one[:10]), one...))
	f.Fuzz(func(t *testing.T, data []byte) {
		blocks := &blocks{vals: types.NewValidatorSet(nil)}
		r, size := bytes.NewReader(data), int64(len(data))
		at, why, err := badMessage(r, 0, size, blocks.ours)
		if err != nil || at >= 0 && why == nil || at > size {
			t.Fatalf("%d, %v, %v", at, why, err)
		}
		if at < 0 {
			return
		}
		next, err := nextMessage(r, at, size)
		if err != nil || next >= 0 && (next <= at || next >= size) {
			t.Fatalf("behind %d: %d, %v", at, next, err)
		}
		if cut, _, err := cutMessage(r, at, next, size); err != nil || cut && next < 0 {
			t.Fatalf("at %d before %d: %v, %v", at, next, cut, err)
		}
	})
}

func walMessage(s string) []byte {
	b := binary.BigEndian.AppendUint32(nil, crc32.Checksum([]byte(s), castagnoli))
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

func FuzzIndex(f *testing.F) {
	text := "qifeng-runs/1\nkey 000102030405060708090a0b0c0d0e0f\nrun 0000000000000007\n"
	f.Add([]byte(text), true)
	run := make([]byte, 5*runBlock)
	copy(run, runMagic)
	run[15], run[23], run[39], run[55], run[63] = 7, 1, 1, 1, 1 // number, places, counts
	f.Add(run, true)
	f.Fuzz(func(t *testing.T, data []byte, resealed bool) {
		c := &checker{ctx: t.Context(), report: &Report{}}
		x, list := &index{c: c}, data
		if resealed {
			list = fmt.Appendf(bytes.Clone(data), "sum %08x\n", crc32.Checksum(data, castagnoli))
		}
		if numbers, err := x.parseList(list); err == nil && len(list) != len(text)+13+21*(len(numbers)-1) {
			t.Fatalf("%d files were read from %q", len(numbers), list)
		}
		r := &indexRun{c: c, number: 7, size: int64(len(data))}
		if len(data) < runBlock {
			return
		}
		if resealed && len(data) < 1<<20 {
			ResealRun(data, 7)
		}
		if r.header(data) != nil {
			return
		}
		if err := r.read(bytes.NewReader(data), maphash.MakeSeed(), func(int64) {}); err != nil {
			if _, ok := err.(*Problem); !ok {
				t.Fatalf("bytes that are there could not be read: %v", err)
			}
		} else if r.got[0].count.Load() != r.counts[0] || r.got[1].count.Load() != r.counts[1] {
			t.Fatal("entries were passed over")
		}
	})
}

func FuzzAnchorStore(f *testing.F) {
	f.Add([]byte("routside\x00\x00\x00\x00\x00\x00\x00\x00\x07"), slices.Concat([]byte{1, 3}, make([]byte, 40)), true)
	f.Add([]byte("poutside"), slices.Concat([]byte{1}, make([]byte, 24)), true)
	f.Add([]byte("aoutside\x00\x00\x00\x00\x00\x00\x00\x00\x01"), slices.Concat([]byte{1}, make([]byte, 44)), true)
	f.Fuzz(func(t *testing.T, key, value []byte, sealed bool) {
		if len(key) == 0 {
			return
		}
		if sealed {
			value = append(value, plain(merkle.Sum(slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(key))), key, value)))...)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // its notes are not looked at
		a := &anchorStore{c: &checker{}, dir: "anchor", pool: newPool(ctx, 1)}
		err := a.entry(key, value)
		if _, ok := err.(*Problem); err != nil && !ok {
			t.Fatalf("a value that is there could not be read: %v", err)
		}
		if err == nil && !sealed {
			t.Fatal("a value without its checksum was believed")
		}
	})
}

func FuzzSmallFiles(f *testing.F) {
	f.Add([]byte("MANIFEST-000001\n"))
	f.Add([]byte(`{"origin":"-","root":{"sha256":"` + strings.Repeat("0", 64) + `","sm3":"` + strings.Repeat("0", 64) + `"},"size":0,"time":0,"v":1}`))
	f.Add(append([]byte{8}, "vendor-a"+strings.Repeat("\x01", 8+64+8+192)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := parseGuard(b); err == nil && len(b) == 0 {
			t.Fatal("a guard of nothing")
		}
		if w, err := parseWire(b); err == nil && (w.size == 0 || len(b) != 1+len(w.seal.Member)+272) {
			t.Fatal("a seal of another length")
		}
		if fd, ok := parseName(string(b)); ok && fd.String() != string(b) {
			t.Fatal("a name that is written otherwise")
		}
		if seq, digest, ok := batchName(string(b)); ok && (seq == 0 || len(digest) != 64) {
			t.Fatal("a batch's name without number or digest")
		}
		if len(b) == 48 {
			_ = tableFooter(b, 1000)
		}
		ls := &lastSigned{SignBytes: string(b), Signature: b}
		if ls.verify(0, "x", make([]byte, 32)) == nil && len(b) > 0 {
			t.Fatal("a signature was believed")
		}
	})
}
