package chain

import (
	"slices"
	"time"
)

// clock estimates how far a member's clock is ahead of this node's, from the
// live seals that come from the member itself: a seal is sent as soon as it is
// made and carries the member's time, in whole seconds. One that gives no seal,
// which may be for its clock, sends its time alone. One sample is that time
// and half a second, less our time on arrival; the estimate is the median of the
// last few, rounded to a second. So it is good to about a second, and a member
// behind a slow link looks late by the delay of the link. Nothing is decided by
// it: it is shown to people.
type clock struct {
	samples []time.Duration // newest last
	apart   bool            // it has been said that this clock is apart
}

func (c *clock) offset() time.Duration {
	sorted := slices.Sorted(slices.Values(c.samples))
	return sorted[len(sorted)/2].Round(time.Second)
}

// tellClock sends the own time where no seal has for a while.
func (s *sealer) tellClock() {
	now := s.now()
	if since := now.Sub(s.lastTold); since >= 0 && since < s.reseal+s.reseal/2 {
		return
	}
	s.lastTold = now
	s.net.broadcast(encodeMessage(message{kind: msgClock, time: now.Unix()}))
}

// hear takes the time in a message that came from its own member. Nothing
// verifies it: a member that forges its own time only misstates its own clock.
func (s *sealer) hear(member string, t int64) {
	sample := time.Unix(t, 0).Add(time.Second / 2).Sub(s.now())
	s.mu.Lock()
	c := s.clocks[member]
	if c == nil {
		c = &clock{}
		s.clocks[member] = c
	}
	if c.samples = append(c.samples, sample); len(c.samples) > clockSamples {
		c.samples = c.samples[1:]
	}
	off := c.offset()
	was := c.apart
	c.apart = off.Abs() >= clockApart
	now := c.apart
	s.mu.Unlock()
	if now && !was {
		s.log.Warn("a member's clock and this node's are apart", "member", member, "ahead_by", off.String())
	}
}

// forgetClock begins the estimate anew: who connects again may have set its clock.
func (s *sealer) forgetClock(member string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clocks, member)
}

// offset is the estimate for Status.
func (s *sealer) offset(member string) (time.Duration, bool) {
	if member == s.self {
		return 0, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clocks[member]
	if c == nil {
		return 0, false
	}
	return c.offset(), true
}
