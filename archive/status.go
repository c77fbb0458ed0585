package archive

import (
	"slices"
	"time"
)

// AlarmKind groups alarms by what the operator does about them.
type AlarmKind string

// The alarms.
const (
	// AlarmTampered: the chain or a file contradicts this archive.
	AlarmTampered AlarmKind = "tampered"
	// AlarmGap: a journal was lost, or the folder was put back from a backup; there
	// are receipts that cannot be kept.
	AlarmGap AlarmKind = "gap"
	// AlarmFailed: a write failed; the node must be started again.
	AlarmFailed AlarmKind = "failed"
	// AlarmFull: the disk is full; it clears by itself when there is room.
	AlarmFull AlarmKind = "full"
	// AlarmClock: the clock has gone back; it clears by itself.
	AlarmClock AlarmKind = "clock"
)

// Alarm is something that an operator must see.
type Alarm struct {
	Kind  AlarmKind
	Text  string
	Since time.Time
}

// BatchStatus is the open batch.
type BatchStatus struct {
	Seq          uint64
	Records      uint64
	Bytes        uint64
	RegistrySize uint64    // 0 while it is empty
	Since        time.Time // of its first record
}

// InFlight is the header that is being sent to the chain, Seq 0 where none is.
type InFlight struct {
	Seq   uint64
	Since time.Time // of its first sending
	Sent  int       // how often the mempool was handed it
	Error string    // of the last try
}

// QueueStatus counts the closed batches that the chain is not known to have,
// the one in flight included.
type QueueStatus struct {
	Batches        int
	Records, Bytes uint64
}

// Status is a glance at the archive.
type Status struct {
	Accepting bool
	Reason    string // why it does not accept
	Open      BatchStatus
	Queued    QueueStatus
	InFlight  InFlight
	Committed uint64 // seq of the newest own batch known to be on the chain
	Pending   uint64 // records that wait for their group
	FreeBytes uint64 // room on the disk, 0 where it is not known
	Alarms    []Alarm
	Lost      LostStatus // own batches that a restored folder lacks
}

// Status returns the state at one moment.
func (a *Archive) Status() Status {
	s := Status{Accepting: true, Committed: a.committed.Load(), Pending: uint64(max(a.pendingRecords.Load(), 0))}
	if err := a.refusal(); err != nil {
		s.Accepting, s.Reason = false, err.Error()
	}
	if free, err := a.disk.free(a.cfg.Dir); err == nil {
		s.FreeBytes = free
		if free >= a.limits.FreeBytes {
			a.clear(AlarmFull) // whoever sends nothing to a node that is not ready waits for this
		}
	}
	if l := a.lost.Load(); l != nil {
		s.Lost = l.sum
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s.Open = a.open.status()
	s.Queued.Batches = len(a.closing) + len(a.queue)
	for _, b := range a.closing {
		st := b.status()
		s.Queued.Records += st.Records
		s.Queued.Bytes += st.Bytes
	}
	for _, b := range a.queue {
		s.Queued.Records += b.records
		s.Queued.Bytes += uint64(b.bytes)
	}
	s.InFlight = a.inFlight
	s.Alarms = slices.Clone(a.alarms)
	return s
}

// alarm raises an alarm, or renews its text; it keeps its first time.
func (a *Archive) alarm(kind AlarmKind, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.alarms {
		if a.alarms[i].Kind == kind {
			a.alarms[i].Text = text
			return
		}
	}
	a.alarms = append(a.alarms, Alarm{Kind: kind, Text: text, Since: a.cfg.Now()})
	a.log.Error("alarm", "kind", kind, "text", text)
}

// clear ends an alarm.
func (a *Archive) clear(kind AlarmKind) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alarms = slices.DeleteFunc(a.alarms, func(x Alarm) bool { return x.Kind == kind })
}
