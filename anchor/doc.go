// Package anchor has sealed checkpoints witnessed outside the consortium, and
// keeps the receipts: Hyperledger Fabric (anchor/fabric), RFC 3161 time-stamp
// authorities (anchor/tsa), C2SP witnesses (anchor/witness).
//
// It is no verifier: what a receipt proves is said by package proof, from the
// proof file alone, against anchor roots that the court itself holds. It is no
// part of sealing: an anchor that is slow, absent or hostile delays nobody.
//
// # Invariants
//
//   - Only a checkpoint whose seal quorum is met is anchored.
//   - A receipt is verified as a court would, before it is stored.
//   - What is stored with a receipt is the exact note that it covers.
//   - One attempt of one anchor is in flight; what comes meanwhile is coalesced
//     to the newest checkpoint. None is put that is smaller than one that the
//     anchor may hold.
//   - Two roots of one size are an alarm that keeps both statements; they are
//     never tried again, and never overwritten.
//
// # Who may lie to it
//
// The outside witness: its receipt is verified, its claim of another root is kept
// as it came and stops this anchor alone. The disk: every value has a checksum
// over its key and itself, and each receipt names the one before it. The source:
// a note is opened by the policy and must be sealed, and each new state must
// grow out of the last one anchored. Policy, anchor roots and the configuration
// are trusted.
//
// # Storage
//
// One goleveldb, every write of which is synced. Numbers are big-endian; NAME
// is an anchor's name, which holds neither 0x00 nor anything above 'z'.
//
//	v                     "qifeng-anchor/1", LF, chain id
//	r NAME 00 size(8)     receipt: of each name and size at most one
//	p NAME                pending statement: what the witness may have been given without an answer
//	a NAME 00 number(8)   alarm, numbered from 1
//
// Every value but v is a body and then the plain pair (SM3 ‖ SHA-256, 64 bytes)
// of
//
//	length of the key(4) ‖ key ‖ body
//
// and a body is, without anything after it:
//
//	receipt: 01 ‖ kind(1) ‖ previous(8) ‖ stored(12) ‖ time(12) ‖ length(4) ‖ note ‖ length(4) ‖ data
//	pending: 01 ‖ size(8) ‖ since(12) ‖ length(4) ‖ note
//	alarm:   01 ‖ at(12) ‖ resumed(12) ‖ size(8) ‖ length(4) ‖ ours ‖ length(4) ‖ theirs ‖ length(4) ‖ text
//
// kind is 1 for fabric, 2 for rfc3161, 3 for witness, and the same in all
// receipts of a name. previous is the size of the receipt before of this name,
// smaller than its own, 0 in the first: a receipt that is gone from the middle is
// found when its successor is read. A moment is Unix seconds (8, signed) and
// nanoseconds (4, below 10^9); all zero stands for none: the witness states no
// time; the alarm is open. The note of a receipt and of a pending statement is of
// the size that key or body state. limits.go has the bounds.
package anchor
