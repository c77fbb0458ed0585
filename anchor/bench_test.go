package anchor

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/syndtr/goleveldb/leveldb"

	"qifeng/proof"
)

// BenchmarkCovering is what a proof pays for each anchor: one seek among 20,000
// receipts of 8 KiB, two weeks of one a minute.
func BenchmarkCovering(b *testing.B) {
	const receipts = 20_000
	s, err := openStore(filepath.Join(b.TempDir(), "anchor"), "demo-12345678", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	r := &receipt{Stored: Stored{Name: "tsa-a", Kind: proof.AnchorRFC3161, StoredAt: someTime, Time: someTime,
		Note: make([]byte, 3<<10), Data: make([]byte, 5<<10)}}
	for i := range uint64(receipts / 100) {
		batch := new(leveldb.Batch)
		for j := range uint64(100) {
			r.previous, r.Size = r.Size, (100*i+j+1)*10
			key := receiptKey(r.Name, r.Size)
			batch.Put(key, encodeReceipt(key, r))
		}
		if err := s.use(func(db *leveldb.DB) error { return db.Write(batch, nil) }); err != nil {
			b.Fatal(err)
		}
	}
	for _, bench := range []struct {
		name string
		size func(i int) uint64
	}{
		{"any", func(i int) uint64 { return uint64(i*7919) % (receipts * 10) }},
		{"newest", func(int) uint64 { return receipts * 10 }},
		{"beyond", func(int) uint64 { return receipts*10 + 1 }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r, err := s.covering("tsa-a", bench.size(i))
				if err != nil || (r == nil) != (bench.name == "beyond") {
					b.Fatal(fmt.Sprint(r != nil), err)
				}
			}
		})
	}
}
