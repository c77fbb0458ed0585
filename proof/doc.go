// Package proof is what a court needs: the proof file, and its verification
// offline against a trust policy that the court itself holds. The normative
// text is docs/spec/proof.md.
//
// A proof file holds one record, the paths that lead from it to a checkpoint
// sealed by the consortium, and the signed objects on the way: statement,
// receipt, batch header, key entry. [Verify] recomputes every step with both
// hashes, checks every signature with keys that come from the policy alone,
// and names what is proved and what is not.
//
// A proof may carry anchors: later checkpoints that outside witnesses hold
// (docs/spec/anchors.md). They are judged by [AnchorRoots], which the court holds
// beside its policy. An anchor adds a time and a witness to what is proved; it
// proves no record, and only one that is false makes a proof false.
//
// The package does no I/O, reads no clock and makes no network call; it builds
// for WASM. The proof file is an adversary's input: decoding is strict and
// bounded, and nothing in it is trusted before the policy's keys have verified
// it. Only the policy and the anchor roots are trusted, and only the caller can say
// where they are from.
package proof
