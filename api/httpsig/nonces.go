package httpsig

import (
	"sync"
	"time"
)

// nonces remembers what was seen. A request is known by member, time and nonce:
// a replay carries the same three, since all are signed. So the nonces of one
// second are forgotten together, one window later, when the time alone refuses
// them.
//
// It lives in memory. What a process cannot know it refuses: floor begins with
// the process and never goes back, so neither a restart nor a clock that is put
// back opens the door to what was seen before. What remains is a request whose
// signer's clock was ahead: a node that restarts before its own clock has reached
// that time may be shown it once more.
type nonces struct {
	mu      sync.Mutex
	floor   int64             // requests created before this second are refused
	members map[string]*spent // at most maxMembers, none of them empty
}

// spent are a member's nonces by the second in which they were created.
type spent struct {
	total   int // at most maxNonces
	seconds map[int64]map[[nonceSize]byte]struct{}
}

func newNonces(start int64) *nonces {
	return &nonces{floor: start, members: map[string]*spent{}}
}

// spend remembers a nonce, or says why the request must be refused. The caller
// has checked that created is within the window of now.
func (n *nonces) spend(member string, id [nonceSize]byte, created, now int64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forget(now - windowSeconds)
	if created < n.floor {
		return refuse(Stale, inputField, "was created at %d; this node has begun to remember, or forgotten what was, at %d", created, n.floor)
	}
	m := n.members[member]
	if m == nil {
		if len(n.members) >= maxMembers {
			return n.full(now, nil)
		}
		m = &spent{seconds: map[int64]map[[nonceSize]byte]struct{}{}}
	}
	if _, seen := m.seconds[created][id]; seen {
		return refuse(Replayed, inputField, "has a nonce that %s has used", member)
	}
	if m.total >= maxNonces {
		return n.full(now, m)
	}
	if m.seconds[created] == nil {
		m.seconds[created] = map[[nonceSize]byte]struct{}{}
	}
	m.seconds[created][id] = struct{}{}
	m.total++
	n.members[member] = m
	return nil
}

// forget drops what was created before a second. The floor rises at most once a
// second, so the walk over all seconds of all members is seldom.
func (n *nonces) forget(before int64) {
	if before <= n.floor {
		return
	}
	n.floor = before
	for name, m := range n.members {
		for second, ids := range m.seconds {
			if second < before {
				m.total -= len(ids)
				delete(m.seconds, second)
			}
		}
		if m.total == 0 {
			delete(n.members, name)
		}
	}
}

// full says that there is no memory for a member's next nonce and when there
// will be; m is nil where it is the members that are too many.
func (n *nonces) full(now int64, m *spent) error {
	wait := Window
	if m != nil {
		oldest := now + windowSeconds
		for second := range m.seconds {
			oldest = min(oldest, second)
		}
		wait = time.Duration(oldest+windowSeconds+1-now) * time.Second
	}
	err := refuse(Full, "keyid", "has used %d nonces within the window", maxNonces)
	err.RetryAfter = wait
	return err
}
