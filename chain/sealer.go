package chain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// network is what the sealer sends by; the reactor is the real one. Sends never
// block and may be lost: what is missing is asked for.
type network interface {
	broadcast(raw []byte)
	send(peer string, raw []byte)
	peers() []string // node ids of connected peers, sorted
}

// inbound is a decoded message of a peer; one without a message says that the
// peer has just connected.
type inbound struct {
	peer string
	msg  *message
}

// sealer gives this member's seals and collects those of all. One goroutine
// (run) owns guard, book writes and asking; the others only leave word.
type sealer struct {
	c     *consortium
	self  string
	keys  checkpoint.SealKeys
	book  *book
	guard *guard
	net   network
	log   *slog.Logger
	now   func() time.Time
	pace  *pace

	state     func() *state
	syncing   func() bool // CometBFT is not in consensus: starting or catching up
	lagging   func() bool // in consensus, at heights that the others have decided long ago
	changed   func()      // a size is newly sealed
	alarm     func(code Code, text string, args ...any)
	still     func() *refusedSeal                     // why this home neither votes nor seals, see voter
	fraud     func(size uint64, member string) string // keeps the proof of a split view
	reseal    time.Duration
	heartbeat time.Duration

	inbox chan inbound
	wake  chan struct{} // capacity 1

	mu         sync.Mutex // guards what follows
	queue      []uint64   // sizes that wait for the own seal, rising
	lastCommit time.Time  // when this node last saw the chain alive
	refused    *refusedSeal
	guarded    uint64 // the guard's size, for Status
	clocks     map[string]*clock

	// Owned by run.
	started    time.Time
	knew       uint64    // what the guard knew when the process started
	inStep     bool      // has left syncing
	lastOwn    time.Time // when the own seal was last given
	lastTold   time.Time // when the others last heard the own clock
	asking     asking
	lastReason string
}

// committed is told of a durable height by the consensus goroutine. What is
// committed while catching up is not sealed: the newest is, when it is reached.
func (s *sealer) committed(st *state, newSize bool) {
	syncing := s.syncing()
	s.mu.Lock()
	s.lastCommit = s.now()
	if newSize && !syncing {
		s.pace.committed(st.size)
		if s.queue = append(s.queue, st.size); len(s.queue) > maxOwnQueue {
			s.queue = s.queue[len(s.queue)-maxOwnQueue:]
		}
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// deliver takes a message of a peer without ever blocking it.
func (s *sealer) deliver(in inbound) {
	select {
	case s.inbox <- in:
	default:
	}
}

// run works until ctx ends.
func (s *sealer) run(ctx context.Context) {
	s.started = s.now()
	s.knew = s.guard.have.size
	s.mu.Lock()
	s.guarded = s.guard.have.size
	s.mu.Unlock()
	if why := s.barred(); why != nil {
		s.refuse(why)
	}
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case in := <-s.inbox:
			s.receive(in)
		case <-s.wake:
			s.afterCommit()
		case <-tick.C:
			s.onTick()
		}
	}
}

// barred says why this member gives no seal whatever the ledger says.
func (s *sealer) barred() *refusedSeal {
	if why := s.still(); why != nil {
		return why
	}
	return s.guard.usable()
}

// afterCommit seals each size that was finalized since, and takes up seals that
// had come too early. While catching up, or keeping still, sizes are passed
// over: the others have sealed them, and the newest is sealed when it is reached.
func (s *sealer) afterCommit() {
	s.takeHeld()
	if s.syncing() || s.still() != nil {
		s.clearQueue()
		s.pace.clear()
		return
	}
	if s.lagging() {
		// Catching up within consensus, or a node that is always late: only the
		// newest size, and not every one that is the newest for a moment.
		s.mu.Lock()
		s.queue = s.queue[max(0, len(s.queue)-1):]
		s.mu.Unlock()
		if s.now().Sub(s.lastOwn) < sealWhenLate {
			return
		}
	}
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.mu.Unlock()
			return
		}
		size := s.queue[0]
		s.mu.Unlock()
		if wait := s.sealOwn(size); wait {
			return // the tick comes back to it
		}
		s.mu.Lock()
		if len(s.queue) > 0 && s.queue[0] == size {
			s.queue = s.queue[1:]
		}
		s.mu.Unlock()
	}
}

func (s *sealer) clearQueue() {
	s.mu.Lock()
	s.queue = nil
	s.mu.Unlock()
}

func (s *sealer) takeHeld() {
	size := s.state().size
	for _, w := range s.book.release(size) {
		s.put(w, false)
	}
}

func (s *sealer) onTick() {
	if s.syncing() {
		s.inStep = false
		s.afterCommit()
		return
	}
	if !s.inStep {
		// Back in consensus: the chain is alive as far as this node can tell.
		s.inStep, s.lastOwn, s.lastTold = true, time.Time{}, s.now()
		s.mu.Lock()
		s.lastCommit = s.now()
		s.mu.Unlock()
	}
	s.tellClock()
	if why := s.still(); why != nil {
		s.refuse(why)
		s.lastOwn = time.Time{} // the newest is sealed as soon as it may be
		s.afterCommit()
		s.ask()
		return
	}
	if s.guard.missing || s.guard.doubt != nil {
		s.adopt()
	}
	s.afterCommit()
	// A clock that was put back seals as little as one that is late, and says so.
	if since := s.now().Sub(s.lastOwn); (since >= s.reseal || since < 0) && !s.stale() {
		s.sealOwn(s.state().size)
	}
	s.ask()
}

