// Package chain is the replicated state machine of a consortium: the ledger of
// batch headers and key entries that the members agree on by CometBFT, the
// registry of user keys, and the seals by which the members vouch for what was
// agreed.
//
// It is not an archive: it holds roots, never records. It does not verify
// proofs, it does not know HTTP, and a seal is no part of consensus: a member
// that gives none changes nothing that the others agree on. CometBFT appears
// in this package only, and nothing of it in the exported API.
//
// # Invariants
//
//   - The ledger is append-only; entry 0 is the genesis, every other entry is
//     the bytes of one accepted transaction. What is refused leaves no trace.
//   - The state is a function of the genesis and the blocks alone: no clock, no
//     randomness, no map order enters it. See [state] for all that the AppHash
//     covers.
//   - A member seals only what CometBFT has finalized, only after the guard has
//     found that everything sealed before is a prefix of it, and only after the
//     guard file that says so is on disk.
//   - A seal is stored only if all its signatures verify against the root of
//     this node's own ledger.
//   - Consensus that has failed ends the process (Failed); it never lingers.
//
// # Who may lie to it
//
// A transaction may hold anything. A proposer may propose anything that does
// not decode, is from no member, or is too much: ProcessProposal rejects it.
// What decodes and is false is refused when the block is executed. A peer may
// send any bytes on the seal channel: what does not decode drops the peer,
// what does not verify is not kept, what is too much is not read. Fewer than a
// third of the members may do all of this at once. The files of the member's
// own home are trusted, but a home that was put back from a copy is not: see
// guard.go and votes.go.
//
// # Folders
//
//	<dir>/restored      mark of a restored home (votes.go)
//	<dir>/fraud         what proves that a member lied (fraud.go)
//	<dir>/ledger        own goleveldb: ledger, registry, seals (store.go)
//	<dir>/comet/data    CometBFT's block store, state, evidence, write-ahead log
//	keys/…              consensus key and its last signature, node key, guard
package chain
