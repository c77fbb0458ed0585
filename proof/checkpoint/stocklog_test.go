package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"filippo.io/torchwood"
)

// TestStockCheckpoint: what a member serves to stock tools satisfies the stock
// policies it is said to satisfy, in consortia of all sizes.
func TestStockCheckpoint(t *testing.T) {
	for _, tt := range []struct{ members, logs int }{{4, 4}, {8, 8}, {9, 7}, {15, 1}, {16, 1}, {MaxMembers, 1}} {
		t.Run(fmt.Sprint(tt.members), func(t *testing.T) {
			c := newConsortium(t, DefaultQuorum(tt.members), manyMembers(tt.members)...)
			var ids []string
			for _, m := range c.epoch().Members {
				ids = append(ids, m.ID)
			}
			cp := c.checkpoint(7)
			full := c.note(t, cp, ids...)
			policies, err := StockPolicies(c.policy)
			if err != nil {
				t.Fatal(err)
			}
			own := ids[len(ids)-1]
			stock, err := StockCheckpoint(full, c.policy, own)
			if err != nil {
				t.Fatal(err)
			}
			_, lines := noteLines(t, stock)
			if len(lines) != tt.logs+tt.members {
				t.Errorf("%d lines, want %d log lines and %d cosignatures\n%s", len(lines), tt.logs, tt.members, stock)
			}
			fit := 0
			for _, id := range ids {
				policy, err := torchwood.ParsePolicy(policies[StockPolicyName(c.epoch(), id)])
				if err != nil {
					t.Fatal(err)
				}
				if _, _, err := torchwood.VerifyCheckpoint(stock, policy); err == nil {
					fit++
				} else if id == own {
					t.Errorf("the policy with the own log line does not fit: %v", err)
				}
			}
			if fit != tt.logs {
				t.Errorf("%d stock policies fit, want %d", fit, tt.logs)
			}
			if first := string(lines[0]); !bytes.Contains(full, []byte(first)) || !strings.HasPrefix(first, "— qifeng/") {
				t.Errorf("first line %q", first)
			}
		})
	}
}

// TestStockCheckpointWithoutOwn: a member whose own seal is missing serves the
// others' log lines; with none at all, or no quorum, or a false line, nothing.
func TestStockCheckpointWithoutOwn(t *testing.T) {
	c := fourMembers(t)
	cp := c.checkpoint(7)
	stock, err := StockCheckpoint(c.note(t, cp, "arb-a", "court-a", "notary-a"), c.policy, "vendor-a")
	if err != nil {
		t.Fatal(err)
	}
	policies, err := StockPolicies(c.policy)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range c.epoch().Members {
		policy, err := torchwood.ParsePolicy(policies[StockPolicyName(c.epoch(), m.ID)])
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := torchwood.VerifyCheckpoint(stock, policy); (err == nil) != (m.ID != "vendor-a") {
			t.Errorf("policy of %s: %v", m.ID, err)
		}
	}
	body, lines := noteLines(t, c.note(t, cp, "arb-a", "court-a", "notary-a", "vendor-a"))
	for _, tt := range []struct {
		name string
		note []byte
		want error
	}{
		{"no log line", joinLines(body, lines[4:]...), ErrNotSealed},
		{"quorum not met", c.note(t, cp, "court-a", "vendor-a"), ErrNotSealed},
		{"a false line", joinLines(body, append(slices.Clone(lines[:lineVendorSM2]),
			mutateLine(t, lines[lineVendorSM2], func(raw []byte) []byte { raw[50] ^= 1; return raw }))...), ErrTampered},
	} {
		if n, err := StockCheckpoint(tt.note, c.policy, "court-a"); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v\n%s", tt.name, err, n)
		}
	}
}
