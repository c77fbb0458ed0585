package archive

import (
	"fmt"
	"sync"

	"qifeng/evidence"
)

// owner is who submitted: a member, by one of its keys.
type owner struct{ member, key string }

// ownerOf names the owner of a statement.
func ownerOf(st *evidence.Statement) owner { return owner{st.Submitter, st.Key} }

// usage is what somebody takes of the backlog: records, and the bytes of them,
// their statements and pairs.
type usage struct{ records, bytes int64 }

func (u usage) plus(v usage) usage { return usage{u.records + v.records, u.bytes + v.bytes} }
func (u usage) minus() usage       { return usage{-u.records, -u.bytes} }

// owners adds up what a group holds of whom.
func (g *group) owners() map[owner]usage {
	each := make([]usage, len(g.statements))
	for i, s := range g.statements {
		each[i].bytes = int64(len(s.signed)) + statementEntry + int64(len(s.pairs))*pairSize
	}
	for _, r := range g.records {
		u := &each[r.statement]
		u.records++
		u.bytes += int64(len(r.data)) + recordEntry
	}
	out := make(map[owner]usage)
	for i, s := range g.statements {
		out[s.owner] = out[s.owner].plus(each[i])
	}
	return out
}

// shares is what of the backlog is whose. It is made from the batches, and made
// again from the journals at a start.
type shares struct {
	mu      sync.Mutex // guards what follows
	keys    map[owner]usage
	members map[string]usage
}

func (s *shares) add(m map[owner]usage) {
	for o, u := range m {
		s.change(o, u)
	}
}

func (s *shares) remove(m map[owner]usage) {
	for o, u := range m {
		s.change(o, u.minus())
	}
}

func (s *shares) change(o owner, u usage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys, s.members = make(map[owner]usage), make(map[string]usage)
	}
	put(s.keys, o, s.keys[o].plus(u))
	put(s.members, o.member, s.members[o.member].plus(u))
}

// put keeps no zeros, so the maps are no larger than the backlog.
func put[K comparable](m map[K]usage, k K, u usage) {
	if u == (usage{}) {
		delete(m, k)
		return
	}
	m[k] = u
}

func (s *shares) of(o owner) (key, member usage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[o], s.members[o.member]
}

// crowding says why o may not add n records, nil where it may. What waits for
// its group is not counted: PendingRecords bounds by how much a share is exceeded.
func (a *Archive) crowding(o owner, n int64) error {
	l := &a.limits
	over := func(u usage, percent int) bool {
		return percent < 100 && (u.records+n > l.BacklogRecords/100*int64(percent)+l.BacklogRecords%100*int64(percent)/100 ||
			u.bytes > l.BacklogBytes/100*int64(percent))
	}
	key, member := a.shares.of(o)
	switch {
	case over(key, l.KeyShare):
		return &BusyError{RetryAfter: l.RetryBacklog, Own: true, Reason: fmt.Sprintf("the records of this key that wait for the chain are %d per cent of what may wait", l.KeyShare)}
	case over(member, l.MemberShare):
		return &BusyError{RetryAfter: l.RetryBacklog, Own: true, Reason: fmt.Sprintf("the records of this member that wait for the chain are %d per cent of what may wait", l.MemberShare)}
	}
	return nil
}
