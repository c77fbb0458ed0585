package archive

import "time"

// Limits are the bounds of the archive. The zero value of a field means its
// default, which DefaultLimits gives with the reason.
type Limits struct {
	// ReplayWindow is how far a statement's signed_at may be from the node's
	// clock, either way, for submissions that are not stored yet. Ten minutes
	// forgive the clock of an ordinary server and a queue that is emptied late;
	// signing again costs 0.1 ms, and what is stored already is answered
	// whatever its age, so a wider window would gain nothing.
	ReplayWindow time.Duration
	// ReceiptDeadline is the promise of a receipt (design §5): speed is a goal,
	// 24 hours are the promise.
	ReceiptDeadline time.Duration
	// ClockBack is how far the clock may fall behind the last received_at before
	// the archive refuses new records. received_at never goes back; a few seconds
	// are what NTP steps, more is a wrong clock, and a wrong time in evidence is
	// worse than none.
	ClockBack time.Duration

	// GroupRecords and GroupBytes end the collecting of a group: what shares one
	// fsync and one receipt signature. At 1,000 records one signature is below
	// 0.1 µs a record already; a larger group only makes its first request wait. A
	// group may exceed them by less than one request.
	GroupRecords int
	GroupBytes   int64

	// BatchRecords and BatchBytes make a batch full. 2^18 records keep the trees
	// of an open batch at 32 MiB of memory; 512 MiB keep every offset in 32 bits
	// and the replay of a journal at some seconds.
	BatchRecords int
	BatchBytes   int64

	// BatchPace is the least time from one batch to the next while there is load,
	// which is after a batch of PacedRecords or more. A block costs the processors
	// of four members 35 ms together (chain: BenchmarkSubmitToSealed) and each some
	// kilobytes for ever, so at full load three blocks a second are enough: a record
	// waits 150 ms longer on average. Below about 2,000 records a second a batch
	// leaves at once.
	BatchPace    time.Duration
	PacedRecords int

	// BacklogRecords and BacklogBytes bound what is journaled and not yet known
	// to be on the chain, open batch included. With the chain halted, four
	// million records are ten hours at a hundred a second; all of it lies on
	// disk, in memory there are the trees of one batch and a header for each
	// closed one.
	BacklogRecords int64
	BacklogBytes   int64

	// KeyShare and MemberShare are how many per cent of the backlog the records of
	// one key and of one member may be. A backlog grows when the chain is slower
	// than intake, and then one submitter must not take the room of all: a key
	// leaves half for the others, its member a quarter for other members. A node
	// that serves one submitter loses half of what it could hold out with, five
	// hours at a hundred records a second; its operator may set 100.
	//
	// Batches that an earlier run of the process closed count in all, but for
	// nobody.
	KeyShare    int
	MemberShare int

	// PendingRequests and PendingRecords bound what waits in memory for its
	// group: at 100,000 records a second this is less than half a second, so a
	// longer queue would only make clients time out.
	PendingRequests int
	PendingRecords  int64

	// FreeBytes is the room on the disk below which new records are refused, so
	// that the footer of an open batch (32 MiB), the index and the chain, which
	// usually share the disk, can go on.
	FreeBytes uint64

	// RetryPending and RetryBacklog are the retry-after hints of ErrBusy: a
	// group takes milliseconds, a halted chain takes a person.
	RetryPending time.Duration
	RetryBacklog time.Duration

	// SendTimeout bounds one handing over of a header to the chain's mempool.
	SendTimeout time.Duration
	// ResendFirst and ResendMax: a header that the mempool took is sent again
	// after this, doubled each time, since a mempool forgets at a restart.
	ResendFirst, ResendMax time.Duration
	// RetryFirst and RetryMax are the same for a header that was refused.
	RetryFirst, RetryMax time.Duration
}

// DefaultLimits are the bounds that a node uses.
func DefaultLimits() Limits {
	return Limits{
		ReplayWindow:    10 * time.Minute,
		ReceiptDeadline: 24 * time.Hour,
		ClockBack:       5 * time.Second,
		GroupRecords:    1000,
		GroupBytes:      4 << 20,
		BatchRecords:    1 << 18,
		BatchBytes:      512 << 20,
		BatchPace:       300 * time.Millisecond,
		PacedRecords:    200,
		BacklogRecords:  4 << 20,
		BacklogBytes:    8 << 30,
		KeyShare:        50,
		MemberShare:     75,
		PendingRequests: 4096,
		PendingRecords:  32 << 10,
		FreeBytes:       256 << 20,
		RetryPending:    time.Second,
		RetryBacklog:    10 * time.Second,
		SendTimeout:     10 * time.Second,
		ResendFirst:     5 * time.Second,
		ResendMax:       time.Minute,
		RetryFirst:      250 * time.Millisecond,
		RetryMax:        5 * time.Second,
	}
}

