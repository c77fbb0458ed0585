package monitor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"qifeng/api/client"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// Source is what the monitor asks of a node. A *client.Client is one.
type Source interface {
	Checkpoint(ctx context.Context) ([]byte, error)
	Genesis(ctx context.Context) ([]byte, error)
	Consistency(ctx context.Context, from, to uint64) (*client.Consistency, error)
	EntryBundle(ctx context.Context, index uint64, width int) ([]byte, error)
}

// Config of a monitor.
type Config struct {
	Policy  *checkpoint.Policy
	State   *State           // nil begins anew, from the policy's genesis
	MaxAge  time.Duration    // beyond which what is proved is stale; 0 is never
	Second  bool             // check SM2 by both libraries
	Entries bool             // audit every entry of the ledger too
	Now     func() time.Time // default time.Now
}

// Monitor follows one chain. It is not safe for concurrent use.
type Monitor struct {
	policy   *checkpoint.Policy
	digest   merkle.Digest // of the policy
	opt      checkpoint.Options
	maxAge   time.Duration
	now      func() time.Time
	last     *seen // nil before the first
	behind   []*seen
	provedAt time.Time
	auditor  *Auditor // nil without an audit
}

// New makes a monitor that goes on from a state. The state's notes are judged
// anew, by this policy.
func New(cfg Config) (*Monitor, error) {
	m := &Monitor{policy: cfg.Policy, opt: checkpoint.Options{Second: cfg.Second}, maxAge: cfg.MaxAge, now: cfg.Now}
	if m.now == nil {
		m.now = time.Now
	}
	if cfg.Entries {
		m.auditor = NewAuditor(cfg.Policy)
	}
	var err error
	if m.digest, err = PolicyDigest(cfg.Policy); err != nil || cfg.State == nil {
		return m, err
	}
	if cfg.State.Chain != cfg.Policy.Chain {
		return nil, fmt.Errorf("%w: it is of chain %s, the policy of %s", ErrState, cfg.State.Chain, cfg.Policy.Chain)
	}
	if m.last, err = m.reopen(cfg.State.Note); err != nil {
		return nil, err
	}
	m.provedAt = cfg.State.ProvedAt
	for _, note := range cfg.State.Behind {
		b, err := m.reopen(note)
		if err != nil {
			return nil, err
		}
		if b.Size >= m.last.Size {
			return nil, fmt.Errorf("%w: a checkpoint of size %d stands as behind one of %d", ErrState, b.Size, m.last.Size)
		}
		m.behind = append(m.behind, b)
	}
	return m, nil
}

// State is what is to be remembered; nil before anything was proved.
func (m *Monitor) State() *State {
	if m.last == nil {
		return nil
	}
	s := &State{Chain: m.policy.Chain, Policy: m.digest, Note: m.last.note, ProvedAt: m.provedAt}
	for _, b := range m.behind {
		s.Behind = append(s.Behind, b.note)
	}
	return s
}

// Round looks at a node once. What it proves is remembered; a contradiction
// leaves what it contradicts in the state, so that the next look finds it again.
func (m *Monitor) Round(ctx context.Context, src Source) *Report {
	r := &Report{At: m.now()}
	if m.last != nil {
		r.From = m.last.Size
	}
	m.look(ctx, src, r)
	if m.last != nil {
		sealed := time.Unix(m.last.SealedTime, 0)
		r.Age = r.At.Sub(sealed)
		r.Stale = m.maxAge > 0 && r.Age > m.maxAge
		r.Ahead = r.Age < -maxAhead
	}
	return r
}

// look fetches and opens the node's newest checkpoint.
func (m *Monitor) look(ctx context.Context, src Source, r *Report) {
	note, err := src.Checkpoint(ctx)
	if err != nil {
		r.fail(err)
		if client.HasCode(err, "not-found") {
			r.Outcome = NotSealed
		}
		return
	}
	s, err := checkpoint.Open(note, m.policy, m.opt)
	var pin *checkpoint.PinError
	switch {
	case errors.As(err, &pin) && pin.Sealed.Met:
		r.show(pin.Sealed)
		m.alarm(r, &Alarm{Kind: Pin, Second: note, Detail: fmt.Sprintf("the policy pins another root of size %d", pin.Pin.Size)})
	case errors.Is(err, checkpoint.ErrChain):
		r.Outcome, r.Reason = OtherChain, err.Error()
	case err != nil:
		r.Outcome, r.Reason = Invalid, err.Error()
	case !s.Met:
		r.show(s)
		r.Outcome, r.Reason = NotSealed, s.Missing
	default:
		r.show(s)
		m.compare(ctx, src, r, &seen{note, s})
	}
}

// show takes over what a checkpoint says of itself.
func (r *Report) show(s *checkpoint.Sealed) {
	r.Sealed, r.Size, r.Seals, r.Of = s, s.Size, len(s.Seals), len(s.Epoch.Members)
}

// fail says why a node did not answer as asked. That it refuses is not that it
// cannot be reached.
func (r *Report) fail(err error) {
	r.Outcome, r.Reason = Unreachable, err.Error()
	var p *client.Problem
	if errors.As(err, &p) && p.Status < http.StatusInternalServerError && p.Status != http.StatusTooManyRequests {
		r.Outcome = Unproven
	}
}

func (m *Monitor) alarm(r *Report, a *Alarm) {
	a.Chain, a.FoundAt = m.policy.Chain, r.At
	r.Outcome, r.Alarm, r.Reason = Contradiction, a, a.Detail
}

