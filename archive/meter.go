package archive

import "time"

// Meter is told what Status cannot show: what went through, and how long it
// took. The writer and the outbox call it between two steps of their own, so
// its methods return at once.
type Meter interface {
	// GroupStored: a group is durable; its requests are answered next.
	GroupStored(GroupStored)
	// BatchCommitted: the header of one of this node's batches is on the chain.
	BatchCommitted(BatchCommitted)
}

// GroupStored is a group that has just been made durable.
type GroupStored struct {
	Requests int           // with something new in them
	Records  int           // new ones
	Bytes    int64         // written
	Write    time.Duration // writing and fsync
}

// BatchCommitted is a batch that the chain was just found to have.
type BatchCommitted struct {
	Seq     uint64
	Records uint64
	Bytes   int64
	First   time.Time // received_at of its first record
	// Delivery is the time from its closing until now, which is signing, fsync
	// and the chain's agreement; 0 where another process closed it.
	Delivery time.Duration
}

// noMeter is the Meter of a Config without one.
type noMeter struct{}

func (noMeter) GroupStored(GroupStored)       {}
func (noMeter) BatchCommitted(BatchCommitted) {}

// tellCommitted tells the Meter of a batch that the chain has.
func (a *Archive) tellCommitted(s *sealed) {
	b := BatchCommitted{Seq: s.seq, Records: s.records, Bytes: s.bytes, First: time.UnixMilli(s.first).UTC()}
	if !s.closed.IsZero() {
		b.Delivery = time.Since(s.closed)
	}
	a.cfg.Meter.BatchCommitted(b)
}
