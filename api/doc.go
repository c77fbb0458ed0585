// Package api is the node's HTTP interface: it takes submissions and key
// entries in, says how far they have come, and gives out proofs.
//
// It keeps nothing and decides nothing: the archive stores, the chain agrees,
// and what a proof is worth package proof says. It knows neither CometBFT nor a
// database; rooms.go lists all that it asks of the rooms below.
//
// # Invariants
//
//   - Every answer that is not a success is a problem document (RFC 9457), made
//     in one function, with a code for programs and, where the caller is at
//     fault, the field and the mend. Nothing of an error's inner text goes out.
//   - No proof leaves before its very bytes have been parsed and verified against
//     the node's own policy. What does not verify is tampered: 500, never a proof.
//   - A record that is answered is fsynced; a refused request has stored nothing.
//   - A request that is sent again is answered with what is stored.
//   - A look-up by a neutral member is answered only after it stands in the audit
//     log.
//   - Handlers bind, validate, call and render; limits, timeouts and signatures
//     stand in the router, every bound in limits.go.
//
// # Who may lie to it
//
// Everybody who can reach the port: any bytes, any header, slowly or a thousand
// times. Records and seals are read by signed requests alone (package httpsig);
// who reads in the name of a vendor learns nothing of another's records, not even
// that there are any. The rooms below are trusted not to lie, but not to be free
// of faults: their answers are checked where a wrong one would become evidence.
//
// # Description
//
// openapi.json describes every door, GET /openapi.json and GET /docs give it out,
// and it is true: the tests drive the server from it, both ways.
//
// # States
//
// A record is accepted when the archive has it, committed when the ledger holds
// its batch's header, sealed when a sealed checkpoint covers that, anchored when an
// outside witness of this node holds one that does. A request may
// wait for them with `Prefer: wait=N` (RFC 7240) and is answered with what is
// reached when the time, the caller or the node ends. With `return=minimal` a
// request that is all new is answered by one receipt for its records together
// (docs/spec/receipt.md), which costs nothing a record.
package api