const (
	// MaxPage bounds a page of look-ups; every element is read from disk.
	MaxPage = 1000

	// maxGroupPayload bounds a group's frame as read: GroupBytes and one request
	// of 2 MiB, with intakes and tables, are below 8 MiB.
	maxGroupPayload = 16 << 20
	// groupStart is read ahead of a group: head, tables and receipt of a thousand
	// records.
	groupStart = 20 << 10
	// footerHead is read of a footer at first: a header has about 1 KiB.
	footerHead = 4 << 10
	// readAheadRecords is for how many records of a group all parts are asked for
	// ahead.
	readAheadRecords = 4
	// keptBytes is how much of closed batches the system may keep in memory: two
	// seconds at full load, days at an ordinary one.
	keptBytes = 256 << 20
	// intakeBytes is what a record has beyond its submission, at most about: room
	// is made for so much, and a longer one only costs a copy.
	intakeBytes = 320
	// restoredSkip is how many seqs a restored archive leaves out. An earlier life
	// may have promised all that its backlog had room for in receipts that are not
	// known any more: that is some tens of full batches, and more only where the
	// register of keys changed with each of them. Seqs cost nothing.
	restoredSkip = 1 << 16
	// maxLostShown bounds the lost batches that Status lists; the file has all.
	maxLostShown = 100
	// maxLostList bounds the file of lost batches: ten million of them, a month of
	// four a second.
	maxLostList = 1 << 29
	// maxFooterPayload bounds a footer as read: 128 bytes a record of a full
	// batch are 32 MiB, and one stream never has more than 2^20 records.
	maxFooterPayload = 160 << 20
	// maxBatchFile bounds a batch file: offsets have 32 bits.
	maxBatchFile = 1<<32 - 1
	// maxTries bounds how often something is begun again because the registry
	// changed meanwhile. Registry changes are rare: two in the time of one look
	// do not happen to a healthy chain.
	maxTries = 8
	// namesBuffer is what goleveldb collects before it writes a file: names and
	// marks are some 100 bytes each, and all of it is in memory.
	namesBuffer = 1 << 20
	// namesPerSync is how many batches are closed before their names in the index
	// are synced. After a power cut so many footers are read again, 10 µs each.
	namesPerSync = 64
	// bodiesPerFolder keeps folders small: every start lists the newest one.
	bodiesPerFolder = 256
)

// withDefaults fills the fields that are zero.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	fill(&l.ReplayWindow, d.ReplayWindow)
	fill(&l.ReceiptDeadline, d.ReceiptDeadline)
	fill(&l.ClockBack, d.ClockBack)
	fill(&l.GroupRecords, d.GroupRecords)
	fill(&l.GroupBytes, d.GroupBytes)
	fill(&l.BatchRecords, d.BatchRecords)
	fill(&l.BatchBytes, d.BatchBytes)
	fill(&l.BatchPace, d.BatchPace)
	fill(&l.PacedRecords, d.PacedRecords)
	fill(&l.BacklogRecords, d.BacklogRecords)
	fill(&l.BacklogBytes, d.BacklogBytes)
	fill(&l.KeyShare, d.KeyShare)
	fill(&l.MemberShare, d.MemberShare)
	fill(&l.PendingRequests, d.PendingRequests)
	fill(&l.PendingRecords, d.PendingRecords)
	fill(&l.FreeBytes, d.FreeBytes)
	fill(&l.RetryPending, d.RetryPending)
	fill(&l.RetryBacklog, d.RetryBacklog)
	fill(&l.SendTimeout, d.SendTimeout)
	fill(&l.ResendFirst, d.ResendFirst)
	fill(&l.ResendMax, d.ResendMax)
	fill(&l.RetryFirst, d.RetryFirst)
	fill(&l.RetryMax, d.RetryMax)
	return l
}

func fill[T comparable](field *T, def T) {
	var zero T
	if *field == zero {
		*field = def
	}
}
