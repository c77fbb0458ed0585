package checkpoint

import (
	"fmt"
	"strings"
)

// missing names each unmet part of the rule, then every member that does not
// count, with its reason.
func (q Quorum) missing(e *Epoch, t tally, counted map[string]int64, states map[string]SealState) string {
	var parts []string
	if t.members < q.Members {
		parts = append(parts, fmt.Sprintf("%d of %d members needed, %d counted", q.Members, len(e.Members), t.members))
	}
	if have := t.neutralRoles(); have < q.NeutralRoles {
		parts = append(parts, fmt.Sprintf("%d different neutral roles needed, %d counted", q.NeutralRoles, have))
	}
	for _, r := range q.Require {
		if have := t.role[r.Role.index()]; have < r.Count {
			parts = append(parts, fmt.Sprintf("%d of role %s needed, %d counted", r.Count, r.Role, have))
		}
	}
	var out []string
	for _, m := range e.Members {
		if _, ok := counted[m.ID]; !ok {
			out = append(out, fmt.Sprintf("%s (%s): %s", m.ID, m.Role, states[m.ID]))
		}
	}
	if len(out) > 0 {
		parts = append(parts, "not counted: "+strings.Join(out, ", "))
	}
	return strings.Join(parts, "; ")
}
