// Package main is anchorcc, the chaincode "anchor" of Hyperledger Fabric: it keeps
// checkpoints of Qifeng's ledger on a channel, so that the organisations of the
// channel vouch for them. It runs as a service of its own beside each
// organisation's peer (an external service, so Fabric needs no compiler and no
// containers), with mutual TLS between the two.
//
// Functions, all with answers in canonical JSON (an entry, proof/fabric):
//
//	put(note, old size, path)  keeps the checkpoint of a note; answers the entry that is kept
//	get(origin, size)          the entry of one size
//	head(origin)               the newest entry
//
// put stores a checkpoint only if the seal quorum of its note is met by the
// organisation's own policy file, the submitter's organisation may write this
// log, the ledger grows, and both halves of the consistency path lead from the
// newest kept checkpoint to this one. Without the quorum, one put of a huge size or a
// wrong root would block the anchor for ever. An endorsement therefore says: the
// chaincode of this organisation, with this organisation's policy, saw the quorum.
//
// Refusals begin with a word that a client tells apart: see refusal.go.
//
// Invariants: a kept entry is never changed and never removed; sizes rise;
// what goes into the state is a function of arguments and state alone, so
// organisations with different policy files differ in whether they endorse and
// never in what; a policy or writers file that is missing, unreadable or malformed
// refuses every put until it is mended.
//
// Who calls may lie in every argument. The peer it serves is trusted, as every
// chaincode must: state and the submitter's identity come from there. A lying
// peer spoils its own organisation's endorsements only.
package main
