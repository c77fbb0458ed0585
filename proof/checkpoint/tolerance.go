package checkpoint

import "slices"

// A Tolerance says how many members may fail (be silent, stopped, or refuse)
// while the others can still seal. A number is -1 if even all members together
// cannot meet the rule.
type Tolerance struct {
	Any      int             // whichever members fail
	Roles    []RoleTolerance // when only members of one role fail; roles with members, sorted
	Critical []string        // every member whose failure alone stops sealing, sorted; empty if none
}

// RoleTolerance is the tolerance to failures within one role.
type RoleTolerance struct {
	Role    Role
	Members int // how many there are
	Any     int // how many of them may fail, whichever they are
}

// Tolerance analyses the rule for these members, for the ceremony to print.
func (q Quorum) Tolerance(members []Member) Tolerance {
	var all tally
	for _, m := range members {
		all.add(m.Role)
	}
	var t Tolerance
	t.Any = q.smallestStop(all) - 1
	for i, r := range roles {
		if all.role[i] > 0 {
			t.Roles = append(t.Roles, RoleTolerance{Role: r, Members: all.role[i], Any: q.roleTolerance(all, i)})
		}
	}
	for _, m := range members {
		if i := m.Role.index(); i >= 0 && !q.met(all.without(i, 1)) {
			t.Critical = append(t.Critical, m.ID)
		}
	}
	slices.Sort(t.Critical)
	return t
}

func (t tally) without(role, n int) tally {
	t.members -= n
	t.role[role] -= n
	return t
}

// smallestStop is the size of the smallest set of failures that stops sealing.
// A set stops it by breaking one part of the rule, and the cheapest way to
// break each part is known: for the neutral roles, to silence the smallest ones
// completely until too few are left.
func (q Quorum) smallestStop(all tally) int {
	if !q.met(all) {
		return 0
	}
	stop := all.members - q.Members + 1
	for _, r := range q.Require {
		stop = min(stop, all.role[r.Role.index()]-r.Count+1)
	}
	var neutral []int
	for i, r := range roles {
		if r.Neutral() && all.role[i] > 0 {
			neutral = append(neutral, all.role[i])
		}
	}
	slices.Sort(neutral)
	if q.NeutralRoles > 0 {
		sum := 0
		for _, n := range neutral[:len(neutral)-q.NeutralRoles+1] {
			sum += n
		}
		stop = min(stop, sum)
	}
	return min(stop, all.members)
}

// roleTolerance counts up: members of one role are alike to the rule.
func (q Quorum) roleTolerance(all tally, role int) int {
	for n := range all.role[role] + 1 {
		if !q.met(all.without(role, n)) {
			return n - 1
		}
	}
	return all.role[role]
}
