package fsck

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// ErrRunning says that a process uses the home.
var ErrRunning = errors.New("a qifeng process is using this home; stop the node first, or check a copy made while it was stopped")

// Home is where the files of a home are. All paths are complete.
type Home struct {
	Dir     string // reports name files relative to it
	Self    string // id of the member
	Lock    string
	Genesis string
	Policy  string
	Card    string
	Data    string // folder of archive, chain, anchors and audit log
	Keys    Keys

	AnchorRoots string // may be empty, or not there
}

// Keys are the paths of the key files.
type Keys struct {
	Intake, SealSM2, SealEd25519, Log, Admin string
	Consensus, Node, Guard                   string
	Users                                    []string // keys of users, checked where they are
	Witness, WitnessState                    string   // of a node that is a witness of other logs, else empty
}

// Phase is a part of the work.
type Phase string

// The phases, in their order.
const (
	PhaseHome    Phase = "home"
	PhaseLedger  Phase = "ledger"  // counted in heights
	PhaseArchive Phase = "archive" // counted in bytes
	PhaseRest    Phase = "rest"
)

// Options of Check. The zero value uses all processors and the real clock.
type Options struct {
	Workers  int
	Progress func(p Phase, done, total int64) // called by one goroutine at a time
}

// checker is one run.
type checker struct {
	ctx  context.Context
	home Home
	opt  Options
	cons *consortium
	book *ledger

	records, statements, receipts, batches, bytes, entries, seals, heights, anchors atomic.Uint64

	mu     sync.Mutex // guards what follows
	report *Report
	told   time.Time
}

// Check reads a home. It returns a report whatever it meets.
func Check(ctx context.Context, h Home, opt Options) *Report {
	if opt.Workers <= 0 {
		opt.Workers = runtime.GOMAXPROCS(0)
	}
	if opt.Progress == nil {
		opt.Progress = func(Phase, int64, int64) {}
	}
	c := &checker{ctx: ctx, home: h, opt: opt,
		report: &Report{Home: h.Dir, Member: h.Self, Skipped: []string{}}}
	return c.conclude(c.run())
}

// conclude says what a check came to.
func (c *checker) conclude(err error) *Report {
	c.count()
	var p *Problem
	switch {
	case err == nil:
		c.report.Result = Good
	case errors.As(err, &p):
		c.report.Result, c.report.Problem = Wrong, p
	default:
		c.report.Result, c.report.Reason = Unchecked, err.Error()
	}
	return c.report
}

func (c *checker) count() {
	n := &c.report.Counts
	n.Records, n.Statements, n.Receipts = c.records.Load(), c.statements.Load(), c.receipts.Load()
	n.Batches, n.Bytes, n.Index = c.batches.Load(), c.bytes.Load(), c.entries.Load()
	n.Seals, n.Heights, n.Anchors = c.seals.Load(), c.heights.Load(), c.anchors.Load()
}

func (c *checker) data(parts ...string) string {
	return filepath.Join(append([]string{c.home.Data}, parts...)...)
}

// run is the check, in the order of the package's description.
func (c *checker) run() error {
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	c.progress(PhaseHome, 0, 1)
	if err := c.checkHome(); err != nil {
		return err
	}
	c.progress(PhaseHome, 1, 1)
	l, err := c.checkChain()
	if l != nil {
		defer l.close()
	}
	if err != nil {
		return err
	}
	if err := c.checkArchive(); err != nil {
		return err
	}
	c.progress(PhaseRest, 0, 1)
	if err := c.checkAnchors(); err != nil {
		return err
	}
	if err := errors.Join(c.checkAudit(), c.checkFrauds(), c.checkStray()); err != nil {
		return firstOf(err)
	}
	c.progress(PhaseRest, 1, 1)
	return nil
}

// firstOf takes the first of joined errors.
func firstOf(err error) error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()[0]
	}
	return err
}

// lock takes every lock that a node holds, shared.
func (c *checker) lock() (unlock func(), err error) {
	if st, err := os.Stat(c.home.Dir); err != nil {
		return nil, err
	} else if !st.IsDir() {
		return nil, fmt.Errorf("%s is no folder", c.home.Dir)
	}
	paths := []string{c.home.Lock, c.data("archive", "LOCK"), c.data("chain", "ledger", "LOCK"), c.data("anchor", "LOCK")}
	for _, db := range []string{"blockstore", "state", "evidence"} {
		paths = append(paths, c.data("chain", "comet", "data", db+".db", "LOCK"))
	}
	var held []func()
	unlock = func() {
		for _, f := range held {
			f()
		}
	}
	for _, path := range paths {
		f, err := lockShared(path)
		if err != nil {
			unlock()
			return nil, err
		}
		held = append(held, f)
	}
	return unlock, nil
}

// note adds a note.
func (c *checker) note(code Code, file, format string, args ...any) *Note {
	n := &Note{Code: code, File: file, Detail: fmt.Sprintf(format, args...)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.report.Notes) < maxNotes {
		c.report.Notes = append(c.report.Notes, n)
	}
	return n
}

// progress tells how far a phase is, not more often than anyone can see.
func (c *checker) progress(p Phase, done, total int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); done >= total || done == 0 || now.Sub(c.told) > 100*time.Millisecond {
		c.told = now
		c.opt.Progress(p, done, total)
	}
}

// checkStray looks for what nothing reads.
func (c *checker) checkStray() error {
	if _, err := os.Lstat(c.data("restored")); err == nil {
		c.note(NoteRestored, c.rel(c.data("restored")), "")
	}
	list, _, err := names(c.home.Data)
	for _, n := range list {
		switch n {
		case "archive", "chain", "anchor", "anchor-resume", "fraud", "restored", "audit.log":
		default:
			c.note(NoteUnknown, c.rel(c.data(n)), "")
		}
	}
	return err
}