// stale says that the last block is older than two heartbeats: the chain has
// halted, and a fresh seal would say nothing about it.
func (s *sealer) stale() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now().Sub(s.lastCommit) > 2*s.heartbeat
}

// sealOwn gives this member's seal on a size: guard first (see guard.go), then
// the signature, the own store, the others. It returns true where the same size
// should be tried again soon.
func (s *sealer) sealOwn(size uint64) (wait bool) {
	st, now := s.state(), s.now()
	if st.height == 0 {
		return false // nothing is finalized yet
	}
	if why := s.barred(); why != nil {
		s.refuse(why)
		return false
	}
	_, at, ok, err := s.book.store.finalized(size)
	if err != nil || !ok {
		s.refuse(&refusedSeal{code: CodeLedgerUnreadable, text: fmt.Sprintf("size %d is not known as finalized: %v", size, err), alarm: true})
		return false
	}
	began := time.Now()
	rootAt := func(n uint64) (merkle.Digest, error) { return merkle.RootAt(n, s.book.store) }
	if why := s.guard.allow(size, now, at, st.size, rootAt); why != nil {
		s.refuse(why)
		return why.wait
	}
	root, err := rootAt(size)
	if err != nil {
		s.refuse(&refusedSeal{code: CodeLedgerUnreadable, text: fmt.Sprintf("computing the root of size %d: %v", size, err), alarm: true})
		return false
	}
	err = point(pointAllowed)
	if err == nil {
		err = s.guard.advance(guardRecord{size: size, root: root, time: now.Unix()})
	}
	if err == nil {
		err = point(pointGuarded)
	}
	if err != nil {
		s.refuse(&refusedSeal{code: CodeGuardUnwritable, text: err.Error(), alarm: true})
		return false
	}
	began = s.pace.since(StepGuard, began)
	seal, err := checkpoint.Sign(s.c.checkpoint(size, root), s.self, now.Unix(), s.keys)
	if err == nil {
		err = point(pointSigned)
	}
	if err != nil {
		s.refuse(&refusedSeal{code: CodeSignFailed, text: err.Error(), alarm: true})
		return false
	}
	s.pace.since(StepSign, began)
	s.refuse(nil)
	s.mu.Lock()
	s.guarded = size
	s.mu.Unlock()
	s.lastOwn = now
	w := wireSeal{size: size, root: root, seal: seal}
	s.put(w, true)
	if point(pointStored) == nil { // a seal that is not sent is asked for
		s.net.broadcast(encodeMessage(message{kind: msgLive, seals: []wireSeal{w}}))
	}
	s.lastTold = now
	_ = point(pointSent) // nothing is left that could fail
	return false
}

// refuse keeps why no seal is given, for Status, and logs it when it changes.
func (s *sealer) refuse(why *refusedSeal) {
	s.mu.Lock()
	s.refused = why
	s.mu.Unlock()
	if why == nil {
		s.lastReason = ""
		return
	}
	if why.text == s.lastReason {
		return
	}
	s.lastReason = why.text
	if why.alarm {
		s.log.Error("this member gives no seal", "code", why.code, "reason", why.text)
	} else {
		s.log.Warn("this member gives no seal yet", "code", why.code, "reason", why.text)
	}
}

// put stores a seal and tells whoever must know.
func (s *sealer) put(w wireSeal, live bool) outcome {
	out, err := s.book.put(w, live, s.state().size)
	s.pace.put(w, out)
	switch {
	case errors.Is(err, checkpoint.ErrSeal):
		s.log.Warn("a seal does not verify", "member", w.seal.Member, "size", w.size, "error", err)
	case err != nil:
		s.log.Error("a seal could not be stored", "member", w.seal.Member, "size", w.size, "error", err)
	case out == conflict:
		s.alarm(CodeSplitView, "a member sealed two different ledgers", "member", w.seal.Member, "size", w.size,
			"sealed_sm3", fmt.Sprintf("%x", w.root.SM3), "sealed_sha256", fmt.Sprintf("%x", w.root.SHA256), "proof", s.fraud(w.size, w.seal.Member))
	case out == sealed:
		s.changed()
	}
	if (out == stored || out == sealed) && s.book.lied(w) {
		s.fraud(w.size, w.seal.Member) // now the second of two seals is here
	}
	return out
}

