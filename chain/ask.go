package chain

import (
	"slices"
	"time"
)

// asking is the state of asking for missing seals. Owned by the sealer's
// goroutine.
type asking struct {
	next     time.Time      // of the newest sizes
	nextOld  time.Time      // of unsealed older sizes
	pause    time.Duration  // between rounds of older sizes
	cursor   uint64         // where the next round of older sizes begins
	recent   map[uint64]int // sealed sizes of which seals are missing: times asked
	lastSize uint64         // newest size seen
	turn     int            // rotates through the peers
	progress bool           // a new seal came since the last round
}

// recentTries bounds how often seals beyond the quorum are asked for.
const recentTries = 5

// reset begins asking afresh, as when a peer has come back.
func (a *asking) reset() {
	a.next, a.nextOld, a.pause, a.cursor = time.Time{}, time.Time{}, 0, 0
	clear(a.recent)
}

// ask asks peers for what is missing: seals of the newest size without end,
// those of sizes just before a few times, those of sizes that no quorum is known
// for in rounds that slow down as long as they bring nothing.
func (s *sealer) ask() {
	a, now := &s.asking, s.now()
	peers := s.net.peers()
	if len(peers) == 0 {
		return
	}
	if !now.Before(a.next) {
		a.next = now.Add(askEvery)
		s.askRecent(peers)
	}
	if !now.Before(a.nextOld) {
		s.askOld(now, peers)
	}
}

func (s *sealer) askRecent(peers []string) {
	a, size := &s.asking, s.state().size
	if a.recent == nil {
		a.recent = map[uint64]int{}
	}
	if a.lastSize != size {
		if a.lastSize != 0 && len(a.recent) < maxWants {
			a.recent[a.lastSize] = 0
		}
		a.lastSize = size
	}
	s.want(size, peers, 2)
	for old, tries := range a.recent {
		if complete := s.want(old, peers, 1); complete || tries >= recentTries {
			delete(a.recent, old)
			continue
		}
		a.recent[old] = tries + 1
	}
}

func (s *sealer) askOld(now time.Time, peers []string) {
	a := &s.asking
	newest := s.state().size
	for range maxWants {
		size, ok, err := s.book.store.seek(kUnsealed, a.cursor)
		if err != nil || !ok || size >= newest {
			a.cursor = 0
			a.pause = min(max(2*a.pause, askOldFirst), askOldLast)
			if a.progress {
				a.pause = askOldFirst
			}
			a.progress = false
			a.nextOld = now.Add(a.pause)
			return
		}
		s.want(size, peers, 1)
		a.cursor = size + 1
	}
	a.nextOld = now.Add(askEvery / 4)
}

// want asks n peers for the seals of a size that are missing here. It returns
// true if none is.
func (s *sealer) want(size uint64, peers []string, n int) (complete bool) {
	seals, err := s.book.firsts(size)
	if err != nil {
		return false
	}
	m := message{kind: msgWant, size: size}
	for _, seal := range seals {
		m.have = append(m.have, seal.Member)
	}
	if len(m.have) >= len(s.c.ids) {
		return true
	}
	slices.Sort(m.have)
	raw := encodeMessage(m)
	for range min(n, len(peers)) {
		s.asking.turn++
		s.net.send(peers[s.asking.turn%len(peers)], raw)
	}
	return false
}
