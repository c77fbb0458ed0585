package monitor_test

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"qifeng/api/apitest"
	"qifeng/api/client"
	"qifeng/api/monitor"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// bundles serves the entries of a ledger from memory.
type bundles struct{ entries [][]byte }

func (b *bundles) Checkpoint(context.Context) ([]byte, error) { panic("not asked for") }
func (b *bundles) Genesis(context.Context) ([]byte, error)    { panic("not asked for") }
func (b *bundles) Consistency(context.Context, uint64, uint64) (*client.Consistency, error) {
	panic("not asked for")
}

func (b *bundles) EntryBundle(_ context.Context, index uint64, width int) ([]byte, error) {
	var out []byte
	for _, e := range b.entries[index*256:][:width] {
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(e))), e...)
	}
	return out, nil
}

// BenchmarkAudit: entries of a ledger read and checked.
func BenchmarkAudit(b *testing.B) {
	c := apitest.NewConsortium(b)
	l := apitest.NewLedger(b, c, time.Now)
	l.Grow(b, 2048)
	src := &bundles{}
	var leaves []merkle.Digest
	for i := range l.Size() {
		e, err := l.Entry(i)
		if err != nil {
			b.Fatal(err)
		}
		src.entries, leaves = append(src.entries, e), append(leaves, merkle.LeafHash(e))
	}
	cp := checkpoint.Checkpoint{Size: l.Size(), Root: merkle.Root(leaves)}
	b.ReportAllocs()
	for b.Loop() {
		if err := monitor.NewAuditor(c.Policy).Extend(context.Background(), src, cp); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(cp.Size)/b.Elapsed().Seconds(), "entries/s")
}