func (s *sealer) receive(in inbound) {
	if in.msg == nil {
		s.greet(in.peer)
		return
	}
	switch in.msg.kind {
	case msgLive, msgAnswer:
		newest := s.state().size
		for _, w := range in.msg.seals {
			live := in.msg.kind == msgLive
			if live && s.c.byNode[in.peer] == w.seal.Member {
				s.hear(w.seal.Member, w.seal.Time)
			}
			out := s.put(w, live)
			fresh := out == stored || out == sealed
			if fresh && !live && w.size < newest {
				s.asking.progress = true
			}
			if w.seal.Member == s.self && (fresh || out == holding || out == conflict) {
				s.meetOwn(w, live)
			}
		}
	case msgWant:
		s.answer(in.peer, in.msg)
	case msgClock:
		s.hear(s.c.byNode[in.peer], in.msg.time)
	}
}

// answer sends the first seals of a size that the peer does not have.
func (s *sealer) answer(peer string, m *message) {
	if m.size > s.state().size {
		return
	}
	seals, err := s.book.firsts(m.size)
	if err != nil || len(seals) == 0 {
		return
	}
	root, err := merkle.RootAt(m.size, s.book.store)
	if err != nil {
		return
	}
	have := map[string]bool{}
	for _, id := range m.have {
		have[id] = true
	}
	out := message{kind: msgAnswer}
	for _, seal := range seals {
		if !have[seal.Member] {
			out.seals = append(out.seals, wireSeal{size: m.size, root: root, seal: seal})
		}
	}
	if len(out.seals) > 0 {
		s.net.send(peer, encodeMessage(out))
	}
}

// meetOwn looks at a seal of this member that this node did not give or does
// not remember. In a live message it was given just now. In an answer it is what
// an earlier life of this home has sealed: harmless where the guard knows it
// (the database was lost), and otherwise the home is an older copy.
func (s *sealer) meetOwn(w wireSeal, live bool) {
	switch {
	case live:
		s.alarm(CodeKeysElsewhere, "a seal of this member arrived that this node did not give: its seal keys are in use elsewhere", "size", w.size)
	case !s.guard.missing && s.guard.broken == nil && s.guard.doubt == nil && w.size > s.knew && w.seal.Time < s.started.Unix():
		s.guard.doubt = &refusedSeal{code: CodeGuardOld, alarm: true, text: fmt.Sprintf(
			"these keys have sealed size %d, and the guard of this home knew only %d when it started: the home is an older copy; nothing is sealed until a sealed checkpoint of the others has been verified", w.size, s.knew)}
		s.alarm(CodeGuardOld, s.guard.doubt.text)
	}
}

// greet sends a peer that has just connected the newest own seal, and asks again
// for what is missing. It is an answer and not live: it may be old.
func (s *sealer) greet(peer string) {
	s.asking.reset()
	s.forgetClock(s.c.byNode[peer])
	if w, ok := s.book.newestSeals()[s.self]; ok {
		s.net.send(peer, encodeMessage(message{kind: msgAnswer, seals: []wireSeal{w}}))
	}
}

// adopt makes the guard again where the file is missing or in doubt: the keys
// may have sealed what nobody here remembers. So nothing is sealed until the
// others, without this member, meet the quorum with seals given since this
// process started, on one size, whose root our own ledger has, and no seal of
// our own is known beyond it. Everything that these keys sealed was finalized
// before, so it is a prefix of that. What a guard in doubt does know is held
// against the ledger all the same.
func (s *sealer) adopt() {
	rootAt := func(n uint64) (merkle.Digest, error) { return merkle.RootAt(n, s.book.store) }
	size, own := s.sealedByOthers()
	if size == 0 || size < s.guard.have.size || s.guard.broken != nil {
		return
	}
	if !s.guard.missing {
		if why := s.guard.holds(rootAt); why != nil {
			s.refuse(why)
			return
		}
	}
	root, err := rootAt(size)
	if err != nil {
		s.log.Error("the guard could not be made again", "error", err)
		return
	}
	r := guardRecord{size: size, root: root, time: max(s.now().Unix(), s.guard.have.time)}
	if own != nil {
		r.time = max(r.time, own.Time)
	}
	if err := s.guard.advance(r); err != nil {
		s.log.Error("the guard could not be made again", "error", err)
		return
	}
	s.knew = size
	s.alarm(CodeGuardRemade, "the guard was missing or in doubt and was made again from the others' seals", "size", size)
}

// sealedByOthers returns the newest size that the others alone have sealed since
// this process started, 0 if there is none that covers all that this member is
// known to have sealed, and the newest own seal.
func (s *sealer) sealedByOthers() (size uint64, own *checkpoint.Seal) {
	others := s.book.newestSeals()
	var ownSize uint64
	if w, ok := others[s.self]; ok {
		ownSize, own = w.size, &w.seal
	}
	delete(others, s.self)
	for id, w := range others {
		if w.seal.Time <= s.started.Unix() { // whole seconds: in doubt it was before
			delete(others, id)
			continue
		}
		size = max(size, w.size)
	}
	var seals []checkpoint.Seal
	for _, w := range others {
		if w.size == size {
			seals = append(seals, w.seal)
		}
	}
	if size > s.state().size || max(ownSize, s.book.ahead(s.self)) > size || !s.c.judge(size, seals).Met {
		return 0, own
	}
	return size, own
}
