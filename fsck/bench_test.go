package fsck

import (
	"encoding/binary"
	"hash/maphash"
	"testing"

	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// BenchmarkIndex is what the index adds to the check of each record.
func BenchmarkIndex(b *testing.B) {
	const n = 100
	digest := merkle.LeafHash([]byte("content"))
	subs, pairs := make([]*evidence.Submission, n), make([]merkle.Digest, n)
	for i := range subs {
		subs[i] = &evidence.Submission{Digest: &digest, Dossier: "000102030405060708090a0b0c0d0e0f"}
		binary.BigEndian.PutUint64(pairs[i].SM3[:], uint64(i))
	}
	x := &index{seed: maphash.MakeSeed(), runs: []*indexRun{{first: place{seq: 1}, last: place{seq: 1 << 20}}}}
	b.ReportAllocs()
	for b.Loop() {
		x.add(place{seq: 2, offset: 30}, subs, pairs)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
}
