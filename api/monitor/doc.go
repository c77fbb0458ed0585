// Package monitor follows a ledger from outside: it looks at the newest sealed
// checkpoint that a node gives out, again and again, and asks whether each
// continues the ones before. What the members have sealed it never has to take
// on a node's word.
//
// It is no part of a node and trusts none: it knows a trust policy, what it has
// seen itself ([State]), and nothing else. It does not look at records: whether
// one is preserved is package proof's question. It shares no code with the
// chain's store, so that [Auditor] is a second opinion on the ledger's rules.
//
// # What is a contradiction
//
//   - fork: two sealed checkpoints of one size with different roots;
//   - rewritten: a sealed checkpoint that does not continue a smaller one by the
//     path that the node itself gave;
//   - genesis: the same, with the genesis that the policy names;
//   - pin: a sealed checkpoint on another root than the policy pins;
//   - rollback: a member that sealed a smaller ledger after a larger one;
//   - entries: a sealed ledger with an entry that its own rules refuse.
//
// Each carries what was signed ([Alarm]). A node that is behind is no
// contradiction: its smaller checkpoint is kept until a path shows it to be the
// beginning of the larger one. Neither is a node that gives no path: then nothing
// is proved, and the age of what was proved last grows until it is stale.
//
// # Who may lie to it
//
// The node and the network, in everything; fewer members than a seal quorum, in
// what they sign. A quorum that lies to this monitor alone, for ever, is found by
// nobody who does not compare with others: two monitors do, or one state that is
// taken to two nodes in turn.
package monitor
