package runs

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"testing"
)

// The vectors of the SipHash paper's reference code: key 00..0f, message 00…
func TestSipHash(t *testing.T) {
	var key hashKey
	for i := range key {
		key[i] = byte(i)
	}
	msg := make([]byte, 64)
	for i := range msg {
		msg[i] = byte(i)
	}
	for n, want := range map[int]string{
		0: "310e0edd47db6f72", 1: "fd67dc93c539f874", 7: "37d1018bf50002ab", 8: "6224939a79f5f593",
		15: "e545be4961ca29a1", 63: "724506eb4c328a95",
	} {
		if got := hex.EncodeToString(binary.LittleEndian.AppendUint64(nil, key.sum(msg[:n]))); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
}

func TestFilter(t *testing.T) {
	const n = 100_000
	r := rand.New(rand.NewPCG(1, 2))
	f := filterOf(n)
	blocks := make([]byte, f.blocks()*blockSize)
	group := func(p Print) []byte {
		block, at := f.group(p)
		if block >= f.blocks() || at > blockSize-blockTail-filterGroup {
			t.Fatalf("byte %d of block %d of %d", at, block, f.blocks())
		}
		return blocks[block*blockSize+int64(at):][:filterGroup]
	}
	var in []Print
	for range n {
		in = append(in, Print(r.Uint64())&printMask)
		mark(group(in[len(in)-1]), in[len(in)-1])
	}
	for _, p := range in {
		if !marked(group(p), p) {
			t.Fatalf("%x is in and not found", p)
		}
	}
	wrong := 0
	for range n {
		if p := Print(r.Uint64()) & printMask; marked(group(p), p) {
			wrong++
		}
	}
	if wrong > n/100 {
		t.Errorf("%d of %d are let through", wrong, n)
	}
}

func TestManifestIsStrict(t *testing.T) {
	m := manifest{key: hashKey{1, 2, 3}, numbers: []uint64{7, 5}}
	good := m.encode()
	if got, err := decodeManifest(good); err != nil || got.key != m.key || !slices.Equal(got.numbers, m.numbers) {
		t.Fatal(got, err)
	}
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 1
		if _, err := decodeManifest(bad); err == nil {
			t.Errorf("byte %d changed, and it is read", i)
		}
		if _, err := decodeManifest(good[:i]); err == nil {
			t.Errorf("cut to %d, and it is read", i)
		}
	}
}
