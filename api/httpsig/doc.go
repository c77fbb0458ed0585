// Package httpsig signs and verifies reading requests by HTTP Message
// Signatures (RFC 9421), and decides who may read a record. The normative text
// is docs/spec/http.md.
//
// It is one fixed profile and not a library for RFC 9421: one label, one list of
// covered components, one list of parameters, each in one spelling. It signs no
// answers. A signature made here opens a door for a minute; it is never evidence
// and nothing of it is kept.
//
// # Invariants
//
//   - What Verify has accepted is, byte for byte, what Sign would have written for
//     this request, these parameters and this signature: no accepted header has a
//     second spelling.
//   - What is verified is what handlers see: method, path and query are taken from
//     the parsed request that they act on, not from the raw request line.
//   - The algorithm is that of the registered key, never the message's word.
//   - A nonce opens the door once in a process. What cannot be remembered is
//     refused: a full memory, a request from before the process began, a clock
//     that went back.
//   - A signed base begins with a quotation mark, which no other signed text of
//     the project does, so that a signature for one is none for the other.
//
// # Who may lie to it
//
// Whoever sends a request may lie in all of it: headers are bounded before they
// are read, nothing in them makes the package panic, and neither a body is read
// nor a nonce remembered before the signature has verified. The caller's [Keys]
// and clock are trusted. A proxy in between can withhold, delay and show a request
// elsewhere; the covered authority and the window bound what that gains.
//
// The parts that a request may be split into by a proxy of another mind (a path
// with dot segments or needless percent signs) are refused, not normalised.
package httpsig
