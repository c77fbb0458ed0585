// Package anchortest holds implementations of anchor.Anchor to their contract,
// against real servers: Run is the suite, Chain makes sealed checkpoints, and
// Proxy is the network between a driver and its server, which can be down, hang
// or cut a call.
//
// It is for tests only, and it is no server: what a witness does is shown by the
// real one.
package anchortest
