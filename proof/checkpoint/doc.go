// Package checkpoint says when the state of the ledger is sealed: the C2SP
// checkpoint of a ledger size, the members' seals on it in a signed note, the
// seal quorum, and the trust policy by which a court judges them.
//
// It is not a witness, a log or a store: it keeps nothing, reads no clock, no
// file and no network, and builds for WASM. It does not prove that a record is
// in the ledger (package proof does, with package merkle), and it does not
// check that two checkpoints are consistent.
//
// # Invariants
//
//   - One checkpoint has one byte form: Body(ParseBody(b)) == b. All members
//     sign the same bytes.
//   - A member counts only if its SM2 and its Ed25519 cosignature both verify
//     and carry the same time.
//   - A quorum that Validate accepts holds more than 2/3 of the members and at
//     least one neutral role. So two disjoint sets never both meet it, and
//     vendors alone never meet it.
//   - A line of a known key that does not verify fails the whole note. A line
//     of an unknown key changes nothing.
//   - A policy has one byte form besides its comments and blank lines.
//
// # Who may lie to it
//
// Whoever hands over a note may have written every byte of it, and may have
// left out seals: an absent seal is "not counted", never "refused". A member
// may seal two views of one size or put a false time into its own seal; fewer
// than 1/3 of the members doing so cannot make a second sealed view. The policy
// is the root of trust: the caller must have it from elsewhere than the note.
//
// # The note
//
//	qifeng/<chain id>
//	<size>
//	<base64 SHA-256 root>
//	sm3 <base64 SM3 root>
//
//	— qifeng/<chain id> <base64: key id ‖ Ed25519 signature>            one per member, type 0x01
//	— court-a <base64: key id ‖ time ‖ Ed25519 signature>               type 0x04, cosignature/v1
//	— court-a <base64: key id ‖ time ‖ SM2 r‖s>                         type 0xff qifeng-sm2-cosignature/v1
//
// The formats are C2SP's: c2sp.org/signed-note, c2sp.org/tlog-checkpoint,
// c2sp.org/tlog-cosignature. The SM2 line is our own type under 0xff, which
// stock tools ignore.
package checkpoint
