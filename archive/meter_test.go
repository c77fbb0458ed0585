package archive

import (
	"sync"
	"testing"
	"time"

	"qifeng/evidence"
)

// counter remembers what a Meter is told.
type counter struct {
	mu      sync.Mutex
	groups  []GroupStored
	batches []BatchCommitted
}

func (c *counter) GroupStored(g GroupStored) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups = append(c.groups, g)
}

func (c *counter) BatchCommitted(b BatchCommitted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batches = append(c.batches, b)
}

func (c *counter) committed() []BatchCommitted {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.batches
}

// TestMeter: new records are told once, retries not at all, a batch when the
// chain has it, and its delivery only by the process that closed it.
func TestMeter(t *testing.T) {
	var m counter
	w := newWorld(t, func(c *Config) { c.Meter = &m })
	w.open()
	subs := submissions(3)
	w.submit(subs...)
	w.submit(subs...)
	until(t, "the batch is told of", func() bool { return len(m.committed()) == 1 })
	if len(m.groups) != 1 || m.groups[0].Requests != 1 || m.groups[0].Records != 3 || m.groups[0].Bytes == 0 || m.groups[0].Write <= 0 {
		t.Fatalf("groups %+v", m.groups)
	}
	b := m.committed()[0]
	if b.Seq != 1 || b.Records != 3 || b.Bytes < m.groups[0].Bytes || b.Delivery <= 0 || w.clock.now().Sub(b.First).Abs() > time.Minute {
		t.Fatalf("batch %+v", b)
	}

	w.chain.set(func(c *fakeChain) { c.hold = true })
	first := w.clock.now()
	w.submit(submission(evidence.ContractFinal))
	until(t, "the batch is closed", func() bool { return w.a.Status().InFlight.Seq == 2 })
	w.chain.set(func(c *fakeChain) { c.hold = false })
	w.close()
	w.chain.release()
	w.open()
	until(t, "the batch is told of after a restart", func() bool { return len(m.committed()) == 2 })
	if b := m.committed()[1]; b.Seq != 2 || b.Records != 1 || b.Delivery != 0 || first.Sub(b.First).Abs() > time.Minute {
		t.Fatalf("batch %+v", b)
	}
}