// compare asks whether a sealed checkpoint and all that was seen before are of
// one ledger.
func (m *Monitor) compare(ctx context.Context, src Source, r *Report, s *seen) {
	for _, old := range m.all() {
		if old.Size == s.Size && old.Root != s.Root {
			m.alarm(r, &Alarm{Kind: Fork, First: old.note, Second: s.note, Members: both(old, s),
				Detail: fmt.Sprintf("two sealed checkpoints of size %d have different roots", s.Size)})
			return
		}
		if ids := rolledBack(old, s); ids != nil {
			m.alarm(r, &Alarm{Kind: Rollback, First: old.note, Second: s.note, Members: ids,
				Detail: fmt.Sprintf("members sealed size %d later than size %d", min(old.Size, s.Size), max(old.Size, s.Size))})
			return
		}
	}
	if m.last != nil && s.Size < m.last.Size {
		m.wait(r, s)
		return
	}
	if !m.connect(ctx, src, r, s) {
		return
	}
	switch {
	case m.last == nil:
		r.Outcome = First
	case s.Size > m.last.Size:
		r.Outcome = Advanced
	default:
		r.Outcome = Same
	}
	m.provedAt = r.At
	if m.last == nil || s.Size > m.last.Size || s.SealedTime > m.last.SealedTime {
		m.last = s
	}
	if m.settle(ctx, src, r) {
		m.audit(ctx, src, r)
	}
}

func (m *Monitor) all() []*seen {
	if m.last == nil {
		return m.behind
	}
	return append([]*seen{m.last}, m.behind...)
}

// wait keeps the checkpoint of a node that is behind until a path connects it.
func (m *Monitor) wait(r *Report, s *seen) {
	r.Outcome, r.Reason = Behind, fmt.Sprintf("the node is at size %d, %d was seen before", s.Size, m.last.Size)
	i := slices.IndexFunc(m.behind, func(b *seen) bool { return b.Size == s.Size })
	switch {
	case i >= 0:
		m.behind[i] = s // the same root, or compare had found a fork
	case len(m.behind) < maxBehind:
		m.behind = append(m.behind, s)
	default:
		r.Reason += "; too many of these wait for a path, this one is not kept"
	}
}

// connect shows that s continues what was seen last, or the genesis.
func (m *Monitor) connect(ctx context.Context, src Source, r *Report, s *seen) bool {
	if m.last != nil {
		return s.Size == m.last.Size || m.prove(ctx, src, r, m.last, s)
	}
	raw, err := src.Genesis(ctx)
	if err != nil {
		r.fail(err)
		return false
	}
	if merkle.Sum(raw) != m.policy.Genesis {
		r.Outcome, r.Reason = Invalid, "the node's genesis is not the one that the policy names"
		return false
	}
	origin := checkpoint.Checkpoint{Origin: s.Origin, Size: 1, Root: merkle.LeafHash(raw)}
	return m.prove(ctx, src, r, &seen{Sealed: &checkpoint.Sealed{Checkpoint: origin}}, s)
}

// settle shows that the checkpoints of nodes that were behind are beginnings of
// the newest one. False where one is not, or not yet.
func (m *Monitor) settle(ctx context.Context, src Source, r *Report) bool {
	for len(m.behind) > 0 {
		outcome := r.Outcome
		if !m.prove(ctx, src, r, m.behind[0], m.last) {
			return false
		}
		r.Outcome = outcome
		m.behind = m.behind[1:]
	}
	return true
}

// prove asks the node for the path from old to s and checks it against the roots
// that this monitor has verified itself. Nothing else of the answer is believed.
func (m *Monitor) prove(ctx context.Context, src Source, r *Report, old, s *seen) bool {
	a, err := src.Consistency(ctx, old.Size, s.Size)
	if err != nil {
		r.fail(err)
		return false
	}
	path, err := client.PathOf(a)
	if err == nil && (len(path) > maxPath || a.From != old.Size || a.To != s.Size) {
		err = fmt.Errorf("the path is from %d to %d with %d steps", a.From, a.To, len(path))
	}
	if err != nil {
		r.Outcome, r.Reason = Invalid, err.Error()
		return false
	}
	err = merkle.VerifyConsistency(old.Size, s.Size, old.Root, s.Root, path)
	if err == nil {
		return true
	}
	alarm := &Alarm{Kind: Rewritten, First: old.note, Second: s.note, Path: path,
		Detail: fmt.Sprintf("the node's path from size %d to size %d does not connect the sealed roots: %v", old.Size, s.Size, err)}
	switch {
	case old.note == nil:
		alarm.Kind = Genesis
	default:
		alarm.Members = both(old, s)
		m.fork(alarm, old, []byte(a.FromNote))
	}
	m.alarm(r, alarm)
	return false
}

// fork makes more of a path that fails, where the node has shown another sealed
// checkpoint of the old size with it: two checkpoints of one size need no path.
func (m *Monitor) fork(a *Alarm, old *seen, note []byte) {
	s, err := checkpoint.Open(note, m.policy, m.opt)
	if err != nil || !s.Met || s.Size != old.Size || s.Root == old.Root {
		return
	}
	a.Kind, a.Second, a.Path, a.Members = Fork, note, nil, both(old, &seen{note, s})
	a.Detail = fmt.Sprintf("two sealed checkpoints of size %d have different roots", s.Size)
}

// audit checks the entries up to the newest checkpoint.
func (m *Monitor) audit(ctx context.Context, src Source, r *Report) {
	if m.auditor == nil {
		return
	}
	err := m.auditor.Extend(ctx, src, m.last.Checkpoint)
	r.Audited = m.auditor.Size()
	var wrong *EntryError
	var served *ServedError
	switch {
	case errors.As(err, &wrong):
		m.alarm(r, &Alarm{Kind: Entries, Second: m.last.note, Index: wrong.Index, Entry: wrong.Entry, Detail: err.Error()})
	case errors.As(err, &served):
		r.Outcome, r.Reason = Invalid, err.Error()
	case err != nil:
		r.fail(err)
	}
}
