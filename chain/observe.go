package chain

import (
	"slices"
	"sync"
	"time"
)

// Step is what Config.Observe is told the duration of.
type Step string

// The steps.
const (
	// StepExecute: executing a block, in memory.
	StepExecute Step = "execute"
	// StepCommit: making a block durable.
	StepCommit Step = "commit"
	// StepGuard: holding the own seal against the guard, and the guard on disk.
	StepGuard Step = "guard"
	// StepSign: the three signatures of the own seal.
	StepSign Step = "sign"
	// StepArrive: from this node's commit of a new size until it holds a member's
	// first seal on it; 0 where the seal was here before.
	StepArrive Step = "arrive"
	// StepQuorum: from this node's commit of a new size until it is sealed.
	StepQuorum Step = "quorum"
)

// pace measures how long seals take, and hands on what others measured. A nil
// one does nothing. It is not part of any decision.
type pace struct {
	observe func(step Step, member string, took time.Duration)

	mu    sync.Mutex // guards what follows
	sizes []sizePace // rising, of the newest maxPace sizes that this process committed
}

type sizePace struct {
	size   uint64
	at     time.Time
	seen   map[string]bool
	sealed bool
}

func (p *pace) tell(step Step, member string, took time.Duration) {
	if p != nil && p.observe != nil {
		p.observe(step, member, max(took, 0))
	}
}

// since tells the time from began until now, and returns now.
func (p *pace) since(step Step, began time.Time) time.Time {
	now := time.Now()
	p.tell(step, "", now.Sub(began))
	return now
}

// committed begins the clock of a new size.
func (p *pace) committed(size uint64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sizes = append(p.sizes, sizePace{size: size, at: time.Now(), seen: map[string]bool{}})
	if len(p.sizes) > maxPace {
		p.sizes = slices.Delete(p.sizes, 0, len(p.sizes)-maxPace)
	}
}

// clear forgets the sizes that were committed while catching up: their seals
// are old.
func (p *pace) clear() {
	if p != nil {
		p.mu.Lock()
		p.sizes = nil
		p.mu.Unlock()
	}
}

// put takes note of a seal that the book has kept.
func (p *pace) put(w wireSeal, out outcome) {
	if p == nil || out != stored && out != sealed {
		return
	}
	p.mu.Lock()
	i := slices.IndexFunc(p.sizes, func(s sizePace) bool { return s.size == w.size })
	if i < 0 {
		p.mu.Unlock()
		return
	}
	s := &p.sizes[i]
	took := time.Since(s.at)
	arrived, quorum := !s.seen[w.seal.Member], out == sealed && !s.sealed
	s.seen[w.seal.Member] = true
	s.sealed = s.sealed || quorum
	p.mu.Unlock()
	if arrived {
		p.tell(StepArrive, w.seal.Member, took)
	}
	if quorum {
		p.tell(StepQuorum, "", took)
	}
}
