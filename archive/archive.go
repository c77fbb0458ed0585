package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/internal/gm/frequent"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// Ledger is what the archive asks the chain about batches.
type Ledger interface {
	// Batch finds the ledger index of the header (node, seq); ok is false while
	// there is none.
	Batch(node string, seq uint64) (index uint64, ok bool, err error)
	// Entry returns the bytes of a ledger entry, which for a batch is the signed
	// header.
	Entry(index uint64) ([]byte, error)
	// LastSeq returns seq and last_received_at of the node's newest header, zero
	// values while there is none. A seq at or below it that Batch does not find
	// can never be accepted any more.
	LastSeq(node string) (seq uint64, last time.Time, err error)
}

// Chain is what the archive needs of the chain.
type Chain interface {
	Ledger
	// Submit hands a signed header to the mempool. An error means only that it is
	// to be sent again: whether it is in, Batch says.
	Submit(ctx context.Context, tx []byte) error
	// RegistrySize is the ledger size right after the newest registry change that
	// acts, 0 while the chain's state is not known. Keys answers from that state.
	RegistrySize() uint64
	// Changed is closed at the next change of any of the above.
	Changed() <-chan struct{}
}

// Keys is the register of submitters' keys.
type Keys interface {
	// SubmitKey returns the key of a member by its name where it may sign
	// statements now. The error wraps ErrUnknownKey, ErrKeyRevoked or
	// ErrKeyPurpose where it may not, and nothing of these where it is not known.
	SubmitKey(member, name string) (gm.PublicKey, error)
}

// Config is what an archive needs. Limits, Now, Logger, Meter and SealedHead
// have defaults.
type Config struct {
	Dir     string // its own folder, made where missing
	Node    string // member id of this node
	ChainID string
	Intake  gm.Signer // signs receipts and batch headers
	Chain   Chain
	Keys    Keys
	// SealedHead is the newest sealed head known, size 0 while there is none.
	SealedHead func() (uint64, merkle.Digest)
	Now        func() time.Time
	Logger     *slog.Logger
	Limits     Limits
	Meter      Meter

	disk         disk      // the tests' faults
	storage      storageOf // the same, for the names of the index
	indexRecords int       // records of a table of the index; 0 is the default
}

// Stored is one record as the archive holds it: everything of its proof that
// the node itself makes. What it refers to must not be changed.
type Stored struct {
	ID   evidence.ID
	Node string
	Seq  uint64 // of its batch
	// New says that this Submit stored it; it is false in every other answer.
	New bool

	Record        []byte
	Statement     []byte // signed
	StatementPath []merkle.Digest
	ReceiptHead   []byte // signed
	ReceiptIndex  uint64
	ReceiptPath   []merkle.Digest

	Stream      evidence.Stream
	StreamIndex uint64
	// Header is the signed header of its batch, and StreamPath the path to the
	// stream's root in it. Both are nil while the batch is open.
	Header     []byte
	StreamPath []merkle.Digest
}

// Archive keeps records. Open makes one; its methods may be called from many
// goroutines.
type Archive struct {
	cfg    Config
	limits Limits
	disk   disk
	log    *slog.Logger
	lock   io.Closer
	index  *index

	// work carries requests to the maker, and groups what that makes to the writer;
	// gate is held for reading while a request is put in, and for writing by Close,
	// after which nothing is.
	work   chan *work
	groups chan *made
	gate   sync.RWMutex
	closed bool

	nudge  chan struct{}  // wakes the writer: it may be time to close the batch
	rouse  chan struct{}  // wakes the outbox: a batch was closed
	quit   chan struct{}  // stops the maker, which stops the writer
	writer sync.WaitGroup // and the maker
	outbox sync.WaitGroup
	cancel context.CancelFunc // ends the outbox's waiting for the chain

	pendingRecords atomic.Int64
	backlogRecords atomic.Int64
	backlogBytes   atomic.Int64
	committed      atomic.Uint64
	shares         shares // of the backlog
	recent         recent // the outbox's
	submitters     *frequent.Keys

	stopped atomic.Pointer[error]    // why nothing is accepted any more
	lost    atomic.Pointer[lostList] // what a restored folder lacks; replaced by Open and by the outbox

	// mu guards what follows. The writer alone replaces open and adds to closing,
	// the outbox alone takes from closing and changes queue.
	mu       sync.Mutex
	open     *batch
	closing  []*batch  // full ones without a footer, oldest first
	queue    []*sealed // those with one that the chain is not known to have
	inFlight InFlight
	alarms   []Alarm

	// lastReceived is the newest received_at given, in Unix milliseconds; it is the
	// maker's.
	lastReceived int64

	// What follows is the writer's: the buffer of the last frame, when a batch was
	// last full, and whether it was so large that the next one is given time.
	frame   []byte
	rotated time.Time
	paced   bool
}

