// Package client talks to a node's HTTP interface: it makes signed requests,
// sends them, and checks what comes back. The qifeng command is built on it.
//
// It is not a verifier of proofs: what a node answers becomes evidence only
// through package proof and a trust policy that the caller already holds.
//
// Who may lie to it: the node, and whoever stands between. So nothing is taken
// on a node's word that can be checked: [VerifyReceipt] and [VerifySubmitted]
// check the node's signature and that the record holds, byte for byte, what was
// sent; [Client.Proof] returns a file for package proof to judge; states,
// members and status are information only. A policy or genesis that a node
// hands out ([Client.Policy], [Client.Genesis]) must be compared with one that
// came another way before anything is verified by it.
//
// Retries are safe: a request's bytes are made and signed once, and a node
// answers a retry with the stored receipt and stores nothing twice. The client
// sends again by itself after network errors and the statuses 429, 502, 503 and
// 504, with jittered back-off, and honours Retry-After.
package client
