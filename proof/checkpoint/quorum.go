package checkpoint

import (
	"cmp"
	"fmt"
	"slices"
)

// A Quorum is the rule that makes a checkpoint valid: so many members, of so
// many different neutral roles, and so many of each role that is named.
type Quorum struct {
	Members      int
	NeutralRoles int
	Require      []Require // sorted by role, each role at most once
}

// Require asks for Count members of one role.
type Require struct {
	Role  Role
	Count int
}

// DefaultQuorum is the rule a ceremony proposes for n members: the smallest
// number above 2/3 of them, with two different neutral roles.
func DefaultQuorum(n int) Quorum {
	return Quorum{Members: n*2/3 + 1, NeutralRoles: DefaultNeutralRoles}
}

// A tally counts the members of a set, by role.
type tally struct {
	members int
	role    [len(roles)]int
}

func (t *tally) add(r Role) {
	if i := r.index(); i >= 0 {
		t.members++
		t.role[i]++
	}
}

// neutralRoles counts the different neutral roles in the set.
func (t tally) neutralRoles() int {
	n := 0
	for i, r := range roles {
		if r.Neutral() && t.role[i] > 0 {
			n++
		}
	}
	return n
}

// met is the rule itself. It only ever turns from false to true when a member
// is added: everything below rests on that.
func (q Quorum) met(t tally) bool {
	if t.members < q.Members || t.neutralRoles() < q.NeutralRoles {
		return false
	}
	for _, r := range q.Require {
		if i := r.Role.index(); i < 0 || t.role[i] < r.Count {
			return false
		}
	}
	return true
}

// Validate proves four things of the rule, or refuses it: every quorum holds
// more than 2/3 of the members (so two quorums share more than 1/3, and two
// disjoint sets never both meet it); every quorum holds a neutral role (so
// vendors alone never meet it); the members given can meet it; and it is
// written in the one way it can be written.
func (q Quorum) Validate(members []Member) error {
	n := len(members)
	if n < 1 || n > MaxMembers {
		return fmt.Errorf("%w: %d members, want 1 to %d", ErrPolicy, n, MaxMembers)
	}
	var all tally
	seen := make(map[string]bool, n)
	for _, m := range members {
		if m.Role.index() < 0 {
			return fmt.Errorf("%w: member %s has the unknown role %q", ErrPolicy, m.ID, m.Role)
		}
		if seen[m.ID] {
			return fmt.Errorf("%w: member %s stands there twice", ErrPolicy, m.ID)
		}
		seen[m.ID] = true
		all.add(m.Role)
	}
	switch {
	case q.Members > n || 3*q.Members <= 2*n:
		return fmt.Errorf("%w: quorum of %d of %d, want more than 2/3 of the members and no more than there are", ErrPolicy, q.Members, n)
	case q.NeutralRoles < MinNeutralRoles:
		return fmt.Errorf("%w: %d neutral roles, want at least %d, or vendors alone could seal", ErrPolicy, q.NeutralRoles, MinNeutralRoles)
	case q.NeutralRoles > all.neutralRoles():
		return fmt.Errorf("%w: %d neutral roles asked for, the members have %d", ErrPolicy, q.NeutralRoles, all.neutralRoles())
	}
	for i, r := range q.Require {
		have := r.Role.index()
		switch {
		case have < 0:
			return fmt.Errorf("%w: the rule requires the unknown role %q", ErrPolicy, r.Role)
		case i > 0 && q.Require[i-1].Role >= r.Role:
			return fmt.Errorf("%w: required roles are not sorted, or stand there twice", ErrPolicy)
		case r.Count < 1 || r.Count > all.role[have]:
			return fmt.Errorf("%w: %d of role %s required, the members have %d", ErrPolicy, r.Count, r.Role, all.role[have])
		}
	}
	return nil
}

// A Verdict says whether a set of seals meets the quorum.
type Verdict struct {
	Met          bool
	SealedTime   int64  // Unix seconds; smallest t such that the seals dated <= t alone meet the quorum; 0 unless Met
	Missing      string // English, what is missing; "" if Met
	Members      int    // members counted
	NeutralRoles int    // different neutral roles counted
}

// Judge applies the rule to seals that the caller has verified. Seals of others
// than e's members, or without a valid time, do not count; of two seals of one
// member the earlier does. A rule that Validate refuses is never met.
func (q Quorum) Judge(e *Epoch, seals []Seal) Verdict {
	if e == nil {
		return Verdict{Missing: "no epoch to judge by"}
	}
	return q.judge(e, seals, nil)
}

// judge takes the states of the seals that do not count, for Missing.
func (q Quorum) judge(e *Epoch, seals []Seal, states map[string]SealState) Verdict {
	if err := q.Validate(e.Members); err != nil {
		return Verdict{Missing: "a usable rule: " + err.Error()}
	}
	type vote struct {
		time int64
		role Role
	}
	times := make(map[string]int64, len(seals))
	for _, s := range seals {
		if t, ok := times[s.Member]; CheckTime(s.Time) == nil && (!ok || s.Time < t) {
			times[s.Member] = s.Time
		}
	}
	votes := make([]vote, 0, len(e.Members))
	for _, m := range e.Members {
		if t, ok := times[m.ID]; ok {
			votes = append(votes, vote{t, m.Role})
		}
	}
	slices.SortFunc(votes, func(a, b vote) int { return cmp.Compare(a.time, b.time) })

	// Adding members never unmeets the rule, so the time of the vote that
	// first meets it is the smallest such time, however ties are ordered.
	var v Verdict
	var t tally
	for _, x := range votes {
		t.add(x.role)
		if !v.Met && q.met(t) {
			v.Met, v.SealedTime = true, x.time
		}
	}
	v.Members, v.NeutralRoles = t.members, t.neutralRoles()
	if !v.Met {
		v.Missing = q.missing(e, t, times, states)
	}
	return v
}