func (c *Config) validate() error {
	switch {
	case c.Dir == "":
		return errors.New("archive: no folder is configured")
	case c.Intake == nil || c.Chain == nil || c.Keys == nil:
		return errors.New("archive: it needs the intake key, the chain and the register of keys")
	}
	if err := checkpoint.CheckMemberID(c.Node); err != nil {
		return fmt.Errorf("archive: node: %w", err)
	}
	if err := checkpoint.CheckChainID(c.ChainID); err != nil {
		return fmt.Errorf("archive: chain: %w", err)
	}
	if l := c.Limits; l.BatchRecords > evidence.MaxBatchRecords || l.BatchBytes > maxBatchFile/2 ||
		l.GroupBytes > maxGroupPayload/4 || l.ReceiptDeadline > evidence.MaxDeadline {
		return errors.New("archive: a limit is beyond what the formats allow")
	}
	if l := c.Limits; l.KeyShare < 0 || l.KeyShare > 100 || l.MemberShare < 0 || l.MemberShare > 100 {
		return errors.New("archive: a share of the backlog is no percentage")
	}
	return nil
}

// Open opens the archive, recovers what a crash left and starts its
// goroutines, which Close stops. Files that hold what was never written are an
// ErrTampered. The first Open of an empty folder must wait until the chain has
// caught up: only the chain knows that an earlier folder was lost.
func Open(cfg Config) (*Archive, error) {
	cfg.Limits = cfg.Limits.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Meter == nil {
		cfg.Meter = noMeter{}
	}
	if cfg.SealedHead == nil {
		cfg.SealedHead = func() (uint64, merkle.Digest) { return 0, merkle.EmptyRoot() }
	}
	if cfg.disk == nil {
		cfg.disk = osDisk{}
	}
	if cfg.storage == nil {
		cfg.storage = fileStorage
	}
	a := &Archive{
		cfg: cfg, limits: cfg.Limits, disk: cfg.disk, log: cfg.Logger.With("room", "archive"),
		work: make(chan *work, cfg.Limits.PendingRequests), groups: make(chan *made), submitters: frequent.New(),
		nudge: make(chan struct{}, 1), rouse: make(chan struct{}, 1), quit: make(chan struct{}),
	}
	if err := a.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the archive: %w", err), a.release())
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	a.writer.Go(a.makeGroups)
	a.writer.Go(a.write)
	a.outbox.Go(func() { a.deliver(ctx) })
	return a, nil
}

// Close takes nothing more in, finishes what was handed over, stops and waits
// for its goroutines. The open batch stays in its journal and is open again
// after the next Open.
func (a *Archive) Close() error {
	a.gate.Lock()
	if a.closed {
		a.gate.Unlock()
		return nil
	}
	a.closed = true
	a.gate.Unlock()
	close(a.quit)
	a.writer.Wait()
	a.cancel()
	a.outbox.Wait()
	return errors.Join(a.index.flush(), a.release()) // flushed, so that the next start need not read it again
}

// release closes the files, also those of a half-done Open.
func (a *Archive) release() error {
	var errs []error
	for _, b := range append(a.closing, a.open) {
		if b != nil {
			errs = append(errs, b.close())
		}
	}
	if a.index != nil {
		errs = append(errs, a.index.close())
	}
	if a.lock != nil {
		errs = append(errs, a.lock.Close())
	}
	return errors.Join(errs...)
}

// stop makes the archive refuse everything new. What is stored can be read on.
func (a *Archive) stop(kind AlarmKind, err error) {
	if a.stopped.CompareAndSwap(nil, &err) {
		a.log.Error("the archive stops accepting", "error", err)
	}
	a.alarm(kind, err.Error())
}

// refusal is why nothing is accepted, nil where it is.
func (a *Archive) refusal() error {
	if p := a.stopped.Load(); p != nil {
		return fmt.Errorf("%w: %w", ErrStopped, *p)
	}
	return nil
}

func (a *Archive) path(parts ...string) string {
	return filepath.Join(append([]string{a.cfg.Dir}, parts...)...)
}

// poke wakes a goroutine that waits on c, or lets it find that it was woken.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
