package httpsig

import (
	"qifeng/evidence"
	"qifeng/proof/checkpoint"
)

// Identity is who has signed a request: a registered key of a member.
type Identity struct {
	Member  string // member id
	Key     string // name of the key
	Purpose evidence.Purpose
}

// CanRead says whether a signer may read a record (design §11): the neutral
// members read every record, a vendor reads those that it has submitted itself,
// through whichever node. role is that of id.Member in the newest epoch, and
// empty where it is no member any more: then it reads nothing.
//
// A record that may not be read is answered like one that is not there, in
// pages of look-ups too.
func CanRead(id Identity, role checkpoint.Role, rec *evidence.Record) bool {
	if rec == nil || rec.Submission == nil || id.Member == "" || id.Purpose != evidence.Read {
		return false
	}
	if role.Neutral() {
		return true
	}
	return role == checkpoint.Vendor && rec.Submission.Submitter == id.Member
}
