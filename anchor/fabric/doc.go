// Package fabric puts checkpoints on a Hyperledger Fabric channel and brings
// back what proves offline that they are there.
//
// What a checkpoint goes through is written once (flow.go), over a [Network] of
// four calls. The gateway client in this process is one ([OpenGateway], Fabric 2.4
// and later, raft and BFT); a program of its own is the other ([OpenSDK], networks
// without the gateway service).
//
// It is no verifier: each receipt is handed to package proof/fabric before it is
// returned, and what a peer says is otherwise believed for nothing but what to try
// next. One lying peer can cost time; it cannot make a receipt, and it cannot make
// a [anchor.Conflict], which needs the endorsements that a receipt needs.
//
// [Roots] reads from the network whom to pin. That is the one thing here that is
// believed at first sight: an operator compares it with what the channel's other
// members have, by the fingerprint of the anchor roots.
package fabric
