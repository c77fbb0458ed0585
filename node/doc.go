// Package node is the process: the qifeng command line, the configuration of
// a member's home, the wiring of chain, archive, anchors and api into one running
// node, and the supervisor of a development network. It is the only room that
// knows all others.
//
// It is not where anything is decided about evidence: what is preserved is
// package evidence, what is proved is package proof, what is agreed is package
// chain. A command here reads files and flags, calls one of those rooms, and
// says in Chinese and English what came of it.
//
// Invariants:
//
//   - verify opens no network connection, whatever the flags.
//   - Nothing waits for an anchor, and no outside witness can take the node out of
//     service (docs/adr/0041-anchors-in-the-node.md).
//   - No command replaces a key, a genesis, a guard or another state it finds:
//     it refuses and names the file. A proof file is replaced only by a proof
//     of the same record, or with --force.
//   - Files that hold secrets (keys, claims) are made with mode 0600 and are
//     never printed; their paths stand in the configuration.
//   - Exit codes: 0 done or proved; 1 failed, or the content or the proof is
//     false; 2 usage or unreadable input; 3 consistent but not proved, or not
//     yet ready.
//
// Who may lie to it: the node behind --api (every answer is checked against
// the policy before it is written as a proof), and whoever hands over a proof
// file or a policy (both are parsed strictly, and a policy inside a proof is
// never trusted).
package node
