// Package witness speaks C2SP tlog-witness (c2sp.org/tlog-witness), both ways:
// [New] has an outside witness cosign this consortium's checkpoints, and [NewServer]
// makes this node an outside witness of other logs.
//
// It is no verifier: whether a cosignature counts is said by package proof, against
// anchor roots that the court holds. It is no transport of seals either: the members'
// seals have nothing to do with it.
//
// # Asking
//
// A witness checks the SHA-256 tree and signs with Ed25519: the half of a checkpoint
// that C2SP knows. Nothing is asked of it that a stock witness does not do. It gets
// the body and the log lines of neutral members, whose keys alone are registered
// there: with a registered key its owner can have any state cosigned and so block the
// witness for all, and that is no power for a vendor. Its line is verified with the
// configured key and added to the full note.
//
// All members of a consortium ask the same witnesses for the same log. So a 409, by
// which a witness says that it holds another size than the request begins at, is the
// normal case, and no more than information.
//
// # Being asked
//
// A [Server] never cosigns two states of a log that exclude each other: server.go
// states in which order it records and signs. Its key serves nothing else, as C2SP
// demands: a cosignature/v1 does not name the log's kind or the signer's role, so with
// a seal key this node's word as an outside witness could be passed off as a seal.
//
// # Who may lie to it
//
// As a client: the witness, which can refuse, hang, answer with anything, and claim to
// hold another state; the first three cost time, the last raises an alarm and moves
// nothing. As a server: whoever can reach it; without a log's key nobody gets beyond
// reading what size was cosigned last, which is public. The disk: a state file that is
// missing or does not read is never taken for an empty one.
package witness
