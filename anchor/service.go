package anchor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"qifeng/proof"
	"qifeng/proof/checkpoint"
)

// Config is what a service needs.
type Config struct {
	Dir     string // of the store, which only one process may have open
	Policy  *checkpoint.Policy
	Roots   *proof.AnchorRoots // by which receipts are verified before they are stored
	Source  Source
	Anchors []Named
	Logger  *slog.Logger     // nil for the default one
	Now     func() time.Time // nil for time.Now; stamps alone, pauses are measured by the system
	Observe func(Event)      // called by several goroutines, must return at once; may be nil

	// Verify replaces proof.VerifyAnchor with Policy and Roots; nil but in tests.
	Verify func(*proof.Anchor) (*proof.AnchorReport, error)
}

// Source is the chain, as far as anchors need it.
type Source interface {
	Ledger
	// Checkpoint returns the newest sealed checkpoint; ok is false before the first.
	Checkpoint() (note []byte, size uint64, ok bool, err error)
	// Changed is closed when Checkpoint may have another answer than now.
	Changed() <-chan struct{}
}

// Named is a configured anchor.
type Named struct {
	Name    string        // as the anchor roots have it; a name is of one kind for ever
	Every   time.Duration // at most one receipt in this time
	Timeout time.Duration // deadline of an attempt
	Anchor  Anchor
}

// Service has one worker for each anchor, and the store that they share. Its
// methods may be called at the same time.
type Service struct {
	cfg     Config
	log     *slog.Logger
	store   *store
	workers []*worker // as configured
	retired []string  // names in the store that are not configured, sorted

	resuming sync.Mutex // held by Resume: alarms are ended one at a time
}

// Open opens the store, and finds out what an earlier life left. Nothing runs
// yet. The anchors are the service's from then on; if Open fails they are not.
func Open(cfg Config) (*Service, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Event) {}
	}
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("opening the anchors: %w", err)
	}
	if cfg.Verify == nil {
		cfg.Verify = func(a *proof.Anchor) (*proof.AnchorReport, error) {
			return proof.VerifyAnchor(a, cfg.Policy, cfg.Roots)
		}
	}
	st, err := openStore(cfg.Dir, cfg.Policy.Chain, cfg.Logger)
	if err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, log: cfg.Logger, store: st}
	if err := s.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the anchors: %w", err), st.close())
	}
	return s, nil
}

// check refuses what cannot work.
func (c *Config) check() error {
	if c.Policy == nil || c.Source == nil {
		return errors.New("a trust policy and a source of checkpoints are needed")
	}
	if c.Roots == nil && c.Verify == nil && len(c.Anchors) > 0 {
		return errors.New("anchor roots are needed: a receipt that cannot be verified is not stored")
	}
	if len(c.Anchors) > maxNames {
		return fmt.Errorf("%d anchors, at most %d", len(c.Anchors), maxNames)
	}
	seen := make(map[string]bool)
	for _, n := range c.Anchors {
		if err := checkpoint.CheckMemberID(n.Name); err != nil {
			return fmt.Errorf("anchor name %q: %w", n.Name, err)
		}
		switch {
		case seen[n.Name]:
			return fmt.Errorf("two anchors are named %s", n.Name)
		case n.Anchor == nil || kindCode(n.Anchor.Kind()) == 0:
			return fmt.Errorf("anchor %s is of no known kind", n.Name)
		case n.Every < minEvery || n.Every > maxEvery:
			return fmt.Errorf("anchor %s: every %v, must be %v to %v", n.Name, n.Every, minEvery, maxEvery)
		case n.Timeout <= 0 || n.Timeout > maxTimeout:
			return fmt.Errorf("anchor %s: timeout %v, must be above 0 and at most %v", n.Name, n.Timeout, maxTimeout)
		}
		seen[n.Name] = true
	}
	return nil
}

// recover reads what the store knows of each anchor. A value that is damaged
// stops its anchor alone, which says so.
func (s *Service) recover() error {
	for _, n := range s.cfg.Anchors {
		w := newWorker(s, n)
		if err := w.load(); err != nil {
			return err
		}
		s.workers = append(s.workers, w)
	}
	names, err := s.store.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if s.worker(name) == nil && !slices.Contains(s.retired, name) {
			s.retired = append(s.retired, name)
		}
	}
	slices.Sort(s.retired)
	return nil
}

