package httpsig

import (
	"testing"

	"qifeng/evidence"
	"qifeng/proof/checkpoint"
)

func TestCanRead(t *testing.T) {
	own := func(member string) *evidence.Record {
		return &evidence.Record{Submission: &evidence.Submission{Submitter: member}, Intake: evidence.Intake{Node: "vendor-b"}}
	}
	id := func(member string, p evidence.Purpose) Identity {
		return Identity{Member: member, Key: "k", Purpose: p}
	}
	const read, submit = evidence.Read, evidence.Submit
	for _, tc := range []struct {
		name string
		id   Identity
		role checkpoint.Role
		rec  *evidence.Record
		want bool
	}{
		{"vendor, own", id("vendor-a", read), checkpoint.Vendor, own("vendor-a"), true},
		{"vendor, foreign", id("vendor-a", read), checkpoint.Vendor, own("vendor-b"), false},
		{"vendor, foreign, taken in by itself", id("vendor-b", read), checkpoint.Vendor, own("vendor-a"), false},
		{"vendor, the court's", id("vendor-a", read), checkpoint.Vendor, own("court-a"), false},
		{"court, own", id("court-a", read), checkpoint.Court, own("court-a"), true},
		{"court, foreign", id("court-a", read), checkpoint.Court, own("vendor-a"), true},
		{"notary, foreign", id("notary-a", read), checkpoint.Notary, own("vendor-a"), true},
		{"arbitration, foreign", id("arb-a", read), checkpoint.Arbitration, own("vendor-a"), true},
		{"vendor's key for submitting, own", id("vendor-a", submit), checkpoint.Vendor, own("vendor-a"), false},
		{"court's key for submitting", id("court-a", submit), checkpoint.Court, own("vendor-a"), false},
		{"no purpose", id("court-a", ""), checkpoint.Court, own("vendor-a"), false},
		{"a member no more, own", id("vendor-a", read), "", own("vendor-a"), false},
		{"an unknown role", id("vendor-a", read), "Court", own("vendor-a"), false},
		{"nobody", Identity{}, checkpoint.Court, own("vendor-a"), false},
		{"nobody, record of nobody", id("", read), checkpoint.Vendor, own(""), false},
		{"no record", id("court-a", read), checkpoint.Court, nil, false},
		{"no submission", id("court-a", read), checkpoint.Court, &evidence.Record{}, false},
	} {
		if got := CanRead(tc.id, tc.role, tc.rec); got != tc.want {
			t.Errorf("%s: %t, want %t", tc.name, got, tc.want)
		}
	}
}
