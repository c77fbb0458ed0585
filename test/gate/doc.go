// Package gate finds a regression of speed without a clock on the wall: it
// compares the processor time of what a node does with that of what it cannot
// leave out, in one process and in turns, and fails where the ratio is far from
// what it was. Absolute times are never compared, so it does not matter which
// machine it runs on, nor that others use it.
//
// It does not say how fast a node is: scripts/bench.sh does.
package gate