func (s *Service) worker(name string) *worker {
	for _, w := range s.workers {
		if w.name == name {
			return w
		}
	}
	return nil
}

// Run anchors until ctx is done. It then waits for the calls in flight, but only
// a moment for one that hangs. It is called once.
func (s *Service) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, w := range s.workers {
		all.Go(func() { w.run(ctx) })
	}
	all.Wait()
}

// Close closes the anchors and the store; after Run has returned.
func (s *Service) Close() error {
	errs := make([]error, len(s.workers))
	var all sync.WaitGroup
	for i, w := range s.workers { // all at once: each may take as long as it is let
		all.Go(func() {
			if err := w.close(); err != nil {
				errs[i] = fmt.Errorf("closing anchor %s: %w", w.name, err)
			}
		})
	}
	all.Wait()
	return errors.Join(append(errs, s.store.close())...)
}

// Covering returns, for each anchor that was ever configured, its first receipt
// for at least this size, in the order in which a proof file takes them: kind
// (rfc3161, witness, fabric), then name. What is damaged is left out, and named
// by the error; the others are returned beside it.
func (s *Service) Covering(size uint64) ([]Stored, error) {
	var out []Stored
	var errs []error
	for _, name := range s.names() {
		r, err := s.store.covering(name, size)
		switch {
		case err != nil:
			errs = append(errs, err)
		case r != nil:
			out = append(out, r.Stored)
		}
	}
	slices.SortFunc(out, func(a, b Stored) int {
		return cmp.Or(cmp.Compare(kindOrder(a.Kind), kindOrder(b.Kind)), cmp.Compare(a.Name, b.Name))
	})
	return out, errors.Join(errs...)
}

func (s *Service) names() []string {
	names := slices.Clone(s.retired)
	for _, w := range s.workers {
		names = append(names, w.name)
	}
	return names
}

// Status tells of the anchors as configured, and then of those that are not any
// more, by name.
func (s *Service) Status() []Status {
	var out []Status
	for _, w := range s.workers {
		out = append(out, w.report())
	}
	for _, name := range s.retired {
		out = append(out, s.retiredStatus(name))
	}
	return out
}

func (s *Service) retiredStatus(name string) Status {
	st := Status{Name: name, Retired: true}
	newest, err := s.store.newest(name)
	if newest != nil {
		st.Kind, st.Size, st.StoredAt, st.Time = newest.Kind, newest.Size, newest.StoredAt, newest.Time
	}
	a, aerr := s.store.lastAlarm(name)
	if a != nil && a.resumed.IsZero() {
		st.Alarm = &a.Alarm
	}
	if err := errors.Join(err, aerr); err != nil {
		st.LastError = clip(err.Error())
	}
	return st
}

// ErrNoAlarm (NotFound): there is nothing to resume from.
var ErrNoAlarm = errors.New("no alarm is open")

// Resume ends an anchor's alarm, which an operator has looked at; it goes on with
// the newest checkpoint. The alarm and its two statements stay in the store. It
// works without Run too, and for an anchor that is not configured any more.
func (s *Service) Resume(name string) error {
	s.resuming.Lock()
	defer s.resuming.Unlock()
	if err := s.store.settle(); err != nil {
		return fmt.Errorf("resuming anchor %s: %w", name, err)
	}
	a, err := s.store.lastAlarm(name)
	if err != nil {
		return fmt.Errorf("resuming anchor %s: %w", name, err)
	}
	w := s.worker(name)
	switch open := a != nil && a.resumed.IsZero(); {
	case open:
		if err := s.store.endAlarm(a, s.cfg.Now()); err != nil {
			return fmt.Errorf("resuming anchor %s: %w", name, err)
		}
		s.log.Info("an operator has ended an anchor's alarm", "anchor", name, "size", a.Size)
	case w == nil || !w.showsAlarm(a): // or else it was ended by a write that failed and was kept
		return fmt.Errorf("resuming anchor %s: %w", name, ErrNoAlarm)
	}
	if w != nil {
		w.resume()
	}
	return nil
}

// clip bounds words that came from afar.
func clip(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	return text
}
