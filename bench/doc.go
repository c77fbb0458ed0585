// Package bench loads a running node and says how it bore it: it submits
// records, verifies a sample of what it is answered and of the proofs while it
// goes on, and measures rates, latencies, the node's memory and what it cost.
//
// It is not a part of a node and no part of a node imports it; the command
// `qifeng bench` is made of it. It claims nothing: it prints what it measured,
// on which machine, by which command. docs/performance.md says what may be
// concluded from it and what may not.
//
// The generator must cost little, since it shares the machine with the node: it
// keeps one request per connection in memory and writes into it what makes the
// next one unique. That this gives the bytes that package evidence would have
// made is checked before the load begins, and by the node at every request.
//
// Latency is measured from the time at which a request was to be sent. In the
// open loop that time is fixed beforehand, so a node that stands still is
// charged for every request that came due meanwhile (no coordinated omission).
// In the closed loop a connection sends when it has been answered, so only
// rates mean something there.
//
// Who may lie to it: the node. A receipt counts only if it is signed by the
// intake key of the caller's policy over the very bytes sent, a proof only if
// package proof proves it offline. What cannot be checked from outside, as the
// size of a process, is read from the system and not from the node.
package bench
