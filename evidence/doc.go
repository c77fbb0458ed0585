// Package evidence defines what is preserved and what is signed about it:
// records, statements, requests, batch headers, key entries, receipts, member
// cards, the genesis, claims files; their canonical bytes, their closed lists
// and their bounds. The normative text is docs/spec/.
//
// A record holds digests, commitments and bounded metadata, never content. It
// has two parts: the submission, made by the submitter, and the intake, added
// by the node. Its canonical bytes are one Merkle leaf.
//
// Invariants: every value that a Parse function returns has the canonical
// bytes that it was parsed from, and every Marshal function returns bytes that
// its Parse function accepts, or an error. Parsing checks form and closed
// lists, never signatures: those need a key, and [Signed.Verify] takes it from
// the caller. Anyone may lie in any of these documents; nothing here panics on
// them, and nothing here does I/O.
package evidence
